//! A stopped store, read without changing a byte or an mtime of it (I12): redb's own recovery and
//! ours happen in memory, above the file.
//!
//! A writer that was killed may have left a commit that is in the system's memory and not on the disk.
//! It would be read, and a power cut could take it back, so the file is synced before it is read (I1).
//! That changes nothing that can be seen. Where it fails nobody else is told of it by the system,
//! and the file gets the mark of a failed sync, by which the next writer copies it first; that mark is
//! all that a reading ever writes. What is read of a file with the mark may still be lost with the power.

use std::{fmt, fs::File, io::ErrorKind, path::Path, sync::Arc};

use worker_runtime_core::{
    sabotage::{self, Sabotage},
    store::{DamagedRecord, Loaded, StoreError, StoreReader, WentBack},
};

use super::{io_error, not_opened, open_database, read_witness};
use crate::{
    OpenError, StoreOptions,
    engine::Engine,
    fs::{ReaderLock, StateDir, Suspect},
    layout::meta::{FORMAT_VERSION, State},
    read::Reader,
    storage::{OVERLAY_BYTES_MAX, OverlayBackend},
    store::{Shared, load_all, open_for_reading, went_back},
};

/// How a stopped store stands, for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreAccount {
    /// The version of its format; one that this program does not know is refused at the opening.
    pub format_version: u32,
    /// Whether every event is where a fast opening wants it, as after a clean close. Otherwise the
    /// next opening for writing reads the newest part of the log once.
    pub settled: bool,
    /// Event bytes in the log of the whole Runtime.
    pub log_bytes: u64,
    /// Event bytes in the histories of Workers.
    pub history_bytes: u64,
}

/// A stopped store, opened for reading.
pub struct ReadStore {
    shared: Arc<Shared>,
    state: State,
    went_back: Option<WentBack>,
    damaged: Vec<DamagedRecord>,
    // Let go after the database, whatever the order of drops elsewhere.
    _lock: ReaderLock,
}

/// A process that has a state directory open for writing, and serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// Which process.
    pub pid: Option<u32>,
    /// Where it serves, as it published it.
    pub address: String,
}

/// The process that serves the store of a directory; `None` when nobody holds it, who holds it serves
/// nobody, or there is no store. The store itself is not opened.
pub fn serving(path: &Path) -> Option<Serving> {
    let dir = StateDir::open_for_reading(path).ok()?;
    let (pid, address) = crate::fs::serving(&dir)?;
    Some(Serving {
        pid: Some(pid),
        address,
    })
}

/// Who has a state directory open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nobody.
    Free,
    /// A process that serves it.
    Serves(Serving),
    /// A process that serves nobody: not yet, not any more, or not at all.
    Otherwise {
        /// Which process, when it named itself.
        pid: Option<u32>,
    },
}

/// Who has a state directory open for writing now. The store itself is not opened.
///
/// # Errors
/// [`OpenError`] when there is no store, or the lock can't be looked at.
pub fn held(path: &Path) -> Result<Held, OpenError> {
    let dir = StateDir::open_for_reading(path)?;
    Ok(match crate::fs::holder(&dir)? {
        None => Held::Free,
        Some(holder) => match holder.address() {
            Some(address) => Held::Serves(Serving {
                pid: holder.pid(),
                address: address.to_owned(),
            }),
            None => Held::Otherwise { pid: holder.pid() },
        },
    })
}

impl ReadStore {
    /// Opens the store of a directory beside other readers; a writer is refused meanwhile, and its
    /// opening waits a while for us to finish.
    ///
    /// # Errors
    /// [`OpenError`]: among others when a process has it open for writing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let dir = StateDir::open_for_reading(path)?;
        let lock = ReaderLock::acquire(&dir)?;
        if sabotage::is(Sabotage::WriteOnRead) {
            let touch = File::options().write(true).open(dir.store());
            let _ = touch.and_then(|file| file.set_len(file.metadata()?.len()));
        }
        let witnessed = read_witness(&dir)?;
        let engine = open_stopped(&dir)?;
        let (shared, state, damaged) = open_for_reading(engine)?;
        Ok(Self {
            went_back: went_back(&state, witnessed.as_ref()),
            shared,
            state,
            damaged,
            _lock: lock,
        })
    }

    /// Everything that the working state is made of. The last incarnation is that of the last writer.
    ///
    /// # Errors
    /// When the store can't be read at all; damage of single records is part of [`Loaded`].
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let mut loaded = self
            .shared
            .engine
            .read(|rows| load_all(rows, &self.state))?;
        loaded.damaged.extend(self.damaged.iter().cloned());
        loaded.went_back = self.went_back;
        Ok(loaded)
    }

    /// How the store stands.
    pub fn account(&self) -> StoreAccount {
        StoreAccount {
            format_version: FORMAT_VERSION,
            settled: self.state.tail_floor > self.state.position,
            log_bytes: self.state.log_bytes,
            history_bytes: self.state.history_bytes,
        }
    }

    /// A reader of its streams. It reads nothing any more once this store is dropped.
    pub fn reader(&self) -> Arc<dyn StoreReader> {
        Arc::new(Reader::new(Arc::clone(&self.shared)))
    }
}

/// The engine above the file of a stopped store, which the caller has locked for reading.
pub(crate) fn open_stopped(dir: &StateDir) -> Result<Engine, OpenError> {
    let file = File::open(dir.store()).map_err(io_error("the store's file"))?;
    sync_what_is_left(&file, &Suspect::of(dir));
    let overlay = OverlayBackend::new(file, OVERLAY_BYTES_MAX).map_err(not_opened)?;
    let cache_bytes = StoreOptions::file().cache_bytes;
    let db = open_database(Arc::new(overlay), cache_bytes, None);
    let db = db.map_err(|error| OpenError::from(error).of_file(&dir.store()))?;
    Ok(Engine::new(db))
}

/// Makes durable what the last writer had no time to.
fn sync_what_is_left(file: &File, suspect: &Suspect) {
    // A second sync of such a file would report success, and do nothing.
    if suspect.is_set() {
        return;
    }
    match file.sync_data() {
        // Nothing of this file waits to be written.
        Err(error) if is_never_synced(error.kind()) => {}
        Err(error) => {
            tracing::error!(%error, "what the last writer left could not be synced");
            suspect.set();
        }
        Ok(()) => {}
    }
}

const fn is_never_synced(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidInput | ErrorKind::ReadOnlyFilesystem | ErrorKind::Unsupported
    )
}

impl Drop for ReadStore {
    fn drop(&mut self) {
        self.shared.engine.close();
    }
}

impl fmt::Debug for ReadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadStore").finish_non_exhaustive()
    }
}
