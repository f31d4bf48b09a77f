//! What a store must hold after so many batches, as a plain model has it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use worker_runtime_core::{
    BlockId, Event, LeaseId, OperationId, Position, Seq, Stream, WorkerId,
    record::{
        AllocationRecord, IncarnationRecord, LeaseRecord, Lifecycle, OperationRecord,
        ReceiptRecord, RuntimeRecord, UnfinishedRecord, WorkerRecord,
    },
    store::{Batch, Change, InFlightBlock, StreamBounds, WorkerHead},
};

/// A payload that is longer is kept beside its event, and goes with its Worker's history.
pub(super) const LARGE_BYTES: usize = 2048;

/// The model of a store.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) position: Position,
    pub(super) runtime: RuntimeRecord,
    pub(super) incarnations: Vec<IncarnationRecord>,
    pub(super) workers: BTreeMap<WorkerId, Arc<WorkerRecord>>,
    pub(super) allocations: BTreeMap<WorkerId, Arc<AllocationRecord>>,
    pub(super) leases: BTreeMap<LeaseId, Arc<LeaseRecord>>,
    pub(super) operations: BTreeMap<OperationId, Arc<OperationRecord>>,
    pub(super) unfinished: BTreeMap<(WorkerId, Seq), Arc<UnfinishedRecord>>,
    pub(super) receipts: BTreeMap<(WorkerId, [u8; 16]), ReceiptRecord>,
    pub(super) blocks: BTreeMap<(WorkerId, BlockId), InFlightBlock>,
    pub(super) heads: BTreeMap<WorkerId, WorkerHead>,
    /// Up to where a trim was asked for.
    pub(super) trimmed: BTreeMap<WorkerId, Seq>,
    /// Up to which position a Worker was purged.
    pub(super) purged: BTreeMap<WorkerId, Position>,
    /// What is left of each stream: how far limits of bytes trim is the store's own affair, so this
    /// is what the live store told right after the batch. A crash must not change it.
    pub(super) bounds: BTreeMap<Place, StreamBounds>,
}

/// A stream, to be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Runtime,
    Worker(WorkerId),
}

impl Place {
    pub(super) fn stream(self) -> Stream {
        match self {
            Self::Runtime => Stream::Runtime,
            Self::Worker(worker_id) => Stream::Worker(worker_id),
        }
    }
}

impl State {
    pub(super) fn new(runtime: RuntimeRecord, incarnations: Vec<IncarnationRecord>) -> Self {
        Self {
            position: Position(0),
            runtime,
            incarnations,
            workers: BTreeMap::new(),
            allocations: BTreeMap::new(),
            leases: BTreeMap::new(),
            operations: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            receipts: BTreeMap::new(),
            blocks: BTreeMap::new(),
            heads: BTreeMap::new(),
            trimmed: BTreeMap::new(),
            purged: BTreeMap::new(),
            bounds: BTreeMap::new(),
        }
    }

    /// The streams that there are.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let workers = self.heads.keys().copied().map(Place::Worker);
        std::iter::once(Place::Runtime).chain(workers)
    }

    /// Takes an event up.
    pub(super) fn append(&mut self, event: &Event) {
        self.position = event.position;
        if let Some(place) = event.worker {
            let head = self.heads.entry(place.worker_id).or_default();
            head.seq = place.seq;
            head.position = event.position;
            head.items.0 += u64::from(place.item.is_some());
        }
    }

    /// Takes a batch up: its events, then its changes in order.
    pub(super) fn take(&mut self, batch: &Batch) {
        let before = self.clone();
        for event in &batch.events {
            self.append(event);
        }
        for change in &batch.changes {
            self.change(change, &before);
        }
    }

    /// Takes a change up, of a batch that found `before`.
    pub(super) fn change(&mut self, change: &Change, before: &Self) {
        match change {
            Change::Runtime(record) => self.runtime = record.clone(),
            Change::Worker(record) => {
                self.workers.insert(record.worker_id, Arc::clone(record));
            }
            Change::Allocation(record) => {
                self.allocations
                    .insert(record.worker_id, Arc::clone(record));
            }
            Change::Release(worker_id) => {
                self.allocations.remove(worker_id);
            }
            Change::Lease(record) => {
                self.leases.insert(record.lease_id, Arc::clone(record));
            }
            Change::EndLease(lease_id) => {
                self.leases.remove(lease_id);
            }
            Change::Operation(record) => {
                self.operations
                    .insert(record.operation_id, Arc::clone(record));
            }
            Change::ForgetOperation(operation_id) => {
                self.operations.remove(operation_id);
            }
            Change::Receipt(worker_id, key, record) => {
                self.receipts.insert((*worker_id, *key), *record);
            }
            Change::Unfinished(record) => {
                let key = (record.worker_id, record.accepted.seq);
                self.unfinished.insert(key, Arc::clone(record));
            }
            Change::Finished(worker_id, seq) => {
                self.unfinished.remove(&(*worker_id, *seq));
            }
            Change::Checkpoint(new) => {
                let key = (new.worker_id, new.block);
                let block = self.blocks.entry(key).or_insert_with(|| InFlightBlock {
                    block: new.block,
                    kind: new.kind,
                    parent: new.parent,
                    bytes: Bytes::new(),
                });
                block.bytes = if new.offset_bytes == 0 {
                    new.bytes.clone()
                } else {
                    [block.bytes.as_ref(), new.bytes.as_ref()].concat().into()
                };
            }
            Change::Fold(worker_id, block) => {
                self.blocks.remove(&(*worker_id, *block));
            }
            Change::Trim(worker_id, seq) => self.trim(*worker_id, *seq),
            Change::Forget(worker_id) => self.forget(*worker_id),
            Change::Purge(worker_id) => {
                self.forget(*worker_id);
                self.unfinished.retain(|(owner, _), _| owner != worker_id);
                self.trim(*worker_id, before.head(*worker_id).seq);
                self.purged.insert(*worker_id, before.position);
            }
        }
    }

    fn forget(&mut self, worker_id: WorkerId) {
        self.receipts.retain(|(owner, _), _| *owner != worker_id);
        self.blocks.retain(|(owner, _), _| *owner != worker_id);
    }

    fn trim(&mut self, worker_id: WorkerId, seq: Seq) {
        let last = self.head(worker_id).seq;
        let trimmed = self.trimmed.entry(worker_id).or_default();
        *trimmed = (*trimmed).max(seq.min(last));
    }

    pub(super) fn head(&self, worker_id: WorkerId) -> WorkerHead {
        self.heads.get(&worker_id).copied().unwrap_or_default()
    }

    pub(super) fn bounds(&self, place: Place) -> StreamBounds {
        self.bounds.get(&place).copied().unwrap_or_default()
    }

    /// Whether the data of an event may be gone from a stream that still tells of it.
    pub(super) fn is_gone(&self, event: &Event) -> bool {
        let trimmed = event.worker.is_some_and(|place| {
            let bounds = self.bounds(Place::Worker(place.worker_id));
            place.seq <= bounds.trimmed_to_seq
        });
        event.data.len() > LARGE_BYTES && trimmed
    }

    /// Whether an event of a deleted Worker is told without its data: what is over 2 KiB goes with the
    /// Worker's history, and the place of the event stays, so that it is one `redacted` with the others.
    pub(super) fn is_emptied(&self, event: &Event) -> bool {
        let record = event
            .worker
            .and_then(|place| self.workers.get(&place.worker_id));
        let is_deleted = record.is_some_and(|record| record.lifecycle == Lifecycle::Deleted);
        self.is_purged(event) || (is_deleted && self.is_gone(event))
    }

    fn is_purged(&self, event: &Event) -> bool {
        event.worker.is_some_and(|place| {
            let until = self.purged.get(&place.worker_id);
            until.is_some_and(|until| event.position <= *until)
        })
    }
}
