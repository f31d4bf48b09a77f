//! One block of a live run: opened, written, ended, and what of it the writer has to keep.

use bytes::Bytes;

use super::{LiveBlock, LiveRun, LiveRuns};
use crate::{
    BlockId, Position, RunId, WorkerId,
    error::SinkError,
    runtime::{Delta, DeltaOp},
    store::{BlockKind, Checkpoint},
};

impl LiveRuns {
    /// Whether a delta's block has not ended: one of a block whose end is in a batch would come
    /// after its event.
    pub(crate) fn is_open(&self, delta: &Delta) -> bool {
        let open = self.with_run(delta.worker_id, delta.run_id, |run| {
            let live = run.blocks.get(&delta.block.index);
            Ok(live.is_some_and(|live| !live.done))
        });
        open.unwrap_or(false)
    }

    pub(crate) fn open_block(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        kind: BlockKind,
        parent: Option<BlockId>,
    ) -> Result<BlockId, SinkError> {
        let max = self.limits.blocks_open_max;
        self.with_run(worker_id, run_id, |run| {
            if run.blocks.values().filter(|block| !block.done).count() >= max {
                return Err(SinkError::Limit {
                    what: "open blocks",
                    max,
                });
            }
            let index = run.next_index;
            run.next_index = run.next_index.saturating_add(1);
            run.blocks.insert(
                index,
                LiveBlock {
                    kind,
                    parent,
                    text: String::new(),
                    kept_bytes: 0,
                    replaced: false,
                    done: false,
                },
            );
            Ok(BlockId {
                generation: run.generation,
                index,
            })
        })
    }

    /// Takes new output; gives back how many of the block's bytes the next checkpoint has to take.
    pub(crate) fn write(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        block: BlockId,
        replace: bool,
        text: &str,
    ) -> Result<usize, SinkError> {
        let max = self.limits.block_bytes_max;
        self.with_run(worker_id, run_id, |run| {
            let after = run.after;
            let live = run
                .blocks
                .get_mut(&block.index)
                .filter(|live| !live.done && block.generation == run.generation);
            let live = live.ok_or(SinkError::BlockUnknown(block))?;
            let before = if replace { 0 } else { live.text.len() };
            if before.saturating_add(text.len()) > max {
                return Err(SinkError::Limit {
                    what: "bytes of a block",
                    max,
                });
            }
            if replace {
                live.text.clear();
                live.replaced |= live.kept_bytes > 0;
                live.kept_bytes = 0;
            }
            let op = match replace {
                true => DeltaOp::Replace {
                    text: text.to_owned(),
                },
                false => DeltaOp::Append {
                    offset_bytes: live.text.len() as u64,
                    text: text.to_owned(),
                },
            };
            live.text.push_str(text);
            let delta = Delta {
                worker_id,
                run_id,
                block,
                kind: live.kind,
                parent: live.parent,
                after,
                op,
            };
            let dirty = live.dirty_bytes();
            // Under the lock of the runs, so that whoever begins to listen misses none.
            self.tell(delta);
            Ok(dirty)
        })
    }

    /// A block's kind, parent and text, for its event.
    pub(crate) fn read_block(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        block: BlockId,
    ) -> Result<(BlockKind, Option<BlockId>, String), SinkError> {
        self.with_run(worker_id, run_id, |run| {
            let live = open_in(run, block)?;
            Ok((live.kind, live.parent, live.text.clone()))
        })
    }

    /// That a block has not ended.
    pub(crate) fn check_open(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        block: BlockId,
    ) -> Result<(), SinkError> {
        self.with_run(worker_id, run_id, |run| open_in(run, block).map(drop))
    }

    /// The block's event is in a batch.
    pub(crate) fn block_done(&self, worker_id: WorkerId, run_id: RunId, block: BlockId) {
        let _ = self.with_run(worker_id, run_id, |run| {
            if let Some(live) = run.blocks.get_mut(&block.index) {
                live.done = true;
            }
            Ok(())
        });
    }

    /// The block's event is durable.
    pub(crate) fn drop_block(&self, worker_id: WorkerId, run_id: RunId, block: BlockId) {
        let _ = self.with_run(worker_id, run_id, |run| {
            run.blocks.remove(&block.index);
            Ok(())
        });
    }

    /// An event of the run is durable; deltas that follow come after it.
    pub(crate) fn advance(&self, worker_id: WorkerId, run_id: RunId, position: Position) {
        let _ = self.with_run(worker_id, run_id, |run| {
            run.after = run.after.max(position);
            Ok(())
        });
    }

    /// The bytes of blocks that are in no checkpoint, for the writer; at offset 0, perhaps none, when
    /// what was kept before is not the block's text any more.
    pub(crate) fn take_dirty(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        only: Option<BlockId>,
    ) -> Vec<Checkpoint> {
        let taken = self.with_run(worker_id, run_id, |run| {
            let generation = run.generation;
            let wanted = run.blocks.iter_mut().filter(|(index, live)| {
                !live.done
                    && live.dirty_bytes() > 0
                    && only.is_none_or(|only| only.index == **index)
            });
            let checkpoints = wanted.map(|(index, live)| {
                let bytes = live
                    .text
                    .as_bytes()
                    .get(live.kept_bytes..)
                    .unwrap_or_default();
                let checkpoint = Checkpoint {
                    worker_id,
                    block: BlockId {
                        generation,
                        index: *index,
                    },
                    kind: live.kind,
                    parent: live.parent,
                    offset_bytes: live.kept_bytes as u64,
                    bytes: Bytes::copy_from_slice(bytes),
                };
                live.kept_bytes = live.text.len();
                live.replaced = false;
                checkpoint
            });
            Ok(checkpoints.collect())
        });
        taken.unwrap_or_default()
    }
}

fn open_in(run: &LiveRun, block: BlockId) -> Result<&LiveBlock, SinkError> {
    let live = run.blocks.get(&block.index);
    live.filter(|live| !live.done && block.generation == run.generation)
        .ok_or(SinkError::BlockUnknown(block))
}
