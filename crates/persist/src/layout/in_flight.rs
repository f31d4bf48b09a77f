//! `in_flight`: worker id, 16 bytes; generation, u64; block index, u32; offset, u64 -> kind, parent
//! and bytes of a block that has not ended ([`Piece`]). Each checkpoint inserts only its new bytes;
//! all pieces of a block go when it is folded into an event.

use std::ops::ControlFlow;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use worker_runtime_core::{
    BlockId, Generation, WorkerId,
    store::{BlockKind, InFlightBlock, StoreError},
};

use super::Table;
use crate::{
    codec::{self, Damage},
    cut::{Cut, Key},
    engine::{End, Rows},
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

/// The blocks of a Worker, each whole or damaged: one whose pieces don't join is.
pub(crate) type Block = Result<InFlightBlock, (BlockId, Damage)>;

/// Reads all of a Worker's blocks.
pub(crate) fn blocks(rows: &mut impl Rows, worker_id: WorkerId) -> Result<Vec<Block>, StoreError> {
    let block = |generation, index| BlockId {
        generation: Generation(generation),
        index,
    };
    let first = key(worker_id, block(0, 0), 0);
    let last = key(worker_id, block(u64::MAX, u32::MAX), u64::MAX);
    let mut joined: Vec<Joining> = Vec::new();
    let range = (first.as_bytes(), last.as_bytes());
    rows.scan(TABLE, range, End::First, &mut |key, value| {
        let (_, block, offset_bytes) = parse(key).map_err(|damage| damage.in_table(TABLE))?;
        let piece = codec::open_record::<Piece>(TABLE, key, value);
        if joined.last().is_none_or(|last| last.block != block) {
            joined.push(Joining {
                block,
                front: None,
                bytes: BytesMut::new(),
                damage: None,
            });
        }
        if let Some(last) = joined.last_mut() {
            last.add(offset_bytes, piece);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(joined.into_iter().map(Joining::end).collect())
}

struct Joining {
    block: BlockId,
    /// Kind and parent, as the first piece has them.
    front: Option<(BlockKind, Option<BlockId>)>,
    bytes: BytesMut,
    damage: Option<Damage>,
}

impl Joining {
    fn add(&mut self, offset_bytes: u64, piece: Result<Piece, Damage>) {
        match piece {
            Ok(piece) if self.bytes.len() as u64 == offset_bytes => {
                self.front.get_or_insert((piece.kind, piece.parent));
                self.bytes.extend_from_slice(&piece.bytes);
            }
            Ok(_) => {
                let detail = format!("bytes before {offset_bytes} are missing");
                self.damage.get_or_insert(Damage(detail.into()));
            }
            Err(damage) => {
                self.damage.get_or_insert(damage);
            }
        }
    }

    fn end(self) -> Block {
        match (self.front, self.damage) {
            (Some((kind, parent)), None) => Ok(InFlightBlock {
                block: self.block,
                kind,
                parent,
                bytes: self.bytes.freeze(),
            }),
            (_, damage) => Err((self.block, damage.unwrap_or("it has no front".into()))),
        }
    }
}
