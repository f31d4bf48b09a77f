//! `pin`: id, u64 -> [`Pin`]. Lives as long as whoever reads old packs (a backup) needs them: nothing
//! at or after a pinned position is trimmed.

use serde::{Deserialize, Serialize};
use worker_runtime_core::Position;

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "pin",
    sum: Some(4),
};

/// What is held against retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// Whose it is: the key once more.
    pub(crate) id: u64,
    /// The first position that must stay.
    pub(crate) from: Position,
}

pub(crate) fn key(id: u64) -> Key {
    Key::new().with_u64(id)
}
