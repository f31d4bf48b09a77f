//! Why a read gave nothing, and why there is no Runtime to read.

use super::{Unavailable, WorkerError};
use crate::{Code, CursorError, CursorMalformed, IdError, store::StoreError};

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The cursor can't be followed.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The text is no cursor.
    #[error(transparent)]
    Malformed(#[from] CursorMalformed),
    /// The text is no id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Whatever was asked for could not be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl ReadError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::Cursor(CursorError::Expired { .. }) => Code::CursorExpired,
            Self::Cursor(CursorError::Ahead { .. }) => Code::CursorAhead,
            Self::Cursor(CursorError::Foreign { .. }) => Code::CursorForeign,
            Self::Cursor(CursorError::Forked { .. }) => Code::CursorForked,
            Self::Malformed(_) => Code::CursorMalformed,
            Self::Id(_) => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Why a Runtime could not be opened over its store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Two execution backends have one name.
    #[error("two execution backends are called {name:?}")]
    BackendTwice {
        /// The name.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer's thread can't be started.
    #[error("the writer's thread can't be started: {0}")]
    Thread(std::io::Error),
    /// What recovery found could not be recorded.
    #[error("recovery could not be recorded: {0}")]
    Recovery(#[from] Unavailable),
}
