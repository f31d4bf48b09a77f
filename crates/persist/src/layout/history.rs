//! `history`: worker id, 16 bytes; first position, u64 -> pack of this Worker's events. Written when
//! the Worker's tail in memory is full or old; goes from the front when retention says so.

use worker_runtime_core::{Position, WorkerId};

use super::Table;
use crate::{
    codec::Damage,
    cut::{Cut, Key},
};

pub(crate) const TABLE: Table = Table {
    name: "history",
    sum: Some(7),
};

pub(crate) fn key(worker_id: WorkerId, first: Position) -> Key {
    Key::new().with(&worker_id.to_bytes()).with_u64(first.0)
}

pub(crate) fn parse(key: &[u8]) -> Result<(WorkerId, Position), Damage> {
    let mut cut = Cut::new(key);
    let parsed = (WorkerId::from_bytes(cut.array()?), Position(cut.key_u64()?));
    cut.end().map(|()| parsed)
}
