//! A store that counts: how much of the time is the store's, seen from outside of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use worker_runtime_core::{
    Stream, WorkerId,
    record::ReceiptRecord,
    store::{
        Batch, InFlightBlock, Loaded, ReplayPage, ReplayRequest, Store, StoreError, StoreReader,
        StreamBounds, TranscriptRequest, TranscriptSlice, WorkerHead,
    },
};

/// What a store was asked, and how long it took.
#[derive(Debug, Default)]
pub struct StoreCounts {
    commits: AtomicU64,
    events: AtomicU64,
    commit_ns: AtomicU64,
    load_ns: AtomicU64,
    lookups: AtomicU64,
    lookup_ns: AtomicU64,
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
    /// Single records that the writer looked up before it took a command: receipts, where a
    /// Worker's stream stands.
    pub lookups: u64,
    /// Time in them.
    pub looking_up: Duration,
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
            lookups: self.lookups.load(Ordering::Relaxed),
            looking_up: duration(&self.lookup_ns),
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
            lookups: self.lookups - earlier.lookups,
            looking_up: self.looking_up - earlier.looking_up,
        }
    }

    /// What part of a duration was spent in commits and in lookups, in percent.
    pub fn shares_of(self, elapsed: Duration) -> (f64, f64) {
        let share = |part: Duration| 100.0 * part.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        (share(self.committing), share(self.looking_up))
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
        Arc::new(MeasuredReader {
            inner: self.inner.reader(),
            counts: self.counts.clone(),
        })
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

/// Its reader; counts what the writer looks up.
struct MeasuredReader {
    inner: Arc<dyn StoreReader>,
    counts: Arc<StoreCounts>,
}

impl MeasuredReader {
    fn lookup<T>(&self, look: impl FnOnce(&dyn StoreReader) -> T) -> T {
        let started = Instant::now();
        let found = look(&*self.inner);
        add(&self.counts.lookup_ns, started);
        self.counts.lookups.fetch_add(1, Ordering::Relaxed);
        found
    }
}

impl StoreReader for MeasuredReader {
    fn receipt(
        &self,
        worker_id: WorkerId,
        key: [u8; 16],
    ) -> Result<Option<ReceiptRecord>, StoreError> {
        self.lookup(|reader| reader.receipt(worker_id, key))
    }

    fn worker_head(&self, worker_id: WorkerId) -> Result<WorkerHead, StoreError> {
        self.lookup(|reader| reader.worker_head(worker_id))
    }

    fn bounds(&self, stream: Stream) -> Result<StreamBounds, StoreError> {
        self.inner.bounds(stream)
    }

    fn replay(&self, request: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        self.inner.replay(request)
    }

    fn transcript(&self, request: &TranscriptRequest) -> Result<TranscriptSlice, StoreError> {
        self.inner.transcript(request)
    }

    fn in_flight(&self, worker_id: WorkerId) -> Result<Vec<InFlightBlock>, StoreError> {
        self.inner.in_flight(worker_id)
    }
}
