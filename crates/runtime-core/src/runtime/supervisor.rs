//! One task per Worker that has a backend: starts it on demand, gives it its inputs, ends its runs.
//!
//! The writer hands over effects after their commit; nothing here changes state but through a
//! run's sink. A run that its backend has not ended itself has ended when it is quiet (`quiet`, I6).

mod quiet;
mod start;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

pub(crate) use quiet::{Keeper, prove_dead};
use quiet::{Started, guarded};
use start::{StartRun, told};

use super::{
    Backends,
    command::Command,
    shared::Shared,
    sink::{RunOf, RunSink, SinkPath},
};
use crate::{
    Mounts, RunId, WorkerId,
    backend::{BackendError, BackendErrorKind, SecretResolver},
    patience::within,
    record::{UnfinishedRecord, WorkerRecord},
    run::StopReason,
    scope::RunScope,
    state::Effect,
};

/// How long a cancel waits for a backend that is still being given the run.
const SUBMIT_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long the end of a backend that was stopped waits for the calls that it has not answered.
const CALLS_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the tasks need.
#[derive(Clone)]
pub(crate) struct SupervisorParts {
    pub(crate) path: SinkPath,
    pub(crate) backends: Arc<Backends>,
    pub(crate) secrets: Arc<dyn SecretResolver>,
    pub(crate) mounts: Arc<Mounts>,
    pub(crate) shared: Arc<Shared>,
}

/// Hands effects to the Workers' tasks.
pub(crate) struct Supervisor {
    parts: SupervisorParts,
    // Unbounded, but never long: a Worker has at most one run, one cancel and few answers under way.
    tasks: HashMap<WorkerId, mpsc::UnboundedSender<Effect>>,
}

impl Supervisor {
    pub(crate) fn new(parts: SupervisorParts) -> Self {
        Self {
            parts,
            tasks: HashMap::new(),
        }
    }

    pub(crate) fn carry_out(&mut self, effect: Effect) {
        let worker_id = match &effect {
            Effect::Start { worker, .. } => worker.worker_id,
            Effect::Cancel { worker_id, .. } | Effect::Respond { worker_id, .. } => *worker_id,
            Effect::StopBackend { worker_id } => return self.stop(*worker_id),
        };
        let parts = &self.parts;
        let task = self.tasks.entry(worker_id).or_insert_with(|| {
            let (sender, effects) = mpsc::unbounded_channel();
            parts.path.live.add_owner(worker_id);
            let owner = Owner::new(parts.clone(), worker_id);
            parts.path.handle.spawn(owner.run(effects));
            sender
        });
        if task.send(effect).is_err() {
            warn!(%worker_id, "the Worker's task is gone");
        }
    }

    /// Stops a Worker's backend; the writer is told when it is quiet.
    fn stop(&mut self, worker_id: WorkerId) {
        if let Some(task) = self.tasks.remove(&worker_id) {
            let _ = task.send(Effect::StopBackend { worker_id });
        }
    }

    /// Stops every backend.
    pub(crate) fn stop_all(&mut self) {
        let workers: Vec<WorkerId> = self.tasks.keys().copied().collect();
        workers
            .into_iter()
            .for_each(|worker_id| self.stop(worker_id));
    }
}

/// The live owner of one Worker.
struct Owner {
    parts: SupervisorParts,
    worker_id: WorkerId,
    backend: watch::Sender<Started>,
    runs: tokio::task::JoinSet<()>,
    /// The run that was last given to the backend.
    current: Option<CurrentRun>,
}

struct CurrentRun {
    run: RunOf,
    /// Told when the run is to end.
    cancelled: watch::Sender<bool>,
    /// Told when the backend has taken or refused the run.
    submitted: watch::Receiver<bool>,
}

impl Owner {
    fn new(parts: SupervisorParts, worker_id: WorkerId) -> Self {
        let backend = watch::Sender::new(Started::No);
        Self {
            parts,
            worker_id,
            backend,
            runs: tokio::task::JoinSet::new(),
            current: None,
        }
    }

    async fn run(mut self, mut effects: mpsc::UnboundedReceiver<Effect>) {
        loop {
            let effect = tokio::select! {
                effect = effects.recv() => effect,
                Some(ended) = self.runs.join_next() => {
                    if let Err(error) = ended {
                        warn!(worker_id = %self.worker_id, %error, "an execution backend panicked");
                    }
                    continue;
                }
            };
            match effect {
                Some(Effect::Start {
                    worker,
                    unfinished,
                    scope,
                }) => self.start(worker, unfinished, scope),
                Some(Effect::Cancel { run_id, .. }) => self.cancel(run_id),
                Some(Effect::Respond {
                    run_id,
                    action_id,
                    answer,
                    ..
                }) => {
                    if let Started::Yes(backend) = self.started() {
                        self.runs.spawn(async move {
                            if let Err(error) = backend.respond(run_id, action_id, answer).await {
                                debug!(%run_id, %error, "an answer was not taken");
                            }
                        });
                    }
                }
                Some(Effect::StopBackend { .. }) | None => break,
            }
        }
        let quiet = match self.started() {
            Started::Yes(backend) => guarded("stop", async move { backend.stop().await }).await,
            Started::No => Ok(()),
        };
        let quiet = quiet.and(self.let_go_of_calls().await);
        let _ = self
            .parts
            .path
            .writer
            .send(Command::BackendQuiet(self.worker_id, quiet))
            .await;
    }

    /// No call into the backend goes on when it is said to be quiet: one that it never answers is
    /// given up, and one that can't be given up may still start something.
    async fn let_go_of_calls(&mut self) -> Result<(), BackendError> {
        self.runs.abort_all();
        let calls = async { while self.runs.join_next().await.is_some() {} };
        match within(CALLS_WAIT_MAX, calls).await {
            Some(()) => Ok(()),
            None => Err(BackendError::new(
                BackendErrorKind::Broken,
                "a call of the execution backend does not return",
            )),
        }
    }

    fn started(&self) -> Started {
        self.backend.borrow().clone()
    }

    fn start(
        &mut self,
        worker: Arc<WorkerRecord>,
        unfinished: Arc<UnfinishedRecord>,
        scope: Option<RunScope>,
    ) {
        let Some(run) = unfinished.run.clone() else {
            return;
        };
        let run_of = RunOf {
            worker_id: self.worker_id,
            run_id: run.run_id,
            generation: run.generation,
            fence: run.fence,
        };
        let sink = RunSink::kept(self.parts.path.clone(), run_of, self.keeper());
        let cancelled = watch::Sender::new(false);
        let submitted = watch::Sender::new(false);
        self.current = Some(CurrentRun {
            run: run_of,
            cancelled: cancelled.clone(),
            submitted: submitted.subscribe(),
        });
        let step = StartRun {
            parts: self.parts.clone(),
            worker,
            unfinished,
            scope,
            run,
            backend: self.backend.clone(),
            keeper: self.keeper(),
            submitted,
        };
        self.runs.spawn(step.run(sink, cancelled.subscribe()));
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(&self.parts, self.backend.subscribe())
    }

    /// Ends a run. It is not cancelled in its backend before that has taken it, so that nothing
    /// starts after a cancel was confirmed; a backend that hangs is cancelled all the same.
    fn cancel(&mut self, run_id: RunId) {
        let Some(current) = self
            .current
            .as_ref()
            .filter(|current| current.run.run_id == run_id)
        else {
            return;
        };
        if current.cancelled.send_replace(true) {
            return;
        }
        let sink = RunSink::detached(self.parts.path.clone(), current.run);
        let (mut submitted, keeper) = (current.submitted.clone(), self.keeper());
        self.runs.spawn(async move {
            // When it takes longer, the backend hangs and is cancelled all the same.
            let _ = within(SUBMIT_WAIT_MAX, told(&mut submitted)).await;
            // A backend that has not started is let go of by whoever starts it.
            if keeper.has_backend() {
                keeper
                    .end_when_quiet(&sink, StopReason::Cancelled, None)
                    .await;
            }
        });
    }
}
