//! The plain model: what the contract says of a Runtime, as a struct that is obviously right.
//!
//! Written from the contract alone. It holds everything in maps and lists, keeps the whole log for
//! ever, and knows nothing of commits, packs or threads.
//!
//! Used by whoever plays a step (what must be answered) and by the checks (what must be read).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};
use worker_runtime_core::{
    ActionId, BlockId, Event, Fence, Generation, InputId, LeaseId, Position, RunId, Stream,
    Timestamp, WorkerId,
    input::{InputReceipt, SubmitInput},
    record::CancelCause,
    run::{OutcomeKind, StopReason, Usage},
    store::BlockKind,
    view::{CreateReceipt, Phase},
    worker::{CreateWorker, EndKind},
};

use super::{
    held::{Asked, Family},
    lease::Lease,
};

/// Payloads above this are kept beside their event.
pub(super) const LARGE_BYTES: usize = 2 << 10;

/// Where a Worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Active,
    Stopped,
    Cancelled,
    Deleted,
}

impl Life {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Deleted => "deleted",
        }
    }
}

/// An end that was asked for.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) kind: EndKind,
    pub(super) at: Timestamp,
    pub(super) position: Position,
    pub(super) reason: Option<String>,
}

/// That what a Worker holds is taken from it, once it is quiet.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) at: Timestamp,
    pub(super) position: Position,
    pub(super) reason: String,
}

/// An accepted input.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub(super) input: SubmitInput,
    pub(super) receipt: InputReceipt,
    /// Its outcome, once it has one.
    pub(super) outcome: Option<(OutcomeKind, StopReason)>,
}

/// An action without an answer.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) id: ActionId,
    pub(super) options: Vec<String>,
    pub(super) at: Timestamp,
    pub(super) deadline: Option<Timestamp>,
}

/// A block that has not ended.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    pub(super) parent: Option<BlockId>,
    pub(super) text: String,
    /// Every text that it ever had and that a checkpoint may hold, oldest first.
    pub(super) texts: Vec<String>,
    /// How many of `texts` a checkpoint must be at least as new as.
    pub(super) kept: usize,
    /// Texts that may wait for a checkpoint, by their number and when they were written, in monotonic
    /// milliseconds, oldest first.
    pub(super) waiting: VecDeque<(usize, u64)>,
    /// The number of the text that last replaced all before it.
    pub(super) replaced: usize,
}

/// An input that runs.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) run_id: RunId,
    pub(super) input_id: InputId,
    pub(super) generation: Generation,
    pub(super) fence: Option<Fence>,
    pub(super) started_at: Timestamp,
    pub(super) deadline: Option<Timestamp>,
    pub(super) cancel: Option<(CancelCause, Timestamp)>,
    pub(super) actions: Vec<Action>,
    pub(super) actions_asked: u32,
    pub(super) blocks: BTreeMap<u32, Block>,
    pub(super) blocks_opened: u32,
    pub(super) usage: Usage,
    /// A process was recorded for it.
    pub(super) has_process: bool,
}

/// A Worker.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) request: CreateWorker,
    pub(super) created: CreateReceipt,
    pub(super) life: Life,
    pub(super) epoch: u64,
    pub(super) end: Option<End>,
    pub(super) paused: bool,
    pub(super) archived: bool,
    pub(super) name: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    /// The event that a repeated pause, resume, archive or restore is answered with.
    pub(super) changed: Position,
    pub(super) holds: Option<Fence>,
    /// What it holds, or would take again.
    pub(super) keeps: Asked,
    pub(super) taken: Option<Taken>,
    pub(super) inputs: BTreeMap<InputId, Accepted>,
    pub(super) queue: Vec<InputId>,
    pub(super) run: Option<Run>,
    pub(super) generation: Generation,
    pub(super) seq: u64,
    pub(super) items: u64,
    pub(super) usage: Usage,
    pub(super) last_run: Option<(RunId, InputId, Timestamp, OutcomeKind, StopReason)>,
    pub(super) status: BTreeMap<String, Value>,
    pub(super) revision: u64,
    pub(super) unproven: bool,
    /// How far its stream was trimmed when it was deleted.
    pub(super) trimmed_alive: Position,
}

impl Worker {
    pub(super) fn is_capable(&self) -> bool {
        self.request.backend.is_some()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.life == Life::Active && self.end.is_some()
    }

    /// Something is to come about once all that it runs is quiet: its end, or that of its scope.
    pub(super) fn is_settling(&self) -> bool {
        self.is_ending() || self.life == Life::Active && self.taken.is_some()
    }

    pub(super) fn unfinished(&self) -> usize {
        self.queue.len() + usize::from(self.run.is_some())
    }

    /// How far its first input without outcome is.
    pub(super) fn phase(&self) -> Option<Phase> {
        Some(match &self.run {
            _ if self.unproven && self.unfinished() > 0 => Phase::Unproven,
            Some(run) if run.cancel.is_some() => Phase::Cancelling,
            Some(run) if !run.actions.is_empty() => Phase::RequiresAction,
            Some(_) => Phase::Running,
            None if self.queue.is_empty() => return None,
            None => Phase::Queued,
        })
    }
}

/// The whole Runtime.
#[derive(Default)]
pub(super) struct Plain {
    pub(super) log: Vec<Event>,
    pub(super) workers: Vec<Worker>,
    pub(super) stopped: bool,
    /// Who holds what, by what was told.
    pub(super) family: Family,
    /// What is held by others than Workers, oldest grant first.
    pub(super) leases: Vec<Lease>,
    /// The last that was held and is held no more.
    pub(super) lease_gone: Option<LeaseId>,
    /// The last fence that was granted.
    pub(super) fence: u64,
    pub(super) runs: BTreeSet<RunId>,
    /// The incarnations: the id of each, and the first position that it could write.
    pub(super) incarnations: Vec<(u32, Position)>,
    pub(super) trimmed: BTreeMap<Stream, Position>,
    pub(super) late: u64,
}

impl Plain {
    pub(super) fn position(&self) -> Position {
        self.log.last().map_or(Position(0), |event| event.position)
    }

    pub(super) fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.id == id)
    }

    pub(super) fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.id == id)
    }

    pub(super) fn index_of(&self, id: WorkerId) -> Option<usize> {
        self.workers.iter().position(|worker| worker.id == id)
    }

    /// Below whom a Worker that holds nothing would hold again: the nearest above it that has not ended.
    pub(super) fn parent_again(&self, id: WorkerId) -> Option<WorkerId> {
        // Also of one that was deleted: who is above it goes on bounding those below.
        let parent_of = |id: &WorkerId| self.worker(*id)?.request.spec.parent;
        let is_active = |id: &WorkerId| {
            let worker = self.worker(*id);
            worker.is_some_and(|worker| worker.life == Life::Active)
        };
        let mut above = std::iter::successors(parent_of(&id), parent_of);
        above.find(is_active)
    }

    /// The events of a stream after a position.
    pub(super) fn after(&self, stream: Stream, after: Position) -> impl Iterator<Item = &Event> {
        self.log
            .iter()
            .filter(move |event| event.position > after && event.is_in(stream))
    }

    /// Whether the Runtime's stream may miss a stretch although its log is there: a payload that is
    /// large goes with its Worker's own history. Of a deleted Worker nothing is missing.
    pub(super) fn may_miss(&self, from: Position, to: Position) -> bool {
        let is_deleted = |event: &Event| {
            let worker = event.worker.and_then(|place| self.worker(place.worker_id));
            worker.is_some_and(|worker| worker.life == Life::Deleted)
        };
        self.may_have_missed(from, to) && !self.between(from, to).any(is_deleted)
    }

    /// The same for what may have been read before a Worker was deleted.
    pub(super) fn may_have_missed(&self, from: Position, to: Position) -> bool {
        let went = |event: &Event| {
            let worker = event.worker.and_then(|place| self.worker(place.worker_id));
            let trimmed = worker.and_then(|worker| match worker.life {
                Life::Deleted => Some(worker.trimmed_alive),
                _ => self.trimmed.get(&Stream::Worker(worker.id)).copied(),
            });
            let is_trimmed = trimmed.is_some_and(|trimmed| event.position <= trimmed);
            event.data.len() > LARGE_BYTES && is_trimmed
        };
        from <= to && self.between(from, to).all(went)
    }

    fn between(&self, from: Position, to: Position) -> impl Iterator<Item = &Event> {
        let is_in = move |event: &&Event| (from..=to).contains(&event.position);
        self.log.iter().filter(is_in)
    }

    /// The incarnation that wrote a position, as a cursor names it.
    pub(super) fn incarnation_at(&self, position: Position) -> Option<u32> {
        let before = |(_, first): &&(u32, Position)| *first <= position;
        let found = self.incarnations.iter().rev().find(before);
        found.or(self.incarnations.first()).map(|(id, _)| *id)
    }
}

/// The outcome of a run that stopped like this, after its end was asked for because of `cause`.
pub(super) fn outcome_of(
    stop: &StopReason,
    cause: Option<CancelCause>,
) -> (OutcomeKind, StopReason) {
    let explicit = stop.outcome_kind() == OutcomeKind::Completed;
    match cause {
        Some(CancelCause::Timeout) => (OutcomeKind::Failed, StopReason::Timeout),
        _ if explicit => (OutcomeKind::Completed, stop.clone()),
        None => (stop.outcome_kind(), stop.clone()),
        Some(CancelCause::RuntimeEnds) => (OutcomeKind::Interrupted, StopReason::RuntimeLost),
        Some(CancelCause::Run | CancelCause::WorkerEnds | CancelCause::ScopeTaken) => {
            (OutcomeKind::Cancelled, stop.clone())
        }
    }
}

/// An outcome as an event tells it.
pub(super) fn outcome_json(outcome: &(OutcomeKind, StopReason)) -> Value {
    json!({ "kind": outcome.0, "stop": outcome.1 })
}
