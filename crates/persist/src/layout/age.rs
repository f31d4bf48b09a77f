//! `age`: first position of a history pack, u64 -> its worker id, 16 bytes. Lives as long as the pack;
//! finds the oldest pack of the Runtime without looking at every Worker.

use worker_runtime_core::Position;

use super::Table;
use crate::{
    codec::Damage,
    cut::{Cut, Key},
};

pub(crate) const TABLE: Table = Table {
    name: "age",
    sum: Some(8),
};

pub(crate) fn key(first: Position) -> Key {
    Key::new().with_u64(first.0)
}

pub(crate) fn parse(key: &[u8]) -> Result<Position, Damage> {
    let mut cut = Cut::new(key);
    let first = Position(cut.key_u64()?);
    cut.end().map(|()| first)
}
