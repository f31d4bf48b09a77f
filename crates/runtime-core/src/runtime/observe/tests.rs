//! What observers leave behind: nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use crate::{
    Code, Cursor, EventFilter, Fence, Observation, ObserveOptions, Position, RuntimeId, Stream,
    Timestamp, WorkerId,
    cursor::From as Start,
    limits::Limits,
    record::{ReceiptRecord, RuntimeRecord},
    runtime::{Backends, LiveRuns, shared::Shared},
    store::{
        DamagedRecord, InFlightBlock, Loaded, ReplayPage, ReplayRequest, StoreError, StoreReader,
        StreamBounds, TranscriptRequest, TranscriptSlice, WorkerHead,
    },
};

/// A store in which nothing has happened yet.
struct Empty;

impl StoreReader for Empty {
    fn receipt(&self, _: WorkerId, _: [u8; 16]) -> Result<Option<ReceiptRecord>, StoreError> {
        Ok(None)
    }

    fn worker_head(&self, _: WorkerId) -> Result<WorkerHead, StoreError> {
        Ok(WorkerHead::default())
    }

    fn bounds(&self, _: Stream) -> Result<StreamBounds, StoreError> {
        Ok(StreamBounds::default())
    }

    fn replay(&self, _: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        Ok(ReplayPage::default())
    }

    fn transcript(&self, _: &TranscriptRequest) -> Result<TranscriptSlice, StoreError> {
        Ok(TranscriptSlice::default())
    }

    fn in_flight(&self, _: WorkerId) -> Result<Vec<InFlightBlock>, StoreError> {
        Ok(Vec::new())
    }
}

/// A store that was closed with its Runtime.
struct Closed;

impl Closed {
    fn error<T>() -> Result<T, StoreError> {
        Err(StoreError::Read {
            detail: "it is closed".to_owned(),
        })
    }
}

impl StoreReader for Closed {
    fn receipt(&self, _: WorkerId, _: [u8; 16]) -> Result<Option<ReceiptRecord>, StoreError> {
        Self::error()
    }

    fn worker_head(&self, _: WorkerId) -> Result<WorkerHead, StoreError> {
        Self::error()
    }

    fn bounds(&self, _: Stream) -> Result<StreamBounds, StoreError> {
        Self::error()
    }

    fn replay(&self, _: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        Self::error()
    }

    fn transcript(&self, _: &TranscriptRequest) -> Result<TranscriptSlice, StoreError> {
        Self::error()
    }

    fn in_flight(&self, _: WorkerId) -> Result<Vec<InFlightBlock>, StoreError> {
        Self::error()
    }
}

const RUNTIME: RuntimeId = RuntimeId::from_bytes([1; 16]);

fn worker(number: u16) -> WorkerId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    WorkerId::from_bytes(bytes)
}

/// A Runtime with this many Workers. Their records are damaged, and damaged Workers are readable:
/// a whole record would say nothing more here.
fn observation(workers: u16) -> Observation {
    observation_of(workers, Arc::new(Empty))
}

fn observation_of(workers: u16, reader: Arc<dyn StoreReader>) -> Observation {
    let damaged = (0..workers).map(|number| DamagedRecord {
        table: "worker",
        worker_id: Some(worker(number)),
        lease_id: None,
        operation_id: None,
        seq: None,
        detail: String::new(),
    });
    let loaded = Loaded {
        runtime: RuntimeRecord {
            runtime_id: RUNTIME,
            created_at: Timestamp::from_unix_ms(0),
            stopped: false,
            fence: Fence(0),
            went_back: None,
        },
        incarnations: Vec::new(),
        workers: Vec::new(),
        allocations: Vec::new(),
        leases: Vec::new(),
        operations: Vec::new(),
        unfinished: Vec::new(),
        position: Position(0),
        at: Timestamp::from_unix_ms(0),
        damaged: damaged.collect(),
        went_back: None,
    };
    let limits = Arc::new(Limits::default());
    let live = Arc::new(LiveRuns::new(limits.clone()));
    let backends = Arc::new(Backends::new(Vec::new()).unwrap());
    let shared = Shared::new(loaded, reader, backends, live, limits, false);
    Observation::new(Arc::new(shared))
}

fn left(observation: &Observation) -> (usize, usize) {
    let shared = &observation.shared;
    (shared.watched(), shared.live.listened_to())
}

const WITH_DELTAS: ObserveOptions = ObserveOptions {
    page: crate::PageSize {
        events_max: 100,
        bytes_max: 1 << 20,
    },
    deltas: true,
    until_up_to_date: false,
    filter: EventFilter::ALL,
};

#[tokio::test]
async fn who_is_refused_leaves_nothing_behind() {
    let observation = observation(1);
    for number in 1..3_000 {
        let stream = Stream::Worker(worker(number));
        let refused = observation.observe(stream, Start::Now, WITH_DELTAS);
        assert!(refused.is_err(), "there is no such Worker");
    }
    let ahead = Cursor::new(RUNTIME, Stream::Worker(worker(0)), Position(9), 0);
    let stream = Stream::Worker(worker(0));
    let refused = observation.observe(stream, Start::After(ahead), WITH_DELTAS);
    assert!(refused.is_err(), "nothing of it has happened");
    assert_eq!(left(&observation), (0, 0));
}

#[tokio::test]
async fn who_lets_go_leaves_nothing_behind() {
    const WORKERS: u16 = 1_000;
    let observation = observation(WORKERS);
    let observe = |number| {
        let stream = Stream::Worker(worker(number));
        observation
            .observe(stream, Start::Now, WITH_DELTAS)
            .unwrap()
    };
    let kept = observe(0);
    let many: Vec<_> = (0..WORKERS)
        .flat_map(|number| [observe(number), observe(number)])
        .collect();
    assert_eq!(left(&observation), (WORKERS.into(), WORKERS.into()));
    drop(many);
    // Each is told by its own task, which notices that its reader is gone.
    while left(&observation) != (1, 1) {
        tokio::task::yield_now().await;
    }
    drop(kept);
    while left(&observation) != (0, 0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_comes_after_the_close_is_told_of_it_and_of_no_failing_store() {
    let observation = observation_of(1, Arc::new(Closed));
    let observe = || {
        let stream = Stream::Worker(worker(0));
        let refused = observation.observe(stream, Start::Beginning, WITH_DELTAS);
        refused.err().unwrap().code()
    };
    assert_eq!(observe(), Code::StateIo, "it is open, so this is a failure");
    observation.shared.end_news(std::time::Duration::ZERO);
    assert_eq!(observe(), Code::RuntimeClosed);
}
