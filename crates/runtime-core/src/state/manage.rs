//! The Runtime's own stop and start. What a user stopped stays stopped, over a restart too.

use serde_json::json;

use super::{State, draft};
use crate::{
    Code, EventType, Position, WorkerId, error::Unavailable, record::CancelCause, store::Change,
};

impl State {
    /// Stops dispatch and takes no input; with `end_runs`, what runs is ended too.
    pub(crate) fn stop_runtime(
        &mut self,
        end_runs: bool,
        reason: Option<String>,
    ) -> Result<Position, Unavailable> {
        if !self.runtime.stopped {
            self.runtime.stopped = true;
            self.change(Change::Runtime(self.runtime.clone()));
            let stopped = draft(
                EventType::RUNTIME_STOPPED,
                None,
                &json!({ "reason": reason, "end_runs": end_runs }),
            )?;
            self.emit_runtime(stopped);
        }
        if end_runs {
            self.end_runs()?;
        }
        Ok(self.position)
    }

    /// Takes input and dispatches again.
    pub(crate) fn start_runtime(&mut self) -> Result<Position, Unavailable> {
        if self.runtime.stopped {
            self.room.clone()?;
            self.runtime.stopped = false;
            self.change(Change::Runtime(self.runtime.clone()));
            let resumed = draft(EventType::RUNTIME_RESUMED, None, &json!({}))?;
            self.emit_runtime(resumed);
            self.dispatch_waiting()?;
        }
        Ok(self.position)
    }

    /// An operator knows that acknowledged state is gone.
    pub(crate) fn acknowledge_went_back(&mut self) -> Result<Position, Unavailable> {
        if let Some(went) = self.runtime.went_back.take() {
            self.change(Change::Runtime(self.runtime.clone()));
            let data = json!({
                "code": Code::StateWentBack,
                "message": "it was acknowledged that state is gone",
                "went_back": went,
            });
            let told = draft(EventType::DIAGNOSTIC, None, &data)?;
            self.emit_runtime(told);
        }
        Ok(self.position)
    }

    /// Asks for the end of everything that runs, without changing what a user decided.
    pub(crate) fn end_runs(&mut self) -> Result<(), Unavailable> {
        for worker_id in self.running() {
            self.request_cancel(worker_id, CancelCause::RuntimeEnds)?;
        }
        Ok(())
    }

    /// Workers whose run has not ended.
    pub(crate) fn running(&self) -> Vec<WorkerId> {
        let mut running: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|worker| {
                let run = worker
                    .unfinished
                    .front()
                    .and_then(|front| front.run.as_ref());
                run.is_some() && worker.record.unproven.is_none()
            })
            .map(|worker| worker.record.worker_id)
            .collect();
        running.sort_unstable();
        running
    }
}
