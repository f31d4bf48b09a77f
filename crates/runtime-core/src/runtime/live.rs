//! Live runs: blocks that have not ended, and the deltas that preview them.
//!
//! A delta has no cursor and is not durable; what makes it durable is the block's event, or until
//! then a checkpoint of its new bytes. The writer alone takes bytes from here for the store. A
//! run's entry stays until the commit of its end, so that a commit that failed loses nothing and
//! nobody runs an input again because its run looks gone. A block likewise: its end is in the batch
//! that is being gathered, or it is durable and the block is gone (I2).
//!
//! - `blocks`: what a run's sink and the writer do with one block
//! - `preview`: what observers see of it

mod blocks;
mod preview;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;

use preview::{Listeners, snapshot};

pub(crate) use preview::Listening;

use crate::{
    BlockId, Generation, Position, RunId, WorkerId,
    error::SinkError,
    limits::Limits,
    store::BlockKind,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
}

#[derive(Debug)]
struct LiveBlock {
    kind: BlockKind,
    parent: Option<BlockId>,
    text: String,
    /// How much of it is in a checkpoint.
    kept_bytes: usize,
    /// Checkpoints may hold what the text is not any more: the next one begins anew, also when there
    /// is nothing left to keep.
    replaced: bool,
    /// Its event is in the batch that is being gathered.
    done: bool,
}

impl LiveBlock {
    /// How many bytes the next checkpoint has to take, and at least one when it has to forget.
    fn dirty_bytes(&self) -> usize {
        let new = self.text.len().saturating_sub(self.kept_bytes);
        new.max(usize::from(self.replaced))
    }
}

#[derive(Debug)]
struct LiveRun {
    run_id: RunId,
    generation: Generation,
    next_index: u32,
    blocks: BTreeMap<u32, LiveBlock>,
    after: Position,
    closed: bool,
}

/// Every run that has a live owner.
pub(crate) struct LiveRuns {
    limits: Arc<Limits>,
    runs: Mutex<HashMap<WorkerId, LiveRun>>,
    /// Workers whose backend may run something.
    owners: Mutex<BTreeSet<WorkerId>>,
    listeners: Mutex<Listeners>,
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
                replaced: false,
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
        }
    }

    /// The batch is durable: what ended in it goes, also when nobody waits for that answer any more.
    pub(crate) fn forget_closed(&self) {
        self.runs_locked().retain(|_, run| {
            run.blocks.retain(|_, block| !block.done);
            !run.closed
        });
    }

    /// The commit failed and nothing of it is durable: what had ended in it is open again, and
    /// whoever passed over its deltas gets it whole. What ended before it is gone already.
    pub(crate) fn reset_after_failure(&self) {
        let mut runs = self.runs_locked();
        for (worker_id, run) in runs.iter_mut() {
            run.closed = false;
            for block in run.blocks.values_mut() {
                block.kept_bytes = 0;
                block.replaced = true;
                block.done = false;
            }
            for delta in snapshot(*worker_id, run) {
                self.tell(delta);
            }
        }
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
