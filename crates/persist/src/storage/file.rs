//! The file of a store that is written: positioned I/O, counted, and stopped by its first failure.
//!
//! **Stopped by its first failure** (I1). After a failed write or sync nobody knows what of the file
//! is on the disk, and a second sync would report success for pages that the first one lost. So the
//! first failure is passed on as it is, and every later write, change of length or sync is
//! refused with [`WritesStopped`] without touching the file. Reads go on: recovery copies
//! the file through a clone of this handle (`fs::replace`) and opens the copy. A write that finds
//! the disk full is not yet a failure: the ballast is given back first, and the write repeated.
//!
//! **Locks**: `fs::lock` is what keeps other Runtimes out. redb asks its backend for locks of its
//! own as well; these are forwarded to redb's `FileBackend` over the same open file, so that any
//! other program that opens `runtime.redb` with redb is refused too, also where `lock` is missing.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use worker_runtime_core::sabotage::{self, Sabotage};

use crate::fs::{Ballast, is_storage_full};

#[cfg(test)]
mod tests;

/// What was being done to the file when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Operation {
    #[error("a write")]
    Write,
    #[error("a change of length")]
    SetLength,
    #[error("a sync")]
    Sync,
}

/// The file is not written any more, because this failed before. Found inside the [`io::Error`] of
/// every later operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store file is not written any more: {operation} failed before: {message}")]
pub(crate) struct WritesStopped {
    pub(crate) operation: Operation,
    pub(crate) kind: io::ErrorKind,
    message: String,
}

/// How much was done to a file since it was opened.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileCounts {
    pub(crate) writes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) syncs: u64,
    /// Writes that were repeated because the disk was full.
    pub(crate) rescued_writes: u64,
}

/// A file under redb. Clones are handles of the same file: redb takes one, the store keeps one.
#[derive(Debug, Clone)]
pub(crate) struct FileStorage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    locks: FileBackend,
    ballast: Option<Arc<Ballast>>,
    failure: OnceLock<WritesStopped>,
    writes: AtomicU64,
    written_bytes: AtomicU64,
    syncs: AtomicU64,
    rescued_writes: AtomicU64,
}

impl FileStorage {
    /// Takes a file that is open for reading and writing.
    ///
    /// # Errors
    /// When its descriptor can't be duplicated for the locks.
    pub(crate) fn new(file: File, ballast: Option<Arc<Ballast>>) -> Result<Self, DatabaseError> {
        let locks = FileBackend::new(file.try_clone()?)?;
        Ok(Self(Arc::new(Inner {
            file,
            locks,
            ballast,
            failure: OnceLock::new(),
            writes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            rescued_writes: AtomicU64::new(0),
        })))
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> FileCounts {
        FileCounts {
            writes: self.0.writes.load(Ordering::Relaxed),
            written_bytes: self.0.written_bytes.load(Ordering::Relaxed),
            syncs: self.0.syncs.load(Ordering::Relaxed),
            rescued_writes: self.0.rescued_writes.load(Ordering::Relaxed),
        }
    }

    /// The failure that stopped the file, if one did.
    pub(crate) fn failure(&self) -> Option<&WritesStopped> {
        self.0.failure.get()
    }

    fn refuse_after_failure(&self) -> io::Result<()> {
        match self.failure() {
            Some(failure) => Err(io::Error::other(failure.clone())),
            None => Ok(()),
        }
    }

    fn stop(&self, operation: Operation, error: io::Error) -> io::Error {
        // Of two failures at the same time the first is kept; both callers get their own.
        let _ = self.0.failure.set(WritesStopped {
            operation,
            kind: error.kind(),
            message: error.to_string(),
        });
        error
    }

    /// Repeats an operation that met a full disk for as long as there is ballast to give back.
    fn with_room(
        &self,
        operation: Operation,
        attempt: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        self.refuse_after_failure()?;
        loop {
            match attempt(&self.0.file) {
                Ok(()) => return Ok(()),
                Err(error) if is_storage_full(&error) && self.give_back() => {
                    self.0.rescued_writes.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => return Err(self.stop(operation, error)),
            }
        }
    }

    fn give_back(&self) -> bool {
        let ballast = self.0.ballast.as_ref();
        ballast.is_some_and(|ballast| ballast.release_batch())
    }
}

impl StorageBackend for FileStorage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with_room(Operation::SetLength, |file| file.set_len(len))
    }

    /// # Durability
    /// `fdatasync`, which also makes a changed length durable. Tried once per file.
    fn sync_data(&self) -> io::Result<()> {
        self.refuse_after_failure()?;
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        if sabotage::is(Sabotage::SkipFileSync) {
            return Ok(());
        }
        self.0
            .file
            .sync_data()
            .map_err(|error| self.stop(Operation::Sync, error))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_room(Operation::Write, |file| file.write_all_at(data, offset))?;
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        self.0
            .written_bytes
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.0.locks.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let is_taken = self.0.locks.try_lock_range(start, end)?;
        Ok(is_taken || sabotage::is(Sabotage::StealLock))
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.locks.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.locks.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.locks.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.locks.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.locks.query_lock_range(start, end)
    }
}
