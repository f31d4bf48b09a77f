//! A store that counts: how much of the time is the store's, seen from outside of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use worker_runtime_core::store::{Batch, Loaded, Store, StoreError, StoreReader};

/// What a store was asked, and how long it took.
#[derive(Debug, Default)]
pub struct StoreCounts {
    commits: AtomicU64,
    events: AtomicU64,
    commit_ns: AtomicU64,
    load_ns: AtomicU64,
}

/// [`StoreCounts`] at one moment, or between two.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Commits that were made.
    pub commits: u64,
    /// Events in them.
    pub events: u64,
    /// Time in them.
    pub committing: Duration,
    /// Time in the load at open.
    pub loading: Duration,
}

impl StoreCounts {
    /// As it is now.
    pub fn now(&self) -> Counted {
        let duration = |ns: &AtomicU64| Duration::from_nanos(ns.load(Ordering::Relaxed));
        Counted {
            commits: self.commits.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            committing: duration(&self.commit_ns),
            loading: duration(&self.load_ns),
        }
    }
}

impl Counted {
    /// What happened since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            commits: self.commits - earlier.commits,
            events: self.events - earlier.events,
            committing: self.committing - earlier.committing,
            loading: self.loading - earlier.loading,
        }
    }

    /// Events per commit.
    pub fn events_per_commit(self) -> f64 {
        self.events as f64 / (self.commits as f64).max(1.0)
    }
}

/// A store and its counts.
pub struct MeasuredStore {
    inner: Box<dyn Store>,
    counts: Arc<StoreCounts>,
}

impl MeasuredStore {
    /// Counts what `inner` does.
    pub fn new(inner: Box<dyn Store>) -> (Self, Arc<StoreCounts>) {
        let counts = Arc::new(StoreCounts::default());
        let store = Self {
            inner,
            counts: counts.clone(),
        };
        (store, counts)
    }
}

fn add(counter: &AtomicU64, started: Instant) {
    let ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    counter.fetch_add(ns, Ordering::Relaxed);
}

impl Store for MeasuredStore {
    fn reader(&self) -> Arc<dyn StoreReader> {
        self.inner.reader()
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        let started = Instant::now();
        let loaded = self.inner.load();
        add(&self.counts.load_ns, started);
        loaded
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let started = Instant::now();
        let committed = self.inner.commit(batch);
        add(&self.counts.commit_ns, started);
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        let events = batch.events.len() as u64;
        self.counts.events.fetch_add(events, Ordering::Relaxed);
        committed
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        self.inner.recover()
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        self.inner.idle()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.close()
    }
}
