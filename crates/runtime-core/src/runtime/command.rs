//! What the writer takes, and how it answers: every answer waits for its batch's commit (I1).

use tokio::sync::oneshot;

use super::condition::Condition;
use crate::{
    ActionId, Generation, Position, RunId, WorkerId,
    backend::BackendError,
    error::{
        AllocationError, CreateError, LeaseError, LifecycleError, RunError, SinkError, SubmitError,
        Unavailable,
    },
    input::InputReceipt,
    state::{
        AllocationOp, Asked, LeaseEnd, LifecycleOp, PreparedCreate, PreparedInput, PreparedLease,
        Renewal, SinkOp,
    },
    view::{
        AllocationReceipt, CancelReceipt, CreateReceipt, LeaseReceipt, LeaseReleased,
        LifecycleReceipt,
    },
};

/// Where an answer goes.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// One command of the writer.
pub(crate) enum Command {
    Create(Box<PreparedCreate>, Reply<CreateReceipt, CreateError>),
    /// Only whether it would be made.
    WouldCreate(Box<PreparedCreate>, Reply<bool, CreateError>),
    Submit(WorkerId, PreparedInput, Reply<InputReceipt, SubmitError>),
    Lifecycle(
        WorkerId,
        LifecycleOp,
        Reply<LifecycleReceipt, LifecycleError>,
    ),
    /// Only whether it would be restored.
    WouldRestore(WorkerId, Reply<bool, LifecycleError>),
    Allocation(
        WorkerId,
        AllocationOp,
        Reply<AllocationReceipt, AllocationError>,
    ),
    Acquire(Box<PreparedLease>, Reply<LeaseReceipt, LeaseError>),
    /// Only whether it would be granted.
    WouldAcquire(Box<PreparedLease>, Reply<bool, LeaseError>),
    Renew(Renewal, Reply<LeaseReceipt, LeaseError>),
    EndLease(LeaseEnd, Reply<LeaseReleased, LeaseError>),
    /// Only whether it would be ended.
    WouldEndLease(LeaseEnd, Reply<(), LeaseError>),
    /// Only who would hold something else then.
    Would(
        WorkerId,
        AllocationOp,
        Reply<Vec<WorkerId>, AllocationError>,
    ),
    CancelRun(WorkerId, RunId, Reply<CancelReceipt, RunError>),
    Answer(WorkerId, RunId, ActionId, String, Reply<Position, RunError>),
    /// A change of one Worker, to be made only if that is as it has to be.
    OnlyIf(Condition, Box<Self>),
    /// A change that somebody is named for: recorded with what it changes.
    Operated(Box<Asked>, Box<Self>),
    Sink(SinkMessage),
    /// A process of a Worker's backend is dead, whichever run started it.
    ProcessEnded(WorkerId, Vec<u8>, Reply<(), SinkError>),
    StopRuntime {
        end_runs: bool,
        reason: Option<String>,
        reply: Reply<Position, Unavailable>,
    },
    StartRuntime(Reply<Position, Unavailable>),
    AcknowledgeWentBack(Reply<Position, Unavailable>),
    /// A Worker's backend was stopped: all that it ran is quiet, or can't be shown to be.
    BackendQuiet(WorkerId, Result<(), BackendError>),
    /// Something may be due.
    Tick,
    /// End what runs, then close the store.
    Close(Reply<(), Unavailable>),
    /// The last handle is gone: close the store without waiting for anything.
    Abandon,
}

/// A message of a run's backend.
pub(crate) struct SinkMessage {
    pub(crate) worker_id: WorkerId,
    pub(crate) run_id: RunId,
    pub(crate) generation: Generation,
    pub(crate) op: SinkOp,
    pub(crate) reply: Reply<Position, SinkError>,
}

/// An answer that waits for its batch.
pub(crate) enum Answer {
    /// The commonest, without an allocation of its own.
    Sink(Reply<Position, SinkError>, Result<Position, SinkError>),
    /// Any other, and whether it refuses.
    Other(HandOut, bool),
}

/// Sends a result, or why its batch failed instead.
type HandOut = Box<dyn FnOnce(Option<&Unavailable>) + Send>;

impl Answer {
    pub(crate) fn new<T: Send + 'static, E: From<Unavailable> + Send + 'static>(
        reply: Reply<T, E>,
        result: Result<T, E>,
    ) -> Self {
        let refuses = result.is_err();
        let hand_out: HandOut = Box::new(move |failure| {
            let result = match failure {
                Some(failure) => Err(failure.clone().into()),
                None => result,
            };
            // Whoever asked may have stopped waiting.
            let _ = reply.send(result);
        });
        Self::Other(hand_out, refuses)
    }

    /// Whether the command was refused.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Sink(_, result) => result.is_err(),
            Self::Other(_, refuses) => *refuses,
        }
    }

    /// Hands the answer out: the result, or why the batch failed.
    pub(crate) fn deliver(self, failure: Option<&Unavailable>) {
        match self {
            Self::Sink(reply, result) => {
                let _ = reply.send(match failure {
                    Some(failure) => Err(failure.clone().into()),
                    None => result,
                });
            }
            Self::Other(hand_out, _) => hand_out(failure),
        }
    }
}

impl Command {
    /// Whether it ends or frees something: it is taken although there is no room for new work, and
    /// its batch gets what the store has put by.
    pub(crate) fn must_happen(&self) -> bool {
        match self {
            Self::Create(..)
            | Self::WouldCreate(..)
            | Self::WouldRestore(..)
            | Self::Would(..)
            | Self::WouldEndLease(..)
            | Self::Submit(..)
            | Self::Acquire(..)
            | Self::WouldAcquire(..)
            | Self::Renew(..)
            | Self::Answer(..)
            | Self::StartRuntime(_) => false,
            Self::OnlyIf(_, command) | Self::Operated(_, command) => command.must_happen(),
            Self::Sink(message) => message.op.must_happen(),
            Self::Lifecycle(_, op, _) => op.must_happen(),
            Self::Allocation(_, op, _) => op.must_happen(),
            // What a tick ends is seen when it is done.
            Self::Tick => false,
            Self::CancelRun(..)
            | Self::EndLease(..)
            | Self::AcknowledgeWentBack(_)
            | Self::StopRuntime { .. }
            | Self::ProcessEnded(..)
            | Self::BackendQuiet(..)
            | Self::Close(_)
            | Self::Abandon => true,
        }
    }

    /// Answers without having done anything.
    pub(crate) fn refuse(self, failure: &Unavailable) {
        let failure = failure.clone();
        // Whoever asked may have stopped waiting.
        match self {
            Self::Create(_, reply) => drop(reply.send(Err(failure.into()))),
            Self::WouldCreate(_, reply) => drop(reply.send(Err(failure.into()))),
            Self::Submit(_, _, reply) => drop(reply.send(Err(failure.into()))),
            Self::Lifecycle(_, _, reply) => drop(reply.send(Err(failure.into()))),
            Self::Allocation(_, _, reply) => drop(reply.send(Err(failure.into()))),
            Self::Acquire(_, reply) => drop(reply.send(Err(failure.into()))),
            Self::WouldAcquire(_, reply) => drop(reply.send(Err(failure.into()))),
            Self::Renew(_, reply) => drop(reply.send(Err(failure.into()))),
            Self::EndLease(_, reply) => drop(reply.send(Err(failure.into()))),
            Self::WouldEndLease(_, reply) => drop(reply.send(Err(failure.into()))),
            Self::WouldRestore(_, reply) => drop(reply.send(Err(failure.into()))),
            Self::Would(_, _, reply) => drop(reply.send(Err(failure.into()))),
            Self::CancelRun(_, _, reply) => drop(reply.send(Err(failure.into()))),
            Self::Answer(_, _, _, _, reply) => drop(reply.send(Err(failure.into()))),
            Self::OnlyIf(_, command) | Self::Operated(_, command) => command.refuse(&failure),
            Self::Sink(message) => drop(message.reply.send(Err(failure.into()))),
            Self::ProcessEnded(_, _, reply) => drop(reply.send(Err(failure.into()))),
            Self::StopRuntime { reply, .. }
            | Self::StartRuntime(reply)
            | Self::AcknowledgeWentBack(reply) => drop(reply.send(Err(failure))),
            Self::Close(reply) => drop(reply.send(Err(failure))),
            Self::BackendQuiet(..) | Self::Tick | Self::Abandon => {}
        }
    }
}
