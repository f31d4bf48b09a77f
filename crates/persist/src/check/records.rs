//! The small tables as wholes, and whether what Workers hold and what is in flight agrees with them (I3, I4,
//! I6).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use worker_runtime_core::{
    Code, Generation, WorkerId,
    record::{IncarnationRecord, Lifecycle, ReceiptRecord, UnfinishedRecord, WorkerRecord},
    store::{DamagedRecord, Loaded, StoreError},
};

use super::{
    finding::{Cost, Finding},
    holdings,
    look::{Counting, LAST_KEY, Look, Meta},
};
use crate::{
    codec,
    cut::Cut,
    engine::{End, Rows},
    layout::{
        TABLES, allocation, in_flight, incarnation, input, lease, operation, pin, unfinished,
        worker,
    },
    store::load_all,
};

/// What the records say of Workers.
#[derive(Default)]
pub(super) struct Known {
    workers: BTreeMap<WorkerId, OfWorker>,
    /// Workers whose record is there and damaged.
    damaged: BTreeSet<WorkerId>,
    /// Whether the records could not be looked at: then nobody is missed.
    is_unknown: bool,
}

struct OfWorker {
    lifecycle: Lifecycle,
    input_count: u64,
}

impl Known {
    /// Where the records could not be looked at.
    pub(super) fn of_nobody() -> Self {
        Self {
            is_unknown: true,
            ..Self::default()
        }
    }

    fn has(&self, worker_id: WorkerId) -> bool {
        self.is_unknown
            || self.workers.contains_key(&worker_id)
            || self.damaged.contains(&worker_id)
    }

    fn is_deleted(&self, worker_id: WorkerId) -> bool {
        let worker = self.workers.get(&worker_id);
        worker.is_some_and(|worker| worker.lifecycle == Lifecycle::Deleted)
    }

    /// Tells of a Worker that has something and no record.
    pub(super) fn tell_missing(&mut self, worker_id: WorkerId, look: &mut Look<'_>) {
        if !self.has(worker_id) {
            look.workers.insert(worker_id);
            let detail = "it is missing, and other rows of the Worker are there".to_owned();
            let table = worker::TABLE.name;
            let finding = Finding::new(Code::WorkerDamaged, Cost::Data, table, detail);
            look.tell(finding.of(worker_id));
            self.damaged.insert(worker_id);
        }
    }
}

/// Looks at the small tables; `None` when they can't be compared, as the Runtime's record is damaged.
pub(super) fn small(
    rows: &mut impl Rows,
    meta: &Meta,
    look: &mut Look<'_>,
) -> Result<Option<Known>, StoreError> {
    let tables = [
        incarnation::TABLE,
        worker::TABLE,
        allocation::TABLE,
        lease::TABLE,
        operation::TABLE,
        unfinished::TABLE,
        pin::TABLE,
    ];
    for table in tables {
        let mut counting = Counting::new(table);
        rows.scan(table, (&[], &LAST_KEY), End::First, &mut |_, value| {
            counting.add(value, look);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let Some(runtime) = &meta.runtime else {
        return Ok(None);
    };
    let loaded = load_all(rows, &meta.state)?;
    let mut known = Known::default();
    for damaged in &loaded.damaged {
        if damaged.table == worker::TABLE.name {
            known.damaged.extend(damaged.worker_id);
        }
        look.tell(finding_of(damaged));
    }
    for record in &loaded.workers {
        look.workers.insert(record.worker_id);
        known.workers.insert(record.worker_id, OfWorker::of(record));
    }
    look.workers.extend(&known.damaged);
    openings(&loaded.incarnations, meta, look);
    for record in &loaded.unfinished {
        waiting(record, &mut known, look);
    }
    holdings::compare(&loaded, runtime.fence, &mut known, look);
    blocks(rows, meta, &loaded, &mut known, look)?;
    Ok(Some(known))
}

impl OfWorker {
    fn of(record: &WorkerRecord) -> Self {
        Self {
            lifecycle: record.lifecycle,
            input_count: record.input_count,
        }
    }
}

fn finding_of(damaged: &DamagedRecord) -> Finding {
    let table = TABLES.iter().find(|table| table.name == damaged.table);
    let table = table.copied().unwrap_or(worker::TABLE);
    let detail = match damaged.operation_id {
        Some(operation_id) => format!("operation {operation_id}: {}", damaged.detail),
        None => damaged.detail.clone(),
    };
    let mut finding = match table {
        worker::TABLE => Finding::new(Code::WorkerDamaged, Cost::Data, table.name, detail),
        // It held something against retention, and is no data.
        pin::TABLE => Finding::derived(table, detail),
        _ => Finding::record_lost(table, detail),
    };
    finding.worker_id = damaged.worker_id;
    finding.lease_id = damaged.lease_id;
    finding.seqs = damaged.seq.map(|seq| (seq, seq));
    finding
}

/// Openings are told in order, and none begins beyond what there is.
fn openings(incarnations: &[IncarnationRecord], meta: &Meta, look: &mut Look<'_>) {
    let next = meta.state.position.next();
    let pairs = incarnations.windows(2);
    let disordered = pairs.filter(|pair| match pair {
        [before, after] => before.incarnation.number >= after.incarnation.number,
        _ => false,
    });
    let beyond = incarnations
        .last()
        .filter(|last| last.first_position > next);
    if disordered.count() > 0 || beyond.is_some() {
        let detail = "the openings don't follow on each other";
        look.tell(Finding::record_lost(incarnation::TABLE, detail));
    }
}

/// An input that waits or runs is somebody's who may be sent inputs.
fn waiting(record: &UnfinishedRecord, known: &mut Known, look: &mut Look<'_>) {
    known.tell_missing(record.worker_id, look);
    if known.is_deleted(record.worker_id) {
        let seq = record.accepted.seq;
        let finding = Finding::leftover(unfinished::TABLE, "an input of a Worker that was deleted");
        look.tell(finding.of(record.worker_id).at_seqs(seq, seq));
    }
}

/// Output that has not ended is a run's that has not ended.
fn blocks(
    rows: &mut impl Rows,
    meta: &Meta,
    loaded: &Loaded,
    known: &mut Known,
    look: &mut Look<'_>,
) -> Result<(), StoreError> {
    let table = in_flight::TABLE;
    let mut counting = Counting::new(table);
    let mut owners: BTreeSet<WorkerId> = BTreeSet::new();
    rows.scan(table, (&[], &LAST_KEY), End::First, &mut |key, value| {
        counting.add(value, look);
        match in_flight::parse(key) {
            Ok((worker_id, _, _)) => drop(owners.insert(worker_id)),
            Err(damage) => {
                counting.damaged();
                look.tell(Finding::record_lost(table, damage.to_string()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let is_named = |damaged: &DamagedRecord| damaged.table == unfinished::TABLE.name;
    let are_runs_known = !loaded.damaged.iter().any(is_named);
    let running = loaded.unfinished.iter().filter_map(|record| {
        let run = record.run.as_ref()?;
        Some((record.worker_id, run.generation))
    });
    let running: BTreeSet<(WorkerId, Generation)> = running.collect();
    for worker_id in owners {
        known.tell_missing(worker_id, look);
        for block in in_flight::blocks(rows, worker_id)? {
            match block {
                Err((block, damage)) => {
                    counting.damaged();
                    let detail = format!("block {block}, which had not ended: {damage}");
                    look.tell(Finding::record_lost(table, detail).of(worker_id));
                }
                Ok(block) if are_runs_known => {
                    if !running.contains(&(worker_id, block.block.generation)) {
                        let detail = format!("block {} of a run that has ended", block.block);
                        look.tell(Finding::leftover(table, detail).of(worker_id));
                    }
                }
                Ok(_) => {}
            }
        }
    }
    counting.end(&meta.state, Finding::record_lost, look);
    Ok(())
}

/// Receipts: each whole, each somebody's, and as many of each as it accepted inputs (I5).
pub(super) fn receipts(
    rows: &mut impl Rows,
    meta: &Meta,
    known: &mut Known,
    look: &mut Look<'_>,
) -> Result<(), StoreError> {
    let table = input::TABLE;
    let mut counting = Counting::new(table);
    let mut found: BTreeMap<WorkerId, u64> = BTreeMap::new();
    rows.scan(table, (&[], &LAST_KEY), End::First, &mut |key, value| {
        counting.add(value, look);
        let owner = Cut::new(key).array().map(WorkerId::from_bytes).ok();
        if let Some(worker_id) = owner {
            *found.entry(worker_id).or_default() += 1;
        }
        if let Err(damage) = codec::open_record::<ReceiptRecord>(table, key, value) {
            counting.damaged();
            let mut finding = Finding::record_lost(table, format!("a receipt: {damage}"));
            finding.worker_id = owner;
            look.tell(finding);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (worker_id, worker) in &known.workers {
        let receipts = found.remove(worker_id).unwrap_or_default();
        let is_deleted = worker.lifecycle == Lifecycle::Deleted;
        if is_deleted && receipts > 0 {
            let detail = format!("{receipts} receipts of a Worker that was deleted");
            look.tell(Finding::leftover(table, detail).of(*worker_id));
        } else if !is_deleted && receipts < worker.input_count {
            let detail = format!(
                "{} inputs were accepted, and {receipts} receipts are there",
                worker.input_count
            );
            look.tell(Finding::record_lost(table, detail).of(*worker_id));
        }
    }
    for worker_id in found.into_keys() {
        known.tell_missing(worker_id, look);
    }
    counting.end(&meta.state, Finding::record_lost, look);
    Ok(())
}
