//! Why a store can't be opened, each with its code. Paths are in here: such an error is for the
//! operator, never for a client (I11).

use std::path::PathBuf;

use worker_runtime_core::{Code, store::StoreError};

/// A store that can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store, and none was to be made.
    #[error("{detail}")]
    Missing {
        /// The state directory.
        path: PathBuf,
        /// What there is instead, and where.
        detail: String,
    },
    /// Another process has it.
    #[error("{detail}")]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// The process that holds it, when it named itself.
        pid: Option<u32>,
        /// Where that process serves, when it does.
        address: Option<String>,
        /// Who holds it, in words, and where.
        detail: String,
    },
    /// The directory can't be written.
    #[error("{detail}")]
    Denied {
        /// The state directory.
        path: PathBuf,
        /// What the system said, and of which path.
        detail: String,
    },
    /// The directory is something else's.
    #[error("{detail}")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What is in the way, and where.
        detail: String,
    },
    /// The store's file is gone, or is no store file any more.
    #[error("{detail}")]
    Damaged {
        /// The state directory.
        path: PathBuf,
        /// What is wrong, and with which file.
        detail: String,
    },
    /// The system refused something.
    #[error("{detail}")]
    Io {
        /// What, and where.
        detail: String,
    },
    /// It was written by a newer version of this program; no record was changed.
    #[error("the store has format {found}, and this program knows formats up to {known}")]
    Newer {
        /// The format it has.
        found: u32,
        /// The newest format that is known.
        known: u32,
    },
    /// It can't be read or written, or it is damaged where nothing can be isolated.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What stands for the table when the file as a whole can't be read.
#[cfg(feature = "fs-store")]
pub(crate) const ENGINE_FILE: &str = "file";

impl OpenError {
    /// The code of the error, whose page tells what to do.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::StateMissing,
            Self::Locked { .. } => Code::StateLocked,
            Self::Denied { .. } => Code::StateDenied,
            Self::Foreign { .. } => Code::StateForeign,
            Self::Damaged { .. } => Code::StateDamaged,
            Self::Io { .. } => Code::StateIo,
            Self::Newer { .. } => Code::StateNewer,
            Self::Store(error) => match error {
                StoreError::Full { .. } => Code::StorageFull,
                StoreError::Damaged { .. } => Code::StateDamaged,
                StoreError::OutcomeUnknown { .. } => Code::OutcomeUnknown,
                StoreError::Bug { .. } => Code::Bug,
                _ => Code::StateIo,
            },
        }
    }

    /// The same for a caller that reopens a store it had open, and may tell clients of it: no path.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            other => {
                tracing::error!(error = %other, "the store could not be opened again");
                StoreError::Read {
                    detail: format!("it could not be opened again: {}", other.code()),
                }
            }
        }
    }

    /// The engine's refusal of the file itself, as the operator of this directory should read it.
    #[cfg(feature = "fs-store")]
    pub(crate) fn of_file(self, store: &std::path::Path) -> Self {
        match self {
            Self::Store(StoreError::Damaged { table, detail }) if table == ENGINE_FILE => {
                tracing::error!(detail, path = %store.display(), "the engine refused the store's file");
                Self::Damaged {
                    path: store.to_owned(),
                    detail: format!("{} is truncated or damaged", store.display()),
                }
            }
            other => other,
        }
    }
}

#[cfg(feature = "fs-store")]
mod of_files {
    use super::OpenError;
    use crate::fs::{DirError, LockError, ReplaceError};

    impl From<DirError> for OpenError {
        fn from(error: DirError) -> Self {
            let detail = error.to_string();
            match error {
                DirError::Missing { path } | DirError::NoStore { path } => {
                    Self::Missing { path, detail }
                }
                DirError::NotADirectory { path } | DirError::Foreign { path, .. } => {
                    Self::Foreign { path, detail }
                }
                DirError::NotWritable { path, .. } => Self::Denied { path, detail },
                DirError::StoreLost { path } | DirError::NotAStoreFile { path, .. } => {
                    Self::Damaged { path, detail }
                }
                DirError::Io { path, source, .. } => match source.kind() {
                    std::io::ErrorKind::PermissionDenied => Self::Denied { path, detail },
                    _ => Self::Io { detail },
                },
            }
        }
    }

    impl From<LockError> for OpenError {
        fn from(error: LockError) -> Self {
            let detail = error.to_string();
            match error {
                LockError::Held { path, holder } => Self::Locked {
                    path,
                    pid: holder.pid(),
                    address: holder.address().map(str::to_owned),
                    detail,
                },
                LockError::Readers { path, .. } => Self::Locked {
                    path,
                    pid: None,
                    address: None,
                    detail,
                },
                LockError::Io { path, source, .. } => match source.kind() {
                    std::io::ErrorKind::PermissionDenied => Self::Denied { path, detail },
                    _ => Self::Io { detail },
                },
                LockError::RecordTooLong { .. } => Self::Io { detail },
            }
        }
    }

    impl From<ReplaceError> for OpenError {
        fn from(error: ReplaceError) -> Self {
            let ReplaceError { step, path, source } = error;
            Self::Io {
                detail: format!("can't {step} {}: {source}", path.display()),
            }
        }
    }
}
