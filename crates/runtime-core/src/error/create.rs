//! Why no Worker was made.

use super::{FieldInvalid, ScopeRefusal, SubmitError, Unavailable, WorkerError};
use crate::{
    Code, ScopeError, WorkerId,
    backend::{BackendError, IncapableReason},
    profile::ProfileUnknown,
};

/// Why no Worker was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The id is taken by a Worker that was asked for differently.
    #[error(
        "Worker {0} exists already and was asked for differently; use another id, or the first request again"
    )]
    Exists(WorkerId),
    /// The id belonged to a Worker that was deleted; an id is never used again.
    #[error("Worker {0} was deleted, and an id is never used again")]
    Deleted(WorkerId),
    /// The record under this id is damaged.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// There are as many Workers as the Runtime takes.
    #[error("there are {workers_max} Workers already, which is the limit")]
    Limit {
        /// The limit.
        workers_max: usize,
    },
    /// A task without an objective, a role without a name.
    #[error("{field} is empty; say what the Worker is for")]
    ObjectiveEmpty {
        /// `objective` or `role`.
        field: &'static str,
    },
    /// A field can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// No profile has this name.
    #[error(transparent)]
    Profile(#[from] ProfileUnknown),
    /// A bundle was named, and this Runtime has none.
    #[error("there is no bundle {id:?}")]
    BundleUnknown {
        /// The bundle's name.
        id: String,
    },
    /// No execution backend has this name.
    #[error("there is no execution backend {name:?}; there are: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    BackendUnknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The backend does not take this configuration.
    #[error("execution backend {name:?} does not take this configuration: {error}")]
    BackendConfig {
        /// Which backend.
        name: String,
        /// What is wrong.
        error: BackendError,
    },
    /// The parent is no Worker that is active here.
    #[error("parent {0} is no active Worker here")]
    ParentUnknown(WorkerId),
    /// The scope can't be taken.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// Somebody holds part of the scope, or its parent may not hand it on.
    #[error(transparent)]
    ScopeRefused(#[from] ScopeRefusal),
    /// Nothing could run the initial input, so no Worker was made (I8).
    #[error(
        "initial input: the Worker could not execute it: {}",
        super::describe_incapable(reason)
    )]
    Incapable {
        /// Why.
        reason: IncapableReason,
    },
    /// The initial input was refused, so no Worker was made.
    #[error("initial input: {0}")]
    Input(#[from] SubmitError),
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl CreateError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Exists(_) => Code::WorkerExists,
            Self::Deleted(_) => Code::WorkerDeleted,
            Self::Worker(error) => error.code(),
            Self::Limit { .. } => Code::WorkerLimit,
            Self::ObjectiveEmpty { .. } => Code::ObjectiveEmpty,
            Self::Field(_) => Code::FieldInvalid,
            Self::Profile(_) => Code::ProfileUnknown,
            Self::BundleUnknown { .. } => Code::BundleUnknown,
            Self::BackendUnknown { .. } => Code::BackendUnknown,
            Self::BackendConfig { .. } => Code::BackendConfig,
            Self::ParentUnknown(_) => Code::ParentUnknown,
            Self::Scope(_) => Code::ScopeInvalid,
            Self::ScopeRefused(refusal) => refusal.code(),
            Self::Incapable { .. } => Code::InputIncapable,
            Self::Input(error) => error.code(),
            Self::Unavailable(error) => error.code(),
        }
    }
}
