//! Changes that are made only if a Worker is as it has to be then: what keeps one client from undoing
//! what another did meanwhile.
//!
//! The writer looks right before the change, at the state that the change is made to, so that nothing
//! comes between. The refusal leaves with its batch (I1): what it is about may be of that very batch.

use std::sync::Arc;

use super::{
    Observation, PublishedWorker,
    command::{Answer, Command},
    observation::Shown,
    writer::Writer,
};
use crate::{
    WorkerId,
    error::{Unavailable, WorkerError},
    view::WorkerView,
};

/// What a Worker has to be.
#[derive(Clone)]
pub(crate) struct Condition(Arc<dyn Fn(&WorkerView) -> bool + Send + Sync>);

impl Condition {
    pub(super) fn new(holds: impl Fn(&WorkerView) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }
}

impl Command {
    /// Made only if the condition holds, if there is one.
    pub(super) fn only_if(self, condition: Option<&Condition>) -> Self {
        match condition {
            Some(condition) => Self::OnlyIf(condition.clone(), Box::new(self)),
            None => self,
        }
    }

    /// Which Worker it changes, if it changes one.
    fn changes(&self) -> Option<WorkerId> {
        match self {
            Self::Submit(worker_id, ..)
            | Self::Lifecycle(worker_id, ..)
            | Self::Allocation(worker_id, ..)
            | Self::WouldRestore(worker_id, ..)
            | Self::Would(worker_id, ..)
            | Self::CancelRun(worker_id, ..)
            | Self::Answer(worker_id, ..) => Some(*worker_id),
            _ => None,
        }
    }

    /// Its refusal, once its Worker is not what it had to be.
    fn outdated(self) -> Option<Answer> {
        let changed = WorkerError::Changed;
        match self {
            Self::Submit(id, _, reply) => Some(Answer::new(reply, Err(changed(id).into()))),
            Self::Lifecycle(id, _, reply) => Some(Answer::new(reply, Err(changed(id).into()))),
            Self::Allocation(id, _, reply) => Some(Answer::new(reply, Err(changed(id).into()))),
            Self::WouldRestore(id, reply) => Some(Answer::new(reply, Err(changed(id).into()))),
            Self::Would(id, _, reply) => Some(Answer::new(reply, Err(changed(id).into()))),
            Self::CancelRun(id, _, reply) => Some(Answer::new(reply, Err(changed(id).into()))),
            Self::Answer(id, _, _, _, reply) => Some(Answer::new(reply, Err(changed(id).into()))),
            command => {
                let invariant = "a condition on a command that changes no Worker".to_owned();
                command.refuse(&Unavailable::Bug { invariant });
                None
            }
        }
    }
}

impl Writer {
    /// The command if its condition holds; else its refusal is among the answers.
    pub(super) fn if_holds(&mut self, condition: &Condition, command: Command) -> Option<Command> {
        match command.changes() {
            Some(worker_id) if self.holds(condition, worker_id, &command) => Some(command),
            _ => {
                self.answers.extend(command.outdated());
                None
            }
        }
    }

    fn holds(&self, condition: &Condition, worker_id: WorkerId, command: &Command) -> bool {
        // What would be refused whatever the Worker is, is refused for that.
        let Ok(worker) = self.state.worker(worker_id) else {
            return true;
        };
        if let Command::Submit(_, input, _) = command {
            let input_id = &input.input.input_id;
            let first = self.state.first_receipt(worker_id, input_id, None);
            if first.is_ok_and(|first| first.is_some()) {
                return true;
            }
        }
        let shown = Shown {
            worker: PublishedWorker::of(worker),
            allocation: self.state.holdings.get(worker_id).cloned(),
        };
        let observation = Observation::new(self.shared.clone());
        condition.0(&observation.whole_view(&shown, self.state.position))
    }
}
