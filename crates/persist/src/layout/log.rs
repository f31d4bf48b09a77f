//! `log`: first position, u64 -> pack of events in command order. The tail pack is written again by
//! every commit until it is full; packs go from the front when the log is larger than its limit.

use worker_runtime_core::Position;

use super::Table;
use crate::{
    codec::Damage,
    cut::{Cut, Key},
};

pub(crate) const TABLE: Table = Table {
    name: "log",
    sum: Some(6),
};

pub(crate) fn key(first: Position) -> Key {
    Key::new().with_u64(first.0)
}

pub(crate) fn parse(key: &[u8]) -> Result<Position, Damage> {
    let mut cut = Cut::new(key);
    let first = Position(cut.key_u64()?);
    cut.end().map(|()| first)
}
