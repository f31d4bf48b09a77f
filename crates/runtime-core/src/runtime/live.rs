//! Live runs: blocks that have not ended, and the deltas that preview them.
//!
//! A delta has no cursor and is not durable; what makes it durable is the block's event, or until
//! then a checkpoint of its new bytes. The writer alone takes bytes from here for the store. A
//! run's entry stays until the commit of its end, so that a commit that failed loses nothing and
//! nobody runs an input again because its run looks gone.

mod preview;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::broadcast;

use preview::snapshot;

use super::{Delta, DeltaOp};
use crate::{
    BlockId, Generation, Position, RunId, WorkerId,
    error::SinkError,
    limits::Limits,
    run::Usage,
    store::{BlockKind, Checkpoint},
};

/// A block whose run ended before it did.
#[derive(Debug, Clone)]
pub(crate) struct PartialBlock {
    pub(crate) block: BlockId,
    pub(crate) kind: BlockKind,
    pub(crate) parent: Option<BlockId>,
    pub(crate) bytes: Bytes,
}

/// What a run leaves when it ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partial {
    pub(crate) blocks: Vec<PartialBlock>,
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug)]
struct LiveBlock {
    kind: BlockKind,
    parent: Option<BlockId>,
    text: String,
    /// How much of it is in a checkpoint.
    kept_bytes: usize,
    /// Its event is in a batch.
    done: bool,
}

#[derive(Debug)]
struct LiveRun {
    run_id: RunId,
    generation: Generation,
    next_index: u32,
    blocks: BTreeMap<u32, LiveBlock>,
    usage: Option<Usage>,
    after: Position,
    closed: bool,
}

/// Every run that has a live owner.
pub(crate) struct LiveRuns {
    limits: Arc<Limits>,
    runs: Mutex<HashMap<WorkerId, LiveRun>>,
    /// Workers whose backend may run something.
    owners: Mutex<BTreeSet<WorkerId>>,
    listeners: Mutex<HashMap<WorkerId, broadcast::Sender<Arc<Delta>>>>,
    /// Output of runs that were over, dropped before the writer saw it.
    late: AtomicU64,
}

impl LiveRuns {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            runs: Mutex::default(),
            owners: Mutex::default(),
            listeners: Mutex::default(),
            late: AtomicU64::new(0),
        }
    }

    /// Counts output of a run that is over.
    pub(crate) fn count_late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    // Both maps stay whole when a holder panics: every change below is a single step.
    fn runs_locked(&self) -> MutexGuard<'_, HashMap<WorkerId, LiveRun>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owners_locked(&self) -> MutexGuard<'_, BTreeSet<WorkerId>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Worker's backend may run something from now on.
    pub(crate) fn add_owner(&self, worker_id: WorkerId) {
        self.owners_locked().insert(worker_id);
    }

    /// The Worker's backend is quiet.
    pub(crate) fn remove_owner(&self, worker_id: WorkerId) {
        self.owners_locked().remove(&worker_id);
    }

    pub(crate) fn has_owner(&self, worker_id: WorkerId) -> bool {
        self.owners_locked().contains(&worker_id)
    }

    pub(crate) fn has_owners(&self) -> bool {
        !self.owners_locked().is_empty()
    }

    /// A backend is about to see the run.
    pub(crate) fn begin(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        generation: Generation,
        after: Position,
    ) {
        let run = LiveRun {
            run_id,
            generation,
            next_index: 0,
            blocks: BTreeMap::new(),
            usage: None,
            after,
            closed: false,
        };
        self.runs_locked().insert(worker_id, run);
    }

    /// Gives a run of an earlier incarnation the output that was checkpointed.
    pub(crate) fn seed_partial(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        partial: Vec<PartialBlock>,
    ) {
        let mut runs = self.runs_locked();
        let run = runs.entry(worker_id).or_insert(LiveRun {
            run_id,
            generation: Generation(0),
            next_index: 0,
            blocks: BTreeMap::new(),
            usage: None,
            after: Position(0),
            closed: false,
        });
        for block in partial {
            run.generation = block.block.generation;
            let text = String::from_utf8_lossy(&block.bytes).into_owned();
            let live = LiveBlock {
                kind: block.kind,
                parent: block.parent,
                kept_bytes: text.len(),
                text,
                done: false,
            };
            run.blocks.insert(block.block.index, live);
        }
    }

    pub(crate) fn has(&self, worker_id: WorkerId, run_id: RunId) -> bool {
        self.runs_locked()
            .get(&worker_id)
            .is_some_and(|run| run.run_id == run_id)
    }

    pub(crate) fn runs(&self) -> Vec<(WorkerId, RunId)> {
        self.runs_locked()
            .iter()
            .map(|(worker_id, run)| (*worker_id, run.run_id))
            .collect()
    }

    /// The run's end is in a batch: takes no more output, and gives what had not ended.
    pub(crate) fn close(&self, worker_id: WorkerId, run_id: RunId) -> Partial {
        let mut runs = self.runs_locked();
        let Some(run) = runs.get_mut(&worker_id).filter(|run| run.run_id == run_id) else {
            return Partial::default();
        };
        run.closed = true;
        let generation = run.generation;
        let open = run.blocks.iter().filter(|(_, block)| !block.done);
        let blocks = open.map(|(index, block)| PartialBlock {
            block: BlockId {
                generation,
                index: *index,
            },
            kind: block.kind,
            parent: block.parent,
            bytes: Bytes::copy_from_slice(block.text.as_bytes()),
        });
        Partial {
            blocks: blocks.collect(),
            usage: run.usage,
        }
    }

    /// The commit is durable: runs that ended in it go.
    pub(crate) fn forget_closed(&self) {
        self.runs_locked().retain(|_, run| !run.closed);
    }

    /// The commit failed and nothing of it is durable: what had ended in it is open again, and
    /// whoever passed over its deltas gets it whole.
    pub(crate) fn reset_after_failure(&self) {
        let mut runs = self.runs_locked();
        for (worker_id, run) in runs.iter_mut() {
            run.closed = false;
            for block in run.blocks.values_mut() {
                block.kept_bytes = 0;
                block.done = false;
            }
            for delta in snapshot(*worker_id, run) {
                self.tell(delta);
            }
        }
    }

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
                    done: false,
                },
            );
            Ok(BlockId {
                generation: run.generation,
                index,
            })
        })
    }

    /// Takes new output; gives back how many of the block's bytes are in no checkpoint.
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
            let dirty = live.text.len().saturating_sub(live.kept_bytes);
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
            let live = run
                .blocks
                .get(&block.index)
                .filter(|live| !live.done && block.generation == run.generation);
            let live = live.ok_or(SinkError::BlockUnknown(block))?;
            Ok((live.kind, live.parent, live.text.clone()))
        })
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

    pub(crate) fn set_usage(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        usage: Usage,
    ) -> Result<(), SinkError> {
        self.with_run(worker_id, run_id, |run| {
            run.usage = Some(usage);
            Ok(())
        })
    }

    /// An event of the run is durable; deltas that follow come after it.
    pub(crate) fn advance(&self, worker_id: WorkerId, run_id: RunId, position: Position) {
        let _ = self.with_run(worker_id, run_id, |run| {
            run.after = run.after.max(position);
            Ok(())
        });
    }

    /// The bytes of blocks that are in no checkpoint, for the writer.
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
                    && live.kept_bytes < live.text.len()
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
                checkpoint
            });
            Ok(checkpoints.collect())
        });
        taken.unwrap_or_default()
    }

    fn with_run<T>(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        act: impl FnOnce(&mut LiveRun) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let mut runs = self.runs_locked();
        match runs
            .get_mut(&worker_id)
            .filter(|run| run.run_id == run_id && !run.closed)
        {
            Some(run) => act(run),
            None => Err(SinkError::Stale {
                run_id,
                generation: Generation(0),
            }),
        }
    }
}
