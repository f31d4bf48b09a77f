//! The store proper: one layout for memory and file, over whatever [`Medium`] the bytes are on.
//!
//! - `tails`: the newest events of each Worker, in memory
//! - `stage`: what a batch adds to them, until it is committed
//! - `commit`: a batch becomes one write transaction; `apply`: what happens inside it
//! - `records`: changes of records
//! - `forget`: what goes with a Worker that is deleted or purged
//! - `retention`: trimming, in the same transaction; `split`: a pack cut in two
//! - `open`: what there is; `rebuild`: the tails after a crash; `losses`: when the log is damaged then
//! - `heal`: a damaged pack made again from the log
//! - `pins`: what retention must leave
//! - `load`: the working state, and whether all of it is there

mod apply;
mod commit;
mod forget;
pub(crate) mod heal;
mod load;
mod losses;
mod medium;
mod open;
mod pins;
mod rebuild;
mod records;
mod retention;
mod split;
pub(crate) mod stage;
pub(crate) mod tails;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use worker_runtime_core::{
    Clock, Incarnation, Position, WorkerId,
    store::{Batch, DamagedRecord, Loaded, Store, StoreError, StoreReader, WentBack},
};

pub(crate) use load::load_all;
pub(crate) use medium::{Medium, Witnessed};
pub(crate) use open::{Opened, open_for_writing};
#[cfg(feature = "fs-store")]
pub(crate) use open::{create, format_of, open_for_reading, rebuilt, went_back};

#[cfg(all(test, feature = "fs-store"))]
use crate::layout::meta::TableSum;
use crate::{
    engine::{CommitMode, Engine},
    layout::meta::State,
    options::RetentionPolicy,
    read::Reader,
    store::{
        stage::{Stage, Stages},
        tails::{Tail, Tails},
    },
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// What the writer and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    tails: RwLock<Tails>,
}

impl Shared {
    pub(crate) fn new(engine: Engine, tails: Tails) -> Self {
        Self {
            engine,
            tails: RwLock::new(tails),
        }
    }

    pub(crate) fn tails(&self) -> RwLockReadGuard<'_, Tails> {
        self.tails.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tails_mut(&self) -> RwLockWriteGuard<'_, Tails> {
        self.tails.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much waits, and where it is bounded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) retention: RetentionPolicy,
    pub(crate) tails_bytes_max: usize,
    pub(crate) log_window_bytes: u64,
}

/// The store. Its one owner is the writer.
pub(crate) struct PackedStore {
    shared: Arc<Shared>,
    medium: Box<dyn Medium>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// The clock when `state.store_ms` was last brought up to date.
    measured_at: Duration,
    state: State,
    incarnation: Incarnation,
    went_back: Option<WentBack>,
    /// The tail pack of the log.
    log: Tail,
    /// The newest packs of the log: first position and length.
    log_recent: VecDeque<(Position, u64)>,
    /// The sum of their lengths.
    log_recent_bytes: u64,
    /// Workers with events that stand only in the log, by the oldest of these.
    unflushed: BTreeMap<Position, WorkerId>,
    /// Workers whose tail could be let go, the longest first.
    clean: VecDeque<WorkerId>,
    pins: BTreeMap<u64, Position>,
    /// What the opening found to be damaged.
    damaged: Vec<DamagedRecord>,
    stages: Stages,
    log_stage: Stage,
    buffers: Buffers,
    /// Something was committed since the allocator's state was saved.
    dirty: bool,
    /// The outcome of a commit is unknown: nothing is committed before a recovery.
    unknown: bool,
}

/// Buffers that are used again by each commit.
#[derive(Debug, Default)]
struct Buffers {
    value: Vec<u8>,
    scratch: Vec<u8>,
    log_packs: Vec<(Position, u64)>,
    touched: Vec<WorkerId>,
}

impl PackedStore {
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    #[cfg(all(test, feature = "fs-store"))]
    pub(crate) fn history_bytes(&self) -> u64 {
        self.state.history_bytes
    }

    /// How many rows each table has, as the sums of the last commit say.
    #[cfg(test)]
    pub(crate) fn rows_by_table(&self) -> BTreeMap<&'static str, u64> {
        let tables = crate::layout::TABLES.iter();
        tables
            .filter_map(|table| Some((table.name, self.state.sums.get(table.sum?)?.rows)))
            .collect()
    }

    /// The sums of the last commit, and what they are when every row is counted.
    #[cfg(all(test, feature = "fs-store"))]
    pub(crate) fn sums_as_stored(&self) -> (Vec<TableSum>, Vec<TableSum>) {
        use crate::engine::{End, Rows};
        let counted = crate::layout::TABLES
            .iter()
            .filter(|table| table.sum.is_some());
        let counted = counted.map(|table| {
            let mut sum = TableSum::default();
            let mut count = |_: &[u8], value: &[u8]| {
                sum.rows += 1;
                sum.digest ^= crate::codec::stored_checksum(value);
                Ok(std::ops::ControlFlow::Continue(()))
            };
            let all: (&[u8], &[u8]) = (&[], &[u8::MAX; 40]);
            let engine = &self.shared.engine;
            let scanned = engine.read(|rows| rows.scan(*table, all, End::First, &mut count));
            assert!(scanned.is_ok());
            sum
        });
        (self.state.sums.to_vec(), counted.collect())
    }

    #[cfg(feature = "fs-store")]
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn mode(&self) -> CommitMode {
        self.medium.mode()
    }

    /// Saves the allocator's state, so that the next open needs no repair.
    fn settle(&mut self) -> Result<(), StoreError> {
        if self.dirty && self.mode() == CommitMode::Durable {
            let empty = self
                .shared
                .engine
                .write(CommitMode::QuickRepair, &self.state.sums, |_| Ok(()));
            self.note(empty)?;
        }
        self.dirty = false;
        Ok(())
    }

    fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::OutcomeUnknown { detail }) = &result {
            tracing::error!(%detail, "the outcome of a commit is unknown");
            self.unknown = true;
        }
        result
    }

    fn known(&self) -> Result<(), StoreError> {
        if self.unknown {
            return Err(StoreError::OutcomeUnknown {
                detail: "an earlier commit's outcome is unknown and was not recovered".to_owned(),
            });
        }
        Ok(())
    }
}

impl Store for PackedStore {
    fn reader(&self) -> Arc<dyn StoreReader> {
        Arc::new(Reader::new(Arc::clone(&self.shared)))
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        let mut loaded = self
            .shared
            .engine
            .read(|rows| load_all(rows, &self.state))?;
        loaded.damaged.extend(self.damaged.iter().cloned());
        loaded.went_back = self.went_back;
        Ok(loaded)
    }

    fn has_room(&mut self) -> Result<(), StoreError> {
        self.medium.make_room(false)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.known()?;
        if batch.is_empty() {
            return Ok(());
        }
        self.medium.make_room(batch.must_happen)?;
        self.commit_batch(batch, commit::Flush::Old)
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        if !self.unknown {
            return Ok(());
        }
        let opened = self.medium.reopen(&self.shared.engine, &self.state)?;
        self.install(opened);
        Ok(())
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        self.known()?;
        if let Err(error) = self.medium.make_room(false) {
            // Only the next opening would be faster; the reserve is for what must happen.
            tracing::debug!(%error, "the store is not settled");
            return Ok(());
        }
        if !self.unflushed.is_empty() {
            self.commit_batch(&Batch::default(), commit::Flush::All)?;
        }
        self.settle()
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        // What is behind an unknown outcome is told by the recovery, not by closing.
        self.idle()
    }
}

impl Drop for PackedStore {
    /// Closes the database before the lock is given back. Tails that were not flushed stand in the log.
    fn drop(&mut self) {
        self.shared.engine.close();
        self.medium.release();
    }
}
