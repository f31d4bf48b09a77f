//! Records: what the store keeps beside events, each changed only in the transaction of the events
//! that tell of the change (I3).
//!
//! They are written with a codec that is not self-describing, so every type here is plain: no
//! tagged or flattened serde forms, no JSON values. What clients see are views (`crate::view`).

mod operation;

use std::{collections::BTreeMap, sync::Arc};

pub use operation::OperationRecord;

use serde::{Deserialize, Serialize};

use crate::{
    ActionId, AsJson, Digest, Epoch, Fence, Generation, HeldScope, Incarnation, InputId, LeaseId,
    Position, Revision, RunId, RuntimeId, Seq, Timestamp, WorkerId,
    input::{Input, InputMode},
    profile::ResolvedProfile,
    run::{Outcome, Usage},
    scope::{Claim, NO_SCOPE},
    worker::{BackendSelection, CreateWorker, EndKind, Intent, WorkerSpec},
};

/// What the Runtime keeps about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeRecord {
    /// Minted with the store.
    pub runtime_id: RuntimeId,
    /// When the store was made.
    pub created_at: Timestamp,
    /// Stopped by a user; stays so over a restart.
    pub stopped: bool,
    /// The last fence that was granted.
    pub fence: Fence,
    /// That acknowledged state is gone; kept until an operator acknowledges it.
    pub went_back: Option<WentBackRecord>,
}

/// Acknowledged state was found to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WentBackRecord {
    /// The newest position that was ever acknowledged.
    pub witnessed: Position,
    /// The newest position that was found.
    pub found: Position,
    /// When it was found.
    pub at: Timestamp,
}

/// One opening for writing, and where it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncarnationRecord {
    /// Which.
    pub incarnation: Incarnation,
    /// The first position that it could write.
    pub first_position: Position,
    /// When it began.
    pub at: Timestamp,
}

/// Where a Worker stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Takes input.
    Active,
    /// Ended by a stop.
    Stopped,
    /// Ended by a cancel.
    Cancelled,
    /// Gone; only the id is kept, so that it is never used again.
    Deleted,
}

/// What a Worker comes to once all that it runs is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndingKind {
    /// It is stopped.
    Stop,
    /// It is cancelled.
    Cancel,
    /// It lives on, and holds nothing. An end that is asked for meanwhile takes the place of this.
    Release,
}

impl From<EndKind> for EndingKind {
    fn from(kind: EndKind) -> Self {
        match kind {
            EndKind::Stop => Self::Stop,
            EndKind::Cancel => Self::Cancel,
        }
    }
}

/// What was asked for and is reached when the Worker's run is quiet: its end, or that of its scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Of stop and cancel the first one wins within an epoch.
    pub kind: EndingKind,
    /// When it was asked for.
    pub at: Timestamp,
    /// The event that recorded the request.
    pub position: Position,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
}

/// Where a thing was recorded: enough to answer a repeated call as the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recorded {
    /// In the Worker's stream.
    pub seq: Seq,
    /// In the Runtime's.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// By which incarnation, so that a cursor can be made of it.
    pub incarnation_id: u32,
}

/// The last run of a Worker that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Which.
    pub run_id: RunId,
    /// Its input.
    pub input_id: InputId,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
}

/// A Worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Which.
    pub worker_id: WorkerId,
    /// What was asked for at its creation: the same id with another one is refused (I5).
    pub fingerprint: Digest,
    /// Where its creation was recorded.
    pub created: Recorded,
    /// What it is for and what it needs.
    pub spec: WorkerSpec,
    /// A name for people; never authority.
    pub display_name: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Resolved once, so that a restart needs nobody.
    pub profile: ResolvedProfile,
    /// What runs its input.
    pub backend: Option<BackendSelection>,
    /// The scope that it was granted at its creation, which a restore takes again.
    pub scope: Option<Arc<HeldScope>>,
    /// Where it stands in its life.
    pub lifecycle: Lifecycle,
    /// Which life.
    pub epoch: Epoch,
    /// What it is to come to once it is quiet. An end that was asked for in this epoch is kept after it
    /// was reached, for repeated calls.
    pub ending: Option<Ending>,
    /// Dispatch is held; what runs goes on.
    pub paused: bool,
    /// Put away by a user; only an ended Worker can be.
    pub archived: bool,
    /// The last change of its life (paused, resumed, archived, restored; at first its creation), for
    /// the receipt of a call that asks for it again.
    pub changed: Recorded,
    /// The generation of its last run.
    pub generation: Generation,
    /// Grows with every change of this record.
    pub revision: Revision,
    /// How many inputs it has accepted.
    pub input_count: u64,
    /// The backend's own, opaque reference to a conversation that it can take up again.
    pub resume: Option<Vec<u8>>,
    /// The last run that ended.
    pub last_run: Option<LastRun>,
    /// Summed over all runs that ended.
    pub usage: Usage,
    /// Every process that its backend runs for it: what the next opening must prove dead.
    pub processes: Vec<ProcessRecord>,
    /// Why processes of an earlier incarnation can't be shown to be dead. Until they are, its run
    /// has no outcome, nothing is dispatched, and it keeps its scope.
    pub unproven: Option<String>,
    /// Latest-wins facts that the backend told (modes, commands, ...): name -> JSON.
    pub status: BTreeMap<String, String>,
    /// What it may hand on to Workers below it; a restore takes it again. It was added later: it must
    /// stay the last field.
    #[serde(default, with = "crate::trailing")]
    pub delegation: Option<Arc<HeldScope>>,
}

impl WorkerRecord {
    /// The end that was asked for in this epoch.
    pub fn end_asked(&self) -> Option<(EndKind, &Ending)> {
        let ending = self.ending.as_ref()?;
        match ending.kind {
            EndingKind::Stop => Some((EndKind::Stop, ending)),
            EndingKind::Cancel => Some((EndKind::Cancel, ending)),
            EndingKind::Release => None,
        }
    }

    /// That what it holds is taken from it, once it is quiet.
    pub fn release_asked(&self) -> Option<&Ending> {
        let ending = self.ending.as_ref();
        ending.filter(|ending| ending.kind == EndingKind::Release)
    }

    /// What it keeps others from when it holds all that it was granted.
    pub fn claim(&self) -> Claim<'_> {
        Claim {
            scope: self.scope.as_deref().unwrap_or(&NO_SCOPE),
            delegation: self.delegation.as_deref().unwrap_or(&NO_SCOPE),
        }
    }

    /// Leaves a tombstone: the id, whose child it was, and when it was made and deleted.
    pub(crate) fn bury(&mut self, deleted: Recorded) {
        let nothing = Intent::Assistant { purpose: None };
        let mut spec = CreateWorker::new(nothing).spec;
        // Whoever was above it still bounds what those below it may hold.
        spec.parent = self.spec.parent;
        self.spec = AsJson(spec);
        self.display_name = None;
        self.labels.clear();
        self.profile.description.clear();
        self.profile.instructions.clear();
        self.profile.tools.clear();
        self.backend = None;
        self.scope = None;
        self.delegation = None;
        self.lifecycle = Lifecycle::Deleted;
        self.ending = None;
        self.changed = deleted;
        self.resume = None;
        self.last_run = None;
        self.usage = Usage::default();
        self.processes.clear();
        self.unproven = None;
        self.status.clear();
    }
}

/// That a Worker holds a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationRecord {
    /// The owner.
    pub worker_id: WorkerId,
    /// Whose delegation it lies in; `None` for nobody's.
    pub parent: Option<WorkerId>,
    /// What it may touch itself; may be empty when it only delegates.
    pub scope: Arc<HeldScope>,
    /// The current fence: granted with the scope and anew with each run.
    pub fence: Fence,
    /// When the scope was granted.
    pub granted_at: Timestamp,
    /// What it may hand on. It was added later: it must stay the last field.
    #[serde(default, with = "crate::trailing")]
    pub delegation: Option<Arc<HeldScope>>,
}

impl AllocationRecord {
    /// What it keeps others from.
    pub fn claim(&self) -> Claim<'_> {
        Claim {
            scope: &self.scope,
            delegation: self.delegation.as_deref().unwrap_or(&NO_SCOPE),
        }
    }
}

/// That somebody who is no Worker holds a scope, for a time.
///
/// How long that lasts is counted in memory alone: an opening lets it have its whole time again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Which.
    pub lease_id: LeaseId,
    /// Who holds it, in the words of whoever asked.
    pub holder: String,
    /// What was asked for: the same id with another request is refused.
    pub fingerprint: Digest,
    /// What may be touched.
    pub scope: Arc<HeldScope>,
    /// How long it lasts when it is not renewed.
    pub ttl_ms: u64,
    /// The current fence, unless it is an earlier opening's: fences only grow, so it tells.
    pub fence: Fence,
    /// The fence that was shown when this one was granted: whoever shows it again has not heard.
    pub shown: Option<Fence>,
    /// When it was granted first.
    pub granted_at: Timestamp,
    /// What for, in the words of whoever asked.
    pub reason: Option<String>,
}

impl LeaseRecord {
    /// What it keeps others from.
    pub fn claim(&self) -> Claim<'_> {
        Claim::from(&*self.scope)
    }
}

/// The receipt of an accepted input, found by (Worker, digest of its id), kept as long as the Worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// Of the whole input, so that the same id with other content is noticed.
    pub content_digest: Digest,
    /// Where its acceptance was recorded.
    pub accepted: Recorded,
}

/// How long a process may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessLife {
    /// As long as its run: when the run has its outcome, the process is dead.
    Run,
    /// Over many runs, until its backend is stopped.
    Backend,
}

/// A process that a Worker's backend started; written before its command executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// How long it may live.
    pub life: ProcessLife,
    /// What an operator may look for, such as `pid 4711`.
    pub label: String,
    /// What the backend's factory needs to find and prove it dead after a crash (process id, start
    /// time, boot id, ...), in the backend's own form.
    pub identity: Vec<u8>,
}

/// An action that a run asked for and that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// The backend's name for it.
    pub action_id: ActionId,
    /// What can be chosen.
    pub options: Vec<String>,
    /// When it was asked for.
    pub at: Timestamp,
    /// When it lapses.
    pub deadline: Option<Timestamp>,
}

/// Why the end of a run was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// Somebody cancelled the run.
    Run,
    /// Its Worker is stopped or cancelled.
    WorkerEnds,
    /// It took longer than it was given.
    Timeout,
    /// The Runtime is stopped or closed.
    RuntimeEnds,
    /// What its Worker holds is taken from it.
    ScopeTaken,
}

/// That the end of a run was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRecord {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: CancelCause,
}

/// The execution of an input that has no outcome yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Which.
    pub run_id: RunId,
    /// Fences late messages.
    pub generation: Generation,
    /// Granted for this run.
    pub fence: Option<Fence>,
    /// When it was dispatched.
    pub started_at: Timestamp,
    /// When it is ended with `failed(timeout)`.
    pub deadline: Option<Timestamp>,
    /// That its end was asked for.
    pub cancel: Option<CancelRecord>,
    /// What it waits for.
    pub actions: Vec<ActionRecord>,
    /// What it said last that it has used. It was added later: it must stay the last field, and this
    /// record the last of what holds it.
    #[serde(default, with = "crate::trailing")]
    pub usage: Option<Usage>,
}

/// An accepted input without an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedRecord {
    /// The Worker.
    pub worker_id: WorkerId,
    /// Orders a Worker's inputs: the seq of their acceptance.
    pub accepted: Recorded,
    /// The input, whole: it may outlive its event in the log.
    pub input: Arc<Input>,
    /// How it was to be taken.
    pub mode: InputMode,
    /// Its execution; `None` while it is queued.
    pub run: Option<RunRecord>,
}
