//! A store that stops the writer before and after each commit, until it is let on.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
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

/// Where the writer is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// The store has nothing of the batch.
    Before,
    /// The store has it, and the Runtime does not know yet.
    After,
}

#[derive(Debug, Default)]
struct State {
    /// Where the writer waits.
    waits_at: Option<Point>,
    may_pass: bool,
    /// Whether it is stopped at all.
    is_shut: bool,
}

/// The harness's side.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    pages_read: AtomicU64,
}

impl Gate {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the writer is stopped, or not any more.
    pub(super) fn shut(&self, is_shut: bool) {
        self.locked().is_shut = is_shut;
        self.changed.notify_all();
    }

    /// Lets the writer go on from where it waits.
    pub(super) fn let_on(&self) {
        self.locked().may_pass = true;
        self.changed.notify_all();
    }

    /// Waits until the writer waits there; false when it does not come.
    pub(super) fn has_stopped(&self, point: Point, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut state = self.locked();
        while state.waits_at != Some(point) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Pages of streams that were read.
    pub(super) fn pages_read(&self) -> u64 {
        self.pages_read.load(Ordering::Relaxed)
    }

    fn stop(&self, point: Point) {
        let mut state = self.locked();
        if !state.is_shut {
            return;
        }
        state.waits_at = Some(point);
        self.changed.notify_all();
        while state.is_shut && !state.may_pass {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.may_pass = false;
        state.waits_at = None;
    }
}

/// The Runtime's side.
pub(super) struct Gated {
    pub(super) store: Box<dyn Store>,
    pub(super) gate: Arc<Gate>,
}

impl Store for Gated {
    fn reader(&self) -> Arc<dyn StoreReader> {
        Arc::new(CountingReader {
            reader: self.store.reader(),
            gate: Arc::clone(&self.gate),
        })
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.store.load()
    }

    fn has_room(&mut self) -> Result<(), StoreError> {
        self.store.has_room()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.gate.stop(Point::Before);
        let committed = self.store.commit(batch);
        self.gate.stop(Point::After);
        committed
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        self.store.recover()
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        self.store.idle()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.store.close()
    }
}

struct CountingReader {
    reader: Arc<dyn StoreReader>,
    gate: Arc<Gate>,
}

impl StoreReader for CountingReader {
    fn receipt(
        &self,
        worker_id: WorkerId,
        key: [u8; 16],
    ) -> Result<Option<ReceiptRecord>, StoreError> {
        self.reader.receipt(worker_id, key)
    }

    fn worker_head(&self, worker_id: WorkerId) -> Result<WorkerHead, StoreError> {
        self.reader.worker_head(worker_id)
    }

    fn has_events(&self, worker_id: WorkerId) -> Result<bool, StoreError> {
        self.reader.has_events(worker_id)
    }

    fn bounds(&self, stream: Stream) -> Result<StreamBounds, StoreError> {
        self.reader.bounds(stream)
    }

    fn replay(&self, request: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        self.gate.pages_read.fetch_add(1, Ordering::Relaxed);
        self.reader.replay(request)
    }

    fn transcript(&self, request: &TranscriptRequest) -> Result<TranscriptSlice, StoreError> {
        self.reader.transcript(request)
    }

    fn in_flight(&self, worker_id: WorkerId) -> Result<Vec<InFlightBlock>, StoreError> {
        self.reader.in_flight(worker_id)
    }
}
