//! The store in memory: the same layout as in a file, and durable means committed.

use std::sync::Arc;

use redb::Database;
use worker_runtime_core::{
    Position,
    store::{Batch, Loaded, Store, StoreError, StoreReader},
};

use crate::{
    OpenError, StoreOptions,
    engine::{CommitMode, Engine},
    layout::meta::State,
    storage::MemoryBackend,
    store::{Medium, Opened, PackedStore, Witnessed, open_for_writing},
};

/// A store that lives as long as its process.
pub struct MemoryStore(PackedStore);

impl MemoryStore {
    /// An empty store, opened for writing.
    ///
    /// ```
    /// use worker_runtime_core::store::Store;
    /// use worker_runtime_persist::{MemoryStore, StoreOptions};
    ///
    /// let mut store = MemoryStore::new(StoreOptions::memory())?;
    /// assert_eq!(store.load()?.incarnations.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(options: StoreOptions) -> Result<Self, OpenError> {
        let db = Database::builder()
            .set_cache_size(options.cache_bytes)
            .create_with_backend(MemoryBackend::new())
            .map_err(|error| StoreError::Read {
                detail: error.to_string(),
            })?;
        open_for_writing(Engine::new(db), Box::new(Memory), None, options).map(Self)
    }

    /// Keeps retention from trimming anything at or after `from`, until [`unpin`](Self::unpin).
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn pin(&mut self, from: Position) -> Result<u64, StoreError> {
        self.0.pin(from)
    }

    /// Lets go of a pin.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn unpin(&mut self, id: u64) -> Result<(), StoreError> {
        self.0.unpin(id)
    }

    #[cfg(test)]
    pub(crate) fn packed(&self) -> &PackedStore {
        &self.0
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn reader(&self) -> Arc<dyn StoreReader> {
        self.0.reader()
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.0.load()
    }

    fn has_room(&mut self) -> Result<(), StoreError> {
        self.0.has_room()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.0.commit(batch)
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        self.0.recover()
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        self.0.idle()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.0).close()
    }
}

/// Memory: there is nothing to sync, to witness or to lock.
struct Memory;

impl Medium for Memory {
    fn mode(&self) -> CommitMode {
        CommitMode::Memory
    }

    fn make_room(&mut self, _must_happen: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn witness(&mut self, _witnessed: Witnessed) {}

    /// What was committed is read again; an engine that stopped took its memory with it.
    fn reopen(&mut self, engine: &Engine, _last: &State) -> Result<Opened, StoreError> {
        Opened::read(engine, CommitMode::Memory).map_err(OpenError::into_store_error)
    }

    fn announce(&mut self, _incarnation: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn release(&mut self) {}
}
