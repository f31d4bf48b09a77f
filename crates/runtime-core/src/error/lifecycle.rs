//! Why a Worker's life, a run, an action or the Runtime itself was not changed.

use super::{FieldInvalid, ScopeRefusal, Unavailable, WorkerError};
use crate::{ActionId, Code, RunId, WorkerId};

/// Why a Worker's life was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Only an active Worker can be paused, resumed, stopped or cancelled.
    #[error("Worker {worker_id} is {state}, so it can't be {wanted}")]
    WrongState {
        /// Which.
        worker_id: WorkerId,
        /// What it is.
        state: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// Only an ended Worker can be archived, restored or deleted.
    #[error("Worker {worker_id} is {state}; stop it first, then it can be {wanted}")]
    NotEnded {
        /// Which.
        worker_id: WorkerId,
        /// What it is.
        state: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The scope that it held is held by others now, or its parent may not hand it on any more.
    #[error(transparent)]
    ScopeRefused(#[from] ScopeRefusal),
    /// A field can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl LifecycleError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::WrongState { .. } => Code::WorkerNotActive,
            Self::NotEnded { .. } => Code::WorkerNotEnded,
            Self::ScopeRefused(refusal) => refusal.code(),
            Self::Field(_) => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Why a run or an action was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The Worker does not run this run now.
    #[error("Worker {worker_id} does not run {run_id} now")]
    Unknown {
        /// Which Worker.
        worker_id: WorkerId,
        /// Which run.
        run_id: RunId,
    },
    /// The run waits for no such action.
    #[error("run {run_id} waits for no action {action_id:?}", action_id = action_id.as_str())]
    ActionUnknown {
        /// Which run.
        run_id: RunId,
        /// Which action.
        action_id: ActionId,
    },
    /// The action does not offer this.
    #[error("action {action_id:?} does not offer {option:?}; it offers: {}", options.join(", "), action_id = action_id.as_str())]
    ActionOption {
        /// Which action.
        action_id: ActionId,
        /// What was chosen.
        option: String,
        /// What can be.
        options: Vec<String>,
    },
    /// A field can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl RunError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::Unknown { .. } => Code::RunUnknown,
            Self::ActionUnknown { .. } => Code::ActionUnknown,
            Self::ActionOption { .. } => Code::ActionOption,
            Self::Field(_) => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Why the Runtime itself was not stopped or drained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// A field can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl ManageError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Field(_) => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}
