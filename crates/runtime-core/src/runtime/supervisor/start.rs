//! Brings one input to its Worker's backend, which is started when it must be.
//!
//! Used by the Worker's task.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    super::{sink::RunSink, transcript::TranscriptReader},
    Keeper, SupervisorParts,
    quiet::Started,
};
use crate::{
    Code, EventType,
    backend::{
        BackendError, BackendErrorKind, BackendFactory, ExecutionBackend, Restored, RunRequest,
        StartWorker, Submitted,
    },
    record::{RunRecord, UnfinishedRecord, WorkerRecord},
    run::StopReason,
    scope::RunScope,
};

/// Waits until something was told, or nobody is left who could.
pub(super) async fn told(news: &mut watch::Receiver<bool>) {
    let _ = news.wait_for(|told| *told).await;
}

/// Brings one input to the Worker's backend.
pub(super) struct StartRun {
    pub(super) parts: SupervisorParts,
    pub(super) worker: Arc<WorkerRecord>,
    pub(super) unfinished: Arc<UnfinishedRecord>,
    pub(super) scope: Option<RunScope>,
    pub(super) run: RunRecord,
    pub(super) backend: watch::Sender<Started>,
    pub(super) keeper: Keeper,
    /// Told when the backend has taken or refused the run.
    pub(super) submitted: watch::Sender<bool>,
}

impl StartRun {
    pub(super) async fn run(self, sink: RunSink, mut cancelled: watch::Receiver<bool>) {
        let current = self.backend.borrow().clone();
        let backend = match current {
            Started::Yes(backend) => backend,
            Started::No => {
                let started = tokio::select! {
                    started = self.start_backend(&sink) => started,
                    () = told(&mut cancelled) => {
                        return self.end(&sink, StopReason::Cancelled).await;
                    }
                };
                match started {
                    Ok(backend) => {
                        self.backend.send_replace(Started::Yes(backend.clone()));
                        backend
                    }
                    Err(error) => {
                        return self
                            .end(&sink, failed(Code::RunStartFailed.as_str(), &error))
                            .await;
                    }
                }
            }
        };
        if *cancelled.borrow_and_update() {
            return self.end(&sink, StopReason::Cancelled).await;
        }
        let request = RunRequest {
            run_id: self.run.run_id,
            generation: self.run.generation,
            fence: self.run.fence,
            scope: self.scope.clone(),
            input: self.unfinished.input.clone(),
            time_ms: self.unfinished.input.budget.time_ms,
            transcript: TranscriptReader::new(
                self.parts.shared.clone(),
                self.worker.worker_id,
                self.unfinished.accepted.position,
            ),
        };
        // Kept until the backend has answered: when it refuses, its own sink is gone already.
        let kept = sink.clone();
        let submitted = backend.submit(request, sink).await;
        self.submitted.send_replace(true);
        let failure = match submitted {
            Submitted::Accepted => return,
            Submitted::Busy => failed(
                "backend_busy",
                &BackendError::new(BackendErrorKind::Broken, "the backend runs another input"),
            ),
            Submitted::Rejected(error) => refused("rejected", &error),
            Submitted::Errored(error) => refused("errored", &error),
            Submitted::Unsupported(error) => refused("unsupported", &error),
        };
        self.end(&kept, failure).await;
    }

    /// Ends the run without a word of the backend: not before it is quiet (I6).
    async fn end(&self, sink: &RunSink, stop: StopReason) {
        self.keeper.end_when_quiet(sink, stop, None).await;
    }

    async fn start_backend(
        &self,
        sink: &RunSink,
    ) -> Result<Arc<dyn ExecutionBackend>, BackendError> {
        let selection = self.worker.backend.as_ref();
        let selection = selection.ok_or_else(|| {
            BackendError::new(BackendErrorKind::Config, "the Worker has no backend")
        })?;
        let factory: &Arc<dyn BackendFactory> =
            self.parts.backends.get(&selection.name).ok_or_else(|| {
                BackendError::new(
                    BackendErrorKind::Config,
                    format!("there is no execution backend {:?}", selection.name),
                )
            })?;
        let workspace = self.worker.spec.workspace.as_ref();
        let start = StartWorker {
            worker_id: self.worker.worker_id,
            spec: Arc::new(self.worker.spec.0.clone()),
            profile: Arc::new(self.worker.profile.clone()),
            config: Arc::new(selection.config.0.clone()),
            working_directory: workspace.and_then(|workspace| {
                self.parts
                    .mounts
                    .resolve(&workspace.mount, &workspace.path)
                    .ok()
            }),
            secrets: self.parts.secrets.clone(),
        };
        if let Some(reference) = &self.worker.resume {
            match factory.restore(start.clone(), reference).await? {
                Restored::Restored(backend) => return Ok(backend.into()),
                Restored::ContextLost(backend) => {
                    let _ = sink
                        .event(EventType::CONTEXT_LOST, &serde_json::json!({}))
                        .await;
                    return Ok(backend.into());
                }
                Restored::Unsupported => {}
            }
        }
        Ok(factory.start(start).await?.into())
    }
}

/// An input that its backend did not take: with a stable code where there is one for it.
fn refused(how: &str, error: &BackendError) -> StopReason {
    match error.kind {
        BackendErrorKind::Start => failed(Code::RunStartFailed.as_str(), error),
        BackendErrorKind::Unconfined => failed(Code::ConfinementUnavailable.as_str(), error),
        _ => failed(how, error),
    }
}

fn failed(code: &str, error: &BackendError) -> StopReason {
    StopReason::Error {
        code: Some(code.to_owned()),
        message: error.message.clone(),
    }
}
