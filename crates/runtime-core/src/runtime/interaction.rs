//! Interaction: input, actions, and the end of runs.

use super::{command::Command, condition::Condition, handle::Runtime};
use crate::{
    ActionId, Position, RunId, WorkerId,
    error::{RunError, SubmitError},
    input::{InputReceipt, SubmitInput},
    view::{CancelReceipt, WorkerView},
};

/// Input, actions, and the end of runs.
#[derive(Clone)]
pub struct Interaction {
    runtime: Runtime,
    condition: Option<Condition>,
}

impl Interaction {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            condition: None,
        }
    }

    /// The same, for changes of one Worker that are to be made only if that is as it has to be then, as
    /// [`Catalog::only_if`](crate::Catalog::only_if). An input that was accepted before gets its receipt
    /// all the same: that changes nothing.
    #[must_use]
    pub fn only_if(
        mut self,
        condition: impl Fn(&WorkerView) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.condition = Some(Condition::new(condition));
        self
    }

    /// Sends an input. The same `input_id` gives the first receipt again for as long as the Worker
    /// exists, and runs nothing twice.
    ///
    /// # Errors
    /// [`SubmitError`]; a refusal uses up no `input_id`. After
    /// [`OutcomeUnknown`](crate::error::Unavailable::OutcomeUnknown) send the same again.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`: the input will have exactly one outcome.
    pub async fn send_input(
        &self,
        worker_id: WorkerId,
        input: SubmitInput,
    ) -> Result<InputReceipt, SubmitError> {
        let prepared = self.runtime.inner().prepare_input(input)?;
        self.runtime
            .ask(|reply| {
                let command = Command::Submit(worker_id, prepared, reply);
                command.only_if(self.condition.as_ref())
            })
            .await
    }

    /// Asks for the end of a run; its Worker lives on. The outcome comes as `run.finished` once
    /// everything that ran is quiet.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Durability
    /// The request survives a crash when it returns `Ok`.
    pub async fn cancel_run(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
    ) -> Result<CancelReceipt, RunError> {
        self.runtime
            .ask(|reply| {
                let command = Command::CancelRun(worker_id, run_id, reply);
                command.only_if(self.condition.as_ref())
            })
            .await
    }

    /// Answers an action that a run waits for.
    ///
    /// # Errors
    /// [`RunError`]; an action can be answered once.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`; the backend is told after that.
    pub async fn answer(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        action_id: ActionId,
        option: String,
    ) -> Result<Position, RunError> {
        self.runtime.inner().check_answer(&option)?;
        self.runtime
            .ask(|reply| {
                let command = Command::Answer(worker_id, run_id, action_id, option, reply);
                command.only_if(self.condition.as_ref())
            })
            .await
    }
}
