//! The Runtime's handle: cheap to clone, and the way to the five planes.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    Allocations, Catalog, Interaction, Management, Observation,
    command::{Command, Reply},
    shared::Shared,
};
use crate::{
    Clock, Entropy, Mounts, SystemClock, SystemEntropy,
    backend::{BackendFactory, NoSecrets, SecretResolver},
    error::{OpenError, Unavailable},
    limits::Limits,
    operation::Attribution,
    profile::NamedProfiles,
    state::Dispatch,
    store::Store,
    sync::{self, Mutex, PoisonError, thread::JoinHandle},
};

/// What a Runtime is opened with, beside its store.
pub struct RuntimeOptions {
    /// What runs inputs, by name.
    pub backends: Vec<Arc<dyn BackendFactory>>,
    /// The operator's names for places.
    pub mounts: Mounts,
    /// Profiles that the operator configured.
    pub profiles: NamedProfiles,
    /// Gives backends their secrets.
    pub secrets: Arc<dyn SecretResolver>,
    /// What is taken and kept at most.
    pub limits: Limits,
    /// Which Workers' waiting inputs are dispatched.
    pub dispatch: Dispatch,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub entropy: Box<dyn Entropy>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            backends: Vec::new(),
            mounts: Mounts::default(),
            profiles: NamedProfiles::default(),
            secrets: Arc::new(NoSecrets),
            limits: Limits::default(),
            dispatch: Dispatch::All,
            clock: Arc::new(SystemClock::default()),
            entropy: Box::new(SystemEntropy),
        }
    }
}

/// The environment that Workers live in. Clones are the same Runtime.
///
/// [`close`](Self::close) it: that ends what runs and leaves a store that opens fast. When the last
/// handle is dropped instead, the store is closed and what ran is ended by the next opening.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
    /// Who asks, when somebody is named for what is changed.
    said: Option<Arc<Attribution>>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) mounts: Arc<Mounts>,
    pub(crate) profiles: NamedProfiles,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Mutex<Box<dyn Entropy>>,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
}

impl Runtime {
    /// Opens a Runtime over its store: proves the processes of earlier runs dead, gives those runs
    /// their outcome, then dispatches what waits.
    ///
    /// Needs a tokio runtime; backends run on it.
    ///
    /// # Errors
    /// [`OpenError`] when the store can't be read or what recovery found can't be recorded.
    pub async fn open(store: Box<dyn Store>, options: RuntimeOptions) -> Result<Self, OpenError> {
        super::open::open(store, options).await
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
            said: None,
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The same, asked by somebody.
    pub(super) fn attributed(&self, said: Attribution) -> Self {
        Self {
            inner: self.inner.clone(),
            said: Some(Arc::new(said)),
        }
    }

    /// The Runtime itself: status, diagnostics, stop and start.
    pub fn management(&self) -> Management {
        Management::new(self.clone())
    }

    /// Which Workers there are, and their lives.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.clone())
    }

    /// Input, actions, and the end of runs.
    pub fn interaction(&self) -> Interaction {
        Interaction::new(self.clone())
    }

    /// What Workers hold, by itself.
    pub fn allocations(&self) -> Allocations {
        Allocations::new(self.clone())
    }

    /// Status, events, transcripts; nothing here changes anything.
    pub fn observation(&self) -> Observation {
        Observation::new(self.inner.shared.clone())
    }

    /// Ends what runs, waits until it is quiet (30 seconds at most), and closes the store clean.
    /// Inputs that waited still wait; those that ran are `interrupted`.
    ///
    /// # Errors
    /// [`Unavailable`] when the store could not be closed clean; nothing acknowledged is lost. A
    /// second close answers [`Unavailable::Closed`].
    pub async fn close(&self) -> Result<(), Unavailable> {
        let result = self.ask(Command::Close).await;
        let thread = self
            .inner
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // It has answered as its last act, so this does not wait.
            let _ = sync::spawn_blocking(move || thread.join()).await;
        }
        result
    }

    /// Whether it has ended: it was closed, or ended by itself after a contradiction inside. A close that waits for
    /// what runs refuses commands already, and this is not so yet.
    pub fn is_closed(&self) -> bool {
        self.inner.commands.is_closed()
    }

    /// Waits until it [has ended](Self::is_closed), by whomever.
    pub async fn closed(&self) {
        self.inner.commands.closed().await;
    }

    /// Sends a command and waits for its answer, which comes after its commit.
    pub(crate) async fn ask<T, E: From<Unavailable>>(
        &self,
        command: impl FnOnce(Reply<T, E>) -> Command,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        let command = match &self.said {
            Some(said) => command(reply).operated_by(said),
            None => command(reply),
        };
        self.inner
            .commands
            .send(command)
            .await
            .map_err(|_| Unavailable::Closed)?;
        // Dropped without an answer: the writer stopped in the middle.
        answer.await.map_err(|_| Unavailable::OutcomeUnknown)?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A queue that is full is being worked off; the writer also ends when its channel does.
            let mut command = Command::Abandon;
            while let Err(mpsc::error::TrySendError::Full(back)) = self.commands.try_send(command) {
                command = back;
                sync::thread::yield_now();
            }
            let _ = thread.join();
        }
    }
}
