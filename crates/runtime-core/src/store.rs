//! The store as the Runtime sees it: commit, replay, trim, read records, witness. Nothing of the
//! engine behind it shows here.
//!
//! Two halves: [`Store`] belongs to the writer alone; any number of [`StoreReader`]s read beside it
//! and never wait for it. A reader may see more than is published: every caller passes the
//! published position and gets nothing beyond it (I1).

mod batch;
#[cfg(feature = "conformance")]
pub mod conformance;

use std::{ops::Range, sync::Arc};

pub use batch::{Batch, BlockKind, Change, Checkpoint, InFlightBlock};

use crate::{
    Code, Event, ItemIndex, LeaseId, OperationId, Position, Seq, Stream, Timestamp, WorkerId,
    record::{
        AllocationRecord, IncarnationRecord, LeaseRecord, OperationRecord, ReceiptRecord,
        RuntimeRecord, UnfinishedRecord, WentBackRecord, WorkerRecord,
    },
};

/// A record that can't be trusted. It is named and left alone; others are served (I7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRecord {
    /// Which table.
    pub table: &'static str,
    /// Whose record, when the key tells.
    pub worker_id: Option<WorkerId>,
    /// Which lease, when the key tells.
    pub lease_id: Option<LeaseId>,
    /// Which operation, when the key tells.
    pub operation_id: Option<OperationId>,
    /// Which of its inputs, when the key tells.
    pub seq: Option<Seq>,
    /// What is wrong.
    pub detail: String,
}

/// What a store holds beside history: all that the working state is made of.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The Runtime's own record.
    pub runtime: RuntimeRecord,
    /// Every opening for writing so far, in order; the last one is this one when the store was
    /// opened for writing.
    pub incarnations: Vec<IncarnationRecord>,
    /// Every Worker whose record is whole.
    pub workers: Vec<Arc<WorkerRecord>>,
    /// Every scope that is held.
    pub allocations: Vec<Arc<AllocationRecord>>,
    /// Every scope that others than Workers hold for a time, by its id.
    pub leases: Vec<Arc<LeaseRecord>>,
    /// The operations that are kept, by number.
    pub operations: Vec<Arc<OperationRecord>>,
    /// Every accepted input without an outcome, by Worker and then by acceptance.
    pub unfinished: Vec<Arc<UnfinishedRecord>>,
    /// The newest position.
    pub position: Position,
    /// The time of the newest event.
    pub at: Timestamp,
    /// Records that are damaged.
    pub damaged: Vec<DamagedRecord>,
    /// Set when the witness knows of a later state than the store holds.
    pub went_back: Option<WentBack>,
}

/// Acknowledged state is gone: an older copy was put back, or the file was damaged (exit 24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WentBack {
    /// The newest position that was ever acknowledged, as the witness has it.
    pub witnessed: Position,
    /// The newest position in the store.
    pub found: Position,
}

impl From<WentBackRecord> for WentBack {
    fn from(record: WentBackRecord) -> Self {
        Self {
            witnessed: record.witnessed,
            found: record.found,
        }
    }
}

/// Where a Worker's stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkerHead {
    /// The newest seq.
    pub seq: Seq,
    /// The position of the newest event.
    pub position: Position,
    /// How many transcript items there are: the next one's index.
    pub items: ItemIndex,
}

/// The part of a stream that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamBounds {
    /// The position of the last event that was trimmed; 0 when none was.
    pub trimmed_to: Position,
    /// The seq of the last event that was trimmed, in a Worker's stream.
    pub trimmed_to_seq: Seq,
    /// The newest position of the stream that the store holds; of all streams when the end of this
    /// one is damaged.
    pub tail: Position,
}

/// Why a stretch of a stream is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// Trimmed, as the operator's limits say.
    Retention,
    /// Damaged, and not served.
    Damaged,
    /// Damaged, and put aside by a repair.
    Quarantine,
    /// Not found when the store was salvaged.
    Salvage,
    /// The reader's cursor is none of this stream; the code says why. Nothing is known of what it has.
    Cursor,
}

/// A stretch of a stream that is missing; the stream goes on after it (I2, I10).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gap {
    /// Why.
    pub cause: GapCause,
    /// The first position that may be missing.
    pub from: Position,
    /// The last position that may be missing.
    pub to: Position,
    /// The seqs that are missing, in a Worker's stream.
    pub seqs: Option<(Seq, Seq)>,
    /// The error that names it.
    pub code: Option<Code>,
}

/// What part of a stream is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayRequest {
    /// Whose events.
    pub stream: Stream,
    /// Only those after this position.
    pub after: Position,
    /// Nothing beyond this position: what is published.
    pub until: Position,
    /// At most this many events.
    pub events_max: usize,
    /// Stop after this many bytes of data; at least one event is given.
    pub bytes_max: usize,
}

/// A part of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayPage {
    /// What is missing between `after` and the first event (or `scanned_to`, when there is none).
    pub gap: Option<Gap>,
    /// The events, in order.
    pub events: Vec<Event>,
    /// Everything up to here was looked at: the position to go on after.
    pub scanned_to: Position,
    /// Whether `scanned_to` has reached `until`.
    pub up_to_date: bool,
}

/// Which part of a Worker's transcript is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptRequest {
    /// Whose.
    pub worker_id: WorkerId,
    /// Which items.
    pub items: Range<ItemIndex>,
    /// Nothing beyond this position: what is published.
    pub until: Position,
    /// Stop after this many bytes of data; at least one item is given.
    pub bytes_max: usize,
    /// Which of the items are given when they have more bytes.
    pub keep: KeepItems,
}

/// From which end a part of a transcript is kept when it is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepItems {
    /// The first ones, for who reads on.
    #[default]
    First,
    /// The last ones, for who reads back.
    Last,
}

/// Part of a transcript: events that bear transcript, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TranscriptSlice {
    /// The events.
    pub events: Vec<Event>,
    /// Which of the items that were asked for these are, missing ones included: what is left is
    /// after its end, or before its start.
    pub covered: Range<ItemIndex>,
    /// Items of these that are missing.
    pub gap: Option<Gap>,
    /// How many items there are in all, trimmed ones included, up to the position asked for; as far
    /// as is known.
    pub items: ItemIndex,
    /// What is missing after the last of them, when that may have held more items.
    pub end_gap: Option<Gap>,
}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room; nothing was written.
    #[error("the store's disk is full: {needed_bytes} more bytes are needed")]
    Full {
        /// How many bytes more.
        needed_bytes: u64,
    },
    /// Nobody knows whether the batch is durable: the write or the sync failed.
    #[error("the outcome of a commit is unknown: {detail}")]
    OutcomeUnknown {
        /// What failed.
        detail: String,
    },
    /// A record is damaged.
    #[error("a record of table {table} is damaged: {detail}")]
    Damaged {
        /// Which table.
        table: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// Reading failed.
    #[error("reading the store failed: {detail}")]
    Read {
        /// What failed.
        detail: String,
    },
    /// A contradiction inside; the writer stops.
    #[error("a bug in the store: {invariant}")]
    Bug {
        /// What does not hold.
        invariant: String,
    },
}

/// The writer's half.
pub trait Store: Send + 'static {
    /// A reader beside this writer.
    fn reader(&self) -> Arc<dyn StoreReader>;

    /// Everything that the working state is made of, as it is durable now. Called at open, and
    /// after [`recover`](Self::recover).
    ///
    /// # Errors
    /// When the store can't be read at all; damage of single records is part of [`Loaded`].
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Whether there is room for new work; cheap, asked before each command that brings some.
    ///
    /// # Errors
    /// [`StoreError::Full`].
    fn has_room(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes a batch durable, then witnesses its last position.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing was written and the store is as before.
    /// [`StoreError::OutcomeUnknown`]: call [`recover`](Self::recover) before anything else.
    ///
    /// # Durability
    /// When it returns `Ok`, the batch survives the end of the process and of the machine (for a
    /// store in memory: it is committed).
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// After an unknown outcome: brings the store back into a state whose durability is known.
    ///
    /// # Errors
    /// When that fails too; it may be called again.
    fn recover(&mut self) -> Result<(), StoreError>;

    /// Called when there has been nothing to do for a while: what makes the next open fast.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    fn idle(&mut self) -> Result<(), StoreError>;

    /// Closes the store clean.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); everything acknowledged is durable all the same.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// A reader's half: short reads, none of which is held while anybody waits.
pub trait StoreReader: Send + Sync + 'static {
    /// The receipt of an input, by the digest of its id.
    ///
    /// # Errors
    /// When it can't be read or is damaged.
    fn receipt(
        &self,
        worker_id: WorkerId,
        key: [u8; 16],
    ) -> Result<Option<ReceiptRecord>, StoreError>;

    /// Where a Worker's stream stands in what is committed.
    ///
    /// # Errors
    /// When it can't be read or is damaged.
    fn worker_head(&self, worker_id: WorkerId) -> Result<WorkerHead, StoreError>;

    /// Whether any event of a Worker was ever kept, as far as can be told. A store that skips seqs
    /// after a loss must not take the skipped ones for events.
    ///
    /// # Errors
    /// When it can't be read or is damaged.
    fn has_events(&self, worker_id: WorkerId) -> Result<bool, StoreError> {
        Ok(self.worker_head(worker_id)?.seq > Seq(0))
    }

    /// What is left of a stream.
    ///
    /// # Errors
    /// When it can't be read or is damaged.
    fn bounds(&self, stream: Stream) -> Result<StreamBounds, StoreError>;

    /// A page of a stream. Damage and trimmed stretches are told as a gap, not as an error.
    ///
    /// # Errors
    /// When the store can't be read.
    fn replay(&self, request: &ReplayRequest) -> Result<ReplayPage, StoreError>;

    /// Items of a transcript. Damage and trimmed stretches are told as a gap, not as an error.
    ///
    /// # Errors
    /// When the store can't be read.
    fn transcript(&self, request: &TranscriptRequest) -> Result<TranscriptSlice, StoreError>;

    /// The blocks of a Worker that had not ended when they were last checkpointed.
    ///
    /// # Errors
    /// When they can't be read or are damaged.
    fn in_flight(&self, worker_id: WorkerId) -> Result<Vec<InFlightBlock>, StoreError>;
}
