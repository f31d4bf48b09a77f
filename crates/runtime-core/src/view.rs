//! Views: what clients see of the state. Derived on every read, never stored; no absolute path, no
//! handle and no secret is in them (I4, I11).

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    ActionId, Cursor, Epoch, Fence, Generation, InputId, Position, Revision, RunId, RuntimeId,
    Scope, ScopeRule, Seq, Timestamp, WorkerId,
    backend::IncapableReason,
    input::InputReceipt,
    record::{Ending, LastRun, Lifecycle},
    run::Usage,
    store::{BlockKind, DamagedRecord, Gap, WentBack},
    worker::{EndKind, WorkerSpecFields},
};

/// How far an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who holds a scope that meets another one, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScopeOwner {
    /// The owner.
    pub worker_id: WorkerId,
    /// Its name for people.
    pub display_name: Option<String>,
    /// The rule that it holds.
    pub holds: ScopeRule,
    /// The rule that was asked for and meets it.
    pub asked: ScopeRule,
}

impl fmt::Display for ScopeOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            worker_id,
            display_name,
            holds,
            asked,
        } = self;
        let name = display_name.as_deref().unwrap_or("unnamed");
        write!(
            f,
            "Worker {worker_id} ({name}) holds {}:{} against {}:{}",
            holds.mount, holds.path, asked.mount, asked.path
        )
    }
}

/// An action that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// `idle`, or how far its first input without outcome is.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputCapability {
    /// Whether it does.
    pub capable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<IncapableReason>,
}

/// A Worker, as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    pub lifecycle: &'static str,
    /// An end that was asked for in this epoch.
    pub ending: Option<EndView>,
    /// Which life.
    pub epoch: Epoch,
    /// Dispatch is held.
    pub paused: bool,
    /// Put away.
    pub archived: bool,
    /// What it does now.
    pub activity: Activity,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastRunView {
    /// Which.
    pub run_id: RunId,
    /// Its input.
    pub input_id: InputId,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub outcome: crate::run::Outcome,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndView {
    /// Stop or cancel.
    pub kind: EndKind,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

impl From<&Ending> for EndView {
    fn from(ending: &Ending) -> Self {
        Self {
            kind: ending.kind,
            at: ending.at,
            reason: ending.reason.clone(),
        }
    }
}

/// That a Worker was made: durable when it is handed out, and the same for every repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LifecycleReceipt {
    /// The Worker.
    pub worker_id: WorkerId,
    /// Where it stands now.
    pub lifecycle: &'static str,
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

/// That the end of a run was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// What the Runtime says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    pub workers: BTreeMap<&'static str, usize>,
    /// Workers with an input without outcome.
    pub busy: usize,
    /// Inputs that wait.
    pub queued: usize,
    /// Scopes that are held.
    pub allocations: usize,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedView {
    /// Which table.
    pub table: &'static str,
    /// Whose.
    pub worker_id: Option<WorkerId>,
    /// What is wrong.
    pub detail: String,
}

impl From<&DamagedRecord> for DamagedView {
    fn from(record: &DamagedRecord) -> Self {
        Self {
            table: record.table,
            worker_id: record.worker_id,
            detail: record.detail.clone(),
        }
    }
}

/// Acknowledged state is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

/// A page of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// The Runtime.
    pub runtime_id: RuntimeId,
    /// What is missing before the first event.
    pub gap: Option<Gap>,
    /// The events, each with the cursor after it.
    pub events: Vec<(Cursor, crate::Event)>,
    /// The cursor to go on from.
    pub next: Cursor,
    /// Whether there is nothing more now.
    pub up_to_date: bool,
}

/// A transcript item.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TranscriptItem {
    /// Its number.
    pub item: u64,
    /// The event that bears it.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// `user`, `system`, `notify`, or `worker`.
    pub role: String,
    /// What kind: `input`, a kind of block, `tool_call`, `tool_result`, `action`.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// The run it belongs to.
    pub run_id: Option<RunId>,
    /// Marks, such as `interrupted`.
    pub marks: Vec<String>,
}

/// A block that has not ended: a preview, continued by deltas from `offset_bytes` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnfinishedBlock {
    /// Which block.
    pub block: crate::BlockId,
    /// What it holds.
    pub kind: BlockKind,
    /// Its text so far.
    pub text: String,
    /// How many bytes that is.
    pub offset_bytes: u64,
}

/// A page of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TranscriptPage {
    /// Whose.
    pub worker_id: WorkerId,
    /// The items, in order.
    pub items: Vec<TranscriptItem>,
    /// What is missing of the items that were asked for.
    pub gap: Option<Gap>,
    /// How many items there are in all.
    pub items_total: u64,
    /// Blocks that have not ended.
    pub unfinished: Vec<UnfinishedBlock>,
    /// Where this is true, in the Worker's stream.
    pub cursor: Cursor,
}

/// What an operator should know, with the command that helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Its code.
    pub code: crate::Code,
    /// About which Worker.
    pub worker_id: Option<WorkerId>,
    /// What there is to know.
    pub message: String,
    /// What to type.
    pub command: Option<String>,
}

pub(crate) fn wire_rules(rules: &[crate::HeldRule]) -> Vec<ScopeRule> {
    rules.iter().map(wire_rule).collect()
}

pub(crate) fn wire_rule(rule: &crate::HeldRule) -> ScopeRule {
    ScopeRule {
        mount: rule.mount.clone(),
        path: rule.path.clone(),
        permission: rule.permission,
        recursive: rule.recursive,
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
