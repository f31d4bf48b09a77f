//! Dispatch and end of runs: one run per Worker at a time, and exactly one outcome (I4).

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{Effect, State, draft};
use crate::{
    EventType, RunId, Timestamp, WorkerId,
    backend::ActionAnswer,
    error::Unavailable,
    record::{
        AllocationRecord, CancelCause, CancelRecord, LastRun, Lifecycle, ProcessLife, RunRecord,
        UnfinishedRecord,
    },
    run::{Outcome, OutcomeKind, StopReason, Usage},
    sabotage::{self, Sabotage},
    store::Change,
    view::Phase,
};

/// How far a Worker's first input is: from its run, whether processes may live of which nobody knows
/// more (`unproven`), and whether there is a live owner. One rule for what is shown and what is refused.
pub(crate) fn phase_of(run: Option<&RunRecord>, unproven: bool, live: bool) -> Phase {
    match run {
        _ if unproven => Phase::Unproven,
        None => Phase::Queued,
        Some(_) if !live => Phase::Lost,
        Some(run) if run.cancel.is_some() => Phase::Cancelling,
        Some(run) if !run.actions.is_empty() => Phase::RequiresAction,
        Some(_) => Phase::Running,
    }
}

/// What ended a run, beside its reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunEnd {
    pub(crate) usage: Option<Usage>,
    /// What a diagnostic should say.
    pub(crate) detail: Option<String>,
}

impl State {
    /// Starts the Worker's next input, when it has one and may run.
    pub(super) fn dispatch(&mut self, worker_id: WorkerId) -> Result<(), Unavailable> {
        if self.runtime.stopped || !self.dispatch.includes(worker_id) {
            return Ok(());
        }
        let Some(worker) = self.workers.get(&worker_id) else {
            return Ok(());
        };
        let record = &worker.record;
        let held = record.lifecycle != Lifecycle::Active
            || record.ending.is_some()
            || record.paused
            || record.unproven.is_some();
        let capable = self
            .around
            .backends
            .input_capable(record.backend.as_ref())
            .is_ok();
        let Some(front) = worker
            .unfinished
            .front()
            .filter(|front| front.run.is_none() && !held && capable)
        else {
            return Ok(());
        };
        if self.room.is_err() {
            // It stays queued: on a full disk its run could not even be recorded.
            self.waits_for_room = true;
            return Ok(());
        }
        let input = front.input.clone();
        let run_id = self.mint_run();
        let generation = self
            .update(worker_id, |record| {
                record.generation = record.generation.next()
            })?
            .generation;
        let fence = self.renew_fence(worker_id);
        let started_at = self.now();
        let run = RunRecord {
            run_id,
            generation,
            fence,
            started_at,
            deadline: input
                .budget
                .time_ms
                .map(|ms| started_at.plus(Duration::from_millis(ms))),
            cancel: None,
            actions: Vec::new(),
            usage: None,
        };
        self.wake_at(run.deadline);
        let data = json!({ "input_id": input.input_id, "generation": generation, "fence": fence });
        self.emit(
            worker_id,
            draft(EventType::RUN_STARTED, Some(run_id), &data)?,
        )?;
        let unfinished = self.update_front(worker_id, |front| front.run = Some(run))?;
        self.start_effect(worker_id, unfinished);
        Ok(())
    }

    fn start_effect(&mut self, worker_id: WorkerId, unfinished: Arc<UnfinishedRecord>) {
        if let Some(worker) = self.workers.get(&worker_id) {
            let worker = worker.record.clone();
            let scope = self.holdings.run_scope(worker_id);
            self.effects.push(Effect::Start {
                worker,
                unfinished,
                scope,
            });
        }
    }

    /// After a failed commit the state was made anew: dispatched inputs that no backend has seen
    /// are given to theirs now, and waiting ones are dispatched.
    pub(crate) fn resume_after_failure(&mut self) -> Result<(), Unavailable> {
        let mut workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        workers.sort_unstable();
        for worker_id in workers {
            self.settle_end(worker_id)?;
            let front = self
                .workers
                .get(&worker_id)
                .and_then(|worker| worker.unfinished.front().cloned());
            let Some(front) = front else { continue };
            match &front.run {
                Some(_) if self.is_unproven(worker_id) => {}
                Some(run) if self.around.live.has(worker_id, run.run_id) => {
                    if run.cancel.is_some() {
                        let run_id = run.run_id;
                        self.effects.push(Effect::Cancel { worker_id, run_id });
                    }
                }
                Some(_) => self.start_effect(worker_id, front),
                None => self.dispatch(worker_id)?,
            }
        }
        Ok(())
    }

    /// Of the effects of a batch that failed: answers that turned out to be durable are still given
    /// to their runs.
    pub(crate) fn resume_answers(&mut self, dropped: Vec<Effect>) {
        for effect in dropped {
            let Effect::Respond {
                worker_id,
                run_id,
                action_id,
                ..
            } = &effect
            else {
                continue;
            };
            let run = self.current_run(*worker_id);
            let answered = run.is_some_and(|run| {
                run.run_id == *run_id && run.actions.iter().all(|open| open.action_id != *action_id)
            });
            if answered {
                self.effects.push(effect);
            }
        }
    }

    /// The next fence for what a Worker holds, when it holds something.
    pub(super) fn renew_fence(&mut self, worker_id: WorkerId) -> Option<crate::Fence> {
        let held = self.holdings.get(worker_id).cloned()?;
        let fence = self.grant_fence();
        self.hold(AllocationRecord {
            fence,
            ..(*held).clone()
        });
        Some(fence)
    }

    /// Records that the end of the Worker's run was asked for. The first request wins.
    pub(super) fn request_cancel(
        &mut self,
        worker_id: WorkerId,
        cause: CancelCause,
    ) -> Result<Option<(RunId, Timestamp, bool)>, Unavailable> {
        let worker = self.worker_mut(worker_id)?;
        let Some(run) = worker
            .unfinished
            .front()
            .and_then(|front| front.run.clone())
        else {
            return Ok(None);
        };
        if let Some(cancel) = run.cancel {
            return Ok(Some((run.run_id, cancel.at, true)));
        }
        let at = self.now();
        let data = json!({ "cause": cause });
        self.emit(
            worker_id,
            draft(EventType::RUN_CANCEL_REQUESTED, Some(run.run_id), &data)?,
        )?;
        self.update_front(worker_id, |front| {
            if let Some(run) = &mut front.run {
                run.cancel = Some(CancelRecord { at, cause });
            }
        })?;
        if !self.is_unproven(worker_id) {
            self.effects.push(Effect::Cancel {
                worker_id,
                run_id: run.run_id,
            });
        }
        Ok(Some((run.run_id, at, false)))
    }

    /// Gives the Worker's run its outcome: partial output first, then the end, then what follows
    /// from it (the Worker's own end, or the next input).
    pub(super) fn finish_run(
        &mut self,
        worker_id: WorkerId,
        stop: StopReason,
        end: RunEnd,
    ) -> Result<(), Unavailable> {
        let worker = self.worker_mut(worker_id)?;
        let front = worker.unfinished.front().cloned();
        let Some((front, run)) = front.and_then(|front| front.run.clone().map(|run| (front, run)))
        else {
            return Err(Unavailable::Bug {
                invariant: format!("Worker {worker_id} has no run to end"),
            });
        };
        let outcome = outcome_of(stop, run.cancel);
        let partial = self.around.live.close(worker_id, run.run_id);
        let usage = end.usage.or(run.usage).unwrap_or_default();
        self.fold_partial(worker_id, run.run_id, partial.blocks, outcome.kind)?;
        let data = json!({
            "input_id": front.input.input_id,
            "outcome": outcome,
            "generation": run.generation,
            "usage": usage,
            "detail": end.detail,
        });
        let recorded = self.emit(
            worker_id,
            draft(EventType::RUN_FINISHED, Some(run.run_id), &data)?,
        )?;
        self.worker_mut(worker_id)?.unfinished.pop_front();
        self.change(Change::Finished(worker_id, front.accepted.seq));
        let last = LastRun {
            run_id: run.run_id,
            input_id: front.input.input_id.clone(),
            at: recorded.at,
            outcome,
        };
        self.update(worker_id, |record| {
            record.last_run = Some(last);
            record.usage = record.usage.plus(usage);
            record
                .processes
                .retain(|process| process.life != ProcessLife::Run);
        })?;
        self.settle_end(worker_id)?;
        self.dispatch(worker_id)
    }

    /// Ends runs that took longer than they were given, and lapses actions.
    pub(crate) fn expire(&mut self) -> Result<(), Unavailable> {
        if sabotage::is(Sabotage::MissDeadline) {
            return Ok(());
        }
        let now = self.now();
        let is_due = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| deadline <= now);
        let mut late = Vec::new();
        let mut lapsed = Vec::new();
        for worker in self.workers.values() {
            let Some(run) = worker
                .unfinished
                .front()
                .and_then(|front| front.run.as_ref())
            else {
                continue;
            };
            if run.cancel.is_none() && is_due(run.deadline) {
                late.push(worker.record.worker_id);
            }
            let actions = run.actions.iter().filter(|action| is_due(action.deadline));
            lapsed.extend(actions.map(|action| {
                (
                    worker.record.worker_id,
                    run.run_id,
                    action.action_id.clone(),
                )
            }));
        }
        // Their order is part of the log, and that of a map is chance.
        lapsed.sort_unstable();
        late.sort_unstable();
        for (worker_id, run_id, action_id) in lapsed {
            self.end_action(worker_id, run_id, action_id, ActionAnswer::Lapsed)?;
        }
        for worker_id in late {
            self.request_cancel(worker_id, CancelCause::Timeout)?;
        }
        self.expire_leases()
    }

    /// The next moment at which [`expire`](Self::expire) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        if sabotage::is(Sabotage::MissDeadline) {
            return None;
        }
        let runs = self
            .workers
            .values()
            .filter_map(|worker| worker.unfinished.front()?.run.as_ref());
        runs.flat_map(|run| {
            let end = run.deadline.filter(|_| run.cancel.is_none());
            end.into_iter()
                .chain(run.actions.iter().filter_map(|action| action.deadline))
        })
        .chain(self.next_lease_look())
        .min()
    }
}

/// The outcome of a run that stopped for this reason after its end had, or had not, been asked for.
fn outcome_of(stop: StopReason, cancel: Option<CancelRecord>) -> Outcome {
    let outcome = Outcome::from(stop);
    match cancel.map(|cancel| cancel.cause) {
        None => outcome,
        // However its backend ends it then: it took too long.
        Some(CancelCause::Timeout) => StopReason::Timeout.into(),
        // An explicit end that was reached before the request was noticed stays what it is.
        Some(_) if outcome.kind == OutcomeKind::Completed => outcome,
        Some(CancelCause::RuntimeEnds) => StopReason::RuntimeLost.into(),
        Some(CancelCause::Run | CancelCause::WorkerEnds | CancelCause::ScopeTaken) => Outcome {
            kind: OutcomeKind::Cancelled,
            stop: outcome.stop,
        },
    }
}
