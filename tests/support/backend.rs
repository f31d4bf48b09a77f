//! An execution backend whose every step a test decides: it holds the sink of each run, and says
//! when and how each call returns.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use worker_runtime_core::{
    ActionId, RunId, RunSink, WorkerId,
    backend::{
        ActionAnswer, BackendCapabilities, BackendError, BackendFactory, Cancelled,
        ExecutionBackend, IncapableReason, Proof, Restored, RunRequest, StartWorker, Submitted,
    },
    record::ProcessRecord,
};

use super::within;

/// The name under which Workers choose it.
pub(crate) const BACKEND: &str = "scripted";

/// How a call of the backend returns.
#[derive(Debug, Clone)]
pub(crate) enum Say<T> {
    /// At once, with this.
    AtOnce(T),
    /// When the test says so.
    Ask,
    /// Not at all.
    Panic,
}

/// How the calls return that the test does not answer one by one.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) start: Say<Result<(), BackendError>>,
    pub(crate) submit: Say<Submitted>,
    pub(crate) cancel: Say<Result<Cancelled, BackendError>>,
    pub(crate) stop: Say<Result<(), BackendError>>,
    pub(crate) capable: Result<(), IncapableReason>,
    pub(crate) resolve: Result<(), BackendError>,
    pub(crate) proof: Say<Proof>,
    /// Whether a resume reference is taken up, and with the context lost.
    pub(crate) restore: Option<bool>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            start: Say::AtOnce(Ok(())),
            submit: Say::AtOnce(Submitted::Accepted),
            cancel: Say::AtOnce(Ok(Cancelled::Confirmed)),
            stop: Say::AtOnce(Ok(())),
            capable: Ok(()),
            resolve: Ok(()),
            proof: Say::AtOnce(Proof::Dead),
            restore: None,
        }
    }
}

/// A run that was given to the backend: the test holds its sink.
pub(crate) struct TakenRun {
    pub(crate) request: RunRequest,
    pub(crate) sink: RunSink,
    /// Takes the answer of `submit` when the plan is to ask.
    pub(crate) reply: Option<oneshot::Sender<Submitted>>,
}

impl TakenRun {
    pub(crate) fn input_id(&self) -> &str {
        self.request.input.input_id.as_str()
    }
}

/// A call that the backend got; the sender answers it when the plan is to ask.
type Calls<K, T> = Channel<(K, Option<oneshot::Sender<T>>)>;

struct Channel<T> {
    sender: mpsc::UnboundedSender<T>,
    receiver: AsyncMutex<mpsc::UnboundedReceiver<T>>,
}

impl<T> Default for Channel<T> {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let receiver = AsyncMutex::new(receiver);
        Self { sender, receiver }
    }
}

impl<T> Channel<T> {
    async fn next(&self, what: &str) -> T {
        within(what, async { self.receiver.lock().await.recv().await })
            .await
            .expect("the script holds a sender")
    }

    fn try_next(&self) -> Option<T> {
        self.receiver.try_lock().ok()?.try_recv().ok()
    }
}

#[derive(Default)]
struct Inner {
    plan: Mutex<Plan>,
    runs: Channel<TakenRun>,
    starts: Calls<WorkerId, Result<(), BackendError>>,
    cancels: Calls<RunId, Result<Cancelled, BackendError>>,
    stops: Calls<WorkerId, Result<(), BackendError>>,
    answers: Channel<(RunId, ActionId, ActionAnswer)>,
}

/// The test's side: what the backend was asked, and how it answers.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Inner>);

impl Script {
    /// Changes how calls return from now on.
    pub(crate) fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.0.plan.lock().unwrap());
    }

    fn planned<T>(&self, pick: impl FnOnce(&Plan) -> T) -> T {
        pick(&self.0.plan.lock().unwrap())
    }

    /// The factory to register.
    pub(crate) fn factory(&self) -> Arc<dyn BackendFactory> {
        Arc::new(self.clone())
    }

    /// The next run that the backend was given.
    pub(crate) async fn run(&self) -> TakenRun {
        self.0.runs.next("a run").await
    }

    /// A run that the backend was given by now.
    pub(crate) fn try_run(&self) -> Option<TakenRun> {
        self.0.runs.try_next()
    }

    /// The next start of a backend, and who waits for its answer.
    pub(crate) async fn start_asked(
        &self,
    ) -> (WorkerId, Option<oneshot::Sender<Result<(), BackendError>>>) {
        self.0.starts.next("a start").await
    }

    /// The next cancel of a run, and who waits for its answer.
    pub(crate) async fn cancel_asked(
        &self,
    ) -> (
        RunId,
        Option<oneshot::Sender<Result<Cancelled, BackendError>>>,
    ) {
        self.0.cancels.next("a cancel").await
    }

    /// A cancel that the backend was given by now.
    pub(crate) fn try_cancel(&self) -> Option<RunId> {
        self.0.cancels.try_next().map(|(run_id, _)| run_id)
    }

    /// The next stop of a backend, and who waits for its answer.
    pub(crate) async fn stop_asked(
        &self,
    ) -> (WorkerId, Option<oneshot::Sender<Result<(), BackendError>>>) {
        self.0.stops.next("a stop").await
    }

    /// The next answer to an action.
    pub(crate) async fn answer_given(&self) -> (RunId, ActionId, ActionAnswer) {
        self.0.answers.next("an answer").await
    }

    /// An answer that the backend was given by now.
    pub(crate) fn try_answer(&self) -> Option<(RunId, ActionId, ActionAnswer)> {
        self.0.answers.try_next()
    }
}

/// Tells the test of a call, and returns as the plan says.
async fn respond<K, T>(calls: &Calls<K, T>, key: K, say: Say<T>, what: &str) -> T {
    let (sender, answer) = oneshot::channel();
    match say {
        Say::AtOnce(result) => {
            let _ = calls.sender.send((key, None));
            result
        }
        Say::Panic => {
            let _ = calls.sender.send((key, None));
            panic!("{what} panics, as the test wants")
        }
        Say::Ask => {
            let _ = calls.sender.send((key, Some(sender)));
            // A test that is over answers no more.
            match answer.await {
                Ok(result) => result,
                Err(_) => std::future::pending().await,
            }
        }
    }
}

#[async_trait]
impl BackendFactory for Script {
    fn name(&self) -> &str {
        BACKEND
    }

    fn resolve(&self, config: &Value) -> Result<Value, BackendError> {
        self.planned(|plan| plan.resolve.clone())?;
        Ok(config.clone())
    }

    fn input_capable(&self, _config: &Value) -> Result<(), IncapableReason> {
        self.planned(|plan| plan.capable.clone())
    }

    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities {
            multi_turn: true,
            actions: true,
            ..BackendCapabilities::default()
        }
    }

    async fn start(&self, start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        let say = self.planned(|plan| plan.start.clone());
        respond(&self.0.starts, start.worker_id, say, "start").await?;
        Ok(Box::new(Scripted {
            script: self.clone(),
            worker_id: start.worker_id,
        }))
    }

    async fn restore(&self, start: StartWorker, _resume: &[u8]) -> Result<Restored, BackendError> {
        let worker_id = start.worker_id;
        let script = self.clone();
        Ok(match self.planned(|plan| plan.restore) {
            None => Restored::Unsupported,
            Some(false) => Restored::Restored(Box::new(Scripted { script, worker_id })),
            Some(true) => Restored::ContextLost(Box::new(Scripted { script, worker_id })),
        })
    }

    fn prove_dead(&self, _process: &ProcessRecord) -> Proof {
        match self.planned(|plan| plan.proof.clone()) {
            Say::AtOnce(proof) => proof,
            Say::Ask | Say::Panic => panic!("prove_dead panics, as the test wants"),
        }
    }
}

struct Scripted {
    script: Script,
    worker_id: WorkerId,
}

#[async_trait]
impl ExecutionBackend for Scripted {
    async fn submit(&self, request: RunRequest, sink: RunSink) -> Submitted {
        let inner = &self.script.0;
        let (reply, answer) = oneshot::channel();
        let say = self.script.planned(|plan| plan.submit.clone());
        let reply = matches!(say, Say::Ask).then_some(reply);
        let _ = inner.runs.sender.send(TakenRun {
            request,
            sink,
            reply,
        });
        match say {
            Say::AtOnce(submitted) => submitted,
            Say::Panic => panic!("submit panics, as the test wants"),
            Say::Ask => match answer.await {
                Ok(submitted) => submitted,
                Err(_) => std::future::pending().await,
            },
        }
    }

    async fn respond(
        &self,
        run_id: RunId,
        action_id: ActionId,
        answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        let _ = self
            .script
            .0
            .answers
            .sender
            .send((run_id, action_id, answer));
        Ok(())
    }

    async fn cancel(&self, run_id: RunId) -> Result<Cancelled, BackendError> {
        let say = self.script.planned(|plan| plan.cancel.clone());
        respond(&self.script.0.cancels, run_id, say, "cancel").await
    }

    async fn stop(&self) -> Result<(), BackendError> {
        let say = self.script.planned(|plan| plan.stop.clone());
        respond(&self.script.0.stops, self.worker_id, say, "stop").await
    }
}
