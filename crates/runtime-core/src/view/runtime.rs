//! What the Runtime says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Code, Cursor, LeaseId, OperationId, Position, RuntimeId, Timestamp, WorkerId,
    record::Lifecycle,
    store::{DamagedRecord, WentBack},
};

/// What the Runtime says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RuntimeStatus {
    /// Which Runtime.
    pub runtime_id: RuntimeId,
    /// When its store was made.
    pub created_at: Timestamp,
    /// Which opening of the store this is; `None` when it is only read.
    pub incarnation: Option<String>,
    /// Whether a live owner runs it.
    pub live: bool,
    /// Whether a user stopped it.
    pub stopped: bool,
    /// Workers by lifecycle.
    pub workers: BTreeMap<Lifecycle, usize>,
    /// Workers whose run has a live owner.
    pub busy: usize,
    /// Workers whose processes can't be shown to be dead: they keep their scopes and run nothing.
    pub unproven: usize,
    /// Inputs that were dispatched and have no outcome. On a store that nobody runs these were lost,
    /// and the next opening says so.
    #[serde(default)]
    pub dispatched: usize,
    /// Inputs that wait.
    pub queued: usize,
    /// Scopes that Workers hold.
    pub allocations: usize,
    /// Scopes that others hold for a time.
    #[serde(default)]
    pub leases: usize,
    /// Messages of runs that were over, dropped.
    pub late_messages: u64,
    /// Commits that failed with an unknown outcome, since the opening.
    pub commits_unknown: u64,
    /// Records that are damaged.
    pub damaged: Vec<DamagedView>,
    /// Set when acknowledged state is gone.
    pub went_back: Option<WentBackView>,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
    /// The newest position.
    pub position: Position,
}

/// A damaged record, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DamagedView {
    /// Which table.
    pub table: String,
    /// Whose.
    pub worker_id: Option<WorkerId>,
    /// Which lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<LeaseId>,
    /// Which operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// What is wrong.
    pub detail: String,
}

impl From<&DamagedRecord> for DamagedView {
    fn from(record: &DamagedRecord) -> Self {
        Self {
            table: record.table.to_owned(),
            worker_id: record.worker_id,
            lease_id: record.lease_id,
            operation_id: record.operation_id,
            detail: record.detail.clone(),
        }
    }
}

/// Acknowledged state is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WentBackView {
    /// The newest position that was ever acknowledged.
    pub witnessed: Position,
    /// The newest position that was found.
    pub found: Position,
}

impl From<WentBack> for WentBackView {
    fn from(went: WentBack) -> Self {
        Self {
            witnessed: went.witnessed,
            found: went.found,
        }
    }
}

/// What an operator should know, with the command that helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Diagnostic {
    /// Its code.
    pub code: Code,
    /// About which Worker.
    pub worker_id: Option<WorkerId>,
    /// What there is to know.
    pub message: String,
    /// What to type.
    pub command: Option<String>,
}
