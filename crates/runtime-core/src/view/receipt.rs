//! What a command is answered: durable when it is handed out.

use serde::{Deserialize, Serialize};

use crate::{
    Cursor, Fence, Position, RunId, RuntimeId, Timestamp, WorkerId, input::InputReceipt,
    record::Lifecycle, worker::EndKind,
};

/// That a Worker was made: durable when it is handed out, and the same for every repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateReceipt {
    /// The Runtime.
    pub runtime_id: RuntimeId,
    /// The Worker.
    pub worker_id: WorkerId,
    /// The cursor after its creation, in its own stream.
    pub cursor: Cursor,
    /// The position of its creation.
    pub position: Position,
    /// When it was made.
    pub created_at: Timestamp,
    /// The receipt of its initial input.
    pub input: Option<InputReceipt>,
    /// Whether this answers a repetition.
    pub repeated: bool,
}

/// That a Worker's life was changed. Repeating the call gives the first receipt again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LifecycleReceipt {
    /// The Worker.
    pub worker_id: WorkerId,
    /// Where it stands now.
    pub lifecycle: Lifecycle,
    /// Whether its end was asked for and waits for its run to be quiet.
    pub ending: bool,
    /// The end that was asked for first in this epoch.
    pub ending_kind: Option<EndKind>,
    /// The event that recorded it.
    pub position: Position,
    /// The cursor after that event, in the Worker's stream.
    pub cursor: Cursor,
    /// Whether nothing was changed because it was so already.
    pub repeated: bool,
}

/// That what a Worker holds was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AllocationReceipt {
    /// The Worker.
    pub worker_id: WorkerId,
    /// The current fence of what it holds; `None` when it holds nothing any more.
    pub fence: Option<Fence>,
    /// From whom it is still being taken: what each holds is free once all that was started with it is
    /// dead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<WorkerId>,
    /// The event that recorded it; where it holds that already, the last change of its life.
    pub position: Position,
    /// The cursor after that event, in the Worker's stream.
    pub cursor: Cursor,
    /// Whether nothing was changed because it was so already.
    #[serde(default)]
    pub repeated: bool,
}

/// That the end of a run was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CancelReceipt {
    /// The Worker.
    pub worker_id: WorkerId,
    /// The run.
    pub run_id: RunId,
    /// When it was first asked for. The outcome comes as an event when all is quiet.
    pub requested_at: Timestamp,
    /// Whether it had been asked for before.
    pub repeated: bool,
}
