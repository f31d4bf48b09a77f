//! Ends that were acknowledged: of runs by their backends, ends of runs that were asked for, and the
//! Runtime's stop and start (I1, I4). Their answers name no event, so it is looked for by its run: it
//! must be there, and tell what was asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use worker_runtime_core::{
    Event, EventType, Position, RunId, WorkerId,
    run::{StopReason, Usage},
};

use super::{
    apply::Data,
    expected::{Expected, Runs, data},
};
use crate::{
    report::Violation,
    workload::{Answer, Asked, Done, SinkCall},
};

const KEPT: &str = "I1 an end that was acknowledged is kept";
pub(super) const ASKED: &str = "I8 no end is made up";

impl Expected<'_> {
    /// Checks every answer to whom ended something, and every end against who asked for it.
    pub(super) fn check_ends(&self) -> Vec<Violation> {
        let runs = Runs::of(self.journal);
        let mut found = Vec::new();
        let mut first: BTreeMap<RunId, usize> = BTreeMap::new();
        for entry in &self.journal.entries {
            let Some(done) = entry.answer.done() else {
                continue;
            };
            let fits = match &entry.asked {
                Asked::Sink(worker_id, run_id, SinkCall::Finish(stop, usage)) => {
                    self.check_finish(&runs, (*worker_id, *run_id), stop, *usage)
                }
                Asked::CancelRun(worker_id, run_id) => {
                    let times = first.entry(*run_id).or_default();
                    *times += usize::from(!done.repeated);
                    self.check_cancel(&runs, (*worker_id, *run_id), done, *times)
                }
                Asked::StopRuntime(end_runs) => self.check_halt(done, true, *end_runs),
                Asked::StartRuntime => self.check_halt(done, false, false),
                _ => Ok(()),
            };
            if let Err(detail) = fits {
                let word = entry.asked.word();
                found.push(Violation::new(KEPT, format!("{word}: {detail}")));
            }
        }
        let ends = self.journal.told.values().map(|told| &told.event);
        let made_up = ends.filter_map(|event| self.made_up(event, u64::MAX));
        found.extend(made_up.map(|detail| Violation::new(ASKED, detail)));
        found
    }

    /// The event at a position that must be there; `None` when all that is known of it is whose it was.
    fn ended(
        &self,
        (worker_id, run_id): (WorkerId, RunId),
        place: Option<&Position>,
    ) -> Result<Option<&Event>, String> {
        let Some(event) = place.and_then(|place| self.event(*place)) else {
            let mut redacted = self.journal.redacted.iter();
            let is_hidden = redacted.any(|(_, _, whose)| *whose == worker_id);
            return match is_hidden || !self.journal.gaps.is_empty() {
                true => Ok(None),
                false => Err(format!(
                    "nothing was told of it, of {run_id} of {worker_id}"
                )),
            };
        };
        let whose = event.worker.map(|place| place.worker_id);
        match whose == Some(worker_id) {
            true => Ok(Some(event)),
            false => Err(format!(
                "{run_id} is of {worker_id}, and of {whose:?} at {}",
                event.position
            )),
        }
    }

    fn check_finish(
        &self,
        runs: &Runs,
        run: (WorkerId, RunId),
        stop: &StopReason,
        usage: Option<Usage>,
    ) -> Result<(), String> {
        let Some(event) = self.ended(run, runs.finished.get(&run.1))? else {
            return Ok(());
        };
        let told = data(event);
        let wanted = outcome(stop, self.cause(runs, run.1, event.position).as_deref());
        let is_used = usage.is_none_or(|usage| told.get("usage") == Some(&json!(usage)));
        match told.get("outcome") == Some(&wanted) && is_used {
            true => Ok(()),
            false => Err(format!(
                "{stop:?}, {usage:?} of {} is {told} at {}, and {wanted} was to come of it",
                run.1, event.position
            )),
        }
    }

    /// Why the end of a run had been asked for before a position.
    fn cause(&self, runs: &Runs, run_id: RunId, before: Position) -> Option<String> {
        let asked = runs.cancelled.get(&run_id).filter(|at| **at < before)?;
        Some(Data::of(self.event(*asked)?).text("cause"))
    }

    fn check_cancel(
        &self,
        runs: &Runs,
        run: (WorkerId, RunId),
        done: &Done,
        times: usize,
    ) -> Result<(), String> {
        let Some(event) = self.ended(run, runs.cancelled.get(&run.1))? else {
            return Ok(());
        };
        let cause = Data::of(event).text("cause");
        match done.repeated || (cause == "run" && times == 1) {
            true => Ok(()),
            false => Err(format!(
                "{} was answered as the first, for the {times}. time, and {} tells of {cause}",
                run.1, event.position
            )),
        }
    }

    /// Where it was answered the Runtime is stopped, or is not; and of what ran the end was asked for.
    fn check_halt(&self, done: &Done, stopped: bool, ends_runs: bool) -> Result<(), String> {
        let Some(position) = done.durable_to else {
            return Err("it was answered without a position".to_owned());
        };
        let Some(world) = self.world(position) else {
            return match self.journal.gaps.is_empty() {
                true => Err(format!("nothing was told of {position}")),
                false => Ok(()),
            };
        };
        let goes_on = world.workers.iter().find(|(_, life)| {
            let run = life.run.as_ref();
            ends_runs && run.is_some_and(|run| run.cancel.is_none())
        });
        match (world.stopped == stopped, goes_on) {
            (true, None) => Ok(()),
            (false, _) => Err(format!("at {position} stopped is {}", world.stopped)),
            (_, Some((worker_id, _))) => Err(format!("at {position} {worker_id} runs on")),
        }
    }

    /// Why nobody can have meant this end after so many calls of the disk, if nobody can.
    pub(super) fn made_up(&self, event: &Event, index: u64) -> Option<String> {
        let run_id = event.run_id?;
        let told = Data::of(event);
        let is_asked = |is_meant: &dyn Fn(&Asked) -> bool| {
            let mut entries = self.journal.entries.iter();
            entries.any(|entry| {
                let was_refused = matches!(entry.answer, Answer::Refused(_));
                entry.asked_at <= index && !was_refused && is_meant(&entry.asked)
            })
        };
        let is_meant = if event.kind == EventType::RUN_CANCEL_REQUESTED {
            told.text("cause") != "run"
                || is_asked(
                    &|asked| matches!(asked, Asked::CancelRun(_, asked) if *asked == run_id),
                )
        } else if event.kind == EventType::RUN_FINISHED {
            let outcome = told.value().get("outcome")?;
            let (kind, stop) = (outcome.get("kind")?, outcome.get("stop")?);
            // The others come of themselves too: by a deadline, a backend that let go, an opening.
            let is_said = kind == "completed" || stop.get("type")? == "exit";
            !is_said
                || is_asked(&|asked| match asked {
                    Asked::Sink(_, run, SinkCall::Finish(said, _)) => {
                        *run == run_id && json!(said) == *stop
                    }
                    _ => false,
                })
        } else {
            true
        };
        let at = event.position;
        (!is_meant).then(|| format!("{} at {at} of {run_id}: {}", event.kind, told.value()))
    }
}

/// What comes of a run that stopped like this, after its end was asked for because of `cause`.
pub(super) fn outcome(stop: &StopReason, cause: Option<&str>) -> Value {
    let own = match stop {
        StopReason::Exit { code: Some(0), .. } => "completed",
        StopReason::Exit { .. } | StopReason::Timeout | StopReason::Error { .. } => "failed",
        StopReason::Cancelled => "cancelled",
        StopReason::NoTerminator | StopReason::RuntimeLost => "interrupted",
        _ => "completed",
    };
    match (cause, own) {
        (Some("timeout"), _) => json!({ "kind": "failed", "stop": { "type": "timeout" } }),
        (None, own) | (Some(_), own @ "completed") => json!({ "kind": own, "stop": stop }),
        (Some("runtime_ends"), _) => {
            json!({ "kind": "interrupted", "stop": { "type": "runtime_lost" } })
        }
        (Some(_), _) => json!({ "kind": "cancelled", "stop": stop }),
    }
}
