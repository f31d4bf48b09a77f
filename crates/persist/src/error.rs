//! Why a store can't be opened, each with its code. Paths are in here: such an error is for the
//! operator, never for a client (I11).

use std::path::PathBuf;

use worker_runtime_core::{Code, store::StoreError};

/// A store that can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store, and none was to be made.
    #[error("there is no store in {}: {detail}", .path.display())]
    Missing {
        /// The state directory.
        path: PathBuf,
        /// What there is instead.
        detail: String,
    },
    /// Another process has it.
    #[error("the store in {} is in use: {detail}", .path.display())]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// The process that holds it, when it named itself.
        pid: Option<u32>,
        /// Where that process serves, when it does.
        address: Option<String>,
        /// Who holds it, in words.
        detail: String,
    },
    /// The directory can't be written.
    #[error("the state directory {} can't be used: {detail}", .path.display())]
    Denied {
        /// The state directory.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The directory is something else's.
    #[error("{} is not a state directory: {detail}", .path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What is in the way.
        detail: String,
    },
    /// The store's file is gone, or is no store file any more.
    #[error("the store in {} is lost or damaged: {detail}", .path.display())]
    Damaged {
        /// The state directory.
        path: PathBuf,
        /// What is wrong.
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

    /// The same for a caller that reopens a store it had open.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            other => StoreError::Read {
                detail: other.to_string(),
            },
        }
    }
}

#[cfg(feature = "fs-store")]
mod of_files {
    use super::OpenError;
    use crate::fs::{DirError, Holder, LockError, ReplaceError};

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
                LockError::Held { path, holder } => {
                    let record = match holder {
                        Holder::Named { record, .. } => Some(record),
                        Holder::Unknown => None,
                    };
                    Self::Locked {
                        path,
                        pid: record.as_ref().map(|record| record.process.pid),
                        address: record.and_then(|record| record.address),
                        detail,
                    }
                }
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
            Self::Io {
                detail: error.to_string(),
            }
        }
    }
}
