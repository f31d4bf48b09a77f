//! The harness's execution backend: it runs nothing by itself. It hands each run, with its sink, to
//! whoever holds the [`Stage`], and that one decides what the run tells and when.
//!
//! A client that plays both sides in one task makes every choice from one seed. Used by the
//! workload, and by audits that let waiting inputs run after a crash.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Notify;
use worker_runtime_core::{
    ActionId, RunId, RunSink, WorkerId,
    backend::{
        ActionAnswer, BackendCapabilities, BackendError, BackendErrorKind, BackendFactory,
        Cancelled, ExecutionBackend, Proof, RunRequest, StartWorker, Submitted,
    },
    record::ProcessRecord,
    run::StopReason,
};

/// The name under which Workers choose it.
pub const BACKEND: &str = "stage";

/// A configuration with this field set to `true` is refused at the creation.
pub const REFUSED_CONFIG: &str = "refused";

/// A configuration with this field set to `true` is of a backend that does not start.
pub const NO_START: &str = "no_start";

/// A text with this word in it is refused when it is to be run.
pub const REJECTED_INPUT: &str = "unwelcome";

/// A run that the backend was given.
pub struct Taken {
    /// What to run.
    pub request: RunRequest,
    /// The way back.
    pub sink: RunSink,
}

/// What happened on the stage, in order.
pub enum News {
    /// A run was given to the backend.
    Taken(Box<Taken>),
    /// An action of a run has ended.
    Ended(RunId, ActionId, ActionAnswer),
    /// A run was cancelled: nothing of it goes on.
    Cancelled(RunId),
}

/// The side of whoever plays the runs. Clones are the same stage.
#[derive(Clone, Default)]
pub struct Stage(Arc<Inner>);

#[derive(Default)]
struct Inner {
    news: Mutex<Vec<News>>,
    told: Notify,
    /// Workers whose backend was started and has not been stopped.
    running: Mutex<BTreeSet<WorkerId>>,
    /// Every run is ended at once, and nobody is told of it.
    completes: bool,
}

impl Stage {
    /// A stage on which every run completes at once.
    pub fn completing() -> Self {
        Self(Arc::new(Inner {
            completes: true,
            ..Inner::default()
        }))
    }

    /// The factory to register.
    pub fn factory(&self) -> Arc<dyn BackendFactory> {
        Arc::new(self.clone())
    }

    /// What happened since it was last asked.
    pub fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut *locked(&self.0.news))
    }

    /// Whether a Worker's backend was started and is not quiet yet.
    pub fn is_running(&self, worker_id: WorkerId) -> bool {
        locked(&self.0.running).contains(&worker_id)
    }

    /// Waits until there may be news.
    pub async fn changed(&self) {
        self.0.told.notified().await;
    }

    fn tell(&self, news: News) {
        locked(&self.0.news).push(news);
        self.0.told.notify_one();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_set(config: &Value, field: &str) -> bool {
    config.get(field).and_then(Value::as_bool).unwrap_or(false)
}

#[async_trait]
impl BackendFactory for Stage {
    fn name(&self) -> &str {
        BACKEND
    }

    fn resolve(&self, config: &Value) -> Result<Value, BackendError> {
        match is_set(config, REFUSED_CONFIG) {
            true => Err(BackendError::new(BackendErrorKind::Config, "it is refused")),
            false => Ok(config.clone()),
        }
    }

    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities {
            multi_turn: true,
            actions: true,
            usage: true,
            ..BackendCapabilities::default()
        }
    }

    async fn start(&self, start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        if is_set(&start.config, NO_START) {
            return Err(BackendError::new(BackendErrorKind::Start, "it never does"));
        }
        locked(&self.0.running).insert(start.worker_id);
        Ok(Box::new(Actor {
            stage: self.clone(),
            worker_id: start.worker_id,
        }))
    }

    fn prove_dead(&self, _process: &ProcessRecord) -> Proof {
        Proof::Dead
    }
}

struct Actor {
    stage: Stage,
    worker_id: WorkerId,
}

#[async_trait]
impl ExecutionBackend for Actor {
    async fn submit(&self, request: RunRequest, sink: RunSink) -> Submitted {
        if self.stage.0.completes {
            // It is recorded by a task of its own once it was asked for.
            let _ = sink.finish(StopReason::EndTurn, None).await;
            return Submitted::Accepted;
        }
        if request.input.text().contains(REJECTED_INPUT) {
            let error = BackendError::new(BackendErrorKind::Unsupported, "not this one");
            return Submitted::Rejected(error);
        }
        let taken = Box::new(Taken { request, sink });
        self.stage.tell(News::Taken(taken));
        Submitted::Accepted
    }

    async fn respond(
        &self,
        run_id: RunId,
        action_id: ActionId,
        answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        self.stage.tell(News::Ended(run_id, action_id, answer));
        Ok(())
    }

    async fn cancel(&self, run_id: RunId) -> Result<Cancelled, BackendError> {
        self.stage.tell(News::Cancelled(run_id));
        Ok(Cancelled::Confirmed)
    }

    async fn stop(&self) -> Result<(), BackendError> {
        // It takes its time: what must wait for it has to wait.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        locked(&self.stage.0.running).remove(&self.worker_id);
        Ok(())
    }
}
