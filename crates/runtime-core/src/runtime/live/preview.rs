//! What is shown of blocks that have not ended: deltas as they come, and pictures of the whole.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use tokio::sync::broadcast;

use super::{LiveRun, LiveRuns};
use crate::{
    BlockId, WorkerId,
    runtime::{Delta, DeltaOp},
    sync::{MutexGuard, PoisonError},
    view::UnfinishedBlock,
};

/// Who listens to which Worker's deltas.
pub(super) type Listeners = HashMap<WorkerId, broadcast::Sender<Arc<Delta>>>;

/// A Worker's deltas. When nobody listens any more, nothing of that stays.
pub(crate) struct Listening {
    pub(crate) receiver: broadcast::Receiver<Arc<Delta>>,
    // After the receiver, so that it is not counted any more when this one goes.
    _entry: ListenerEntry,
}

/// That somebody listens to a Worker.
struct ListenerEntry {
    live: Arc<LiveRuns>,
    worker_id: WorkerId,
}

impl Drop for ListenerEntry {
    fn drop(&mut self) {
        let mut listeners = self.live.listeners_locked();
        if let Entry::Occupied(entry) = listeners.entry(self.worker_id)
            && entry.get().receiver_count() == 0
        {
            entry.remove();
        }
    }
}

impl LiveRuns {
    /// Blocks of a Worker that have not ended, for the transcript.
    pub(crate) fn unfinished(&self, worker_id: WorkerId) -> Vec<UnfinishedBlock> {
        let runs = self.runs_locked();
        let Some(run) = runs.get(&worker_id) else {
            return Vec::new();
        };
        let open = run.blocks.iter().filter(|(_, live)| !live.done);
        open.map(|(index, live)| UnfinishedBlock {
            block: BlockId {
                generation: run.generation,
                index: *index,
            },
            kind: live.kind,
            text: live.text.clone(),
            offset_bytes: live.text.len() as u64,
        })
        .collect()
    }

    /// Listens to a Worker's deltas, and gives every open block as it is at this moment.
    pub(crate) fn listen(self: &Arc<Self>, worker_id: WorkerId) -> (Listening, Vec<Delta>) {
        // Under the lock of the runs, so that no delta falls between the picture and the listening.
        let runs = self.runs_locked();
        let mut listeners = self.listeners_locked();
        let sender = listeners
            .entry(worker_id)
            .or_insert_with(|| broadcast::channel(self.limits.deltas_lag_max).0);
        let listening = Listening {
            receiver: sender.subscribe(),
            _entry: ListenerEntry {
                live: self.clone(),
                worker_id,
            },
        };
        let picture = runs
            .get(&worker_id)
            .map(|run| snapshot(worker_id, run))
            .unwrap_or_default();
        (listening, picture)
    }

    /// How many Workers somebody listens to.
    #[cfg(any(test, shuttle))]
    pub(crate) fn listened_to(&self) -> usize {
        self.listeners_locked().len()
    }

    fn listeners_locked(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, delta: Delta) {
        let mut listeners = self.listeners_locked();
        if let Some(sender) = listeners.get(&delta.worker_id) {
            let worker_id = delta.worker_id;
            if sender.send(Arc::new(delta)).is_err() {
                listeners.remove(&worker_id);
            }
        }
    }
}

/// Every open block of a run, whole.
pub(super) fn snapshot(worker_id: WorkerId, run: &LiveRun) -> Vec<Delta> {
    let open = run.blocks.iter().filter(|(_, live)| !live.done);
    open.map(|(index, live)| Delta {
        worker_id,
        run_id: run.run_id,
        block: BlockId {
            generation: run.generation,
            index: *index,
        },
        kind: live.kind,
        parent: live.parent,
        after: run.after,
        op: DeltaOp::Replace {
            text: live.text.clone(),
        },
    })
    .collect()
}
