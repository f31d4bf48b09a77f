//! What may be answered to whom asks for something that is not in the log, as the world stands (I4 to
//! I6): it is done, unless there is a cause to refuse it. Used where everything is asked again.

use worker_runtime_core::{
    Code, WorkerId,
    input::{InputMode, SubmitInput},
    lease::AcquireLease,
    record::Lifecycle,
    worker::CreateWorker,
};

use super::{
    scopes::may_hand_on,
    world::{Held, Life, World},
};
use crate::{
    backend::{BACKEND, REFUSED_CONFIG},
    workload::{Answer, Asked, LeaseChange, limits::limits},
};

/// The answers that fit.
#[derive(Debug, Default)]
pub(super) struct Fitting {
    /// Causes to refuse it.
    refusals: Vec<Code>,
    /// They may be gone by then: what is in the way runs, and comes to its end.
    may_pass: bool,
}

impl Fitting {
    /// Of what is asked in this world; `None` when too little is known.
    pub(super) fn of(asked: &Asked, world: &World) -> Option<Self> {
        match asked {
            Asked::Create(_, request) => Self::of_create(request, world),
            Asked::Send(worker_id, input) => Self::of_send(*worker_id, input, world),
            Asked::Lease(_, LeaseChange::Acquire(request)) => Self::of_lease(request, world),
            _ => None,
        }
    }

    /// Whether this answer fits.
    pub(super) fn takes(&self, answer: &Answer) -> bool {
        match answer {
            Answer::Done(_) => self.refusals.is_empty() || self.may_pass,
            Answer::Refused(code) => self.refusals.contains(code),
            Answer::Unknown | Answer::Pending => false,
        }
    }

    fn note(&mut self, holds: bool, code: Code) {
        self.refusals.extend(holds.then_some(code));
    }

    fn of_create(request: &CreateWorker, world: &World) -> Option<Self> {
        // It may be one of those whose events nobody saw.
        if world.unseen > 0 {
            return None;
        }
        let mut fitting = Self::default();
        if let Some(backend) = &request.backend {
            let is_refused = backend.config.0.get(REFUSED_CONFIG).is_some();
            fitting.note(backend.name != BACKEND, Code::BackendUnknown);
            fitting.note(is_refused, Code::BackendConfig);
        }
        let is_full = world.workers.len() >= limits().workers_max;
        fitting.note(is_full, Code::WorkerLimit);
        fitting.note_held(request, world);
        if request.initial_input.is_some() {
            fitting.note(world.stopped, Code::RuntimeStopped);
            fitting.note(request.backend.is_none(), Code::InputIncapable);
        }
        Some(fitting)
    }

    /// Others may hold it, or whoever is to be above may not hand it on.
    fn note_held(&mut self, request: &CreateWorker, world: &World) {
        let parent = request.spec.parent;
        let above = parent.map(|parent| world.workers.get(&parent));
        let is_there =
            above.map(|above| above.is_some_and(|above| above.lifecycle == Lifecycle::Active));
        self.note(is_there == Some(false), Code::ParentUnknown);
        let asked = Held {
            fence: 0,
            allow: request.scope.allow.clone(),
            deny: Vec::new(),
            lends: request.delegation.allow.clone(),
            parent,
        };
        if asked.allow.is_empty() && asked.lends.is_empty() {
            return;
        }
        let above = above.flatten().and_then(|above| above.held.as_ref());
        let is_handed = above.is_some_and(|above| may_hand_on(above, &asked));
        self.note(parent.is_some() && !is_handed, Code::ScopeUndelegated);
        let is_taken = world.rivals(None, &asked).next().is_some();
        self.note(is_taken, Code::ScopeConflict);
    }

    fn of_lease(request: &AcquireLease, world: &World) -> Option<Self> {
        if world.unseen > 0 {
            return None;
        }
        let mut fitting = Self::default();
        let is_full = world.leases.len() >= limits().leases_max;
        fitting.note(is_full, Code::LeaseLimit);
        let asked = Held {
            fence: 0,
            allow: request.scope.allow.clone(),
            deny: Vec::new(),
            lends: Vec::new(),
            parent: None,
        };
        let is_taken = world.rivals(None, &asked).next().is_some();
        fitting.note(is_taken, Code::ScopeConflict);
        Some(fitting)
    }

    fn of_send(worker_id: WorkerId, input: &SubmitInput, world: &World) -> Option<Self> {
        let mut fitting = Self::default();
        let Some(life) = world.workers.get(&worker_id) else {
            fitting.note(true, Code::WorkerUnknown);
            return Some(fitting).filter(|_| world.unseen == 0);
        };
        if life.lifecycle == Lifecycle::Deleted {
            fitting.note(true, Code::WorkerDeleted);
            return Some(fitting);
        }
        if life.is_unseen {
            return None;
        }
        let is_active = life.lifecycle == Lifecycle::Active && life.ending.is_none();
        fitting.note(!is_active, Code::WorkerNotActive);
        fitting.note(world.stopped, Code::RuntimeStopped);
        fitting.note(life.backend.is_none(), Code::InputIncapable);
        if fitting.refusals.is_empty() {
            fitting.note_others(input.mode, life);
        }
        Some(fitting)
    }

    /// What was sent before may be in the way.
    fn note_others(&mut self, mode: InputMode, life: &Life) {
        let unfinished = life.queue.len() + usize::from(life.run.is_some());
        let is_busy = mode == InputMode::Reject && unfinished > 0;
        self.note(is_busy, Code::InputBusy);
        self.note(
            !is_busy && unfinished >= limits().inputs_unfinished_max,
            Code::InputQueueFull,
        );
        self.may_pass = !life.paused;
    }
}

#[cfg(test)]
mod tests;
