//! An execution backend that the model drives: every call of it waits until a step answers it.
//!
//! Called by the Runtime's own tasks. The calls arrive in one queue, in the order in which they were
//! made, so that a step can say which call it expects and that there is no other.

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use worker_runtime_core::{
    ActionId, Fence, Generation, InputId, RunId, RunSink, WorkerId,
    backend::{
        ActionAnswer, BackendCapabilities, BackendError, BackendFactory, Cancelled,
        ExecutionBackend, Proof, RunRequest, StartWorker, Submitted,
    },
    record::ProcessRecord,
};

/// The name under which Workers choose it.
pub(super) const BACKEND: &str = "driven";

/// Answers a call.
pub(super) type Reply<T> = oneshot::Sender<T>;

/// A run that the backend was given.
pub(super) struct Given {
    pub(super) run_id: RunId,
    pub(super) generation: Generation,
    pub(super) fence: Option<Fence>,
    pub(super) input_id: InputId,
    pub(super) text: String,
    pub(super) sink: RunSink,
}

/// A call of the Runtime that waits for its answer.
pub(super) enum Call {
    /// Start a backend for this Worker.
    Start(WorkerId, Reply<Result<(), BackendError>>),
    /// Run an input.
    Submit(WorkerId, Box<Given>, Reply<Submitted>),
    /// Take the answer of an action; nothing waits for it.
    Respond(RunId, ActionId, ActionAnswer),
    /// End a run.
    Cancel(RunId, Reply<Result<Cancelled, BackendError>>),
    /// End the backend.
    Stop(WorkerId, Reply<Result<(), BackendError>>),
}

impl Call {
    /// What it is, for a violation.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Start(worker_id, _) => format!("start of {worker_id}"),
            Self::Submit(worker_id, given, _) => {
                format!("submit of {} to {worker_id}", given.input_id)
            }
            Self::Respond(run_id, action_id, _) => format!("answer to {action_id} of {run_id}"),
            Self::Cancel(run_id, _) => format!("cancel of {run_id}"),
            Self::Stop(worker_id, _) => format!("stop of {worker_id}"),
        }
    }
}

/// The factory: one for each opening, so that a call of an earlier one can't be mistaken.
#[derive(Clone)]
pub(super) struct Driven {
    calls: mpsc::UnboundedSender<Call>,
    unproven: bool,
}

impl Driven {
    /// A factory, and the calls that are made to it.
    pub(super) fn new(unproven: bool) -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (calls, receiver) = mpsc::unbounded_channel();
        (Self { calls, unproven }, receiver)
    }

    /// Tells the model of a call, and waits for its answer; for ever when it gives none.
    async fn ask<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> T {
        let (reply, answer) = oneshot::channel();
        let _ = self.calls.send(call(reply));
        match answer.await {
            Ok(answer) => answer,
            Err(_) => std::future::pending().await,
        }
    }
}

#[async_trait]
impl BackendFactory for Driven {
    fn name(&self) -> &str {
        BACKEND
    }

    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities {
            multi_turn: true,
            actions: true,
            ..BackendCapabilities::default()
        }
    }

    async fn start(&self, start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        let worker_id = start.worker_id;
        self.ask(|reply| Call::Start(worker_id, reply)).await?;
        let factory = self.clone();
        Ok(Box::new(Running { factory, worker_id }))
    }

    fn prove_dead(&self, _process: &ProcessRecord) -> Proof {
        match self.unproven {
            true => Proof::Unproven {
                reason: "the model says so".into(),
            },
            false => Proof::Dead,
        }
    }
}

struct Running {
    factory: Driven,
    worker_id: WorkerId,
}

#[async_trait]
impl ExecutionBackend for Running {
    async fn submit(&self, run: RunRequest, sink: RunSink) -> Submitted {
        let given = Box::new(Given {
            run_id: run.run_id,
            generation: run.generation,
            fence: run.fence,
            input_id: run.input.input_id.clone(),
            text: run.input.text(),
            sink,
        });
        self.factory
            .ask(|reply| Call::Submit(self.worker_id, given, reply))
            .await
    }

    async fn respond(
        &self,
        run_id: RunId,
        action_id: ActionId,
        answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        let _ = self
            .factory
            .calls
            .send(Call::Respond(run_id, action_id, answer));
        Ok(())
    }

    async fn cancel(&self, run_id: RunId) -> Result<Cancelled, BackendError> {
        self.factory.ask(|reply| Call::Cancel(run_id, reply)).await
    }

    async fn stop(&self) -> Result<(), BackendError> {
        let worker_id = self.worker_id;
        self.factory.ask(|reply| Call::Stop(worker_id, reply)).await
    }
}
