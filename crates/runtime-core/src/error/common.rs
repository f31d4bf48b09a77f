//! Failures that every family of operations shares.

use crate::{Code, WorkerId, store::StoreError};

/// Why a command could not be carried out, whatever it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The commit failed so that nobody knows whether it is durable. Ask again with the same id.
    #[error(
        "the outcome is unknown: the store failed while it was being written; ask again with the same id"
    )]
    OutcomeUnknown,
    /// There is no room on the store's disk. Nothing was done.
    #[error("the store's disk is full; nothing was done, and reads go on")]
    StorageFull,
    /// The Runtime was closed.
    #[error("the Runtime is closed")]
    Closed,
    /// A user stopped the Runtime.
    #[error("the Runtime is stopped; start it first")]
    Stopped,
    /// The store could not be read.
    #[error("the store can't be read: {detail}")]
    Store {
        /// What failed.
        detail: String,
    },
    /// A contradiction inside.
    #[error("a bug: {invariant}")]
    Bug {
        /// What does not hold.
        invariant: String,
    },
}

impl Unavailable {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::OutcomeUnknown => Code::OutcomeUnknown,
            Self::StorageFull => Code::StorageFull,
            Self::Closed => Code::RuntimeClosed,
            Self::Stopped => Code::RuntimeStopped,
            Self::Store { .. } => Code::StateIo,
            Self::Bug { .. } => Code::Bug,
        }
    }
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Self::StorageFull,
            StoreError::OutcomeUnknown { .. } => Self::OutcomeUnknown,
            StoreError::Bug { invariant } => Self::Bug { invariant },
            other => Self::Store {
                detail: other.to_string(),
            },
        }
    }
}

/// Which Worker a call means, and why there is none that it can be about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// No Worker has this id.
    #[error("there is no Worker {0}")]
    Unknown(WorkerId),
    /// It was deleted.
    #[error("Worker {0} was deleted")]
    Deleted(WorkerId),
    /// Its record is damaged; its events stay readable.
    #[error("the record of Worker {worker_id} is damaged: {detail}")]
    Damaged {
        /// Which.
        worker_id: WorkerId,
        /// What is wrong.
        detail: String,
    },
    /// It is not any more as it was seen, and the change was asked for only while it is.
    #[error("Worker {0} has changed since it was seen")]
    Changed(WorkerId),
}

impl WorkerError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Code::WorkerUnknown,
            Self::Deleted(_) => Code::WorkerDeleted,
            Self::Damaged { .. } => Code::WorkerDamaged,
            Self::Changed(_) => Code::WorkerChanged,
        }
    }
}

/// A field that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldInvalid {
    /// Which.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}
