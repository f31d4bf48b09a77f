//! Everything that the client asks, as values: they are kept in the journal, carried out, and asked
//! again when nobody knows what became of them.

use serde_json::Value;
use worker_runtime_core::{
    ActionId, BlockId, Code, Cursor, EndOptions, EventDraft, EventType, LeaseId, Position, RunId,
    RunSink, Runtime, Scope, WorkerId,
    error::{
        AllocationError, CreateError, LeaseError, LifecycleError, ManageError, RunError, SinkError,
        SubmitError, Unavailable,
    },
    input::{InputReceipt, SubmitInput},
    record::ProcessRecord,
    run::{StopReason, Usage},
    view::{AllocationReceipt, CreateReceipt, LeaseView, LifecycleReceipt},
    worker::{CreateWorker, UpdateWorker},
};

use super::leases::{LeaseChange, change_lease};

/// A change of a Worker's life.
#[derive(Debug, Clone)]
pub enum LifeChange {
    /// Dispatch is held.
    Pause,
    /// It is not any more.
    Resume,
    /// Another name, other labels.
    Update(UpdateWorker),
    /// It ends, and can be restored.
    Stop,
    /// It ends for good.
    Cancel,
    /// It is put away.
    Archive,
    /// Its next epoch.
    Restore,
    /// It goes; with `true` its bytes at once.
    Delete(bool),
}

/// A change of what a Worker holds.
#[derive(Debug, Clone)]
pub enum HoldChange {
    /// Exactly this from now on: to touch, and to hand on.
    Change(Scope, Scope),
    /// Nothing from now on; with `true` also when something runs with it.
    Release(bool),
    /// What those directly below it hold is its own again; with `true` also when something runs with it.
    Reclaim(bool),
}

/// What a run tells.
#[derive(Debug, Clone)]
pub enum SinkCall {
    /// Events, in one commit.
    Events(Vec<(EventType, Value)>),
    /// More text of a block.
    Append(BlockId, String),
    /// Another text of a block.
    Replace(BlockId, String),
    /// The end of a block.
    FinishBlock(BlockId),
    /// An action, its options, and its time in milliseconds.
    RequestAction(ActionId, Vec<String>, Option<u64>),
    /// What it has used.
    Usage(Usage),
    /// A latest-wins fact.
    Status(String, Value),
    /// A process, before it executes.
    ProcessStarted(ProcessRecord),
    /// A process is dead.
    ProcessEnded(Vec<u8>),
    /// A reference to its conversation.
    ResumeReference(Vec<u8>),
    /// Its end.
    Finish(StopReason, Option<Usage>),
}

/// One command.
#[derive(Debug, Clone)]
pub enum Asked {
    /// Make a Worker.
    Create(WorkerId, Box<CreateWorker>),
    /// Send an input.
    Send(WorkerId, SubmitInput),
    /// Answer an action.
    Answer(WorkerId, RunId, ActionId, String),
    /// End a run.
    CancelRun(WorkerId, RunId),
    /// Change a Worker's life.
    Life(WorkerId, LifeChange),
    /// Change what a Worker holds.
    Hold(WorkerId, HoldChange),
    /// Take, hold on or end a lease.
    Lease(LeaseId, LeaseChange),
    /// Stop the Runtime; with `true` what runs ends.
    StopRuntime(bool),
    /// Start it again.
    StartRuntime,
    /// What a run tells.
    Sink(WorkerId, RunId, SinkCall),
}

/// What an acknowledgement says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Where it is recorded.
    pub position: Option<Position>,
    /// That everything up to here is durable, where it has no event of its own.
    pub durable_to: Option<Position>,
    /// The cursor that was handed out, in the Worker's stream.
    pub cursor: Option<Cursor>,
    /// Where the initial input of a creation is recorded.
    pub input: Option<Position>,
    /// It answers a repetition.
    pub repeated: bool,
    /// The repetition had other content.
    pub content_differs: bool,
    /// What is held by whoever is no Worker.
    pub leased: Option<Box<LeaseView>>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// None yet.
    Pending,
    /// It is durable.
    Done(Done),
    /// It was refused, and nothing was done.
    Refused(Code),
    /// It may have happened or not: `OutcomeUnknown`, or nobody waits for it any more.
    Unknown,
}

impl Answer {
    /// What the acknowledgement says, when it is one.
    pub fn done(&self) -> Option<&Done> {
        match self {
            Self::Done(done) => Some(done),
            _ => None,
        }
    }

    pub(super) fn of<T, E: HasCode>(result: Result<T, E>, done: impl FnOnce(T) -> Done) -> Self {
        match result.map_err(|error| error.code_of()) {
            Ok(value) => Self::Done(done(value)),
            Err(Code::OutcomeUnknown) => Self::Unknown,
            Err(code) => Self::Refused(code),
        }
    }
}

pub(super) trait HasCode {
    fn code_of(&self) -> Code;
}

macro_rules! has_code {
    ($($error:ty),*) => { $(impl HasCode for $error {
        fn code_of(&self) -> Code { self.code() }
    })* };
}

has_code!(
    AllocationError,
    CreateError,
    LeaseError,
    SubmitError,
    RunError,
    LifecycleError,
    ManageError,
    Unavailable,
    SinkError
);

impl From<InputReceipt> for Done {
    fn from(receipt: InputReceipt) -> Self {
        Self {
            position: Some(receipt.accepted.position),
            cursor: Some(receipt.cursor),
            repeated: receipt.repeated,
            content_differs: receipt.content_differs,
            ..Self::default()
        }
    }
}

impl From<CreateReceipt> for Done {
    fn from(receipt: CreateReceipt) -> Self {
        Self {
            position: Some(receipt.position),
            cursor: Some(receipt.cursor),
            input: receipt.input.map(|input| input.accepted.position),
            repeated: receipt.repeated,
            ..Self::default()
        }
    }
}

impl From<LifecycleReceipt> for Done {
    fn from(receipt: LifecycleReceipt) -> Self {
        Self {
            position: Some(receipt.position),
            cursor: Some(receipt.cursor),
            repeated: receipt.repeated,
            ..Self::default()
        }
    }
}

impl From<AllocationReceipt> for Done {
    fn from(receipt: AllocationReceipt) -> Self {
        Self {
            position: Some(receipt.position),
            cursor: Some(receipt.cursor),
            repeated: receipt.repeated,
            ..Self::default()
        }
    }
}

fn at(position: Position) -> Done {
    Done {
        position: Some(position),
        ..Done::default()
    }
}

/// Durable, but told by no event of its own.
fn up_to(position: Position) -> Done {
    Done {
        durable_to: Some(position),
        ..Done::default()
    }
}

fn quietly(_: ()) -> Done {
    Done::default()
}

impl Asked {
    /// The Worker that it is about.
    pub fn worker_id(&self) -> Option<WorkerId> {
        match self {
            Self::Create(worker_id, _)
            | Self::Send(worker_id, _)
            | Self::Answer(worker_id, ..)
            | Self::CancelRun(worker_id, _)
            | Self::Life(worker_id, _)
            | Self::Hold(worker_id, _)
            | Self::Sink(worker_id, ..) => Some(*worker_id),
            Self::Lease(..) | Self::StopRuntime(_) | Self::StartRuntime => None,
        }
    }

    /// The lease that it is about.
    pub fn lease_id(&self) -> Option<LeaseId> {
        match self {
            Self::Lease(lease_id, _) => Some(*lease_id),
            _ => None,
        }
    }

    /// What must not be asked twice at once, so that the order is known in which it happens: each run
    /// tells one thing after the other, and each lease has one holder.
    pub(super) fn one_by_one(&self) -> Option<[u8; 16]> {
        match self {
            Self::Sink(_, run_id, _) => Some(run_id.to_bytes()),
            Self::Lease(lease_id, _) => Some(lease_id.to_bytes()),
            _ => None,
        }
    }

    /// A short word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create(..) => "create",
            Self::Send(..) => "send",
            Self::Answer(..) => "answer",
            Self::CancelRun(..) => "cancel run",
            Self::Life(_, LifeChange::Pause) => "pause",
            Self::Life(_, LifeChange::Resume) => "resume",
            Self::Life(_, LifeChange::Update(_)) => "update",
            Self::Life(_, LifeChange::Stop) => "stop",
            Self::Life(_, LifeChange::Cancel) => "cancel",
            Self::Life(_, LifeChange::Archive) => "archive",
            Self::Life(_, LifeChange::Restore) => "restore",
            Self::Life(_, LifeChange::Delete(_)) => "delete",
            Self::Hold(_, HoldChange::Change(..)) => "change scope",
            Self::Hold(_, HoldChange::Release(_)) => "release",
            Self::Hold(_, HoldChange::Reclaim(_)) => "reclaim",
            Self::Lease(_, LeaseChange::Acquire(_)) => "acquire lease",
            Self::Lease(_, LeaseChange::Renew(..)) => "renew lease",
            Self::Lease(_, LeaseChange::Release(_)) => "release lease",
            Self::Lease(_, LeaseChange::Take) => "take lease",
            Self::StopRuntime(_) => "stop runtime",
            Self::StartRuntime => "start runtime",
            Self::Sink(_, _, SinkCall::Events(_)) => "events",
            Self::Sink(_, _, SinkCall::Append(..)) => "append",
            Self::Sink(_, _, SinkCall::Replace(..)) => "replace",
            Self::Sink(_, _, SinkCall::FinishBlock(_)) => "finish block",
            Self::Sink(_, _, SinkCall::RequestAction(..)) => "request action",
            Self::Sink(_, _, SinkCall::Usage(_)) => "usage",
            Self::Sink(_, _, SinkCall::Status(..)) => "status",
            Self::Sink(_, _, SinkCall::ProcessStarted(_)) => "process started",
            Self::Sink(_, _, SinkCall::ProcessEnded(_)) => "process ended",
            Self::Sink(_, _, SinkCall::ResumeReference(_)) => "resume reference",
            Self::Sink(_, _, SinkCall::Finish(..)) => "finish",
        }
    }

    /// Asks the Runtime, or tells it what a run of `sink` tells.
    pub async fn carry_out(self, runtime: &Runtime, sink: Option<&RunSink>) -> Answer {
        match self {
            Self::Create(_, request) => {
                Answer::of(runtime.catalog().create(*request).await, Done::from)
            }
            Self::Send(worker_id, input) => {
                let interaction = runtime.interaction();
                Answer::of(interaction.send_input(worker_id, input).await, Done::from)
            }
            Self::Answer(worker_id, run_id, action_id, option) => {
                let interaction = runtime.interaction();
                let answered = interaction.answer(worker_id, run_id, action_id, option);
                Answer::of(answered.await, at)
            }
            Self::CancelRun(worker_id, run_id) => {
                let interaction = runtime.interaction();
                let cancelled = interaction.cancel_run(worker_id, run_id).await;
                Answer::of(cancelled, |receipt| Done {
                    repeated: receipt.repeated,
                    ..Done::default()
                })
            }
            Self::Life(worker_id, change) => change_life(runtime, worker_id, change).await,
            Self::Hold(worker_id, change) => change_held(runtime, worker_id, change).await,
            Self::Lease(lease_id, change) => change_lease(runtime, lease_id, change).await,
            Self::StopRuntime(true) => Answer::of(runtime.management().stop(None).await, up_to),
            Self::StopRuntime(false) => Answer::of(runtime.management().drain(None).await, up_to),
            Self::StartRuntime => Answer::of(runtime.management().start().await, up_to),
            Self::Sink(_, _, call) => match sink {
                Some(sink) => tell(sink, call).await,
                None => Answer::Refused(Code::RunStale),
            },
        }
    }
}

async fn change_life(runtime: &Runtime, worker_id: WorkerId, change: LifeChange) -> Answer {
    let catalog = runtime.catalog();
    let options = EndOptions::default();
    let changed = match change {
        LifeChange::Pause => catalog.pause(worker_id).await,
        LifeChange::Resume => catalog.resume(worker_id).await,
        LifeChange::Update(update) => catalog.update(worker_id, update).await,
        LifeChange::Stop => catalog.stop(worker_id, options).await,
        LifeChange::Cancel => catalog.cancel(worker_id, options).await,
        LifeChange::Archive => catalog.archive(worker_id).await,
        LifeChange::Restore => catalog.restore(worker_id).await,
        LifeChange::Delete(purge) => catalog.delete(worker_id, purge).await,
    };
    Answer::of(changed, Done::from)
}

async fn change_held(runtime: &Runtime, worker_id: WorkerId, change: HoldChange) -> Answer {
    let allocations = runtime.allocations();
    let reason = || "needed elsewhere".to_owned();
    let changed = match change {
        HoldChange::Change(scope, delegation) => {
            let asked = allocations.change(worker_id, &scope, &delegation, None);
            asked.await
        }
        HoldChange::Release(false) => allocations.release(worker_id, None).await,
        HoldChange::Release(true) => allocations.release_by_force(worker_id, reason()).await,
        HoldChange::Reclaim(false) => allocations.reclaim(worker_id, None).await,
        HoldChange::Reclaim(true) => allocations.reclaim_by_force(worker_id, reason()).await,
    };
    Answer::of(changed, Done::from)
}

async fn tell(sink: &RunSink, call: SinkCall) -> Answer {
    match call {
        SinkCall::Events(events) => {
            let drafts: Result<Vec<EventDraft>, _> = events
                .iter()
                .map(|(kind, data)| EventDraft::new(kind.clone(), None, data))
                .collect();
            match drafts {
                Ok(drafts) => Answer::of(sink.events(drafts).await, at),
                Err(_) => Answer::Refused(Code::FieldInvalid),
            }
        }
        SinkCall::Append(block, text) => Answer::of(sink.append(block, &text).await, quietly),
        SinkCall::Replace(block, text) => Answer::of(sink.replace(block, &text).await, quietly),
        SinkCall::FinishBlock(block) => Answer::of(sink.finish_block(block).await, at),
        SinkCall::RequestAction(action_id, options, time_ms) => {
            let asked = sink.request_action(action_id, options, time_ms, Value::Null);
            Answer::of(asked.await, at)
        }
        SinkCall::Usage(usage) => Answer::of(sink.usage(usage).await, at),
        SinkCall::Status(name, value) => Answer::of(sink.status(&name, &value).await, at),
        SinkCall::ProcessStarted(process) => Answer::of(sink.process_started(process).await, up_to),
        SinkCall::ProcessEnded(identity) => Answer::of(sink.process_ended(identity).await, up_to),
        SinkCall::ResumeReference(reference) => {
            Answer::of(sink.resume_reference(reference).await, up_to)
        }
        SinkCall::Finish(stop, usage) => Answer::of(sink.finish(stop, usage).await, quietly),
    }
}
