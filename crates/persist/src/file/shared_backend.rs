//! One storage, held by redb and by the recovery that copies it when redb can't write any more. A
//! change that fails is marked at once, for whoever opens the file next (I1).

use std::{io, ops::Bound, sync::Arc};

use redb::{BackendError, StorageBackend};

use crate::fs::Suspect;

/// Forwards everything, the locks included.
#[derive(Debug)]
pub(super) struct SharedBackend {
    storage: Arc<dyn StorageBackend>,
    suspect: Option<Suspect>,
}

impl SharedBackend {
    /// Marks a failed change when `suspect` is given: the file that stands in its place.
    pub(super) fn new(storage: Arc<dyn StorageBackend>, suspect: Option<Suspect>) -> Self {
        Self { storage, suspect }
    }

    fn noted(&self, changed: io::Result<()>) -> io::Result<()> {
        if let (Err(_), Some(suspect)) = (&changed, &self.suspect) {
            suspect.set();
        }
        changed
    }
}

impl StorageBackend for SharedBackend {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noted(self.storage.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.noted(self.storage.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.noted(self.storage.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}
