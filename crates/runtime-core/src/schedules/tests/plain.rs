//! A store that is a vector of events and the records, behind one lock of the scheduler's.

use std::{collections::BTreeMap, sync::Arc};

use shuttle::sync::Mutex;

use crate::{
    Event, Fence, Incarnation, Position, RuntimeId, Stream, Timestamp, WorkerId,
    record::{IncarnationRecord, ReceiptRecord, RuntimeRecord},
    store::{
        Batch, Change, InFlightBlock, Loaded, ReplayPage, ReplayRequest, Store, StoreError,
        StoreReader, StreamBounds, TranscriptRequest, TranscriptSlice, WorkerHead,
    },
};

struct Held {
    loaded: Loaded,
    events: Vec<Event>,
    receipts: BTreeMap<(WorkerId, [u8; 16]), ReceiptRecord>,
}

/// The store; its clones are its readers.
#[derive(Clone)]
pub(super) struct Plain(Arc<Mutex<Held>>);

impl Plain {
    pub(super) fn new() -> Box<dyn Store> {
        Box::new(Self::empty())
    }

    pub(super) fn empty() -> Self {
        let at = Timestamp::from_unix_ms(0);
        let loaded = Loaded {
            runtime: RuntimeRecord {
                runtime_id: RuntimeId::from_bytes([1; 16]),
                created_at: at,
                stopped: false,
                fence: Fence(0),
                went_back: None,
            },
            incarnations: vec![IncarnationRecord {
                incarnation: Incarnation { number: 1, id: 1 },
                first_position: Position(1),
                at,
            }],
            workers: Vec::new(),
            allocations: Vec::new(),
            leases: Vec::new(),
            operations: Vec::new(),
            unfinished: Vec::new(),
            position: Position(0),
            at,
            damaged: Vec::new(),
            went_back: None,
        };
        Self(Arc::new(Mutex::new(Held {
            loaded,
            events: Vec::new(),
            receipts: BTreeMap::new(),
        })))
    }

    pub(super) fn loaded(&self) -> Loaded {
        self.0.lock().unwrap().loaded.clone()
    }

    pub(super) fn append(&self, batch: &Batch) {
        let mut held = self.0.lock().unwrap();
        for event in &batch.events {
            assert_eq!(event.position, held.loaded.position.next());
            held.loaded.position = event.position;
            held.events.push(event.clone());
        }
        for change in &batch.changes {
            held.change(change);
        }
    }
}

impl Held {
    fn change(&mut self, change: &Change) {
        let loaded = &mut self.loaded;
        match change {
            Change::Runtime(record) => loaded.runtime = record.clone(),
            Change::Worker(record) => {
                let workers = &mut loaded.workers;
                workers.retain(|known| known.worker_id != record.worker_id);
                workers.push(record.clone());
            }
            Change::Receipt(worker_id, key, record) => {
                self.receipts.insert((*worker_id, *key), *record);
            }
            other => panic!("no scenario makes {other:?}"),
        }
    }
}

impl Store for Plain {
    fn reader(&self) -> Arc<dyn StoreReader> {
        Arc::new(self.clone())
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(self.loaded())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.append(batch);
        Ok(())
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl StoreReader for Plain {
    fn receipt(
        &self,
        worker: WorkerId,
        key: [u8; 16],
    ) -> Result<Option<ReceiptRecord>, StoreError> {
        Ok(self.0.lock().unwrap().receipts.get(&(worker, key)).copied())
    }

    fn worker_head(&self, worker_id: WorkerId) -> Result<WorkerHead, StoreError> {
        let held = self.0.lock().unwrap();
        let mut head = WorkerHead::default();
        let of_worker = held.events.iter();
        for event in of_worker.filter(|event| event.is_in(Stream::Worker(worker_id))) {
            let place = event.worker.unwrap();
            (head.seq, head.position) = (place.seq, event.position);
            head.items.0 += u64::from(place.item.is_some());
        }
        Ok(head)
    }

    fn bounds(&self, _: Stream) -> Result<StreamBounds, StoreError> {
        Ok(StreamBounds {
            tail: self.0.lock().unwrap().loaded.position,
            ..StreamBounds::default()
        })
    }

    fn replay(&self, request: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        let held = self.0.lock().unwrap();
        let wanted = held.events.iter().filter(|event| {
            event.is_in(request.stream)
                && event.position > request.after
                && event.position <= request.until
        });
        let mut events: Vec<Event> = wanted.cloned().collect();
        let up_to_date = events.len() <= request.events_max;
        events.truncate(request.events_max);
        let last = events.last().map(|event| event.position);
        Ok(ReplayPage {
            gap: None,
            scanned_to: match up_to_date {
                true => request.until,
                false => last.unwrap_or(request.after),
            },
            up_to_date,
            events,
        })
    }

    fn transcript(&self, _: &TranscriptRequest) -> Result<TranscriptSlice, StoreError> {
        Ok(TranscriptSlice::default())
    }

    fn in_flight(&self, _: WorkerId) -> Result<Vec<InFlightBlock>, StoreError> {
        Ok(Vec::new())
    }
}
