//! What a commit means on a file: room before it, the witness after it, and the recovery by copy
//! when its outcome is unknown (I1).

use std::sync::Arc;

use redb::StorageBackend;
use worker_runtime_core::{
    sabotage::{self, Sabotage},
    store::StoreError,
};

use super::{WrapBackend, open_database, storage_of};
use crate::{
    OpenError,
    engine::{CommitMode, Engine, caught},
    fs::{Ballast, HeadFile, LockError, StagedStore, StateDir, Suspect, Witness, WriterLock},
    layout::meta::State,
    store::{Medium, Opened, Witnessed},
};

pub(super) struct FileMedium {
    pub(super) dir: StateDir,
    /// `None` after the store was closed.
    pub(super) lock: Option<WriterLock>,
    pub(super) head: HeadFile,
    pub(super) ballast: Arc<Ballast>,
    pub(super) suspect: Suspect,
    pub(super) storage: Arc<dyn StorageBackend>,
    pub(super) wrap: WrapBackend,
    pub(super) cache_bytes: usize,
}

pub(super) fn make_room(ballast: &Ballast, must_happen: bool) -> Result<(), StoreError> {
    if sabotage::is(Sabotage::SkipBallast) {
        return Ok(());
    }
    match ballast.ensure() {
        Err(_) if must_happen && ballast.held_bytes() > 0 => Ok(()),
        ensured => ensured.map_err(|full| StoreError::Full {
            needed_bytes: full.needed_bytes,
        }),
    }
}

impl Medium for FileMedium {
    fn mode(&self) -> CommitMode {
        CommitMode::Durable
    }

    fn make_room(&mut self, must_happen: bool) -> Result<(), StoreError> {
        make_room(&self.ballast, must_happen)
    }

    fn witness(&mut self, witnessed: Witnessed) {
        let witness = Witness {
            position: witnessed.position.0,
            chain: u128::from_be_bytes(witnessed.chain.0),
            incarnation: witnessed.incarnation,
        };
        if let Err(error) = self.head.record(&witness) {
            // The store is whole; only a roll-back to before this commit would go unnoticed.
            tracing::warn!(%error, "the witness could not be written");
        }
    }

    fn announce(&mut self, incarnation: u64) -> Result<(), StoreError> {
        let Some(lock) = &self.lock else {
            return Ok(());
        };
        lock.publish(incarnation).map_err(not_announced)
    }

    /// The old file is never written or synced again; what it reads is copied to a new file, redb
    /// verifies every checksum there, and the copy takes its place only when it holds everything
    /// that was acknowledged. Readers use the old database meanwhile.
    fn reopen(&mut self, engine: &Engine, last: &State) -> Result<Opened, StoreError> {
        let Some(lock) = &self.lock else {
            return Err(failed("the store is closed"));
        };
        if sabotage::is(Sabotage::TrustFailedFile) {
            return self.go_on_with_failed_file(engine);
        }
        let staged =
            StagedStore::copy_of(self.storage.as_ref(), &self.dir, lock).map_err(failed)?;
        let file = staged.file().map_err(failed)?;
        let storage = storage_of(file, &self.ballast, &self.wrap)?;
        let copy = Engine::new(open_database(
            Arc::clone(&storage),
            self.cache_bytes,
            Some(self.suspect.clone()),
        )?);
        let opened =
            Opened::read(&copy, CommitMode::Durable).map_err(OpenError::into_store_error)?;
        let found = opened.state();
        let is_same = found.position == last.position && found.chain == last.chain;
        if !is_same && found.position <= last.position {
            return Err(failed(format!(
                "the copy ends at position {}, and {} was acknowledged",
                found.position, last.position
            )));
        }
        staged.install(&self.dir).map_err(failed)?;
        self.storage = storage;
        if let Some(new) = copy.take()
            && let Some(old) = engine.replace(new)
        {
            // It may still try to write; that file has no name any more.
            let _ = caught(|| drop(old));
        }
        // Not before the old database is gone: its last attempts set the mark again.
        self.suspect.clear();
        tracing::warn!(position = %opened.position(), "the store was recovered by copy");
        Ok(opened)
    }

    fn release(&mut self) {
        self.lock = None;
    }
}

impl FileMedium {
    /// What must never be done: one of the faults that the harness must catch.
    fn go_on_with_failed_file(&self, engine: &Engine) -> Result<Opened, StoreError> {
        engine.forget();
        let again = Engine::new(open_database(
            Arc::clone(&self.storage),
            self.cache_bytes,
            None,
        )?);
        let opened =
            Opened::read(&again, CommitMode::Durable).map_err(OpenError::into_store_error)?;
        again.take().and_then(|db| engine.replace(db));
        Ok(opened)
    }
}

/// That other processes could not be told.
pub(super) fn not_announced(error: LockError) -> StoreError {
    tracing::warn!(%error, "the lock's record could not be written");
    StoreError::Read {
        detail: "the lock's record could not be written".to_owned(),
    }
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::OutcomeUnknown {
        detail: format!("the recovery failed: {error}"),
    }
}
