//! Observation: status, events, transcripts. Every read takes the published position first and
//! returns nothing beyond it; none waits for the writer (I1, I12).
//!
//! - here: the Runtime's status, diagnostics, Workers
//! - `allocations`, `leases`: what is held, and what a fence is good for
//! - `operations`: who asked for which change
//! - `events`: pages of a stream
//! - `transcript`: pages of what was said

mod allocations;
mod events;
mod leases;
mod operations;
mod transcript;

use std::{collections::BTreeMap, sync::Arc};

use super::{
    catalog::{ListOrder, WorkerFilter, WorkerList},
    shared::{PublishedWorker, Shared, Snapshot},
};
use crate::{
    Code, Position, RuntimeId, Stream, WorkerId,
    error::WorkerError,
    record::{AllocationRecord, Lifecycle, WorkerRecord},
    store::{DamagedRecord, StoreError},
    sync::atomic::Ordering,
    view::{DamagedView, Diagnostic, Phase, RuntimeStatus, WorkerView, phase},
};

pub use events::PageSize;
pub use transcript::TranscriptFrom;

/// Reads a Runtime, or a store that nobody runs.
#[derive(Clone)]
pub struct Observation {
    pub(super) shared: Arc<Shared>,
}

impl Observation {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Which Runtime this is.
    pub fn runtime_id(&self) -> RuntimeId {
        self.shared.runtime_id
    }

    fn is_live(&self) -> bool {
        self.shared.incarnation.is_some() && !self.shared.is_closed()
    }

    /// What the Runtime says of itself.
    pub fn runtime(&self) -> RuntimeStatus {
        let live = self.is_live();
        let (snapshot, position) = self.shared.read();
        let records = snapshot.workers.values();
        let unfinished = records.clone().flat_map(|worker| &worker.unfinished);
        let (dispatched, waiting): (Vec<_>, Vec<_>) =
            unfinished.partition(|input| input.run.is_some());
        RuntimeStatus {
            runtime_id: self.shared.runtime_id,
            created_at: snapshot.runtime.created_at,
            incarnation: self
                .shared
                .incarnation
                .map(|incarnation| incarnation.to_string()),
            live,
            stopped: snapshot.runtime.stopped,
            workers: count_lifecycles(records.clone().map(|worker| &*worker.record)),
            busy: records
                .clone()
                .filter(|worker| phase(worker, live).is_some_and(Phase::is_running))
                .count(),
            unproven: records
                .clone()
                .filter(|worker| worker.record.unproven.is_some())
                .count(),
            dispatched: dispatched.len(),
            queued: waiting.len(),
            allocations: snapshot.holdings.len(),
            leases: snapshot.holdings.leases().len(),
            late_messages: self
                .shared
                .late_messages
                .load(Ordering::Relaxed)
                .saturating_add(self.shared.live.late()),
            commits_unknown: self.shared.commits_unknown.load(Ordering::Relaxed),
            damaged: snapshot.damaged.iter().map(Into::into).collect(),
            went_back: snapshot.went_back.map(Into::into),
            cursor: self.shared.cursor(Stream::Runtime, position),
            position,
        }
    }

    /// What an operator should know, each with the command that helps.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let (snapshot, _) = self.shared.read();
        let mut found = Vec::new();
        if let Some(went) = snapshot.went_back {
            found.push(Diagnostic {
                code: Code::StateWentBack,
                worker_id: None,
                message: format!("acknowledged state is gone: position {} was acknowledged, {} is the newest that is left", went.witnessed, went.found),
                command: None,
            });
        }
        found.extend(snapshot.damaged.iter().map(|record| Diagnostic {
            code: match record.table {
                "worker" => Code::WorkerDamaged,
                "history" => Code::EventDamaged,
                _ => Code::RecordDamaged,
            },
            worker_id: record.worker_id,
            message: format!(
                "a record of table {} is damaged: {}",
                record.table, record.detail
            ),
            command: helps(record),
        }));
        let mut workers: Vec<_> = snapshot.workers.values().collect();
        workers.sort_by_key(|worker| worker.record.worker_id);
        workers
            .iter()
            .for_each(|worker| self.diagnose(worker, &mut found));
        found
    }

    fn diagnose(&self, worker: &PublishedWorker, found: &mut Vec<Diagnostic>) {
        let worker_id = worker.record.worker_id;
        if worker.record.lifecycle != Lifecycle::Active {
            return;
        }
        if let Some(reason) = &worker.record.unproven {
            found.push(Diagnostic {
                code: Code::RunUnproven,
                worker_id: Some(worker_id),
                message: format!(
                    "its processes can't be shown to be dead, so it keeps its scope: {reason}"
                ),
                command: Some(format!(
                    "worker-runtime worker cancel {worker_id} --assume-dead"
                )),
            });
        }
        if let Err(reason) = self
            .shared
            .backends
            .input_capable(worker.record.backend.as_ref())
        {
            found.push(Diagnostic {
                code: Code::InputIncapable,
                worker_id: Some(worker_id),
                message: format!(
                    "it takes no input: {}",
                    crate::error::describe_incapable(&reason)
                ),
                command: Some(format!("worker-runtime worker show {worker_id}")),
            });
        }
    }

    /// One Worker; ended ones too.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn worker(&self, worker_id: WorkerId) -> Result<WorkerView, WorkerError> {
        // The store is read when the records are let go of: the writer waits for no reader.
        let (worker, position) = {
            let (snapshot, position) = self.shared.read();
            self.shared.check_readable(&snapshot, worker_id)?;
            match snapshot.workers.get(&worker_id) {
                Some(worker) => (Shown::of(&snapshot, worker), position),
                None => return Err(damaged(&snapshot, worker_id)),
            }
        };
        Ok(self.whole_view(&worker, position))
    }

    /// A Worker as [`worker`](Self::worker) shows it at a position.
    pub(super) fn whole_view(&self, shown: &Shown, position: Position) -> WorkerView {
        self.view(shown, self.has_damaged_end(&shown.worker), position)
    }

    /// Workers, filtered, sorted and paged. What is shown of each costs no read of the store: whether
    /// its newest events are damaged, so that it takes no input, is told by [`worker`](Self::worker).
    pub fn workers(
        &self,
        filter: &WorkerFilter,
        order: ListOrder,
        offset: usize,
        count_max: usize,
    ) -> WorkerList {
        let (snapshot, position) = self.shared.read();
        let mut found: Vec<&PublishedWorker> = snapshot
            .workers
            .values()
            .filter(|worker| filter.takes(worker))
            .collect();
        match order {
            ListOrder::Created => found
                .sort_by_key(|worker| (worker.record.created.position, worker.record.worker_id)),
            ListOrder::Name => found.sort_by(|a, b| {
                (&a.record.display_name, a.record.worker_id)
                    .cmp(&(&b.record.display_name, b.record.worker_id))
            }),
        }
        let total = found.len();
        let workers: Vec<WorkerView> = found
            .into_iter()
            .skip(offset)
            .take(count_max)
            .map(|worker| self.view(&Shown::of(&snapshot, worker), false, position))
            .collect();
        let end = offset.saturating_add(workers.len());
        let next = (end < total && !workers.is_empty()).then_some(end);
        WorkerList {
            workers,
            total,
            next,
            damaged: damaged_workers(&snapshot),
            cursor: self.shared.cursor(Stream::Runtime, position),
        }
    }

    fn view(&self, shown: &Shown, damaged: bool, position: Position) -> WorkerView {
        let stream = Stream::Worker(shown.worker.record.worker_id);
        let cursor = self.shared.cursor(stream, position);
        WorkerView::new(
            &shown.worker,
            shown.allocation.as_deref(),
            self.shared.runtime_id,
            &self.shared.backends,
            self.is_live(),
            damaged,
            cursor,
        )
    }

    /// Whether it is not known where the Worker's stream goes on, so that it is given no input. Its
    /// end is in memory, or one small read.
    fn has_damaged_end(&self, worker: &PublishedWorker) -> bool {
        let record = &worker.record;
        record.lifecycle == Lifecycle::Active
            && matches!(
                self.shared.reader.worker_head(record.worker_id),
                Err(StoreError::Damaged { .. })
            )
    }
}

/// What to type for a damaged record.
fn helps(record: &DamagedRecord) -> Option<String> {
    if let Some(worker_id) = record.worker_id {
        return Some(format!("worker-runtime event ls --worker {worker_id}"));
    }
    if let Some(lease_id) = record.lease_id {
        return Some(format!(
            "worker-runtime lock release {lease_id} --force --reason damaged"
        ));
    }
    let operation = record.operation_id;
    operation.map(|_| "worker-runtime op log".to_owned())
}

/// A Worker, and what it holds.
pub(super) struct Shown {
    pub(super) worker: PublishedWorker,
    pub(super) allocation: Option<Arc<AllocationRecord>>,
}

impl Shown {
    fn of(snapshot: &Snapshot, worker: &PublishedWorker) -> Self {
        Self {
            worker: worker.clone(),
            allocation: snapshot.holdings.get(worker.record.worker_id).cloned(),
        }
    }
}

/// Counts Workers by lifecycle.
fn count_lifecycles<'a>(
    records: impl Iterator<Item = &'a WorkerRecord>,
) -> BTreeMap<Lifecycle, usize> {
    records.fold(BTreeMap::new(), |mut counts, record| {
        *counts.entry(record.lifecycle).or_default() += 1;
        counts
    })
}

/// Workers that are not among the others because what is stored of them is damaged.
fn damaged_workers(snapshot: &Snapshot) -> Vec<DamagedView> {
    let records = snapshot.damaged.iter().filter(|record| {
        let is_shown = record
            .worker_id
            .map(|worker_id| snapshot.workers.contains_key(&worker_id));
        // A key may be damaged too, and then it is a Worker all the same.
        !is_shown.unwrap_or(record.table != "worker")
    });
    records.map(Into::into).collect()
}

fn damaged(snapshot: &Snapshot, worker_id: WorkerId) -> WorkerError {
    let record = snapshot
        .damaged
        .iter()
        .find(|record| record.worker_id == Some(worker_id));
    WorkerError::Damaged {
        worker_id,
        detail: record.map_or_else(String::new, |record| record.detail.clone()),
    }
}

impl WorkerFilter {
    fn takes(&self, worker: &PublishedWorker) -> bool {
        let record = &worker.record;
        let has = |labels: &BTreeMap<String, String>| {
            self.labels
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
        };
        let named = |text: &String| {
            record
                .display_name
                .as_ref()
                .is_some_and(|name| name.contains(text.as_str()))
        };
        record.lifecycle != Lifecycle::Deleted
            && (self.archived || !record.archived)
            && (self.lifecycles.is_empty()
                || self
                    .lifecycles
                    .iter()
                    .any(|wanted| wanted == record.lifecycle.as_str()))
            && has(&record.labels)
            && self.name_contains.as_ref().is_none_or(named)
            && self
                .busy
                .is_none_or(|busy| busy != worker.unfinished.is_empty())
    }
}
