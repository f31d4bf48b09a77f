//! Execution backends: what runs a Worker's input (a command, an ACP agent, an LLM).
//!
//! A [`BackendFactory`] is registered under a name with the Runtime. It makes one
//! [`ExecutionBackend`] per Worker, on demand. A backend talks back through the
//! [`RunSink`] of each run, never otherwise; its handles never reach an answer or an
//! event (I11).

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    ActionId, Fence, Generation, RunId, RunSink, TranscriptReader, WorkerId, input::Input,
    profile::ResolvedProfile, record::ProcessRecord, scope::RunScope, worker::WorkerSpecFields,
};

/// Why a backend, or a step of it, can't do what is asked. `message` goes to clients: it names no
/// absolute path and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct BackendError {
    /// What kind of failure.
    pub kind: BackendErrorKind,
    /// What happened, as a lower-case fragment.
    pub message: String,
}

impl BackendError {
    /// An error of this kind.
    pub fn new(kind: BackendErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// The kinds of failure of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackendErrorKind {
    /// The configuration is wrong.
    Config,
    /// The command or service can't be started.
    Start,
    /// Somebody has to log in first.
    NeedsAuth,
    /// It broke while it ran.
    Broken,
    /// It can't do this at all.
    Unsupported,
    /// It is to be kept to its scope by the system, which can't do that. Nothing was executed.
    Unconfined,
}

/// Why a Worker takes no input (I8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum IncapableReason {
    /// It was created without an execution backend.
    NoBackend,
    /// The Runtime has no backend of this name now.
    BackendMissing {
        /// The name.
        name: String,
    },
    /// The backend's provider can't be used.
    ProviderMissing {
        /// What is missing.
        detail: String,
    },
    /// Its profile is gone.
    ProfileMissing {
        /// The name.
        name: String,
    },
    /// A secret that the configuration names can't be resolved.
    SecretMissing {
        /// The secret's name, never its value.
        name: String,
    },
    /// It may not do what it is configured to do.
    AuthorityMissing {
        /// What is missing.
        detail: String,
    },
    /// Its record is damaged; its events stay readable.
    Damaged,
}

/// What a backend can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BackendCapabilities {
    /// Takes several inputs in one conversation.
    pub multi_turn: bool,
    /// Can take a conversation up again after a restart.
    pub resume: bool,
    /// Asks for actions.
    pub actions: bool,
    /// Counts tokens.
    pub usage: bool,
    /// Takes pictures.
    pub images: bool,
}

/// Gives secrets by name; they are never stored, logged or sent.
pub trait SecretResolver: Send + Sync {
    /// The secret of this name, if there is one.
    fn resolve(&self, name: &str) -> Option<String>;
}

/// Knows no secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

impl SecretResolver for NoSecrets {
    fn resolve(&self, _name: &str) -> Option<String> {
        None
    }
}

/// What a backend is started with.
#[derive(Clone)]
pub struct StartWorker {
    /// For whom.
    pub worker_id: WorkerId,
    /// What the Worker is for.
    pub spec: Arc<WorkerSpecFields>,
    /// What it is told to be.
    pub profile: Arc<ResolvedProfile>,
    /// The backend's configuration, as its factory resolved it.
    pub config: Arc<serde_json::Value>,
    /// The absolute path of its workspace, when it has one.
    pub working_directory: Option<PathBuf>,
    /// Gives secrets by name.
    pub secrets: Arc<dyn SecretResolver>,
}

/// A backend that took up, or did not take up, an earlier conversation.
pub enum Restored {
    /// It goes on where it was. What it replays is not appended again.
    Restored(Box<dyn ExecutionBackend>),
    /// It runs, but what was said before is lost to it.
    ContextLost(Box<dyn ExecutionBackend>),
    /// It can't; start anew.
    Unsupported,
}

/// One input to run.
pub struct RunRequest {
    /// Which run.
    pub run_id: RunId,
    /// Fences late messages.
    pub generation: Generation,
    /// The fence to show for the Worker's scope, when it holds one.
    pub fence: Option<Fence>,
    /// What it may touch, when its Worker holds something. With a long-lived backend it may be another
    /// scope in each run.
    pub scope: Option<RunScope>,
    /// What to run.
    pub input: Arc<Input>,
    /// The longest that it may take, from now, in milliseconds; the Runtime cancels it then.
    pub time_ms: Option<u64>,
    /// The committed transcript up to this input.
    pub transcript: TranscriptReader,
}

/// What a backend says to an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It runs; the end comes through the sink.
    Accepted,
    /// It runs another one. The run ends as failed: the Runtime runs one at a time.
    Busy,
    /// It won't run this one.
    Rejected(BackendError),
    /// It tried and failed.
    Errored(BackendError),
    /// It can't run this kind of input.
    Unsupported(BackendError),
}

/// How far a cancel came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Everything that ran is quiet.
    Confirmed,
    /// It did not stop when asked and was killed; everything is quiet.
    Escalated,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionAnswer {
    /// Somebody chose this option.
    Chosen(String),
    /// Nobody did before its deadline.
    Lapsed,
}

/// Whether the processes of an earlier run are dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// None of them runs.
    Dead,
    /// It can't be shown: the run keeps its scope until an operator frees it.
    Unproven {
        /// Why, for a diagnostic.
        reason: String,
    },
}

/// Makes backends of one kind.
#[async_trait]
pub trait BackendFactory: Send + Sync + 'static {
    /// The name under which Workers choose it.
    fn name(&self) -> &str;

    /// Checks a configuration and fills in what it leaves out; the result is kept with the Worker.
    /// Without it every configuration is taken as it is.
    ///
    /// # Errors
    /// [`BackendErrorKind::Config`] naming the field.
    fn resolve(&self, config: &serde_json::Value) -> Result<serde_json::Value, BackendError> {
        Ok(config.clone())
    }

    /// Whether a Worker of this configuration could take input now; cheap, asked for every view.
    ///
    /// # Errors
    /// The reason why it can't.
    fn input_capable(&self, config: &serde_json::Value) -> Result<(), IncapableReason> {
        let _ = config;
        Ok(())
    }

    /// What its backends can do; nothing beyond one input at a time unless it says so.
    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities::default()
    }

    /// Starts a backend for a Worker. The future may be dropped before it is done, when the run is
    /// cancelled meanwhile: then nothing of it may be left running.
    ///
    /// # Errors
    /// When it can't be started; the waiting input fails with this error.
    async fn start(&self, start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError>;

    /// Takes up the conversation that `resume` names.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    async fn restore(&self, start: StartWorker, resume: &[u8]) -> Result<Restored, BackendError> {
        let _ = (start, resume);
        Ok(Restored::Unsupported)
    }

    /// Shows that a process of an earlier incarnation is dead, and kills it and all that it
    /// started when it isn't. Blocking; called before anything is served.
    fn prove_dead(&self, process: &ProcessRecord) -> Proof {
        Proof::Unproven {
            reason: format!(
                "backend {:?} can't look after {}",
                self.name(),
                process.label
            ),
        }
    }
}

/// The running backend of one Worker. Calls may overlap: a cancel comes while a submit runs.
#[async_trait]
pub trait ExecutionBackend: Send + Sync + 'static {
    /// Runs an input. Returns when the backend has taken or refused it, not when it is done.
    async fn submit(&self, run: RunRequest, sink: RunSink) -> Submitted;

    /// Gives the answer to an action that the run asked for; it is durable already. Only a
    /// backend that asks for actions needs it.
    ///
    /// # Errors
    /// When the backend can't take it; the run goes on or ends as the backend decides.
    async fn respond(
        &self,
        run_id: RunId,
        action_id: ActionId,
        answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        let _ = (run_id, answer);
        let message = format!("it asked for no action {action_id}");
        Err(BackendError::new(BackendErrorKind::Unsupported, message))
    }

    /// Ends a run. Returns when everything that ran for it is quiet, by force if need be. Called
    /// again every second while it fails. Called too for a run that the backend has not taken, or let
    /// go of without an end: of one that it doesn't know, all is quiet. When [`submit`](Self::submit) takes longer than ten
    /// seconds, this may come before it has returned; it must then start nothing any more.
    ///
    /// # Errors
    /// When that can't be shown; the Worker then keeps its scope.
    async fn cancel(&self, run_id: RunId) -> Result<Cancelled, BackendError>;

    /// Ends the backend and everything it runs. Returns when all is quiet.
    ///
    /// # Errors
    /// When that can't be shown.
    async fn stop(&self) -> Result<(), BackendError>;
}
