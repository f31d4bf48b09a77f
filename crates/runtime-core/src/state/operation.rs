//! The operation log: who asked for which change, recorded in the batch of the change (I3), and bounded
//! (I9): the oldest go when there are too many.
//!
//! The writer (`crate::runtime::operated`) says when a command that somebody is named for begins and has
//! ended. `short` says in a few words how things are.

mod short;

use std::{collections::BTreeMap, sync::Arc};

use super::State;
use crate::{
    AsJson, LeaseId, OperationId, RunId, WorkerId,
    limits::Limits,
    operation::{OperationKind, Operator},
    record::OperationRecord,
    store::{Change, DamagedRecord},
};

/// What is asked for, by whom and why.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) by: Operator,
    pub(crate) kind: OperationKind,
    /// `None` when it is about none, or about one that is to be made.
    pub(crate) worker_id: Option<WorkerId>,
    pub(crate) run_id: Option<RunId>,
    pub(crate) lease_id: Option<LeaseId>,
    pub(crate) reason: Option<String>,
    /// How it is then, where the request itself tells.
    pub(crate) after: Option<String>,
}

/// An operation that is being carried out.
#[derive(Debug)]
pub(crate) struct Begun {
    asked: Asked,
    before: Option<String>,
    edits: usize,
    /// How many events and changes the batch had.
    events: usize,
    changes: usize,
}

/// The operations that are kept.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    pub(crate) kept: BTreeMap<OperationId, Arc<OperationRecord>>,
    bytes: usize,
    last: OperationId,
}

impl Operations {
    pub(super) fn new(
        records: Vec<Arc<OperationRecord>>,
        damaged: &[DamagedRecord],
        limits: &Limits,
    ) -> Self {
        let bytes = records.iter().map(|record| record.len_bytes()).sum();
        let ids = records
            .into_iter()
            .map(|record| (record.operation_id, record));
        let kept: BTreeMap<_, _> = ids.collect();
        let whole = kept.keys().next_back().copied().unwrap_or_default();
        // A key can be damaged too: one that is far off is no number that was given.
        let nearest = whole.0.saturating_add(limits.operations_max as u64);
        let damaged = damaged.iter().filter_map(|record| record.operation_id);
        let last = damaged
            .filter(|id| id.0 <= nearest)
            .fold(whole, OperationId::max);
        Self { kept, bytes, last }
    }

    fn is_over(&self, limits: &Limits) -> bool {
        self.kept.len() > limits.operations_max.max(1)
            || (self.bytes > limits.operations_bytes_max && self.kept.len() > 1)
    }

    fn drop_oldest(&mut self) -> Option<OperationId> {
        let (operation_id, record) = self.kept.pop_first()?;
        self.bytes = self.bytes.saturating_sub(record.len_bytes());
        Some(operation_id)
    }
}

impl State {
    pub(crate) fn begin_operation(&self, asked: Asked) -> Begun {
        Begun {
            before: self.in_short(&asked),
            asked,
            edits: self.edits(),
            events: self.batch.events.len(),
            changes: self.batch.changes.len(),
        }
    }

    /// Records it, if anything has changed.
    pub(crate) fn end_operation(&mut self, begun: Begun) {
        if self.edits() == begun.edits {
            return;
        }
        let mut asked = begun.asked;
        let mut made = self.batch.events.iter().skip(begun.events);
        let mut changes = self.batch.changes.iter().skip(begun.changes);
        match asked.kind {
            OperationKind::WorkerCreate => {
                let made = made.find_map(|event| event.worker);
                asked.worker_id = made.map(|place| place.worker_id);
            }
            OperationKind::LeaseAcquire => {
                asked.lease_id = changes.find_map(|change| match change {
                    Change::Lease(held) => Some(held.lease_id),
                    _ => None,
                });
            }
            _ => {}
        }
        let after = match asked.after.take() {
            Some(after) => Some(short::cut(after)),
            None => self.in_short(&asked),
        };
        let record = OperationRecord {
            operation_id: self.operations.last.next(),
            at: self.now(),
            by: AsJson(asked.by),
            kind: asked.kind,
            worker_id: asked.worker_id,
            run_id: asked.run_id,
            lease_id: asked.lease_id,
            reason: asked.reason,
            before: begun.before,
            after,
            position: self.position,
        };
        self.keep_operation(Arc::new(record));
    }

    fn keep_operation(&mut self, record: Arc<OperationRecord>) {
        let operation_id = record.operation_id;
        self.operations.last = operation_id;
        self.operations.bytes = self.operations.bytes.saturating_add(record.len_bytes());
        self.batch_bytes = self.batch_bytes.saturating_add(record.len_bytes());
        self.operations.kept.insert(operation_id, record.clone());
        self.touched.operations.insert(operation_id);
        self.change(Change::Operation(record));
        let limits = self.around.limits.clone();
        let mut is_trimmed = false;
        while self.operations.is_over(&limits) {
            let Some(oldest) = self.operations.drop_oldest() else {
                break;
            };
            self.forget_operation(oldest);
            is_trimmed = true;
        }
        if is_trimmed {
            self.forget_damaged_operations();
        }
    }

    fn forget_operation(&mut self, operation_id: OperationId) {
        self.touched.operations.insert(operation_id);
        self.change(Change::ForgetOperation(operation_id));
    }

    /// Damaged ones go with those that are as old.
    fn forget_damaged_operations(&mut self) {
        let Some(first) = self.operations.kept.keys().next().copied() else {
            return;
        };
        let named = self.damaged.iter().filter_map(|record| record.operation_id);
        let old: Vec<_> = named.filter(|operation_id| *operation_id < first).collect();
        self.damaged
            .retain(|record| record.operation_id.is_none_or(|id| id >= first));
        for operation_id in old {
            self.forget_operation(operation_id);
        }
    }
}
