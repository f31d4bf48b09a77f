//! The histories of all Workers, in one pass over the table: each from what was trimmed to its newest pack,
//! each link and each payload recomputed (I2). It trusts no index: what there is is what the rows say.

use std::collections::BTreeSet;

use worker_runtime_core::{Position, Seq, WorkerId, store::StoreError};

use super::{
    finding::Finding,
    large::{self, Referred},
    log::Logged,
    look::{Counting, Look, Meta, next_row},
    one_history::OneHistory,
    records::Known,
    streams::{OnRecord, Streams},
};
use crate::{
    codec::{self, Damage},
    cut::Cut,
    engine::Rows,
    layout::{
        age,
        history::{self, TABLE},
        large as large_table,
    },
    pack::Pack,
};

/// A row of the table.
struct Row {
    key: Result<(WorkerId, Position), Damage>,
    pack: Result<Pack, Damage>,
}

impl Row {
    fn read(key: &[u8], value: &[u8]) -> Self {
        let parsed = history::parse(key);
        let pack = match &parsed {
            Ok((worker_id, _)) => Pack::open_history(TABLE, key, value, *worker_id),
            Err(damage) => Err(damage.clone()),
        };
        Self { key: parsed, pack }
    }
}

/// Walks every history; tells which payloads are referred to, and how many bytes the packs have.
pub(super) fn walk(
    rows: &mut impl Rows,
    meta: &Meta,
    (streams, known): (&Streams, &mut Known),
    logged: &mut Logged,
    look: &mut Look<'_>,
) -> Result<(Referred, u64), StoreError> {
    let mut referred = Referred::default();
    let (mut counting, mut from) = (Counting::new(TABLE), Vec::new());
    let mut seen: BTreeSet<WorkerId> = BTreeSet::new();
    let mut current: Option<OneHistory<'_>> = None;
    let nothing = OnRecord::default();
    while let Some(row) = next_row(rows, TABLE, &mut from, |key, value| {
        counting.add(value, look);
        Row::read(key, value)
    })? {
        if row.pack.is_err() {
            counting.damaged();
        }
        let (worker_id, first) = match row.key {
            Ok(parsed) => parsed,
            Err(damage) => {
                look.tell(Finding::events_lost(TABLE, damage.to_string()));
                continue;
            }
        };
        if current
            .as_ref()
            .is_none_or(|one| one.worker_id != worker_id)
        {
            if let Some(one) = current.take() {
                one.end(rows, logged, &mut referred, look)?;
            }
            known.tell_missing(worker_id, look);
            seen.insert(worker_id);
            let on_record = streams.by_worker.get(&worker_id).unwrap_or(&nothing);
            current = Some(OneHistory::new(worker_id, meta, on_record));
        }
        if let Some(one) = current.as_mut() {
            one.row(rows, first, row.pack, logged, look)?;
        }
    }
    if let Some(one) = current.take() {
        one.end(rows, logged, &mut referred, look)?;
    }
    let others = streams.by_worker.keys().copied().chain(logged.workers());
    let others: BTreeSet<WorkerId> = others.filter(|other| !seen.contains(other)).collect();
    for worker_id in others {
        known.tell_missing(worker_id, look);
        let on_record = streams.by_worker.get(&worker_id).unwrap_or(&nothing);
        OneHistory::new(worker_id, meta, on_record).end(rows, logged, &mut referred, look)?;
    }
    waiting(rows, logged, &mut referred, look)?;
    referred.runtime = logged.runtime_pieces;
    referred.is_runtime_unknown = !logged.is_whole();
    if referred.is_runtime_unknown {
        referred.unknown.extend(logged.workers());
    }
    let bytes = counting.bytes;
    counting.end(&meta.state, Finding::events_lost, look);
    Ok((referred, bytes))
}

/// Payloads of events that stand in the log alone.
fn waiting(
    rows: &mut impl Rows,
    logged: &mut Logged,
    referred: &mut Referred,
    look: &mut Look<'_>,
) -> Result<(), StoreError> {
    for (event, len) in std::mem::take(&mut logged.waiting) {
        let Some(place) = event.worker else { continue };
        // A history that reaches so far has told of it.
        if referred.has_reached(place.worker_id, place.seq) {
            continue;
        }
        let read = large::read(rows, &event, len)?;
        *referred.by_worker.entry(place.worker_id).or_default() += read.pieces;
        if let Some(damage) = read.damage {
            let finding = Finding::events_lost(large_table::TABLE, damage.to_string());
            let finding = finding.of(place.worker_id).at_seqs(place.seq, place.seq);
            look.tell(finding.at(event.position, event.position));
        }
    }
    Ok(())
}

/// The index of ages: a row for each pack, and a pack for each row.
pub(super) fn ages(
    rows: &mut impl Rows,
    meta: &Meta,
    look: &mut Look<'_>,
) -> Result<(), StoreError> {
    let table = age::TABLE;
    let (mut counting, mut from) = (Counting::new(table), Vec::new());
    while let Some(row) = next_row(rows, table, &mut from, |key, value| {
        counting.add(value, look);
        let first = age::parse(key)?;
        let id = Cut::new(codec::open(table, key, value)?).array()?;
        Ok::<_, Damage>((first, WorkerId::from_bytes(id)))
    })? {
        let (first, worker_id) = match row {
            Ok(parsed) => parsed,
            Err(damage) => {
                counting.damaged();
                look.tell(Finding::derived(table, damage.to_string()));
                continue;
            }
        };
        let key = history::key(worker_id, first);
        let is_there = |value: Option<&[u8]>| value.is_some();
        if !rows.get(TABLE, key.as_bytes(), is_there)? && !look.has_told_of(TABLE) {
            let detail = format!("no pack begins at position {first}");
            look.tell(Finding::derived(table, detail).of(worker_id));
        }
    }
    counting.end(&meta.state, Finding::derived, look);
    Ok(())
}

/// That the index of ages knows a pack.
pub(super) fn is_aged(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    first: Position,
) -> Result<bool, StoreError> {
    let key = age::key(first);
    rows.get(age::TABLE, key.as_bytes(), |value| {
        let id = value.map(|value| codec::open(age::TABLE, key.as_bytes(), value));
        // What is damaged is told where the index is looked at.
        id.is_some_and(|id| id.is_err() || id.is_ok_and(|id| id == worker_id.to_bytes()))
    })
}

impl Referred {
    fn has_reached(&self, worker_id: WorkerId, seq: Seq) -> bool {
        let reached = self.reached.get(&worker_id);
        reached.is_some_and(|reached| seq <= *reached)
    }
}
