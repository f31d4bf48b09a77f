//! Payloads that stand beside their events: each joins to what was written, and each is somebody's.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use bytes::BytesMut;
use worker_runtime_core::{Digest, Event, Seq, WorkerId, store::StoreError};

use super::{
    finding::Finding,
    look::{Counting, LAST_KEY, Look, Meta},
};
use crate::{
    codec::{self, Damage, SEAL_LEN_BYTES},
    cut::Cut,
    engine::{End, Rows},
    layout::large::{Owner, TABLE},
};

/// What became of reading a payload.
pub(super) struct Payload {
    pub(super) pieces: u64,
    pub(super) damage: Option<Damage>,
}

/// Reads the payload of an event, and compares it with its digest.
pub(super) fn read(rows: &mut impl Rows, event: &Event, len: usize) -> Result<Payload, StoreError> {
    let owner = Owner::of(event);
    let (from, to) = (owner.key(0), owner.key(u32::MAX));
    let range = (from.as_bytes(), to.as_bytes());
    let mut data = BytesMut::new();
    let (mut pieces, mut damage) = (0, None);
    rows.scan(TABLE, range, End::First, &mut |key, value| {
        pieces += 1;
        match codec::open(TABLE, key, value) {
            Ok(piece) if data.len() <= len => data.extend_from_slice(piece),
            Ok(_) => {}
            Err(found) => damage = Some(found),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if damage.is_none() && (data.len() != len || Digest::of(&data) != event.data_digest) {
        damage = Some("the pieces of its data don't join to what was written".into());
    }
    Ok(Payload { pieces, damage })
}

/// How many pieces are referred to.
#[derive(Debug, Default)]
pub(super) struct Referred {
    pub(super) runtime: u64,
    pub(super) by_worker: BTreeMap<WorkerId, u64>,
    /// The newest seq that is in each history.
    pub(super) reached: BTreeMap<WorkerId, Seq>,
    /// Workers of which not all events could be read.
    pub(super) unknown: BTreeSet<WorkerId>,
    /// The same of the Runtime.
    pub(super) is_runtime_unknown: bool,
}

/// Looks at every piece, and tells those that nothing refers to; tells how many bytes of payloads are
/// Workers'.
pub(super) fn pieces(
    rows: &mut impl Rows,
    meta: &Meta,
    referred: &Referred,
    look: &mut Look<'_>,
) -> Result<u64, StoreError> {
    let mut counting = Counting::new(TABLE);
    let mut found: BTreeMap<Option<WorkerId>, u64> = BTreeMap::new();
    let mut workers_bytes = 0;
    rows.scan(TABLE, (&[], &LAST_KEY), End::First, &mut |key, value| {
        counting.add(value, look);
        let mut cut = Cut::new(key);
        let owner = match (cut.u8(), cut.array::<16>()) {
            (Ok(1), Ok(id)) => {
                workers_bytes += value.len().saturating_sub(SEAL_LEN_BYTES) as u64;
                Some(WorkerId::from_bytes(id))
            }
            _ => None,
        };
        *found.entry(owner).or_default() += 1;
        if codec::open(TABLE, key, value).is_err() {
            counting.damaged();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (owner, pieces) in found {
        let (expected, is_unknown) = match owner {
            Some(worker_id) => (
                referred.by_worker.get(&worker_id).copied(),
                referred.unknown.contains(&worker_id),
            ),
            None => (Some(referred.runtime), referred.is_runtime_unknown),
        };
        let surplus = pieces.saturating_sub(expected.unwrap_or_default());
        if surplus > 0 && !is_unknown {
            let detail = format!("{surplus} pieces of payloads that no event refers to");
            let mut finding = Finding::leftover(TABLE, detail);
            finding.worker_id = owner;
            look.tell(finding);
        }
    }
    counting.end(&meta.state, Finding::events_lost, look);
    Ok(workers_bytes)
}
