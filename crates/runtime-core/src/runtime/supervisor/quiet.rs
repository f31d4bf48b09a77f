//! Makes sure that a run is quiet before it ends without a word of its backend: what may still write
//! keeps its Worker's scope (I6).
//!
//! Used by the Worker's task, by the last sink of a run that is dropped, and at open.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::watch;
use tracing::{debug, warn};

use super::{
    super::{Backends, shared::Shared, sink::RunSink},
    SupervisorParts,
};
use crate::{
    EventType, WorkerId,
    backend::{BackendError, BackendErrorKind, BackendFactory, ExecutionBackend, Proof},
    record::{ProcessLife, ProcessRecord, WorkerRecord},
    run::StopReason,
};

/// How long after a cancel that failed the next one comes.
const CANCEL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How far the Worker's backend is.
#[derive(Clone)]
pub(super) enum Started {
    No,
    Yes(Arc<dyn ExecutionBackend>),
}

/// Ends a run that its backend has not ended by itself.
#[derive(Clone)]
pub(crate) struct Keeper {
    backend: watch::Receiver<Started>,
    backends: Arc<Backends>,
    // A sink that a backend keeps too long must not keep the store.
    shared: Weak<Shared>,
}

/// What is known of a run.
enum Known {
    Quiet,
    /// It may be quiet when it is asked again.
    NotYet(String),
    /// Nobody is left who could end it.
    Never(String),
}

impl Keeper {
    pub(super) fn new(parts: &SupervisorParts, backend: watch::Receiver<Started>) -> Self {
        Self {
            backend,
            backends: parts.backends.clone(),
            shared: Arc::downgrade(&parts.shared),
        }
    }

    pub(super) fn has_backend(&self) -> bool {
        matches!(*self.backend.borrow(), Started::Yes(_))
    }

    /// Cancels a run in its backend, again and again until that says that all is quiet, or its
    /// processes are shown to be dead; then it ends. Until then it has no outcome and its Worker
    /// keeps its scope (I6).
    pub(crate) async fn end_when_quiet(
        &self,
        sink: &RunSink,
        stop: StopReason,
        detail: Option<String>,
    ) {
        let mut told = false;
        while !sink.is_over() && !sink.is_cut_off() {
            let reason = match self.look(sink).await {
                Known::Quiet => return end(sink, stop, detail).await,
                Known::Never(reason) => {
                    if let Err(error) = sink.unproven(reason).await {
                        debug!(run_id = %sink.run_id(), %error, "the run had ended already");
                    }
                    return;
                }
                Known::NotYet(reason) => reason,
            };
            if !std::mem::replace(&mut told, true) {
                let message = format!("the run can't be shown to have ended: {reason}");
                let data =
                    serde_json::json!({ "code": crate::Code::RunUnproven, "message": message });
                let _ = sink.event(EventType::DIAGNOSTIC, &data).await;
            }
            tokio::time::sleep(CANCEL_AGAIN_AFTER).await;
        }
    }

    async fn look(&self, sink: &RunSink) -> Known {
        let backend = match self.backend.borrow().clone() {
            Started::Yes(backend) => Some(backend),
            Started::No => None,
        };
        let failed = match backend {
            None => None,
            Some(backend) => {
                let run_id = sink.run_id();
                match guarded("cancel", async move { backend.cancel(run_id).await }).await {
                    Ok(_quiet) => return Known::Quiet,
                    Err(error) => Some(error),
                }
            }
        };
        match (self.prove(sink.worker_id()).await, failed) {
            (Some(Proof::Dead), _) | (None, None) => Known::Quiet,
            (_, Some(error)) => Known::NotYet(error.message),
            (Some(Proof::Unproven { reason }), None) => Known::Never(reason),
        }
    }

    /// Whether the processes that the run recorded are dead; `None` when it recorded none.
    async fn prove(&self, worker_id: WorkerId) -> Option<Proof> {
        let record = {
            let shared = self.shared.upgrade()?;
            let (snapshot, _) = shared.read();
            snapshot.workers.get(&worker_id)?.record.clone()
        };
        let of_run = |process: &ProcessRecord| process.life == ProcessLife::Run;
        if !record.processes.iter().any(of_run) {
            return None;
        }
        let backends = self.backends.clone();
        let proved =
            tokio::task::spawn_blocking(move || prove_dead(&record, &backends, of_run)).await;
        Some(proved.unwrap_or_else(|error| Proof::Unproven {
            reason: error.to_string(),
        }))
    }
}

/// Whether these processes of a Worker are dead, by its backend's factory. Blocking.
pub(crate) fn prove_dead(
    worker: &WorkerRecord,
    backends: &Backends,
    which: impl Fn(&ProcessRecord) -> bool,
) -> Proof {
    let factory = worker
        .backend
        .as_ref()
        .and_then(|selection| backends.get(&selection.name));
    let asked = worker.processes.iter().filter(|process| which(process));
    let mut proofs = asked.map(|process| prove_one(factory, process));
    proofs
        .find(|proof| *proof != Proof::Dead)
        .unwrap_or(Proof::Dead)
}

fn prove_one(factory: Option<&Arc<dyn BackendFactory>>, process: &ProcessRecord) -> Proof {
    match factory {
        // One that panics must not keep the other Workers' store shut.
        Some(factory) => catch_unwind(AssertUnwindSafe(|| factory.prove_dead(process)))
            .unwrap_or_else(|_| Proof::Unproven {
                reason: format!("the execution backend panicked over {}", process.label),
            }),
        None => Proof::Unproven {
            reason: format!("no execution backend can look after {}", process.label),
        },
    }
}

/// A call of a backend on a task of its own: one that panics has failed, and its owner lives on.
pub(super) async fn guarded<T: Send + 'static>(
    what: &'static str,
    call: impl Future<Output = Result<T, BackendError>> + Send + 'static,
) -> Result<T, BackendError> {
    tokio::spawn(call).await.unwrap_or_else(|error| {
        warn!(%error, "an execution backend panicked");
        let message = format!("the execution backend panicked in its {what}");
        Err(BackendError::new(BackendErrorKind::Broken, message))
    })
}

/// Ends a run that has not ended by itself: its own word counts, and this one is not late.
async fn end(sink: &RunSink, stop: StopReason, detail: Option<String>) {
    if sink.is_over() {
        return;
    }
    if let Err(error) = sink.finish_with(stop, None, detail).await {
        debug!(run_id = %sink.run_id(), %error, "the run had ended already");
    }
}
