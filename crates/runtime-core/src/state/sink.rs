//! What a run's backend tells, taken only while the run is the current one: a late message of an
//! older generation is dropped and counted.

use std::time::Duration;

use serde_json::json;

use super::{State, dispatch::RunEnd, draft};
use crate::{
    ActionId, BlockId, EventDraft, EventType, Generation, Position, RunId, WorkerId,
    backend::ActionAnswer,
    error::{RunError, SinkError, Unavailable},
    record::{ActionRecord, ProcessRecord, RunRecord},
    run::{OutcomeKind, StopReason, Usage},
    runtime::PartialBlock,
    sabotage::{self, Sabotage},
    store::Change,
};

/// A block that ended, as the event that tells of it.
#[derive(Debug)]
pub(crate) struct FinishedBlock {
    pub(crate) block: BlockId,
    pub(crate) draft: EventDraft,
}

/// Something that a run asks somebody to decide.
#[derive(Debug, Clone)]
pub(crate) struct ActionRequest {
    pub(crate) action_id: ActionId,
    pub(crate) options: Vec<String>,
    pub(crate) time_ms: Option<u64>,
    pub(crate) detail: serde_json::Value,
}

/// A message of a run's backend.
#[derive(Debug)]
pub(crate) enum SinkOp {
    Append(Vec<EventDraft>),
    /// What the run has used so far, and the event that tells of it.
    Usage(Usage, EventDraft),
    FinishBlock(FinishedBlock),
    /// The block has enough new bytes to be checkpointed at once.
    Checkpoint(BlockId),
    RequestAction(ActionRequest),
    Process(ProcessRecord),
    /// The process with this identity is dead.
    ProcessEnded(Vec<u8>),
    Resume(Vec<u8>),
    Status {
        name: String,
        json: String,
    },
    Finish {
        stop: StopReason,
        end: RunEnd,
    },
    /// Its processes can't be shown to be dead, and nobody is left who could end them.
    Unproven(String),
}

impl SinkOp {
    /// Whether it ends or frees something, and is taken although there is no room for new work.
    pub(crate) fn must_happen(&self) -> bool {
        matches!(
            self,
            Self::Finish { .. } | Self::FinishBlock(_) | Self::Unproven(_) | Self::ProcessEnded(_)
        )
    }
}

impl State {
    pub(crate) fn sink(
        &mut self,
        worker_id: WorkerId,
        run_id: RunId,
        generation: Generation,
        op: SinkOp,
    ) -> Result<Position, SinkError> {
        let is_late = self
            .current_run(worker_id)
            .is_none_or(|run| run.run_id != run_id || run.generation != generation)
            // Nothing that is left of a backend may end a run whose processes may live.
            || self.is_unproven(worker_id);
        if is_late && !sabotage::is(Sabotage::AcceptLateMessage) {
            self.late_messages = self.late_messages.saturating_add(1);
            return Err(SinkError::Stale { run_id, generation });
        }
        if !op.must_happen() {
            self.room.clone()?;
        }
        match op {
            SinkOp::Append(mut drafts) => {
                if sabotage::is(Sabotage::SwapEvents) {
                    drafts.reverse();
                }
                for draft in drafts {
                    self.emit(worker_id, draft)?;
                }
            }
            SinkOp::Usage(usage, draft) => {
                self.emit(worker_id, draft)?;
                // In the record, so that a run that its Runtime does not outlive has used it too.
                self.update_front(worker_id, |front| {
                    if let Some(run) = &mut front.run {
                        run.usage = Some(usage);
                    }
                })?;
            }
            SinkOp::FinishBlock(finished) => {
                // One that was asked for before and given up on may have come first.
                let live = &self.around.live;
                live.check_open(worker_id, run_id, finished.block)?;
                self.emit(worker_id, finished.draft)?;
                self.around
                    .live
                    .block_done(worker_id, run_id, finished.block);
                self.change(Change::Fold(worker_id, finished.block));
            }
            SinkOp::Checkpoint(block) => self.checkpoint(worker_id, run_id, Some(block)),
            SinkOp::RequestAction(request) => self.request_action(worker_id, run_id, request)?,
            SinkOp::Process(process) => self.record_process(worker_id, process)?,
            SinkOp::ProcessEnded(identity) => self.process_ended(worker_id, &identity)?,
            SinkOp::Resume(reference) => {
                self.update(worker_id, |record| record.resume = Some(reference))?;
            }
            SinkOp::Status { name, json } => self.set_status(worker_id, name, json)?,
            SinkOp::Finish { stop, end } => self.finish_run(worker_id, stop, end)?,
            SinkOp::Unproven(reason) => self.set_unproven(worker_id, reason)?,
        }
        Ok(self.position)
    }

    pub(super) fn current_run(&self, worker_id: WorkerId) -> Option<&RunRecord> {
        self.workers
            .get(&worker_id)?
            .unfinished
            .front()?
            .run
            .as_ref()
    }

    /// Keeps the new bytes of blocks that have not ended.
    pub(crate) fn checkpoint(&mut self, worker_id: WorkerId, run_id: RunId, only: Option<BlockId>) {
        for checkpoint in self.around.live.take_dirty(worker_id, run_id, only) {
            self.batch_bytes = self.batch_bytes.saturating_add(checkpoint.bytes.len());
            if !sabotage::is(Sabotage::LoseCheckpoint) {
                self.change(Change::Checkpoint(checkpoint));
            }
        }
    }

    /// Keeps the new bytes of every block that has not ended.
    pub(crate) fn checkpoint_all(&mut self) {
        for (worker_id, run_id) in self.around.live.runs() {
            if self
                .current_run(worker_id)
                .is_some_and(|run| run.run_id == run_id)
            {
                self.checkpoint(worker_id, run_id, None);
            }
        }
    }

    /// Turns blocks that never ended into events, marked with why.
    pub(super) fn fold_partial(
        &mut self,
        worker_id: WorkerId,
        run_id: RunId,
        blocks: Vec<PartialBlock>,
        outcome: OutcomeKind,
    ) -> Result<(), Unavailable> {
        let mark = match outcome {
            OutcomeKind::Completed => None,
            OutcomeKind::Failed => Some("failed"),
            OutcomeKind::Cancelled => Some("cancelled"),
            OutcomeKind::Interrupted => Some("interrupted"),
        };
        for partial in blocks {
            if !partial.bytes.is_empty() {
                let data = json!({
                    "block": partial.block,
                    "kind": partial.kind,
                    "parent": partial.parent,
                    "text": String::from_utf8_lossy(&partial.bytes),
                    "marks": mark.as_slice(),
                });
                self.emit(
                    worker_id,
                    draft(EventType::BLOCK_FINISHED, Some(run_id), &data)?,
                )?;
            }
            self.change(Change::Fold(worker_id, partial.block));
        }
        Ok(())
    }

    fn request_action(
        &mut self,
        worker_id: WorkerId,
        run_id: RunId,
        request: ActionRequest,
    ) -> Result<(), SinkError> {
        let max = self.around.limits.actions_open_max;
        let open = self
            .current_run(worker_id)
            .map_or(&[][..], |run| &run.actions);
        if open.len() >= max {
            return Err(SinkError::Limit {
                what: "open actions",
                max,
            });
        }
        if open
            .iter()
            .any(|other| other.action_id == request.action_id)
        {
            return Err(SinkError::Invalid {
                reason: format!("action {:?} is open already", request.action_id.as_str()),
            });
        }
        let ActionRequest {
            action_id,
            options,
            time_ms,
            detail,
        } = request;
        let deadline = time_ms.map(|ms| self.now().plus(Duration::from_millis(ms)));
        self.wake_at(deadline);
        let data = json!({ "action_id": action_id, "options": options, "deadline": deadline, "detail": detail });
        self.emit(
            worker_id,
            draft(EventType::RUN_REQUIRES_ACTION, Some(run_id), &data)?,
        )?;
        let action = ActionRecord {
            action_id,
            options,
            at: self.now(),
            deadline,
        };
        self.update_front(worker_id, |front| {
            if let Some(run) = &mut front.run {
                run.actions.push(action);
            }
        })?;
        Ok(())
    }

    fn record_process(
        &mut self,
        worker_id: WorkerId,
        process: ProcessRecord,
    ) -> Result<(), SinkError> {
        let max = self.around.limits.processes_max;
        if self.worker_mut(worker_id)?.record.processes.len() >= max {
            return Err(SinkError::Limit {
                what: "processes of a Worker",
                max,
            });
        }
        self.update(worker_id, |record| record.processes.push(process))?;
        Ok(())
    }

    /// This process is dead: a fact of its own, which no run has to go on for. It is told twice where
    /// two notice it.
    pub(crate) fn process_ended(
        &mut self,
        worker_id: WorkerId,
        identity: &[u8],
    ) -> Result<(), SinkError> {
        let is_it = |process: &ProcessRecord| process.identity == identity;
        let is_recorded = self.workers.get(&worker_id).is_some_and(|worker| {
            // What can't be shown to be dead is settled as a whole.
            worker.record.unproven.is_none() && worker.record.processes.iter().any(is_it)
        });
        if is_recorded {
            self.update(worker_id, |record| {
                record.processes.retain(|process| !is_it(process));
            })?;
        }
        Ok(())
    }

    fn set_status(
        &mut self,
        worker_id: WorkerId,
        name: String,
        json: String,
    ) -> Result<(), SinkError> {
        let max = self.around.limits.status_fields_max;
        let known = &self.worker_mut(worker_id)?.record.status;
        if !known.contains_key(&name) && known.len() >= max {
            return Err(SinkError::Limit {
                what: "status fields",
                max,
            });
        }
        let value: Box<serde_json::value::RawValue> =
            serde_json::from_str(&json).map_err(|error| SinkError::Invalid {
                reason: error.to_string(),
            })?;
        let data = json!({ "name": name, "value": value });
        self.emit(worker_id, draft(EventType::WORKER_STATUS, None, &data)?)?;
        self.update(worker_id, |record| {
            record.status.insert(name, json);
        })?;
        Ok(())
    }

    /// Records the answer to an action; the backend gets it after the commit.
    pub(crate) fn answer(
        &mut self,
        worker_id: WorkerId,
        run_id: RunId,
        action_id: ActionId,
        option: String,
    ) -> Result<Position, RunError> {
        self.worker(worker_id)?;
        let run = self
            .current_run(worker_id)
            .filter(|run| run.run_id == run_id);
        let Some(run) = run else {
            return Err(RunError::Unknown { worker_id, run_id });
        };
        let Some(action) = run
            .actions
            .iter()
            .find(|action| action.action_id == action_id)
        else {
            return Err(RunError::ActionUnknown { run_id, action_id });
        };
        if !action.options.is_empty() && !action.options.contains(&option) {
            return Err(RunError::ActionOption {
                action_id,
                option,
                options: action.options.clone(),
            });
        }
        self.room.clone()?;
        Ok(self.end_action(worker_id, run_id, action_id, ActionAnswer::Chosen(option))?)
    }

    /// The action is over; the backend is told how after the commit.
    pub(super) fn end_action(
        &mut self,
        worker_id: WorkerId,
        run_id: RunId,
        action_id: ActionId,
        answer: ActionAnswer,
    ) -> Result<Position, Unavailable> {
        let data = match &answer {
            ActionAnswer::Chosen(option) => json!({ "action_id": action_id, "option": option }),
            ActionAnswer::Lapsed => json!({ "action_id": action_id, "lapsed": true }),
        };
        let recorded = self.emit(
            worker_id,
            draft(EventType::RUN_ACTION_ANSWERED, Some(run_id), &data)?,
        )?;
        self.update_front(worker_id, |front| {
            if let Some(run) = &mut front.run {
                run.actions.retain(|action| action.action_id != action_id);
            }
        })?;
        self.effects.push(super::Effect::Respond {
            worker_id,
            run_id,
            action_id,
            answer,
        });
        Ok(recorded.position)
    }
}
