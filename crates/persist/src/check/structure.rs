//! The engine's own account of its pages: every page's checksum, the tree of every table, and which pages
//! are in use. It is asked above the file, in memory.
//!
//! redb can panic on a damaged file, and a panic that it meets while it unwinds ends the process: so the
//! command asks in a process of its own.

use std::path::Path;

use worker_runtime_core::store::StoreError;

use crate::{
    OpenError,
    file::open_stopped,
    fs::{ReaderLock, StateDir},
};

/// What the engine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Structure {
    /// Every page is what it was written as.
    Whole,
    /// Something is not.
    Damaged(String),
    /// It could not be looked at, for a reason that is not in the file.
    Unread(String),
}

/// Has the engine check the structure of a stopped store's file.
///
/// # Errors
/// As [`check`](super::check).
pub fn check_structure(path: &Path) -> Result<Structure, OpenError> {
    let checked = StateDir::open_for_reading(path)
        .map_err(OpenError::from)
        .and_then(|dir| {
            let _lock = ReaderLock::acquire(&dir)?;
            Ok(open_stopped(&dir)?.check_integrity()?)
        });
    match checked {
        Ok(true) => Ok(Structure::Whole),
        Ok(false) => Ok(Structure::Damaged(
            "pages are not what they were written as, or are not accounted for".to_owned(),
        )),
        Err(
            OpenError::Damaged { detail, .. }
            | OpenError::Store(StoreError::Damaged { detail, .. }),
        ) => Ok(Structure::Damaged(detail)),
        Err(OpenError::Store(StoreError::Read { detail })) => Ok(Structure::Unread(detail)),
        Err(error) => Err(error),
    }
}
