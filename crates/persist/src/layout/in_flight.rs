//! `in_flight`: worker id, 16 bytes; generation, u64; block index, u32; offset, u64 -> kind, parent
//! and bytes of a block that has not ended ([`Piece`]). Each checkpoint inserts only its new bytes;
//! all pieces of a block go when it is folded into an event.

use serde::{Deserialize, Serialize};
use worker_runtime_core::{BlockId, Generation, WorkerId, store::BlockKind};

use super::Table;
use crate::{
    codec::Damage,
    cut::{Cut, Key},
};

pub(crate) const TABLE: Table = Table {
    name: "in_flight",
    sum: Some(10),
};

/// Some bytes of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) kind: BlockKind,
    pub(crate) parent: Option<BlockId>,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn key(worker_id: WorkerId, block: BlockId, offset_bytes: u64) -> Key {
    Key::new()
        .with(&worker_id.to_bytes())
        .with_u64(block.generation.0)
        .with_u32(block.index)
        .with_u64(offset_bytes)
}

pub(crate) fn parse(key: &[u8]) -> Result<(WorkerId, BlockId, u64), Damage> {
    let mut cut = Cut::new(key);
    let worker_id = WorkerId::from_bytes(cut.array()?);
    let block = BlockId {
        generation: Generation(cut.key_u64()?),
        index: cut.key_u32()?,
    };
    let offset_bytes = cut.key_u64()?;
    cut.end().map(|()| (worker_id, block, offset_bytes))
}
