//! The store in a state directory: one writer, and readers of a stopped store.
//!
//! - `address`: where the holder of the store serves
//! - `medium`: what a commit means on a file, the witness, and the recovery by copy
//! - `closed`: a stopped store held, not opened
//! - `read_only`: a stopped store read without changing a byte (I12)
//! - `shared_backend`: one storage under redb and the recovery
//!
//! Order of an opening for writing: directory, lock, leftovers, witness, ballast, the file (made aside
//! and put in place when there is none), redb's own recovery, the tails, the record of this
//! incarnation. Order of a commit: redb's commit and its one sync, `head`, then the answer (I1).

mod address;
mod closed;
mod medium;
mod read_only;
mod shared_backend;

#[cfg(test)]
mod tests;

use std::{fmt, fs::File, path::Path, sync::Arc, time::Duration};

use redb::{Database, StorageBackend};
use worker_runtime_core::{
    Digest, Incarnation, Position,
    sabotage::{self, Sabotage},
    store::{Batch, Loaded, Store, StoreError, StoreReader},
};

#[doc(hidden)]
pub use crate::fs::DirectorySynced;
pub use address::PublicAddress;
pub use closed::ClosedStore;
pub(crate) use read_only::open_stopped;
pub use read_only::{Held, ReadStore, Serving, StoreAccount, held, serving};

use crate::{
    OpenError, StoreOptions,
    engine::{CommitMode, Engine, caught, is_in_file},
    error::ENGINE_FILE,
    fs::{
        BALLAST_BYTES_DEFAULT, Ballast, HeadFile, HeadRead, StagedStore, StateDir, Suspect, Synced,
        WhenMissing, WriterLock,
    },
    storage::FileStorage,
    store::{PackedStore, Witnessed, create, open_for_writing},
};
use medium::FileMedium;
use shared_backend::SharedBackend;

/// What stands between redb and the file: a harness puts its faults here.
#[doc(hidden)]
pub type WrapBackend =
    Arc<dyn Fn(Arc<dyn StorageBackend>) -> Arc<dyn StorageBackend> + Send + Sync>;

/// How a store in a directory is opened for writing.
pub struct FileOptions {
    /// Limits, time and randomness.
    pub store: StoreOptions,
    /// Whether a store is made where there is none.
    pub create: bool,
    /// How long readers of the stopped store are waited for.
    pub lock_wait: Duration,
    /// The disk space that is kept back, so that a commit under way still fits when the disk fills.
    pub ballast_bytes: u64,
    /// For tests of faults.
    #[doc(hidden)]
    pub wrap_backend: Option<WrapBackend>,
    /// The same.
    #[doc(hidden)]
    pub directory_synced: Option<DirectorySynced>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            store: StoreOptions::file(),
            create: true,
            lock_wait: Duration::from_secs(5),
            ballast_bytes: BALLAST_BYTES_DEFAULT,
            wrap_backend: None,
            directory_synced: None,
        }
    }
}

impl fmt::Debug for FileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOptions")
            .field("store", &self.store)
            .field("create", &self.create)
            .field("lock_wait", &self.lock_wait)
            .field("ballast_bytes", &self.ballast_bytes)
            .finish_non_exhaustive()
    }
}

/// A store in a state directory, opened for writing.
pub struct FileStore {
    packed: PackedStore,
    address: PublicAddress,
}

impl FileStore {
    /// Opens the store of a directory, or makes it.
    ///
    /// ```
    /// use worker_runtime_core::store::Store;
    /// use worker_runtime_persist::{FileOptions, FileStore};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let mut store = FileStore::open(directory.path(), FileOptions::default())?;
    /// assert_eq!(store.load()?.incarnations.len(), 1);
    /// Box::new(store).close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`]; a store that could not be opened was not changed, but for redb's own recovery
    /// from a crash.
    ///
    /// # Durability
    /// When it returns, the record of this incarnation is durable.
    pub fn open(path: &Path, options: FileOptions) -> Result<Self, OpenError> {
        let FileOptions {
            mut store,
            create,
            lock_wait,
            ballast_bytes,
            wrap_backend,
            directory_synced,
        } = options;
        let missing = if create {
            WhenMissing::Create
        } else {
            WhenMissing::Refuse
        };
        let dir = StateDir::open_for_writing(path, missing)?;
        let lock = WriterLock::acquire(&dir, lock_wait)?;
        // Looked at again under the lock: another process may have made the store meanwhile.
        let dir = StateDir::open_for_writing(dir.path(), missing)?;
        let dir = dir.telling(Synced(directory_synced));
        dir.prepare(&lock)?;
        let witnessed = read_witness(&dir)?;
        let ballast = Ballast::open(&dir, &lock, ballast_bytes).map_err(io_error("ballast"))?;
        let ballast = Arc::new(ballast);
        // What was there is recovered also when the disk is full; only new work is refused then.
        let room = medium::make_room(&ballast, dir.has_store());
        let file = if dir.has_store() {
            if let Err(error) = room {
                tracing::warn!(%error, "the disk is full, and nothing of it is kept back");
            }
            let open = File::options().read(true).write(true).open(dir.store());
            open.map_err(io_error("the store's file"))?
        } else {
            room?;
            make_store(&dir, &lock, &ballast, &mut store)?
        };
        let cache_bytes = store.cache_bytes;
        let wrap: WrapBackend = wrap_backend.unwrap_or_else(|| Arc::new(|backend| backend));
        let storage = storage_of(file, &ballast, &wrap)?;
        let suspect = Suspect::of(&dir);
        let in_place = InPlace {
            dir: &dir,
            lock: &lock,
            ballast: &ballast,
            wrap: &wrap,
            suspect: &suspect,
        };
        let (storage, db) = in_place.open(storage, cache_bytes)?;
        let engine = Engine::new(db);
        let head = HeadFile::open(&dir, &lock).map_err(io_error("head"))?;
        let address = PublicAddress::of(&lock);
        let medium = FileMedium {
            dir,
            lock: Some(lock),
            head,
            ballast,
            suspect,
            storage,
            wrap,
            cache_bytes,
        };
        let packed = open_for_writing(engine, Box::new(medium), witnessed, store)?;
        Ok(Self { packed, address })
    }

    #[cfg(test)]
    pub(crate) fn packed(&self) -> &PackedStore {
        &self.packed
    }

    /// Which opening of the store this is.
    pub fn incarnation(&self) -> Incarnation {
        self.packed.incarnation()
    }

    /// What tells other processes where this one serves.
    pub fn public_address(&self) -> PublicAddress {
        self.address.clone()
    }

    /// Keeps retention from trimming anything at or after `from`, also over a restart, until
    /// [`unpin`](Self::unpin).
    ///
    /// # Errors
    /// As [`Store::commit`].
    ///
    /// # Durability
    /// Durable when it returns.
    pub fn pin(&mut self, from: Position) -> Result<u64, StoreError> {
        self.packed.pin(from)
    }

    /// Lets go of a pin.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn unpin(&mut self, id: u64) -> Result<(), StoreError> {
        self.packed.unpin(id)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").finish_non_exhaustive()
    }
}

impl Store for FileStore {
    fn reader(&self) -> Arc<dyn StoreReader> {
        self.packed.reader()
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.packed.load()
    }

    fn has_room(&mut self) -> Result<(), StoreError> {
        self.packed.has_room()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.packed.commit(batch)
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        self.packed.recover()
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        self.packed.idle()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.packed).close()
    }
}

/// What an opening has, before the engine opens the file.
struct InPlace<'a> {
    dir: &'a StateDir,
    lock: &'a WriterLock,
    ballast: &'a Arc<Ballast>,
    wrap: &'a WrapBackend,
    suspect: &'a Suspect,
}

impl InPlace<'_> {
    /// Opens the file in its place, or a copy that takes its place when a change of it failed before
    /// its last process ended.
    fn open(
        &self,
        storage: Arc<dyn StorageBackend>,
        cache_bytes: usize,
    ) -> Result<(Arc<dyn StorageBackend>, Database), OpenError> {
        let open = |storage: &Arc<dyn StorageBackend>| {
            let suspect = Some(self.suspect.clone());
            open_database(Arc::clone(storage), cache_bytes, suspect)
                .map_err(|error| OpenError::from(error).of_file(&self.dir.store()))
        };
        if !self.suspect.is_set() {
            let db = open(&storage)?;
            return Ok((storage, db));
        }
        tracing::warn!("a write of the store failed before its process ended; it is copied");
        let staged = StagedStore::copy_of(storage.as_ref(), self.dir, self.lock)?;
        let file = staged.file().map_err(io_error("the store's copy"))?;
        let copy = storage_of(file, self.ballast, self.wrap)?;
        let db = open(&copy)?;
        staged.install(self.dir)?;
        self.suspect.clear();
        Ok((copy, db))
    }
}

/// A store is made aside and put in its place whole.
fn make_store(
    dir: &StateDir,
    lock: &WriterLock,
    ballast: &Arc<Ballast>,
    options: &mut StoreOptions,
) -> Result<File, OpenError> {
    let staged = StagedStore::empty(dir, lock)?;
    let file = staged.file().map_err(io_error("a new store"))?;
    let plain: WrapBackend = Arc::new(|backend| backend);
    let storage = storage_of(file, ballast, &plain)?;
    let engine = Engine::new(open_database(storage, options.cache_bytes, None)?);
    create(&engine, CommitMode::Durable, options)?;
    drop(engine);
    Ok(staged.install(dir)?)
}

fn storage_of(
    file: File,
    ballast: &Arc<Ballast>,
    wrap: &WrapBackend,
) -> Result<Arc<dyn StorageBackend>, StoreError> {
    let storage = FileStorage::new(file, Some(Arc::clone(ballast))).map_err(not_opened)?;
    Ok(wrap(Arc::new(storage)))
}

/// Has redb open what a storage holds. redb may panic on a damaged file.
fn open_database(
    storage: Arc<dyn StorageBackend>,
    cache_bytes: usize,
    suspect: Option<Suspect>,
) -> Result<Database, StoreError> {
    let open = || {
        Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(SharedBackend::new(storage, suspect))
    };
    caught(open)
        .map_err(|detail| StoreError::Damaged {
            table: ENGINE_FILE,
            detail,
        })?
        .map_err(not_opened)
}

fn not_opened(error: redb::DatabaseError) -> StoreError {
    let detail = error.to_string();
    let is_damaged = match &error {
        redb::DatabaseError::Storage(error) => is_in_file(error),
        redb::DatabaseError::RepairAborted => true,
        _ => false,
    };
    match is_damaged {
        true => StoreError::Damaged {
            table: ENGINE_FILE,
            detail,
        },
        false => StoreError::Read { detail },
    }
}

fn read_witness(dir: &StateDir) -> Result<Option<Witnessed>, OpenError> {
    match HeadFile::read(dir).map_err(io_error("head"))? {
        HeadRead::Valid(_) if sabotage::is(Sabotage::IgnoreHead) => Ok(None),
        HeadRead::Valid(witness) => Ok(Some(Witnessed {
            position: Position(witness.position),
            chain: Digest(witness.chain.to_be_bytes()),
            incarnation: witness.incarnation,
        })),
        HeadRead::Invalid(reason) => {
            tracing::debug!(?reason, "there is no witness");
            Ok(None)
        }
    }
}

fn io_error(what: &'static str) -> impl FnOnce(std::io::Error) -> OpenError {
    move |source| OpenError::Io {
        detail: format!("can't open {what}: {source}"),
    }
}
