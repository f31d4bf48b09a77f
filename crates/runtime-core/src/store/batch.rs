//! What is committed at once: events, and the changes of records that they tell of (I3).

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    BlockId, Event, LeaseId, OperationId, Seq, WorkerId,
    record::{
        AllocationRecord, LeaseRecord, OperationRecord, ReceiptRecord, RuntimeRecord,
        UnfinishedRecord, WorkerRecord,
    },
};

/// One change of a record, committed with the events that tell of it (I3).
#[derive(Debug, Clone)]
pub enum Change {
    /// The Runtime's own record.
    Runtime(RuntimeRecord),
    /// A Worker's record.
    Worker(Arc<WorkerRecord>),
    /// A Worker holds this scope.
    Allocation(Arc<AllocationRecord>),
    /// A Worker holds nothing any more.
    Release(WorkerId),
    /// Somebody who is no Worker holds this scope, for a time.
    Lease(Arc<LeaseRecord>),
    /// That has ended.
    EndLease(LeaseId),
    /// Who asked for a change of this batch, and why.
    Operation(Arc<OperationRecord>),
    /// That is kept no more.
    ForgetOperation(OperationId),
    /// An accepted input's receipt, under the digest of its id.
    Receipt(WorkerId, [u8; 16], ReceiptRecord),
    /// An accepted input without an outcome, new or changed.
    Unfinished(Arc<UnfinishedRecord>),
    /// That input has its outcome.
    Finished(WorkerId, Seq),
    /// New bytes of a block that has not ended.
    Checkpoint(Checkpoint),
    /// The block ended or was folded into an event: its checkpoints go.
    Fold(WorkerId, BlockId),
    /// Every event of this Worker up to and including this one goes (retention or purge).
    Trim(WorkerId, Seq),
    /// This Worker was deleted: its receipts and blocks that had not ended go. Its record and where its
    /// stream goes on stay, and so do the places of its events in the Runtime's stream; where what they
    /// said has gone, `{}` is read.
    Forget(WorkerId),
    /// As [`Forget`](Self::Forget), and every byte that this Worker was sent or wrote before this batch
    /// goes: its history, its inputs, and the data of its events in the Runtime's stream, where their
    /// places stay and `{}` is read. Its record is the caller's to rewrite. Bytes may stay in pages
    /// that the store has freed until they are used again.
    Purge(WorkerId),
}

/// New bytes of a block that has not ended.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Whose.
    pub worker_id: WorkerId,
    /// Which block.
    pub block: BlockId,
    /// What kind of block, as its event will say.
    pub kind: BlockKind,
    /// The block it is part of.
    pub parent: Option<BlockId>,
    /// Where the bytes go. An offset of 0 replaces what was there.
    pub offset_bytes: u64,
    /// The bytes; the pieces of a block join to UTF-8.
    pub bytes: Bytes,
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// Words for whoever asked.
    Text,
    /// Thought.
    Thinking,
    /// A call of a tool.
    ToolCall,
    /// What a tool gave back.
    ToolResult,
    /// A plan.
    Plan,
}

/// A block that had not ended when it was last checkpointed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlightBlock {
    /// Which block.
    pub block: BlockId,
    /// What it holds.
    pub kind: BlockKind,
    /// The block it is part of.
    pub parent: Option<BlockId>,
    /// Its bytes so far.
    pub bytes: Bytes,
}

/// Everything that becomes durable at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Events in command order; positions are dense and continue the store's.
    pub events: Vec<Event>,
    /// Changes of records, in order; a later one of the same record wins.
    pub changes: Vec<Change>,
    /// It ends or frees something (an outcome, a stop, a delete), so it is not refused for lack of
    /// room while the store has any reserve left.
    pub must_happen: bool,
}

impl Batch {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.changes.is_empty()
    }
}
