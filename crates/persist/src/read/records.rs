//! Reading single records.

use worker_runtime_core::{
    Seq, Stream, WorkerId,
    record::ReceiptRecord,
    store::{InFlightBlock, StoreError, StreamBounds, WorkerHead},
};

use super::Snapshot;
use crate::{
    codec::{self, Damage},
    engine::Rows,
    layout::{in_flight, input},
    store::tails::{Tail, load_base},
};

pub(super) fn receipt(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    digest: [u8; 16],
) -> Result<Option<ReceiptRecord>, StoreError> {
    let key = input::key(worker_id, digest);
    let receipt = rows.get(input::TABLE, key.as_bytes(), |value| {
        value.map(|value| codec::open_record(input::TABLE, key.as_bytes(), value))
    })?;
    receipt
        .transpose()
        .map_err(|damage: Damage| damage.in_table(input::TABLE))
}

pub(super) fn head(rows: &mut impl Rows, worker_id: WorkerId) -> Result<WorkerHead, StoreError> {
    Ok(Tail::load(rows, worker_id)?.state.head())
}

/// Whether anything of a Worker is kept, without what may have been lost of it.
pub(super) fn has_events(rows: &mut impl Rows, worker_id: WorkerId) -> Result<bool, StoreError> {
    Ok(Tail::load_known(rows, worker_id)?.state.head().seq > Seq(0))
}

pub(super) fn bounds(
    rows: &mut impl Rows,
    stream: Stream,
    snapshot: &Snapshot,
) -> Result<StreamBounds, StoreError> {
    let base = load_base(rows, stream)?;
    let tail = match (stream, snapshot.state) {
        (Stream::Runtime, _) => snapshot.committed,
        (Stream::Worker(_), Some(state)) => state.head().position,
        (Stream::Worker(worker_id), None) => match head(rows, worker_id) {
            // What is before the damage is still read, and the damage is told as a gap (I10).
            Err(StoreError::Damaged { .. }) => snapshot.committed,
            head => head?.position,
        },
    };
    Ok(StreamBounds {
        trimmed_to: base.position,
        trimmed_to_seq: base.seq,
        tail,
    })
}

/// The blocks that are whole. That others are damaged is an error only when there is nothing else; they
/// go with the next block of their Worker that ends.
pub(super) fn in_flight(
    rows: &mut impl Rows,
    worker_id: WorkerId,
) -> Result<Vec<InFlightBlock>, StoreError> {
    let (mut whole, mut damaged) = (Vec::new(), None);
    for block in in_flight::blocks(rows, worker_id)? {
        match block {
            Ok(block) => whole.push(block),
            Err((block, damage)) => {
                tracing::warn!(%worker_id, %block, %damage, "a block that had not ended is damaged");
                damaged = Some(damage);
            }
        }
    }
    match damaged {
        Some(damage) if whole.is_empty() => Err(damage.in_table(in_flight::TABLE)),
        _ => Ok(whole),
    }
}
