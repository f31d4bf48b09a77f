//! The life of a started command, and the one place that decides that it is over.
//!
//! A command is quiet when its monitor says so, or, if that was lost, when nothing of it is found any
//! more. Until then nobody may be told that its run has ended (I4, I6).

use std::time::Duration;

use tokio::{sync::watch, task::JoinHandle};
use tracing::warn;
use worker_runtime_core::{
    Code, EventType, RunSink,
    backend::{BackendError, BackendErrorKind},
};

use super::temporary::TemporaryDirectory;

use super::super::{Canceller, Exit, Process, ProcessError, ProcessIdentity, Proof, prove_dead};

/// Between two attempts to prove dead what could not be.
const PROVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) {
        // A panic was reported by its hook, and is an end.
        let _ = (&mut self.0).await;
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    /// It, or something that it started, may run.
    Runs,
    /// The same, and nobody watches over it any more. It is looked for again and again.
    Unproven(String),
    /// Nothing of it is left. `None`: how it ended is not known.
    Quiet(Option<Exit>),
}

/// A command that runs. Dropping it ends everything that the command started.
#[derive(Debug)]
pub(super) struct Watched {
    life: watch::Receiver<Life>,
    canceller: Canceller,
    identity: ProcessIdentity,
    _task: OwnedTask,
}

impl Watched {
    /// `temporary` goes when the command is quiet.
    pub(super) fn new(
        process: Process,
        prove_within: Duration,
        temporary: Option<TemporaryDirectory>,
    ) -> Self {
        let (told, life) = watch::channel(Life::Runs);
        Self {
            life,
            canceller: process.canceller(),
            identity: process.identity().clone(),
            _task: OwnedTask::spawn(watch_over(process, told, prove_within, temporary)),
        }
    }

    pub(super) fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Its life, for whoever reads its streams.
    pub(super) fn life(&self) -> watch::Receiver<Life> {
        self.life.clone()
    }

    /// Asks it to end, by force after the grace.
    pub(super) async fn ask_to_end(&self, term_grace: Duration) {
        if let Err(error) = self.canceller.cancel(term_grace).await {
            // The monitor is gone, then; whoever watches finds out and looks for what is left.
            warn!(%error, "a command could not be asked to end");
        }
    }

    /// Waits until nothing of it is left.
    ///
    /// # Errors
    /// [`BackendErrorKind::Broken`] when that can't be shown now.
    pub(super) async fn quiet(&self) -> Result<Option<Exit>, BackendError> {
        let mut life = self.life.clone();
        let over = life.wait_for(|life| *life != Life::Runs).await;
        match over.as_deref() {
            Ok(Life::Quiet(exit)) => Ok(*exit),
            Ok(Life::Unproven(reason)) => Err(broken(reason.clone())),
            Ok(Life::Runs) | Err(_) => Err(broken("nobody watches over the command".to_owned())),
        }
    }

    /// As [`quiet`](Self::quiet), however long it takes; that it can't be shown is told once.
    pub(super) async fn quiet_at_last(&self, run: Option<&RunSink>) -> Option<Exit> {
        if let (Err(error), Some(run)) = (self.quiet().await, run) {
            let message = format!("its processes can't be shown to be dead: {error}");
            let data = serde_json::json!({ "code": Code::RunUnproven, "message": message });
            if let Err(error) = run.event(EventType::DIAGNOSTIC, &data).await {
                warn!(%error, "a diagnostic was not taken");
            }
        }
        let mut life = self.life.clone();
        loop {
            if let Life::Quiet(exit) = *life.borrow_and_update() {
                return exit;
            }
            if life.changed().await.is_err() {
                break;
            }
        }
        // The watching task ends with `self`, so it panicked: better to wait than to guess.
        std::future::pending().await
    }
}

async fn watch_over(
    mut process: Process,
    told: watch::Sender<Life>,
    prove_within: Duration,
    temporary: Option<TemporaryDirectory>,
) {
    let exit = match process.quiet().await {
        Ok(exit) => {
            remove(temporary).await;
            told.send_replace(Life::Quiet(Some(exit)));
            return;
        }
        Err(ProcessError::MonitorLost { exit }) => exit,
        Err(error) => {
            warn!(%error, "a command is out of sight");
            None
        }
    };
    let identity = process.identity().clone();
    drop(process);
    loop {
        let identity = identity.clone();
        let proof = tokio::task::spawn_blocking(move || prove_dead(&identity, prove_within));
        let reason = match proof.await {
            Ok(Proof::Dead) => {
                remove(temporary).await;
                told.send_replace(Life::Quiet(exit));
                return;
            }
            Ok(Proof::Unproven { reason }) => reason.to_string(),
            Err(error) => error.to_string(),
        };
        warn!(reason, "a command can't be shown to be dead");
        told.send_replace(Life::Unproven(reason));
        tokio::time::sleep(PROVE_AGAIN_AFTER).await;
    }
}

/// Before anybody is told that the command is over, as it is a part of it.
async fn remove(temporary: Option<TemporaryDirectory>) {
    if let Some(temporary) = temporary {
        // It may be large. That it could not be removed was told.
        let _ = tokio::task::spawn_blocking(move || drop(temporary)).await;
    }
}

fn broken(message: String) -> BackendError {
    BackendError::new(BackendErrorKind::Broken, message)
}
