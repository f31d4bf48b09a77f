//! Why a store can't be opened.

use worker_runtime_core::store::StoreError;

/// A store that can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It was written by a newer version of this program; nothing was changed.
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
