//! What is shown of blocks that have not ended: deltas as they come, and pictures of the whole.

use std::sync::{Arc, PoisonError};

use tokio::sync::broadcast;

use super::{LiveRun, LiveRuns};
use crate::{
    BlockId, WorkerId,
    runtime::{Delta, DeltaOp},
    view::UnfinishedBlock,
};

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
    pub(crate) fn listen(
        &self,
        worker_id: WorkerId,
    ) -> (broadcast::Receiver<Arc<Delta>>, Vec<Delta>) {
        // Under the lock of the runs, so that no delta falls between the picture and the listening.
        let runs = self.runs_locked();
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let sender = listeners
            .entry(worker_id)
            .or_insert_with(|| broadcast::channel(self.limits.deltas_lag_max).0);
        let receiver = sender.subscribe();
        let picture = runs
            .get(&worker_id)
            .map(|run| snapshot(worker_id, run))
            .unwrap_or_default();
        (receiver, picture)
    }

    pub(super) fn tell(&self, delta: Delta) {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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
