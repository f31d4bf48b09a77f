//! Lines mode: one long-lived command per Worker, JSON lines both ways (`docs/exec-protocol.md`).
//!
//! # Layout
//! - `message`: what both say; `line`, `outgoing`: how it travels
//! - `session`: one life of the command; `greeting`: how it begins; `turn`: one run of it

#[cfg(fuzzing)]
pub mod fuzzing;
mod greeting;
mod line;
mod message;
mod outgoing;
mod session;
mod turn;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tracing::debug;
use worker_runtime_core::{
    ActionId, RunId, RunSink, WorkerId,
    backend::{
        ActionAnswer, BackendError, BackendErrorKind, Cancelled, ExecutionBackend, RunRequest,
        StartWorker, Submitted,
    },
    patience::within,
    profile::ResolvedProfile,
    record::ProcessLife,
    worker::WorkerSpecFields,
};

use super::{
    environment::ScopeText,
    launch::{Launcher, Start, identity_bytes},
    slot::RunSlot,
};
use message::ToCommand;
use session::{Parts, Session};
use turn::Turn;

/// A Worker that is one long-lived command.
pub(super) struct LinesBackend {
    launcher: Launcher,
    memory: Arc<Memory>,
    slot: RunSlot,
    /// Held while a command starts, so that a cancel or a stop meanwhile finds it. What happens then
    /// is awaited on purpose, hence a lock that may be.
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

/// What outlives the command.
pub(super) struct Memory {
    worker_id: WorkerId,
    profile: Arc<ResolvedProfile>,
    spec: Arc<WorkerSpecFields>,
    conversation: Mutex<Conversation>,
}

#[derive(Debug, Default)]
struct Conversation {
    /// The command's own name for it.
    reference: Option<String>,
    /// A command was greeted before, or there was a reference.
    has_context: bool,
}

impl Memory {
    fn reference(&self) -> Option<String> {
        self.locked().reference.clone()
    }

    fn set_reference(&self, reference: String) {
        self.locked().reference = Some(reference);
    }

    fn had_context(&self) -> bool {
        self.locked().has_context
    }

    fn greeted(&self) {
        self.locked().has_context = true;
    }

    // Single assignments: it stays whole when a holder panics.
    fn locked(&self) -> MutexGuard<'_, Conversation> {
        self.conversation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinesBackend {
    pub(super) fn new(launcher: Launcher, start: &StartWorker, resume: Option<String>) -> Self {
        let conversation = Conversation {
            has_context: resume.is_some(),
            reference: resume,
        };
        Self {
            memory: Arc::new(Memory {
                worker_id: start.worker_id,
                profile: start.profile.clone(),
                spec: start.spec.clone(),
                conversation: Mutex::new(conversation),
            }),
            launcher,
            slot: RunSlot::default(),
            session: tokio::sync::Mutex::new(None),
        }
    }

    fn term_grace(&self) -> Duration {
        self.launcher.config.term_grace(&self.launcher.options)
    }

    fn cancel_grace(&self) -> Duration {
        self.launcher.options.cancel_grace
    }

    async fn current(&self) -> Option<Arc<Session>> {
        self.session.lock().await.clone()
    }

    /// Starts the command, after the last one is quiet.
    async fn start(
        &self,
        earlier: Option<Arc<Session>>,
        run: &RunRequest,
        sink: &RunSink,
    ) -> Result<Session, BackendError> {
        if let Some(earlier) = earlier {
            earlier.watched.ask_to_end(self.term_grace()).await;
            earlier.watched.quiet().await?;
            let identity = identity_bytes(earlier.watched.identity())?;
            if let Err(error) = sink.process_ended(identity).await {
                debug!(%error, "a command that is dead stays recorded");
            }
        }
        let start = Start {
            life: ProcessLife::Backend,
            run_id: run.run_id,
            fence: run.fence,
            scope: run.scope.as_ref(),
            last_argument: None,
        };
        let launched = self.launcher.launch(start, sink).await?;
        let parts = Parts {
            options: self.launcher.options.clone(),
            memory: self.memory.clone(),
            term_grace: self.term_grace(),
            processes: sink.process_sink(),
        };
        Ok(Session::new(launched, parts))
    }
}

fn input_line(run: &RunRequest) -> Result<String, BackendError> {
    let message = ToCommand::Input {
        run_id: run.run_id,
        generation: run.generation,
        fence: run.fence,
        scope: run.scope.as_ref().map(ScopeText::of),
        input: &run.input,
        time_ms: run.time_ms,
        transcript_len: run.transcript.len().ok(),
    };
    serde_json::to_string(&message).map_err(|error| broken(error.to_string()))
}

fn broken(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::Broken, message)
}

#[async_trait]
impl ExecutionBackend for LinesBackend {
    async fn submit(&self, run: RunRequest, sink: RunSink) -> Submitted {
        let line = match input_line(&run) {
            Ok(line) => line,
            Err(error) => return Submitted::Errored(error),
        };
        let mut session = self.session.lock().await;
        let Some(claim) = self.slot.claim(run.run_id).await else {
            return Submitted::Busy;
        };
        let block_bytes_max = self.launcher.options.block_bytes_max;
        let mut turn = Box::new(Turn::new(sink.clone(), claim, line, block_bytes_max));
        if let Some(running) = &*session {
            if let Some(confined) = &running.confined {
                let scope = run.scope.as_ref();
                let told = self.launcher.tell_of_later_run(confined, scope, &sink);
                told.await;
            }
            match running.give(turn) {
                Ok(()) => return Submitted::Accepted,
                Err(back) => turn = back,
            }
        }
        // The earlier one stays noted until it is quiet, as a stop has to know of it.
        let started = match self.start(session.clone(), &run, &sink).await {
            Ok(started) => session.insert(Arc::new(started)),
            Err(error) => return Submitted::Errored(error),
        };
        match started.give(turn) {
            Ok(()) => Submitted::Accepted,
            Err(_) => Submitted::Errored(broken("the command ended as it began")),
        }
    }

    async fn respond(
        &self,
        run_id: RunId,
        action_id: ActionId,
        answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        let session = self.current().await;
        let (Some(session), Some(_)) = (session, self.slot.of(run_id)) else {
            return Err(broken("the run is over"));
        };
        let message = ToCommand::Answer {
            run_id,
            action_id: &action_id,
            answer: (&answer).into(),
        };
        match session.out.send(&message) {
            true => Ok(()),
            false => Err(broken("the command does not read its input")),
        }
    }

    async fn cancel(&self, run_id: RunId) -> Result<Cancelled, BackendError> {
        let session = self.current().await;
        let (Some(session), Some(run)) = (session, self.slot.of(run_id)) else {
            return Ok(Cancelled::Confirmed);
        };
        run.ask_to_end();
        let was_asked = session.is_greeted() && session.out.send(&ToCommand::Cancel { run_id });
        if was_asked
            && within(self.cancel_grace(), run.clone().over())
                .await
                .is_some()
        {
            return Ok(Cancelled::Confirmed);
        }
        session.watched.ask_to_end(self.term_grace()).await;
        session.watched.quiet().await?;
        run.over().await;
        Ok(Cancelled::Escalated)
    }

    async fn stop(&self) -> Result<(), BackendError> {
        let Some(session) = self.current().await else {
            return Ok(());
        };
        session.shut_down();
        let by_itself = within(self.cancel_grace(), session.watched.quiet()).await;
        if !matches!(by_itself, Some(Ok(_))) {
            session.watched.ask_to_end(self.term_grace()).await;
            session.watched.quiet().await?;
        }
        self.slot.empty().await;
        Ok(())
    }
}
