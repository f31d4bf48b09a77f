//! `incarnation`: number, u64 -> `IncarnationRecord`. One row per opening for writing, kept for ever:
//! a cursor names the incarnation that wrote its position.

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "incarnation",
    sum: Some(0),
};

pub(crate) fn key(number: u64) -> Key {
    Key::new().with_u64(number)
}
