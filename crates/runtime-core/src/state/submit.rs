//! Input: accepted once, kept until it has its outcome (I4, I5).

use std::sync::Arc;

use serde_json::json;

use super::{State, draft, receipt_key};
use crate::{
    Digest, EventType, InputId, WorkerId,
    error::{SubmitError, Unavailable, WorkerError},
    input::{Input, InputMode, InputReceipt},
    record::{Lifecycle, ReceiptRecord, Recorded, UnfinishedRecord},
    sabotage::{self, Sabotage},
    store::Change,
};

/// An input that was checked, encoded and hashed on the caller's thread.
#[derive(Debug, Clone)]
pub(crate) struct PreparedInput {
    pub(crate) input: Arc<Input>,
    pub(crate) mode: InputMode,
    pub(crate) digest: Digest,
}

impl State {
    pub(crate) fn submit(
        &mut self,
        worker_id: WorkerId,
        prepared: PreparedInput,
    ) -> Result<InputReceipt, SubmitError> {
        self.worker(worker_id)?;
        if let Some(first) =
            self.first_receipt(worker_id, &prepared.input.input_id, Some(prepared.digest))?
        {
            return Ok(first);
        }
        self.check_head(worker_id)?;
        self.refuse_submit(worker_id, prepared.mode)?;
        let PreparedInput {
            input,
            mode,
            digest,
        } = prepared;
        let data = json!({
            "input_id": input.input_id,
            "kind": input.kind,
            "segments": input.segments,
            "mode": mode,
        });
        let accepted = self.emit(worker_id, draft(EventType::INPUT_ACCEPTED, None, &data)?)?;
        let key = receipt_key(&input.input_id);
        let receipt = ReceiptRecord {
            content_digest: digest,
            accepted,
        };
        if !sabotage::is(Sabotage::ForgetReceipt) {
            self.receipts.insert((worker_id, key), receipt);
            self.change(Change::Receipt(worker_id, key, receipt));
        }
        self.update(worker_id, |record| record.input_count += 1)?;
        let input_id = input.input_id.clone();
        let unfinished = Arc::new(UnfinishedRecord {
            worker_id,
            accepted,
            input,
            mode,
            run: None,
        });
        self.change(Change::Unfinished(unfinished.clone()));
        self.worker_mut(worker_id)?.unfinished.push_back(unfinished);
        self.dispatch(worker_id)?;
        Ok(self.receipt_view(worker_id, input_id, accepted, (false, false)))
    }

    /// The receipt of an input that was accepted before, as it was first given.
    pub(crate) fn first_receipt(
        &self,
        worker_id: WorkerId,
        input_id: &InputId,
        digest: Option<Digest>,
    ) -> Result<Option<InputReceipt>, Unavailable> {
        let receipt = self.receipt(worker_id, receipt_key(input_id))?;
        Ok(receipt.map(|receipt| {
            let differs = digest.is_some_and(|digest| digest != receipt.content_digest);
            self.receipt_view(
                worker_id,
                input_id.clone(),
                receipt.accepted,
                (true, differs),
            )
        }))
    }

    fn receipt_view(
        &self,
        worker_id: WorkerId,
        input_id: InputId,
        accepted: Recorded,
        (repeated, content_differs): (bool, bool),
    ) -> InputReceipt {
        let cursor = self.cursor_of(worker_id, accepted);
        InputReceipt {
            worker_id,
            input_id,
            accepted,
            cursor,
            repeated,
            content_differs,
        }
    }

    fn refuse_submit(&self, worker_id: WorkerId, mode: InputMode) -> Result<(), SubmitError> {
        self.room.clone()?;
        if self.runtime.stopped {
            return Err(Unavailable::Stopped.into());
        }
        let worker = self.worker(worker_id)?;
        let record = &worker.record;
        if record.lifecycle != Lifecycle::Active {
            return Err(SubmitError::NotActive {
                worker_id,
                state: record.lifecycle.as_str(),
            });
        }
        if record.end_asked().is_some() {
            return Err(SubmitError::NotActive {
                worker_id,
                state: "about to end",
            });
        }
        if let Err(reason) = self.around.backends.input_capable(record.backend.as_ref()) {
            return Err(SubmitError::Incapable { worker_id, reason });
        }
        if record.input_count >= self.around.limits.inputs_per_worker_max {
            return Err(SubmitError::Quota {
                worker_id,
                accepted: record.input_count,
            });
        }
        if let (Some(front), InputMode::Reject) = (worker.unfinished.front(), mode) {
            let run = front.run.as_ref();
            return Err(SubmitError::Busy {
                worker_id,
                input_id: front.input.input_id.clone(),
                since: run.map_or(front.accepted.at, |run| run.started_at),
                phase: super::phase_of(run, record.unproven.is_some(), true),
            });
        }
        if worker.unfinished.len() >= self.around.limits.inputs_unfinished_max {
            return Err(SubmitError::QueueFull {
                worker_id,
                waiting: worker.unfinished.len(),
            });
        }
        Ok(())
    }

    /// Gives an input that never ran its outcome.
    pub(super) fn cancel_queued(&mut self, worker_id: WorkerId) -> Result<(), Unavailable> {
        let waiting: Vec<Arc<UnfinishedRecord>> = {
            let worker = self.worker_mut(worker_id)?;
            let keep = usize::from(
                worker
                    .unfinished
                    .front()
                    .is_some_and(|front| front.run.is_some()),
            );
            worker.unfinished.split_off(keep).into()
        };
        for unfinished in waiting {
            let outcome = crate::run::Outcome::from(crate::run::StopReason::Cancelled);
            let data = json!({ "input_id": unfinished.input.input_id, "outcome": outcome });
            self.emit(worker_id, draft(EventType::INPUT_FINISHED, None, &data)?)?;
            self.change(Change::Finished(worker_id, unfinished.accepted.seq));
        }
        self.touched.workers.insert(worker_id);
        Ok(())
    }
}

impl From<WorkerError> for Unavailable {
    fn from(error: WorkerError) -> Self {
        Self::Bug {
            invariant: format!("a Worker was validated and then: {error}"),
        }
    }
}
