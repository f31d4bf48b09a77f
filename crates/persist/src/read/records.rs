//! Reading single records.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use worker_runtime_core::{
    BlockId, Generation, Stream, WorkerId,
    record::ReceiptRecord,
    store::{InFlightBlock, StoreError, StreamBounds, WorkerHead},
};

use super::Snapshot;
use crate::{
    codec::{self, Damage},
    engine::{End, Rows},
    layout::{
        in_flight::{self, Piece},
        input,
    },
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

pub(super) fn in_flight(
    rows: &mut impl Rows,
    worker_id: WorkerId,
) -> Result<Vec<InFlightBlock>, StoreError> {
    let block = |number, index| BlockId {
        generation: Generation(number),
        index,
    };
    let first = in_flight::key(worker_id, block(0, 0), 0);
    let last = in_flight::key(worker_id, block(u64::MAX, u32::MAX), u64::MAX);
    let mut blocks: Vec<(InFlightBlock, BytesMut)> = Vec::new();
    rows.scan(
        in_flight::TABLE,
        (first.as_bytes(), last.as_bytes()),
        End::First,
        &mut |key, value| {
            add_piece(&mut blocks, key, value)
                .map_err(|damage| damage.in_table(in_flight::TABLE))?;
            Ok(ControlFlow::Continue(()))
        },
    )?;
    let whole = blocks.into_iter().map(|(block, bytes)| InFlightBlock {
        bytes: bytes.freeze(),
        ..block
    });
    Ok(whole.collect())
}

fn add_piece(
    blocks: &mut Vec<(InFlightBlock, BytesMut)>,
    key: &[u8],
    value: &[u8],
) -> Result<(), Damage> {
    let (_, block, offset_bytes) = in_flight::parse(key)?;
    let piece: Piece = codec::open_record(in_flight::TABLE, key, value)?;
    let goes_on = blocks.last().is_some_and(|(last, _)| last.block == block);
    if !goes_on {
        let begun = InFlightBlock {
            block,
            kind: piece.kind,
            parent: piece.parent,
            bytes: Bytes::new(),
        };
        blocks.push((begun, BytesMut::new()));
    }
    match blocks.last_mut() {
        Some((_, bytes)) if bytes.len() as u64 == offset_bytes => {
            bytes.extend_from_slice(&piece.bytes);
            Ok(())
        }
        _ => Err(Damage(
            format!("bytes of block {block} before {offset_bytes} are missing").into(),
        )),
    }
}
