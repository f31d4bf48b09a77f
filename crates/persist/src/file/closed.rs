//! A store that nobody runs, held without being opened: for what lies beside it in its directory.

use std::path::Path;
use std::time::Duration;

use crate::{
    OpenError,
    fs::{StateDir, WhenMissing, WriterLock},
};

/// The right to change what lies beside a store, such as the access tokens: while it is held nobody
/// opens the store, and it ends with this value. The store's own files are not touched.
#[derive(Debug)]
pub struct ClosedStore {
    _lock: WriterLock,
}

impl ClosedStore {
    /// Holds the store of a directory; readers are waited for so long.
    ///
    /// # Errors
    /// [`OpenError`]: among others when there is no store, or a process has it open.
    pub fn hold(path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let dir = StateDir::open_for_writing(path, WhenMissing::Refuse)?;
        let lock = WriterLock::acquire(&dir, wait)?;
        Ok(Self { _lock: lock })
    }
}
