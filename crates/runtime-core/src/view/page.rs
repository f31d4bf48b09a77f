//! Pages of a stream and of a transcript.

use serde::{Deserialize, Serialize};

use crate::{
    BlockId, Code, Cursor, Event, RunId, RuntimeId, Seq, Timestamp, WorkerId,
    store::{BlockKind, Gap},
};

/// A page of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// The Runtime.
    pub runtime_id: RuntimeId,
    /// What is missing before the first event.
    pub gap: Option<Gap>,
    /// The cursor after what is missing.
    pub after_gap: Option<Cursor>,
    /// The events, each with the cursor after it.
    pub events: Vec<(Cursor, Event)>,
    /// The cursor to go on from.
    pub next: Cursor,
    /// Whether there is nothing more now.
    pub up_to_date: bool,
}

/// A transcript item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TranscriptItem {
    /// Its number.
    pub item: u64,
    /// The event that bears it.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// `user`, `system`, `notify`, or `worker`.
    pub role: String,
    /// What kind: `input`, a kind of block, `tool_call`, `tool_result`, `action`.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// The run it belongs to.
    pub run_id: Option<RunId>,
    /// Marks, such as `interrupted`.
    pub marks: Vec<String>,
}

/// A block that has not ended: a preview, continued by deltas from `offset_bytes` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnfinishedBlock {
    /// Which block.
    pub block: BlockId,
    /// What it holds.
    pub kind: BlockKind,
    /// Its text so far.
    pub text: String,
    /// How many bytes that is.
    pub offset_bytes: u64,
}

/// A page of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TranscriptPage {
    /// Whose.
    pub worker_id: WorkerId,
    /// The items, in order.
    pub items: Vec<TranscriptItem>,
    /// What is missing of the items of this page, or after the last item that is known.
    pub gap: Option<Gap>,
    /// How many items there are in all.
    pub items_total: u64,
    /// Whether that many is all: it is not known when what comes after the last of them is damaged.
    pub items_total_exact: bool,
    /// The item to read on from; `None` when this page has the last one that is known.
    pub next: Option<u64>,
    /// Read back with the items before this one; `None` when this page has the first.
    pub previous: Option<u64>,
    /// Blocks that have not ended.
    pub unfinished: Vec<UnfinishedBlock>,
    /// Set when there is damaged output among what had not ended: none of that is shown.
    pub unfinished_damaged: Option<Code>,
    /// Where this is true, in the Worker's stream.
    pub cursor: Cursor,
}
