//! What commands without an answer may have left beyond what was told (I1, I8): what was asked, word for
//! word and once; and what follows from that, or from what was told, without anybody asking.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use worker_runtime_core::{Event, RunId, WorkerId, input::SubmitInput};

use super::{
    apply::Data,
    ends::outcome,
    expected::{Expected, data},
    lessees::{fits_lease, is_early},
    told::{fits_change, fits_hold},
    world::{Life, Run, World},
};
use crate::{
    backend::{NO_START, REJECTED_INPUT},
    workload::{Answer, Asked, Done, HoldChange, Journal, LifeChange, SinkCall},
};

/// Commands of which nobody knows what became.
pub(super) struct InFlight<'a> {
    journal: &'a Journal,
    asked: Vec<&'a Asked>,
    /// Whether any of it may be there: not when what was told goes on otherwise.
    is_open: bool,
    /// What each of them has left: its number, and what it can leave but once.
    left: BTreeSet<(usize, String)>,
    /// Whose run has ended among what was left: their next inputs may run.
    free: BTreeSet<WorkerId>,
}

impl Expected<'_> {
    /// What was asked by then and never answered.
    pub(super) fn in_flight(&self, before: &World, index: u64) -> InFlight<'_> {
        let entries = self.journal.entries.iter().filter(|entry| {
            let is_open = matches!(entry.answer, Answer::Unknown | Answer::Pending);
            is_open && entry.asked_at <= index
        });
        InFlight {
            journal: self.journal,
            asked: entries.map(|entry| &entry.asked).collect(),
            is_open: before.position == self.told_to(),
            left: BTreeSet::new(),
            free: BTreeSet::new(),
        }
    }
}

impl InFlight<'_> {
    /// Whether this event may be there where the world stands; `rest` comes after it.
    pub(super) fn left(&mut self, event: &Event, rest: &[Event], world: &World) -> bool {
        let is_left = self.is_open && (self.follows(event, rest, world) || self.is_asked(event));
        if let Some(place) = event.worker
            && is_left
            && ["run.finished", "allocation.released"].contains(&event.kind.as_str())
        {
            self.free.insert(place.worker_id);
        }
        is_left
    }

    /// Whether one of them asked for it, and has not left it yet.
    fn is_asked(&mut self, event: &Event) -> bool {
        let told = data(event);
        for (number, asked) in self.asked.iter().enumerate() {
            if !is_its(asked, event, &told, self.journal) {
                continue;
            }
            let once = match asked {
                Asked::Sink(..) => format!("{} {told}", event.kind),
                _ => event.kind.as_str().to_owned(),
            };
            if self.left.insert((number, once)) {
                return true;
            }
        }
        false
    }

    /// Whether it comes by itself where the world stands.
    fn follows(&self, event: &Event, rest: &[Event], world: &World) -> bool {
        let Some(worker_id) = event.worker.map(|place| place.worker_id) else {
            // Its time is over; the world looks whether it is held.
            let is_over = event.kind.as_str() == "lease.expired";
            return is_over && is_early(self.journal, event).is_none();
        };
        let Some(life) = world.workers.get(&worker_id) else {
            return false;
        };
        let (is_ending, run, told) = (life.ending.is_some(), life.run.as_ref(), Data::of(event));
        match event.kind.as_str() {
            "run.started" => self.may_start(worker_id),
            "run.cancel_requested" => match told.text("cause").as_str() {
                "worker_ends" => is_ending,
                "scope_taken" => life.releasing,
                "runtime_ends" => self.is_any(|asked| matches!(asked, Asked::StopRuntime(true))),
                "timeout" => run.is_some_and(|run| self.has_little_time(worker_id, run)),
                _ => false,
            },
            "run.finished" => run.is_some_and(|run| self.may_end(worker_id, run, &told)),
            // What a run had said is an event with the very end of it.
            "block.finished" => {
                let mut ends = rest.iter().take_while(|it| it.kind.as_str() != OPENED);
                let end =
                    ends.find(|it| it.run_id == event.run_id && it.kind.as_str() == "run.finished");
                let may_end =
                    |run| end.is_some_and(|it| self.may_end(worker_id, run, &Data::of(it)));
                run.is_some_and(may_end)
            }
            "input.finished" => is_ending,
            "allocation.released" if life.releasing => run.is_none(),
            "allocation.released" if self.is_reclaimed(life, false) => true,
            "allocation.released" | "worker.stopped" | "worker.cancelled" => {
                is_ending && run.is_none()
            }
            "allocation.reparented" => world.owed.contains_key(&worker_id),
            "allocation.releasing" => self.is_reclaimed(life, true),
            "worker.paused" => life.releasing,
            // Its time is over; the world looks whether it is.
            "run.action_answered" => told.read::<String>("option").is_none(),
            _ => false,
        }
    }

    fn is_any(&self, is_meant: impl Fn(&Asked) -> bool) -> bool {
        self.asked.iter().any(|asked| is_meant(asked))
    }

    /// Whether whoever is above a Worker asked for what that holds.
    fn is_reclaimed(&self, life: &Life, with_force: bool) -> bool {
        let parent = life.held.as_ref().and_then(|held| held.parent);
        self.is_any(|asked| match asked {
            Asked::Hold(worker_id, HoldChange::Reclaim(by_force)) => {
                parent == Some(*worker_id) && *by_force == with_force
            }
            _ => false,
        })
    }

    /// Whether the next input of a Worker may just have begun to run; whether it may run at all the
    /// world says.
    fn may_start(&self, worker_id: WorkerId) -> bool {
        let makes_way = |asked: &Asked| match asked {
            Asked::StartRuntime => true,
            Asked::Create(..) | Asked::Send(..) | Asked::Life(_, LifeChange::Resume) => {
                asked.worker_id() == Some(worker_id)
            }
            _ => false,
        };
        self.free.contains(&worker_id) || self.is_any(makes_way)
    }

    /// Whether a run may have come to this end: one that its backend told, that was asked for, or that
    /// it comes to when its backend does not take it, or lets go of it.
    fn may_end(&self, worker_id: WorkerId, run: &Run, told: &Data) -> bool {
        let told = told.value().get("outcome");
        let cause = run.cancel.as_deref();
        let is_told = |asked: &Asked| match asked {
            Asked::Sink(_, run_id, SinkCall::Finish(stop, _)) => {
                *run_id == run.run_id && told == Some(&outcome(stop, cause))
            }
            _ => false,
        };
        let stop = told.and_then(|told| told.get("stop")?.get("type")?.as_str());
        match stop {
            Some("no_terminator") => true,
            Some("error") if self.is_refused(worker_id, &run.input_id) => true,
            _ => cause.is_some() || self.is_any(is_told),
        }
    }

    /// Whether a backend refuses to run this.
    fn is_refused(&self, worker_id: WorkerId, input_id: &str) -> bool {
        let mut entries = self.journal.entries.iter();
        let is_unwelcome = entries.any(|entry| match &entry.asked {
            Asked::Create(whose, request) if *whose == worker_id => {
                let config = request.backend.as_ref().map(|backend| &backend.config.0);
                config.is_some_and(|config| config.get(NO_START) == Some(&json!(true)))
            }
            _ => false,
        });
        let is_rejected =
            |input: &SubmitInput| json!(input.segments).to_string().contains(REJECTED_INPUT);
        is_unwelcome || self.inputs(worker_id, input_id).any(is_rejected)
    }

    fn has_little_time(&self, worker_id: WorkerId, run: &Run) -> bool {
        let mut inputs = self.inputs(worker_id, &run.input_id);
        inputs.any(|input| input.budget.time_ms.is_some())
    }

    /// What was ever sent under this name.
    fn inputs<'a>(
        &'a self,
        worker_id: WorkerId,
        input_id: &'a str,
    ) -> impl Iterator<Item = &'a SubmitInput> {
        let sent = self.journal.entries.iter();
        let sent = sent.filter_map(move |entry| match &entry.asked {
            Asked::Create(whose, request) if *whose == worker_id => request.initial_input.as_ref(),
            Asked::Send(whose, input) if *whose == worker_id => Some(input),
            _ => None,
        });
        sent.filter(move |input| name_of(input) == input_id)
    }
}

/// How an opening begins.
pub(super) const OPENED: &str = "runtime.started";

fn name_of(input: &SubmitInput) -> &str {
    input.input_id.as_ref().map_or("initial", |id| id.as_str())
}

/// Whether an event is what was asked for.
fn is_its(asked: &Asked, event: &Event, told: &Value, journal: &Journal) -> bool {
    if asked.worker_id() != event.worker.map(|place| place.worker_id) {
        return false;
    }
    let kind = event.kind.as_str();
    let tells = |field: &str, wanted: Value| told.get(field) == Some(&wanted);
    let is_input = |input: &SubmitInput| {
        kind == "input.accepted"
            && tells("input_id", json!(name_of(input)))
            && tells("kind", json!(input.kind))
            && tells("segments", json!(input.segments))
    };
    match asked {
        Asked::Create(_, request) => match kind {
            "worker.created" => {
                tells("display_name", json!(request.display_name))
                    && tells("labels", json!(request.labels))
            }
            "allocation.granted" => !request.scope.is_empty() || !request.delegation.is_empty(),
            _ => request.initial_input.as_ref().is_some_and(is_input),
        },
        Asked::Send(_, input) => is_input(input),
        Asked::Answer(_, run_id, action_id, option) => {
            kind == "run.action_answered"
                && event.run_id == Some(*run_id)
                && tells("action_id", json!(action_id))
                && tells("option", json!(option))
        }
        Asked::CancelRun(_, run_id) => {
            kind == "run.cancel_requested"
                && event.run_id == Some(*run_id)
                && tells("cause", json!("run"))
        }
        Asked::Life(_, LifeChange::Restore) if kind == "allocation.granted" => true,
        Asked::Hold(_, change) => fits_hold(change, &Done::default(), kind, told),
        Asked::Lease(lease_id, change) => fits_lease(*lease_id, change, kind, told),
        Asked::Life(_, change) => fits_change(change, &Done::default(), kind, told),
        Asked::StopRuntime(end_runs) => {
            kind == "runtime.stopped" && tells("end_runs", json!(end_runs))
        }
        Asked::StartRuntime => kind == "runtime.resumed",
        Asked::Sink(_, run_id, call) => is_said(call, *run_id, event, told, journal),
    }
}

/// Whether an event is what a run told.
fn is_said(call: &SinkCall, run_id: RunId, event: &Event, told: &Value, journal: &Journal) -> bool {
    let kind = event.kind.as_str();
    let is_of_run = event.run_id == Some(run_id);
    let tells = |field: &str, wanted: Value| told.get(field) == Some(&wanted);
    match call {
        SinkCall::Events(events) => {
            let mut said = events.iter();
            is_of_run && said.any(|(said, data)| event.kind == *said && data == told)
        }
        SinkCall::FinishBlock(block) => {
            let texts = journal.blocks.get(&(run_id, *block));
            let texts = texts.map_or(&[][..], |block| &block.texts);
            let is_text = texts.iter().any(|text| tells("text", json!(text.text)));
            kind == "block.finished"
                && is_of_run
                && tells("block", json!(block))
                && (is_text || tells("text", json!("")))
        }
        SinkCall::RequestAction(action_id, options, _) => {
            kind == "run.requires_action"
                && is_of_run
                && tells("action_id", json!(action_id))
                && tells("options", json!(options))
        }
        SinkCall::Usage(usage) => kind == "usage" && is_of_run && *told == json!(usage),
        SinkCall::Status(name, value) => {
            kind == "worker.status" && *told == json!({ "name": name, "value": value })
        }
        // Its end follows from that, as other ends do; the others leave no event.
        SinkCall::Finish(..)
        | SinkCall::Append(..)
        | SinkCall::Replace(..)
        | SinkCall::ProcessStarted(_)
        | SinkCall::ProcessEnded(_)
        | SinkCall::ResumeReference(_) => false,
    }
}
