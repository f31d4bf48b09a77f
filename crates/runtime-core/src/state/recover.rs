//! Recovery at open: inputs that were dispatched and have no outcome become `interrupted`, once
//! their processes are shown to be dead. They are never run again by themselves (I4).

use serde_json::json;

use super::{State, damage, dispatch::RunEnd, draft};
use crate::{
    Code, EventType, Generation, Position, Seq, Stream, WorkerId,
    backend::Proof,
    error::Unavailable,
    record::WentBackRecord,
    run::{Outcome, StopReason},
    runtime::PartialBlock,
    sabotage::{self, Sabotage},
    store::{Change, ReplayRequest, StoreError, StoreReader, WentBack},
    view::WentBackView,
};

/// A Worker that an earlier incarnation left running, and what is known of its processes.
pub(crate) struct ProvenWorker {
    pub(crate) worker_id: WorkerId,
    pub(crate) proof: Proof,
    /// Of its run, when it left one.
    pub(crate) generation: Option<Generation>,
}

impl State {
    /// Records the beginning of this incarnation.
    pub(crate) fn recover_start(
        &mut self,
        went_back: Option<WentBack>,
        version: &str,
    ) -> Result<(), Unavailable> {
        let told = went_back.map(WentBackView::from);
        let data = json!({ "version": version, "went_back": told });
        let started = draft(EventType::RUNTIME_STARTED, None, &data)?;
        self.emit_runtime(started);
        if let Some(went) = went_back {
            // The witness forgets it with the next commit; an operator must not.
            self.runtime.went_back = Some(WentBackRecord {
                witnessed: went.witnessed,
                found: went.found,
                at: self.now(),
            });
            self.change(Change::Runtime(self.runtime.clone()));
        }
        self.renew_rebuilt()
    }

    /// What a Worker holds was made anew from its record: nobody knows the fence that was last shown
    /// for it, so it gets the next one.
    fn renew_rebuilt(&mut self) -> Result<(), Unavailable> {
        let held = self.holdings.iter();
        let rebuilt = held.filter(|held| held.fence == damage::FENCE_LOST);
        let mut rebuilt: Vec<WorkerId> = rebuilt.map(|held| held.worker_id).collect();
        rebuilt.sort_unstable();
        for worker_id in rebuilt {
            let fence = self.renew_fence(worker_id);
            // Where its stream goes on may be damaged too; then the diagnostics alone tell.
            if self.check_head(worker_id).is_ok() {
                let data = json!({
                    "code": Code::RecordDamaged,
                    "message": "the record of the scope that it holds was damaged; it holds the one that it was made with, under a new fence",
                    "fence": fence,
                });
                self.emit(worker_id, draft(EventType::DIAGNOSTIC, None, &data)?)?;
            }
        }
        Ok(())
    }

    /// Gives a Worker's run its outcome when its processes are shown to be dead, and what was
    /// checkpointed of its output.
    pub(crate) fn recover_worker(
        &mut self,
        proven: ProvenWorker,
        partial: Vec<PartialBlock>,
    ) -> Result<(), Unavailable> {
        let ProvenWorker {
            worker_id, proof, ..
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
            Some(_) if sabotage::is(Sabotage::RunTwiceAfterRestart) => self
                .update_front(worker_id, |front| front.run = None)
                .map(drop),
            Some(_) if sabotage::is(Sabotage::DropOutcomeAtOpen) => {
                self.worker_mut(worker_id)?.unfinished.pop_front();
                Ok(())
            }
            Some(run_id) => {
                self.around.live.seed_partial(worker_id, run_id, partial);
                self.finish_run(worker_id, StopReason::RuntimeLost, RunEnd::default())
            }
            None => self.settle_end(worker_id),
        }
    }

    /// An operator said that processes which could not be shown to be dead are.
    pub(super) fn take_for_dead(&mut self, worker_id: WorkerId) -> Result<(), Unavailable> {
        let live = self.around.live.clone();
        let run = self.current_run(worker_id);
        let run = run.map(|run| (run.run_id, run.generation));
        // An opening that could not show it to be dead left the output where it was checkpointed.
        let left = run.filter(|(run_id, _)| !live.has(worker_id, *run_id));
        let partial =
            left.map(|(_, generation)| partial_blocks(worker_id, generation, &*self.around.reader));
        let partial = partial.transpose()?.unwrap_or_default();
        self.update(worker_id, |record| {
            record.unproven = None;
            record.processes.clear();
        })?;
        let Some((run_id, _)) = run else {
            return Ok(());
        };
        if left.is_some() {
            live.seed_partial(worker_id, run_id, partial);
        }
        let detail = Some("an operator said that its processes are dead".to_owned());
        let end = RunEnd {
            usage: None,
            detail,
        };
        self.finish_run(worker_id, StopReason::RuntimeLost, end)
    }

    /// Gives inputs whose records are damaged their outcome: what is left of them is that they were
    /// accepted (I4). Those of a Worker that may still run one wait for the next opening.
    pub(crate) fn recover_damaged_inputs(&mut self) -> Result<(), Unavailable> {
        let inputs = self.damaged.iter().filter_map(|record| {
            let is_input = record.table == "unfinished";
            is_input.then_some((record.worker_id?, record.seq?))
        });
        let inputs: Vec<(WorkerId, Seq)> = inputs.collect();
        for (worker_id, seq) in inputs {
            if !self.workers.contains_key(&worker_id)
                || self.is_unproven(worker_id)
                || self.check_head(worker_id).is_err()
            {
                continue;
            }
            let outcome = Outcome::from(StopReason::RuntimeLost);
            let data = json!({
                "input_id": self.accepted_input_id(worker_id, seq),
                "outcome": outcome,
                "detail": "its record was damaged",
            });
            self.emit(worker_id, draft(EventType::INPUT_FINISHED, None, &data)?)?;
            self.change(Change::Finished(worker_id, seq));
            self.touched.workers.insert(worker_id);
            self.damaged
                .retain(|record| record.worker_id != Some(worker_id) || record.seq != Some(seq));
        }
        Ok(())
    }

    /// The id of an input, from the event of its acceptance; `None` when that is gone too.
    fn accepted_input_id(&self, worker_id: WorkerId, seq: Seq) -> Option<String> {
        let mut after = Position(0);
        loop {
            let request = ReplayRequest {
                stream: Stream::Worker(worker_id),
                after,
                until: self.position,
                events_max: self.around.limits.page_events_max,
                bytes_max: self.around.limits.page_bytes_max,
            };
            // What can't be read is not known: one Worker keeps no other one shut.
            let page = self.around.reader.replay(&request).ok()?;
            let found = page
                .events
                .iter()
                .find(|event| event.worker.is_some_and(|place| place.seq == seq));
            if let Some(event) = found {
                let data: serde_json::Value =
                    serde_json::from_slice(&event.data).unwrap_or_default();
                let input_id = data.get("input_id").and_then(serde_json::Value::as_str);
                return input_id.map(str::to_owned);
            }
            if page.up_to_date || page.scanned_to <= after {
                return None;
            }
            after = page.scanned_to;
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

/// What was checkpointed of a run's output. Checkpoints that are damaged are not served; the run
/// still gets its outcome.
pub(crate) fn partial_blocks(
    worker_id: WorkerId,
    generation: Generation,
    reader: &dyn StoreReader,
) -> Result<Vec<PartialBlock>, StoreError> {
    let stored = match reader.in_flight(worker_id) {
        Err(StoreError::Damaged { table, detail }) => {
            tracing::warn!(%worker_id, table, detail, "unfinished output is damaged and is not kept");
            Vec::new()
        }
        other => other?,
    };
    let of_run = stored
        .into_iter()
        .filter(|block| block.block.generation == generation);
    let partial = of_run.map(|block| PartialBlock {
        block: block.block,
        kind: block.kind,
        parent: block.parent,
        bytes: block.bytes,
    });
    Ok(partial.collect())
}
