//! Deltas: live previews of output that has not ended. What makes it durable is its block's event.

use serde::Serialize;

use crate::{BlockId, Position, RunId, WorkerId, store::BlockKind};

/// What a delta does to its block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum DeltaOp {
    /// Adds text.
    Append {
        /// Where it goes, in bytes from the block's start.
        offset_bytes: u64,
        /// It.
        text: String,
    },
    /// The block's text is this, whatever it was.
    Replace {
        /// It.
        text: String,
    },
}

/// A preview of a block that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delta {
    /// Whose.
    pub worker_id: WorkerId,
    /// Of which run.
    pub run_id: RunId,
    /// Of which block.
    pub block: BlockId,
    /// What the block holds.
    pub kind: BlockKind,
    /// The block it is part of.
    pub parent: Option<BlockId>,
    /// Every event of the run that came before the delta is at or before this position.
    pub after: Position,
    /// What it does.
    #[serde(flatten)]
    pub op: DeltaOp,
}
