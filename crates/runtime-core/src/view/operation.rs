//! Operations, as clients see them.

use serde::{Deserialize, Serialize};

use crate::{
    Cursor, LeaseId, OperationId, Position, RunId, Timestamp, WorkerId,
    operation::{OperationKind, Operator},
    record::OperationRecord,
};

/// A change that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationView {
    /// Its number, dense, from 1.
    pub operation_id: OperationId,
    /// When.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: Operator,
    /// What was done.
    pub kind: OperationKind,
    /// Of which Worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// Of which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Of which lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<LeaseId>,
    /// Why, in the words of whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How it was before, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How it was right after, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The last event of the change.
    pub position: Position,
    /// The cursor after it, in the Runtime's stream.
    pub cursor: Cursor,
}

impl OperationView {
    pub(crate) fn of(record: &OperationRecord, cursor: Cursor) -> Self {
        Self {
            operation_id: record.operation_id,
            at: record.at,
            by: record.by.0.clone(),
            kind: record.kind,
            worker_id: record.worker_id,
            run_id: record.run_id,
            lease_id: record.lease_id,
            reason: record.reason.clone(),
            before: record.before.clone(),
            after: record.after.clone(),
            position: record.position,
            cursor,
        }
    }
}
