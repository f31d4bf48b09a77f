//! `meta`: what there is one of.
//!
//! - `format` -> [`Format`]: written once; a newer one is refused before anything else is read.
//! - `runtime` -> `RuntimeRecord`: changed by commands about the Runtime.
//! - `state` -> [`State`]: written by every commit, in its transaction.
//! - `losses` -> list of [`Loss`]: positions of the log that were damaged when nothing else had their
//!   events yet. Written by the opening that finds it, kept for ever.

use serde::{Deserialize, Serialize};
use worker_runtime_core::{Digest, Position, Timestamp};

use super::{SUM_COUNT, Table};

pub(crate) const TABLE: Table = Table {
    name: "meta",
    sum: None,
};

pub(crate) const FORMAT: &[u8] = b"format";
pub(crate) const RUNTIME: &[u8] = b"runtime";
pub(crate) const STATE: &[u8] = b"state";
pub(crate) const LOSSES: &[u8] = b"losses";

/// The version of the layout that this program writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Which layout the file has. This record's own form never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    /// The version of the layout.
    pub(crate) version: u32,
}

/// How many rows a table has, and the XOR of their checksums: a lost row is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct TableSum {
    pub(crate) rows: u64,
    pub(crate) digest: u64,
}

/// Where the store stands after a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The newest position.
    pub(crate) position: Position,
    /// The time of the newest event.
    pub(crate) at: Timestamp,
    /// The Runtime-wide chain up to it.
    pub(crate) chain: Digest,
    /// Time that has passed while the store was open, by a clock that never jumps: ages of
    /// retention are measured with it.
    pub(crate) store_ms: u64,
    /// Every event before this position is in `history` too; an open reads the log from here.
    pub(crate) tail_floor: Position,
    /// The bytes of all log packs.
    pub(crate) log_bytes: u64,
    /// The bytes of all history packs and of the Workers' large payloads.
    pub(crate) history_bytes: u64,
    /// The sums of the other tables, by [`Table::sum`]. They must stay the last field.
    #[serde(with = "sums")]
    pub(crate) sums: [TableSum; SUM_COUNT],
}

/// The sums as they are stored. Those of tables which were added later are behind them, and each is there
/// only when it or a later one is not zero: what an older program wrote is read, and it reads what holds
/// nothing of those tables.
mod sums {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use worker_runtime_core::trailing;

    use super::{SUM_COUNT, TableSum};

    const FIRST_COUNT: usize = 12;

    #[derive(Serialize, Deserialize)]
    struct Stored {
        first: [TableSum; FIRST_COUNT],
        #[serde(default, with = "trailing")]
        later: Option<Later>,
    }

    #[derive(Serialize, Deserialize)]
    struct Later {
        lease: TableSum,
        #[serde(default, with = "trailing")]
        operation: Option<TableSum>,
    }

    pub(super) fn serialize<S: Serializer>(
        sums: &[TableSum; SUM_COUNT],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let [first @ .., lease, operation] = *sums;
        let some = |sum: TableSum| Some(sum).filter(|sum| *sum != TableSum::default());
        let operation = some(operation);
        let is_later = operation.is_some() || some(lease).is_some();
        let later = is_later.then_some(Later { lease, operation });
        Stored { first, later }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[TableSum; SUM_COUNT], D::Error> {
        let Stored { first, later } = Stored::deserialize(deserializer)?;
        let mut sums = [TableSum::default(); SUM_COUNT];
        let (of_first, of_later) = sums.split_at_mut(FIRST_COUNT);
        of_first.copy_from_slice(&first);
        if let Some(Later { lease, operation }) = later {
            of_later.copy_from_slice(&[lease, operation.unwrap_or_default()]);
        }
        Ok(sums)
    }
}

/// A stretch of the log that was lost before its events were in any Worker's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loss {
    /// The first lost position.
    pub(crate) from: Position,
    /// The last lost position.
    pub(crate) to: Position,
}
