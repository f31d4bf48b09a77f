//! A Worker, as clients see it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    ActionId, Cursor, Epoch, Fence, Generation, InputId, Revision, RunId, RuntimeId, Scope,
    Timestamp, WorkerId,
    backend::IncapableReason,
    record::{Ending, LastRun, Lifecycle},
    run::{Outcome, Usage},
    worker::{EndKind, WorkerSpecFields},
};

/// How far an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It runs and waits for an answer.
    RequiresAction,
    /// Its end was asked for.
    Cancelling,
    /// Its Runtime ended while it ran; the next opening gives it its outcome.
    Lost,
    /// Its processes can't be shown to be dead.
    Unproven,
}

impl Phase {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::RequiresAction => "requires action",
            Self::Cancelling => "cancelling",
            Self::Lost => "lost with its Runtime",
            Self::Unproven => "not shown to be dead",
        }
    }
}

impl Phase {
    /// Whether a live owner runs it.
    pub const fn is_running(self) -> bool {
        matches!(
            self,
            Self::Running | Self::RequiresAction | Self::Cancelling
        )
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An action that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActionView {
    /// The backend's name for it.
    pub action_id: ActionId,
    /// What can be chosen.
    pub options: Vec<String>,
    /// When it was asked for.
    pub at: Timestamp,
    /// When it lapses.
    pub deadline: Option<Timestamp>,
}

/// What a Worker does now: derived from its inputs without outcome and the live owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Activity {
    /// How far its first input without outcome is; `None` when it has none.
    pub phase: Option<Phase>,
    /// That input.
    pub input_id: Option<InputId>,
    /// Its run.
    pub run_id: Option<RunId>,
    /// The run's generation.
    pub generation: Option<Generation>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What it waits for.
    pub actions: Vec<ActionView>,
    /// How many inputs wait behind it.
    pub queued: usize,
}

/// Whether a Worker takes input, and if not, why (I8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InputCapability {
    /// Whether it does.
    pub capable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<IncapableReason>,
}

/// A Worker, as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkerView {
    /// Its Runtime: authority is this and the next together.
    pub runtime_id: RuntimeId,
    /// Which.
    pub worker_id: WorkerId,
    /// A name for people.
    pub display_name: Option<String>,
    /// `name@runtime`, for people.
    pub display_ref: String,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Where it stands in its life.
    pub lifecycle: Lifecycle,
    /// An end that was asked for in this epoch.
    pub ending: Option<EndView>,
    /// What it holds is being taken from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releasing: Option<ReleaseView>,
    /// Which life.
    pub epoch: Epoch,
    /// Dispatch is held.
    pub paused: bool,
    /// Put away.
    pub archived: bool,
    /// What it does now.
    pub activity: Activity,
    /// Its processes can't be shown to be dead: it keeps its scope and runs nothing until an operator
    /// says that they are.
    pub unproven: bool,
    /// Whether it takes input.
    pub input_capable: InputCapability,
    /// What it is for and what it needs.
    pub spec: WorkerSpecFields,
    /// Its profile's name.
    pub profile: String,
    /// Whether it was given no tools at all.
    pub tools_less: bool,
    /// The name of what runs its input.
    pub backend: Option<String>,
    /// What it holds.
    pub scope: Scope,
    /// What it may hand on to Workers below it.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub delegation: Scope,
    /// The current fence of what it holds.
    pub fence: Option<Fence>,
    /// The last run that ended.
    pub last_run: Option<LastRunView>,
    /// Summed over all runs that ended.
    pub usage: Usage,
    /// Latest-wins facts that the backend told.
    pub status: BTreeMap<String, serde_json::Value>,
    /// How many inputs it has accepted.
    pub input_count: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Grows with every change of its record.
    pub revision: Revision,
    /// Where this is true, in its own stream: observe from here to see what changes.
    pub cursor: Cursor,
}

/// The last run of a Worker that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastRunView {
    /// Which.
    pub run_id: RunId,
    /// Its input.
    pub input_id: InputId,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
}

impl From<&LastRun> for LastRunView {
    fn from(run: &LastRun) -> Self {
        Self {
            run_id: run.run_id,
            input_id: run.input_id.clone(),
            at: run.at,
            outcome: run.outcome.clone(),
        }
    }
}

/// An end that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndView {
    /// Stop or cancel.
    pub kind: EndKind,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

impl EndView {
    pub(crate) fn of((kind, ending): (EndKind, &Ending)) -> Self {
        Self {
            kind,
            at: ending.at,
            reason: ending.reason.clone(),
        }
    }
}

/// That what a Worker holds is taken from it: it is free once all that was started with it is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReleaseView {
    /// When it was asked for.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

impl From<&Ending> for ReleaseView {
    fn from(ending: &Ending) -> Self {
        Self {
            at: ending.at,
            reason: ending.reason.clone(),
        }
    }
}

impl Lifecycle {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
