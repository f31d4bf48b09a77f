//! `large`: owner, 17 bytes; number, u64; piece, u32 -> piece of a payload over 2 KiB.
//!
//! The owner is a Worker (1 and its id) and the number an event's seq, or the Runtime (0 and zeros)
//! and the number a position. `log` and `history` both refer to it, so the text is stored once. A
//! Worker's pieces live as long as the event in `history`, the Runtime's as long as in `log`.

use worker_runtime_core::{Event, Position, Seq, WorkerId};

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "large",
    sum: Some(9),
};

/// Payloads above this are kept here.
pub(crate) const INLINE_LEN_MAX_BYTES: usize = 2048;

/// Whose payload it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Worker(WorkerId, Seq),
    Runtime(Position),
}

impl Owner {
    pub(crate) fn of(event: &Event) -> Self {
        match event.worker {
            Some(place) => Self::Worker(place.worker_id, place.seq),
            None => Self::Runtime(event.position),
        }
    }

    pub(crate) fn key(self, piece: u32) -> Key {
        let (tag, id, number) = match self {
            Self::Worker(worker_id, seq) => (1, worker_id.to_bytes(), seq.0),
            Self::Runtime(position) => (0, [0; 16], position.0),
        };
        Key::new()
            .with(&[tag])
            .with(&id)
            .with_u64(number)
            .with_u32(piece)
    }
}

/// Cuts a payload so that each piece but the last two fills a page run of the engine.
///
/// The engine gives a value over a page a run of a power of two of pages; a 17 KiB value would
/// take 32 KiB. So a piece is the largest run that the rest fills, and the remainder shares a page.
pub(crate) fn pieces(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let full = RUN_LENS_BYTES
            .into_iter()
            .map(|run| run - RUN_OVERHEAD_BYTES);
        let len = full.into_iter().find(|len| *len <= rest.len());
        let (piece, left) = rest.split_at_checked(len.unwrap_or(rest.len()))?;
        rest = left;
        Some(piece)
    })
}

const RUN_LENS_BYTES: [usize; 5] = [64 << 10, 32 << 10, 16 << 10, 8 << 10, 4 << 10];
/// Page header, offsets, key and seal.
const RUN_OVERHEAD_BYTES: usize = 64;
