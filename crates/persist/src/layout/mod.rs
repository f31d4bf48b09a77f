//! The kinds of stored rows, one file each: key bytes, value bytes, life-time.
//!
//! Every key is big-endian, so that rows sort like what they name; every value is sealed
//! ([`crate::codec`]). All tables exist from the first transaction on.
//!
//! | table | key | value | verified |
//! |---|---|---|---|
//! | `meta` | name | format, state, the Runtime's record | at open |
//! | `incarnation` | number | when it began | at open |
//! | `worker`, `allocation`, `lease`, `operation`, `unfinished`, `pin` | id | record | at open, as a whole |
//! | `input` | Worker, digest of the input id | receipt | on read |
//! | `log`, `history` | (Worker,) first position | pack | on read |
//! | `age` | first position of a history pack | its Worker | on read |
//! | `large` | owner, number, piece | piece of a payload | on read |
//! | `in_flight` | Worker, block, offset | bytes of an unfinished block | on read |
//! | `stream` | stream (, position) | what was trimmed, recorded gaps | on read |

pub(crate) mod age;
pub(crate) mod allocation;
pub(crate) mod history;
pub(crate) mod in_flight;
pub(crate) mod incarnation;
pub(crate) mod input;
pub(crate) mod large;
pub(crate) mod lease;
pub(crate) mod log;
pub(crate) mod meta;
pub(crate) mod operation;
pub(crate) mod pin;
pub(crate) mod stream;
pub(crate) mod unfinished;
pub(crate) mod worker;

#[cfg(test)]
mod tests;

use redb::TableDefinition;

/// A table: its name is part of every checksum in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Its place among the sums of [`meta::State`]; `meta` itself has none.
    pub(crate) sum: Option<usize>,
}

impl Table {
    /// Its place in [`TABLES`].
    pub(crate) const fn index(self) -> usize {
        match self.sum {
            Some(sum) => sum + 1,
            None => 0,
        }
    }

    /// Whether there are files without it: what was made before it was thought of. It is empty there.
    pub(crate) fn came_later(self) -> bool {
        self == lease::TABLE || self == operation::TABLE
    }

    pub(crate) const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name)
    }
}

/// How many tables have a sum.
pub(crate) const SUM_COUNT: usize = 14;

/// Every table.
pub(crate) const TABLES: [Table; 15] = [
    meta::TABLE,
    incarnation::TABLE,
    worker::TABLE,
    allocation::TABLE,
    unfinished::TABLE,
    pin::TABLE,
    input::TABLE,
    log::TABLE,
    history::TABLE,
    age::TABLE,
    large::TABLE,
    in_flight::TABLE,
    stream::TABLE,
    lease::TABLE,
    operation::TABLE,
];
