//! Execution backends of the benches: one holds its run for as long as the bench wants, the other
//! one ends it at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::mpsc;
use worker_runtime_core::{
    ActionId, RunId, RunSink, WorkerId,
    backend::{
        ActionAnswer, BackendCapabilities, BackendError, BackendErrorKind, BackendFactory,
        Cancelled, ExecutionBackend, RunRequest, StartWorker, Submitted,
    },
    run::StopReason,
};

/// Hands every run's sink to the bench.
pub struct Hold {
    sinks: mpsc::UnboundedSender<RunSink>,
}

impl Hold {
    /// The name under which Workers choose it.
    pub const NAME: &str = "hold";

    /// The factory, and where the sinks arrive.
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<RunSink>) {
        let (sinks, held) = mpsc::unbounded_channel();
        (Arc::new(Self { sinks }), held)
    }
}

#[async_trait]
impl BackendFactory for Hold {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn resolve(&self, config: &Value) -> Result<Value, BackendError> {
        Ok(config.clone())
    }

    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities::default()
    }

    async fn start(&self, _start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        let sinks = self.sinks.clone();
        Ok(Box::new(Driven(Act::Hold(sinks))))
    }
}

/// That a run's end is durable, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// When the Runtime said so.
    pub at: Instant,
}

/// Ends every run as soon as it is submitted, and tells when that was durable.
#[derive(Default)]
pub struct EndAtOnce {
    ends: Mutex<HashMap<WorkerId, mpsc::UnboundedSender<Ended>>>,
}

impl EndAtOnce {
    /// The name under which Workers choose it.
    pub const NAME: &str = "end-at-once";

    /// Where the ends of a Worker's runs arrive. Asked for before its first input.
    pub fn ends_of(&self, worker_id: WorkerId) -> mpsc::UnboundedReceiver<Ended> {
        let (sender, ends) = mpsc::unbounded_channel();
        let mut all = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(worker_id, sender);
        ends
    }
}

#[async_trait]
impl BackendFactory for EndAtOnce {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn resolve(&self, config: &Value) -> Result<Value, BackendError> {
        Ok(config.clone())
    }

    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities {
            multi_turn: true,
            ..BackendCapabilities::default()
        }
    }

    async fn start(&self, start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        let all = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = all.get(&start.worker_id).cloned();
        let unknown = || BackendError::new(BackendErrorKind::Start, "nobody waits for its ends");
        Ok(Box::new(Driven(Act::End(ends.ok_or_else(unknown)?))))
    }
}

enum Act {
    Hold(mpsc::UnboundedSender<RunSink>),
    End(mpsc::UnboundedSender<Ended>),
}

struct Driven(Act);

#[async_trait]
impl ExecutionBackend for Driven {
    async fn submit(&self, _run: RunRequest, sink: RunSink) -> Submitted {
        let gone = || BackendError::new(BackendErrorKind::Broken, "the bench has ended");
        let told = match &self.0 {
            Act::Hold(sinks) => sinks.send(sink).is_ok(),
            Act::End(ends) => match sink.finish(StopReason::EndTurn, None).await {
                Ok(()) => ends.send(Ended { at: Instant::now() }).is_ok(),
                Err(error) => {
                    let broken = BackendErrorKind::Broken;
                    return Submitted::Errored(BackendError::new(broken, error.to_string()));
                }
            },
        };
        if told {
            Submitted::Accepted
        } else {
            Submitted::Errored(gone())
        }
    }

    async fn respond(
        &self,
        _run_id: RunId,
        _action_id: ActionId,
        _answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    /// Nothing runs but the bench itself, which has stopped writing by then.
    async fn cancel(&self, _run_id: RunId) -> Result<Cancelled, BackendError> {
        Ok(Cancelled::Confirmed)
    }

    async fn stop(&self) -> Result<(), BackendError> {
        Ok(())
    }
}
