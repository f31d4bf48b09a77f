//! Recovery at open: inputs that were dispatched and have no outcome become `interrupted`, once
//! their processes are shown to be dead. They are never run again by themselves (I4).

use serde_json::json;

use super::{State, dispatch::RunEnd, draft};
use crate::{
    EventType, RunId, WorkerId, backend::Proof, error::Unavailable, run::StopReason,
    runtime::PartialBlock, view::WentBackView,
};

/// A run of an earlier incarnation, and what is known of its processes.
pub(crate) struct ProvenRun {
    pub(crate) worker_id: WorkerId,
    pub(crate) run_id: RunId,
    pub(crate) proof: Proof,
    /// What was checkpointed of its output.
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

    pub(crate) fn recover_run(&mut self, proven: ProvenRun) -> Result<(), Unavailable> {
        let ProvenRun {
            worker_id,
            run_id,
            proof,
            partial,
        } = proven;
        match proof {
            Proof::Dead => {
                self.around.live.seed_partial(worker_id, run_id, partial);
                self.finish_run(worker_id, StopReason::RuntimeLost, RunEnd::default())
            }
            Proof::Unproven { reason } => {
                let data = json!({
                    "code": crate::Code::RunUnknown,
                    "message": format!("the processes of run {run_id} can't be shown to be dead: {reason}"),
                    "command": format!("worker-runtime worker cancel {worker_id} --assume-dead"),
                });
                self.emit(
                    worker_id,
                    draft(EventType::DIAGNOSTIC, Some(run_id), &data)?,
                )?;
                self.update_front(worker_id, |front| {
                    if let Some(run) = &mut front.run {
                        run.unproven = Some(reason);
                    }
                })?;
                Ok(())
            }
        }
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
