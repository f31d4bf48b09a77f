//! What a log may hold beyond what was told: what commands without an answer left, and then the ends
//! that openings give to what ran (I1, I4, I8). Nothing else was ever written.

use std::collections::BTreeSet;

use serde_json::json;
use worker_runtime_core::{Event, RunId, WorkerId, record::Lifecycle};

use super::{
    apply::Data,
    expected::{Expected, data},
    world::{Life, Run, World},
};
use crate::{
    report::Violation,
    workload::{Answer, Asked, LifeChange, SinkCall},
};

const PREFIX: &str = "I1 the log is a prefix of what was told";

/// How what runs comes to its end.
const ENDS: [&str; 5] = [
    "block.finished",
    "run.finished",
    "allocation.released",
    "worker.stopped",
    "worker.cancelled",
];

impl Expected<'_> {
    /// The world after all that is there beyond what was told, when it may be there.
    pub(super) fn go_on(
        &self,
        before: &World,
        new: &[Event],
        index: u64,
    ) -> Result<World, Violation> {
        let mut world = before.clone();
        let mut in_flight = self.in_flight(before, index);
        let mut is_opened = false;
        for event in new {
            let kind = event.kind.as_str();
            let is_end = is_opened && ENDS.contains(&kind);
            let is_left = !is_opened && in_flight.left(event);
            is_opened |= kind == "runtime.started";
            if !is_end && !is_left && kind != "runtime.started" {
                let (at, after) = (event.position, before.position);
                let detail = format!("{kind} at {at} after {after}: {}", Data::of(event).value());
                return Err(Violation::new(PREFIX, detail));
            }
            world.apply(event)?;
        }
        ended(world)
    }

    /// What was asked by then and never answered. None of it is there when what was told goes on
    /// otherwise.
    fn in_flight(&self, before: &World, index: u64) -> InFlight<'_> {
        let is_all = before.position == self.told_to();
        let entries = self.journal.entries.iter().filter(|entry| {
            let is_open = matches!(entry.answer, Answer::Unknown | Answer::Pending);
            is_all && is_open && entry.asked_at <= index
        });
        InFlight {
            asked: entries.map(|entry| &entry.asked).collect(),
            left: BTreeSet::new(),
        }
    }
}

/// After an opening nothing runs any more, and every end that was asked for is reached.
fn ended(world: World) -> Result<World, Violation> {
    if let Some((worker_id, run)) = running(&world) {
        let detail = format!("{} of {worker_id} has none after an opening", run.input_id);
        return Err(Violation::new("I4 one outcome for each input", detail));
    }
    let waits = |life: &Life| life.lifecycle == Lifecycle::Active && life.ending.is_some();
    match world.workers.iter().find(|(_, life)| waits(life)) {
        Some((worker_id, _)) => {
            let detail = format!("{worker_id} was asked to end, and nothing of it runs");
            let promise = "I3 an end that was asked for is reached";
            Err(Violation::new(promise, detail))
        }
        None => Ok(world),
    }
}

fn running(world: &World) -> Option<(WorkerId, &Run)> {
    let mut lives = world.workers.iter();
    lives.find_map(|(worker_id, life)| Some((*worker_id, life.run.as_ref()?)))
}

/// Commands of which nobody knows what became.
struct InFlight<'a> {
    asked: Vec<&'a Asked>,
    /// What each of them has left: its number, and what it can leave but once.
    left: BTreeSet<(usize, String)>,
}

impl InFlight<'_> {
    /// Whether one of them may have left this event.
    fn left(&mut self, event: &Event) -> bool {
        for (number, asked) in self.asked.iter().enumerate() {
            let once = match leaves(asked, event) {
                Leaves::Nothing => continue,
                Leaves::Also => return true,
                Leaves::Once(what) => what,
            };
            if self.left.insert((number, once)) {
                return true;
            }
        }
        false
    }
}

/// How an event comes of a command.
enum Leaves {
    /// It does not.
    Nothing,
    /// It is what was asked for.
    Once(String),
    /// It follows from that, for one or for many; whether it can come there the world says.
    Also,
}

fn leaves(asked: &Asked, event: &Event) -> Leaves {
    let kind = event.kind.as_str();
    let whose = event.worker.map(|place| place.worker_id);
    let is_all = matches!(asked, Asked::StopRuntime(_) | Asked::StartRuntime);
    if !is_all && asked.worker_id() != whose {
        return Leaves::Nothing;
    }
    let (own, also): (&[&str], &[&str]) = match asked {
        Asked::Create(..) => (&["worker.created", "allocation.granted"], &["run.started"]),
        Asked::Send(..) => (&[], &["run.started"]),
        Asked::Answer(..) => (&["run.action_answered"], &[]),
        Asked::CancelRun(..) => (&["run.cancel_requested"], &["run.started"]),
        Asked::Life(_, change) => of_life(change),
        Asked::StopRuntime(_) => (&["runtime.stopped"], &["run.cancel_requested"]),
        Asked::StartRuntime => (&["runtime.resumed"], &["run.started"]),
        Asked::Sink(_, run_id, call) => return of_call(call, *run_id, event),
    };
    let is_input = match asked {
        Asked::Create(_, request) => request.initial_input.is_some(),
        Asked::Send(_, input) => data(event).get("input_id") == Some(&json!(input.input_id)),
        _ => false,
    };
    match kind {
        "input.accepted" if is_input => Leaves::Once(kind.to_owned()),
        _ if own.contains(&kind) => Leaves::Once(kind.to_owned()),
        _ if also.contains(&kind) || ENDS.contains(&kind) => Leaves::Also,
        _ => Leaves::Nothing,
    }
}

fn of_life(change: &LifeChange) -> (&'static [&'static str], &'static [&'static str]) {
    match change {
        LifeChange::Pause => (&["worker.paused"], &[]),
        LifeChange::Resume => (&["worker.resumed"], &["run.started"]),
        LifeChange::Update(_) => (&["worker.updated"], &[]),
        LifeChange::Stop | LifeChange::Cancel => (
            &["worker.ending"],
            &["run.cancel_requested", "input.finished"],
        ),
        LifeChange::Archive => (&["worker.archived"], &[]),
        LifeChange::Restore => (&["worker.restored", "allocation.granted"], &[]),
        LifeChange::Delete(_) => (&["worker.deleted"], &[]),
    }
}

fn of_call(call: &SinkCall, run_id: RunId, event: &Event) -> Leaves {
    let (kind, told) = (event.kind.as_str(), data(event));
    let is_its = event.run_id == Some(run_id);
    let is_said = match call {
        SinkCall::Events(events) => {
            let mut said = events.iter();
            is_its && said.any(|(said, data)| event.kind == *said && *data == told)
        }
        SinkCall::FinishBlock(block) => {
            kind == "block.finished" && told.get("block") == Some(&json!(block))
        }
        SinkCall::RequestAction(action_id, ..) => {
            kind == "run.requires_action" && told.get("action_id") == Some(&json!(action_id))
        }
        SinkCall::Usage(usage) => kind == "usage" && is_its && told == json!(usage),
        SinkCall::Status(name, value) => {
            kind == "worker.status" && told == json!({ "name": name, "value": value })
        }
        SinkCall::Finish(..) => kind == "run.finished" && is_its,
        _ => false,
    };
    // The end of a run makes room for the next, and may be the end of its Worker.
    let follows =
        matches!(call, SinkCall::Finish(..)) && (kind == "run.started" || ENDS.contains(&kind));
    match is_said {
        true => Leaves::Once(format!("{kind} {told}")),
        false if follows => Leaves::Also,
        false => Leaves::Nothing,
    }
}
