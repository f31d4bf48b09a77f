//! Where the holder of the lock serves, told to other processes. Held by whoever listens, while the
//! lock itself is the store's.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use super::{LockError, LockFile, LockRecord, rewrite};

/// The address in the lock's record. Once the lock is given back it changes nothing any more.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    // Weak: it must not keep the lock from being given back.
    file: Weak<LockFile>,
    path: PathBuf,
    record: Weak<Mutex<LockRecord>>,
}

impl Address {
    pub(super) fn new(file: &Arc<LockFile>, path: &Path, record: &Arc<Mutex<LockRecord>>) -> Self {
        Self {
            file: Arc::downgrade(file),
            path: path.to_owned(),
            record: Arc::downgrade(record),
        }
    }

    /// Tells where; to be called once somebody listens there.
    ///
    /// # Errors
    /// [`LockError::RecordTooLong`] and [`LockError::Io`]; others know what they knew before.
    pub(crate) fn publish(&self, address: &str) -> Result<(), LockError> {
        self.set(Some(address.to_owned()))
    }

    /// Takes it back; to be called while somebody still listens there.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub(crate) fn withdraw(&self) -> Result<(), LockError> {
        self.set(None)
    }

    fn set(&self, address: Option<String>) -> Result<(), LockError> {
        let (Some(file), Some(record)) = (self.file.upgrade(), self.record.upgrade()) else {
            return Ok(());
        };
        rewrite(&file, &self.path, &record, |record| {
            record.address = address;
        })
    }
}
