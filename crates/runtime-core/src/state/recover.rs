//! Recovery at open: inputs that were dispatched and have no outcome become `interrupted`, once
//! their processes are shown to be dead. They are never run again by themselves (I4).

use serde_json::json;

use super::{State, dispatch::RunEnd, draft};
use crate::{
    EventType, WorkerId, backend::Proof, error::Unavailable, run::StopReason,
    runtime::PartialBlock, view::WentBackView,
};

/// A Worker that an earlier incarnation left running, and what is known of its processes.
pub(crate) struct ProvenWorker {
    pub(crate) worker_id: WorkerId,
    pub(crate) proof: Proof,
    /// What was checkpointed of its run's output.
    pub(crate) partial: Vec<PartialBlock>,
}

impl State {
    /// Records the beginning of this incarnation.
    pub(crate) fn recover_start(
        &mut self,
        went_back: Option<WentBackView>,
        version: &str,
    ) -> Result<(), Unavailable> {
        let data = json!({ "version": version, "went_back": went_back });
        let started = draft(EventType::RUNTIME_STARTED, None, &data)?;
        self.emit_runtime(started);
        Ok(())
    }

    /// Gives a Worker's run its outcome when its processes are shown to be dead.
    pub(crate) fn recover_worker(&mut self, proven: ProvenWorker) -> Result<(), Unavailable> {
        let ProvenWorker {
            worker_id,
            proof,
            partial,
        } = proven;
        if !self.workers.contains_key(&worker_id) {
            // Its record is damaged: there is nothing that could be changed.
            return Ok(());
        }
        if let Proof::Unproven { reason } = proof {
            return self.set_unproven(worker_id, reason);
        }
        self.update(worker_id, |record| {
            record.processes.clear();
            record.unproven = None;
        })?;
        match self.current_run(worker_id).map(|run| run.run_id) {
            Some(run_id) => {
                self.around.live.seed_partial(worker_id, run_id, partial);
                self.finish_run(worker_id, StopReason::RuntimeLost, RunEnd::default())
            }
            None => self.settle_end(worker_id),
        }
    }

    /// Its processes can't be shown to be dead: it keeps its run and its scope, and nothing is
    /// dispatched, until that can be shown or an operator says so. Why is told by the diagnostics
    /// alone: it may name processes and what a backend keeps to itself (I11).
    pub(super) fn set_unproven(
        &mut self,
        worker_id: WorkerId,
        reason: String,
    ) -> Result<(), Unavailable> {
        let data = json!({
            "code": crate::Code::RunUnproven,
            "message": "its processes can't be shown to be dead",
            "command": format!("worker-runtime worker cancel {worker_id} --assume-dead"),
        });
        let run_id = self.current_run(worker_id).map(|run| run.run_id);
        self.emit(worker_id, draft(EventType::DIAGNOSTIC, run_id, &data)?)?;
        self.update(worker_id, |record| record.unproven = Some(reason))?;
        Ok(())
    }

    /// Dispatches what waits, once recovery is durable.
    pub(crate) fn dispatch_waiting(&mut self) -> Result<(), Unavailable> {
        let mut waiting: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|worker| {
                worker
                    .unfinished
                    .front()
                    .is_some_and(|front| front.run.is_none())
            })
            .map(|worker| worker.record.worker_id)
            .collect();
        waiting.sort_unstable();
        waiting
            .into_iter()
            .try_for_each(|worker_id| self.dispatch(worker_id))
    }
}
