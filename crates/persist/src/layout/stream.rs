//! `stream`: what a stream no longer has.
//!
//! - tag, u8 (0 Runtime, 1 Worker); worker id, 16 bytes; 0, u8 -> [`Base`]: where the first event that
//!   is left follows on. Written by the first trim, kept for ever.
//! - the same with 2 instead of 0, of Workers alone -> `Position`: where their newest pack in `history`
//!   begins. Written with that pack; without it a lost row would look like the end of a stream. Stores
//!   that were written before there was this row say nothing.
//! - the same with 1 instead of 0; first missing position, u64 -> [`RecordedGap`]: a stretch that a
//!   repair put aside. Kept until retention passes it.

use serde::{Deserialize, Serialize};
use worker_runtime_core::{Digest, ItemIndex, Position, Seq, Stream, WorkerId, store::GapCause};

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "stream",
    sum: Some(11),
};

/// What was trimmed from the front of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Base {
    /// The position of the last event that was trimmed.
    pub(crate) position: Position,
    /// Its seq.
    pub(crate) seq: Seq,
    /// How many transcript items were trimmed.
    pub(crate) items: ItemIndex,
    /// The chain after it.
    pub(crate) chain: Digest,
    /// How many bytes were trimmed, in all.
    pub(crate) bytes: u64,
}

/// A stretch that is missing in the middle of a stream, with what follows on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedGap {
    pub(crate) cause: GapCause,
    /// The last missing position.
    pub(crate) to: Position,
    /// The last missing seq.
    pub(crate) to_seq: Seq,
    /// The chain that the next event starts from.
    pub(crate) chain: Digest,
}

fn start(stream: Stream) -> Key {
    match stream {
        Stream::Runtime => Key::new().with(&[0; 17]),
        Stream::Worker(worker_id) => Key::new().with(&[1]).with(&worker_id.to_bytes()),
    }
}

pub(crate) fn base_key(stream: Stream) -> Key {
    start(stream).with(&[0])
}

pub(crate) fn newest_key(worker_id: WorkerId) -> Key {
    start(Stream::Worker(worker_id)).with(&[2])
}

pub(crate) fn gap_key(stream: Stream, from: Position) -> Key {
    start(stream).with(&[1]).with_u64(from.0)
}
