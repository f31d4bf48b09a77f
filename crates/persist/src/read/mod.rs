//! Reading: short read transactions beside the writer, none of which is kept (I10, I12).
//!
//! - `walk`: a stream from a position on, with every link verified
//! - `replay`: pages of it
//! - `transcript`: a Worker's items, from either end
//! - `records`: receipts, heads, bounds, unfinished blocks
//!
//! A reader copies the Worker's tail first and begins its read transaction then: what is flushed in
//! between is seen in both, and never in none.

mod records;
mod replay;
mod transcript;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use worker_runtime_core::{
    Position, Stream, WorkerId,
    record::ReceiptRecord,
    store::{
        InFlightBlock, ReplayPage, ReplayRequest, StoreError, StoreReader, StreamBounds,
        TranscriptRequest, TranscriptSlice, WorkerHead,
    },
};

use crate::{
    pack::Pack,
    store::{Shared, tails::TailState},
};

/// A reader of a store.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
}

/// What is committed of a stream and stands in memory, as it was before the read began.
#[derive(Debug)]
struct Snapshot {
    committed: Position,
    /// Where the Worker's stream stands, if its tail is in memory.
    state: Option<TailState>,
    /// The events of the tail, if the reader wants any of them.
    tail: Option<Pack>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Everything after `after` that stands in memory.
    fn snapshot(&self, stream: Stream, after: Position) -> Snapshot {
        let tails = self.shared.tails();
        let worker = match stream {
            Stream::Runtime => None,
            Stream::Worker(worker_id) => tails
                .by_worker
                .get(&worker_id)
                .map(|tail| (worker_id, tail)),
        };
        let wanted = worker.filter(|(_, tail)| {
            tail.state.header.count > 0 && tail.state.header.last_position > after
        });
        Snapshot {
            committed: tails.committed,
            state: worker.map(|(_, tail)| tail.state),
            tail: wanted.map(|(worker_id, tail)| tail.to_pack(worker_id)),
        }
    }
}

impl StoreReader for Reader {
    fn receipt(
        &self,
        worker_id: WorkerId,
        key: [u8; 16],
    ) -> Result<Option<ReceiptRecord>, StoreError> {
        self.shared
            .engine
            .read(|rows| records::receipt(rows, worker_id, key))
    }

    fn worker_head(&self, worker_id: WorkerId) -> Result<WorkerHead, StoreError> {
        let snapshot = self.snapshot(Stream::Worker(worker_id), Position(u64::MAX));
        match snapshot.state {
            Some(state) => Ok(state.head()),
            None => self
                .shared
                .engine
                .read(|rows| records::head(rows, worker_id)),
        }
    }

    fn has_events(&self, worker_id: WorkerId) -> Result<bool, StoreError> {
        let snapshot = self.snapshot(Stream::Worker(worker_id), Position(u64::MAX));
        match snapshot.state {
            Some(_) => Ok(true),
            None => self
                .shared
                .engine
                .read(|rows| records::has_events(rows, worker_id)),
        }
    }

    fn bounds(&self, stream: Stream) -> Result<StreamBounds, StoreError> {
        let snapshot = self.snapshot(stream, Position(u64::MAX));
        self.shared
            .engine
            .read(|rows| records::bounds(rows, stream, &snapshot))
    }

    fn replay(&self, request: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        let snapshot = self.snapshot(request.stream, request.after);
        self.shared
            .engine
            .read(|rows| replay::page(rows, request, snapshot))
    }

    fn transcript(&self, request: &TranscriptRequest) -> Result<TranscriptSlice, StoreError> {
        let snapshot = self.snapshot(Stream::Worker(request.worker_id), Position(0));
        self.shared
            .engine
            .read(|rows| transcript::slice(rows, request, snapshot))
    }

    fn in_flight(&self, worker_id: WorkerId) -> Result<Vec<InFlightBlock>, StoreError> {
        self.shared
            .engine
            .read(|rows| records::in_flight(rows, worker_id))
    }
}
