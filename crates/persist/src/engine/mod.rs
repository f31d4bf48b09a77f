//! The edge to redb: every call of the engine happens below [`Engine::read`] or [`Engine::write`].
//!
//! redb can panic on a damaged file. The panic is held here; the database is then forgotten, never
//! dropped, because a second panic in a drop would end the process. What follows is told as an error
//! of the store until it is reopened (I7).

mod caught;
mod read;
mod rows;
mod write;

use std::mem::ManuallyDrop;

#[cfg(feature = "fs-store")]
use redb::DatabaseError;
use redb::{Database, Durability, ReadableDatabase, StorageError};
use worker_runtime_core::{
    sabotage::{self, Sabotage},
    store::StoreError,
};

pub(crate) use caught::caught;
pub use caught::holds_panics;
pub(crate) use read::Reading;
pub(crate) use rows::{EachRow, End, Rows};
pub(crate) use write::Writing;

#[cfg(feature = "fs-store")]
use crate::error::ENGINE_FILE;
use crate::{
    layout::{SUM_COUNT, Table, meta::TableSum},
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

/// The open database, shared by the writer and all readers.
#[derive(Debug)]
pub(crate) struct Engine {
    /// `None` after a close, a panic, or while it is replaced.
    db: RwLock<Option<Database>>,
}

impl Engine {
    pub(crate) fn new(db: Database) -> Self {
        Self {
            db: RwLock::new(Some(db)),
        }
    }

    fn lock(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the database away, after every read has ended.
    pub(crate) fn take(&self) -> Option<Database> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        db.take()
    }

    /// Puts a reopened database in the place of this one, between two reads.
    #[cfg(feature = "fs-store")]
    pub(crate) fn replace(&self, new: Database) -> Option<Database> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        db.replace(new)
    }

    /// Closes the database. redb writes as it closes, and can panic on a damaged file: the file is then
    /// as a crash would leave it.
    pub(crate) fn close(&self) {
        let Some(db) = self.take() else { return };
        if std::thread::panicking() {
            std::mem::forget(db);
        } else {
            let _ = caught(|| drop(db));
        }
    }

    /// Lets go of a database that failed: dropping it would have it write again.
    pub(crate) fn forget(&self) {
        if let Some(db) = self.take() {
            std::mem::forget(db);
        }
    }

    /// Whether it can be asked.
    #[cfg(feature = "fs-store")]
    pub(crate) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Has redb check the file, and gives whether it found nothing to mend. It mends what it finds, so
    /// this is for a file whose writes go nowhere. The database is closed by it.
    #[cfg(feature = "fs-store")]
    pub(crate) fn check_integrity(&self) -> Result<bool, StoreError> {
        let Some(mut db) = self.take().map(ManuallyDrop::new) else {
            return Err(StoreError::Read {
                detail: "the store is closed".to_owned(),
            });
        };
        let damaged = |detail| StoreError::Damaged {
            table: ENGINE_FILE,
            detail,
        };
        // After a panic it is forgotten.
        let checked = caught(|| db.check_integrity()).map_err(damaged)?;
        let _ = caught(|| drop(ManuallyDrop::into_inner(db)));
        checked.map_err(|error| match error {
            DatabaseError::Storage(error) if is_in_file(&error) => damaged(error.to_string()),
            other => StoreError::Read {
                detail: other.to_string(),
            },
        })
    }

    /// One short read transaction.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&mut Reading) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let guard = self.lock();
        let Some(db) = guard.as_ref() else {
            return Err(StoreError::Read {
                detail: "the store is closed or waits for its recovery".to_owned(),
            });
        };
        let result = caught(|| {
            if sabotage::is(Sabotage::HoldReadTransaction) {
                std::mem::forget(db.begin_read());
            }
            let transaction = db.begin_read().map_err(|error| StoreError::Read {
                detail: error.to_string(),
            })?;
            // While a panic unwinds, nothing of the engine may run in a drop.
            let mut reading = ManuallyDrop::new(Reading::new(transaction));
            let result = read(&mut reading);
            drop(ManuallyDrop::into_inner(reading));
            result
        });
        drop(guard);
        result.unwrap_or_else(|detail| {
            self.forget();
            Err(StoreError::Read { detail })
        })
    }

    /// One write transaction. It commits when `write` succeeds and is undone when it fails.
    ///
    /// `write` gives back its result and whether the allocator state is to be saved as well.
    pub(crate) fn write<T>(
        &self,
        mode: CommitMode,
        sums: &[TableSum; SUM_COUNT],
        write: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let guard = self.lock();
        let Some(db) = guard.as_ref() else {
            return Err(StoreError::OutcomeUnknown {
                detail: "the store waits for its recovery".to_owned(),
            });
        };
        let result = caught(|| {
            let transaction = db.begin_write().map_err(|error| unknown(&error))?;
            let mut transaction = ManuallyDrop::new(transaction);
            transaction
                .set_durability(mode.durability())
                .map_err(|error| unknown(&error))?;
            transaction.set_quick_repair(mode == CommitMode::QuickRepair);
            let mut writing = ManuallyDrop::new(Writing::new(&transaction, *sums));
            let result = write(&mut writing);
            drop(ManuallyDrop::into_inner(writing));
            let transaction = ManuallyDrop::into_inner(transaction);
            let result = result?;
            transaction.commit().map_err(|error| unknown(&error))?;
            Ok(result)
        });
        drop(guard);
        result.unwrap_or_else(|detail| {
            self.forget();
            Err(StoreError::OutcomeUnknown { detail })
        })
    }
}

impl Drop for Engine {
    /// An opening that failed half way lets go of what it opened, too.
    fn drop(&mut self) {
        self.close();
    }
}

/// How a transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitMode {
    /// In memory: committed is all it can be.
    #[cfg(any(test, feature = "memory-store"))]
    Memory,
    /// Synced when it returns.
    Durable,
    /// The same with two phases and the allocator's state: after it an open needs no repair. Only
    /// for empty transactions.
    QuickRepair,
}

impl CommitMode {
    fn durability(self) -> Durability {
        match self {
            #[cfg(any(test, feature = "memory-store"))]
            Self::Memory => Durability::None,
            Self::Durable if sabotage::is(Sabotage::SkipSync) => Durability::None,
            Self::Durable | Self::QuickRepair => Durability::Immediate,
        }
    }
}

/// An error of the engine inside a write: it latches failures, so what is durable is unknown.
fn unknown(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::OutcomeUnknown {
        detail: error.to_string(),
    }
}

/// Whether an error of the engine tells of the file and not of the system: a page that should be where
/// the file has ended is damage too.
pub(crate) fn is_in_file(error: &StorageError) -> bool {
    match error {
        StorageError::Corrupted(_) => true,
        StorageError::Io(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

/// An error of the engine inside a read.
fn unread(table: Table, error: StorageError) -> StoreError {
    match error {
        error @ StorageError::Io(_) if is_in_file(&error) => StoreError::Damaged {
            table: table.name,
            detail: error.to_string(),
        },
        StorageError::Corrupted(detail) => StoreError::Damaged {
            table: table.name,
            detail,
        },
        other => StoreError::Read {
            detail: other.to_string(),
        },
    }
}

/// An error of the engine at one table inside a write.
fn unwritten(table: Table, error: StorageError) -> StoreError {
    match error {
        StorageError::Corrupted(detail) => StoreError::Damaged {
            table: table.name,
            detail,
        },
        other => unknown(&other),
    }
}
