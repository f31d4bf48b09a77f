//! The record of an operation: a change, and who asked for it.

use serde::{Deserialize, Serialize};

use crate::{
    AsJson, LeaseId, OperationId, Position, RunId, Timestamp, WorkerId,
    operation::{OperationKind, Operator},
};

/// That somebody changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// Which.
    pub operation_id: OperationId,
    /// When.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: AsJson<Operator>,
    /// What was done.
    pub kind: OperationKind,
    /// Of which Worker.
    pub worker_id: Option<WorkerId>,
    /// Of which run.
    pub run_id: Option<RunId>,
    /// Of which lease.
    pub lease_id: Option<LeaseId>,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
    /// How it was before, in short.
    pub before: Option<String>,
    /// How it was right after, in short.
    pub after: Option<String>,
    /// The newest position right after the change: that of its last event, if it made any.
    pub position: Position,
}

impl OperationRecord {
    /// What a record costs beside its texts.
    const FIXED_BYTES: usize = 128;

    /// How much of the limit it takes: about what it is in the store and in memory.
    pub(crate) fn len_bytes(&self) -> usize {
        let texts = [&self.reason, &self.before, &self.after];
        let texts = texts.into_iter().flatten().map(String::len);
        texts
            .fold(Self::FIXED_BYTES, usize::saturating_add)
            .saturating_add(self.by.name().len())
    }
}
