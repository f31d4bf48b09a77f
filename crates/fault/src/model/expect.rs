//! Events that a step must give, and whether those that came are these.
//!
//! Between two Workers the order is free where one step concerns several of them; within a Worker it
//! is exact, and so is the place of every event: dense positions and seqs, the store's time, the
//! transcript's numbers (I2).

use std::collections::BTreeMap;

use serde_json::Value;
use worker_runtime_core::{Event, EventType, Position, RunId, Seq, Timestamp, WorkerId};

use super::{
    plain::Plain,
    stop::{Played, broken},
};
use crate::audit::items::bears_item;

/// Stands for a value that only the Runtime can choose.
pub(super) const CHOSEN: &str = "\u{1}chosen";

/// The promise that what is told of scopes is what must be.
const HELD: &str = "I6 a scope is held and let go of as it was told";

/// Which run an event must belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfRun {
    /// None.
    No,
    /// This one.
    This(RunId),
    /// One that never was before.
    New,
}

/// An event that must come.
#[derive(Debug, Clone)]
pub(super) struct Expect {
    pub(super) worker: Option<WorkerId>,
    pub(super) kind: &'static str,
    pub(super) run: OfRun,
    /// These fields of its data; `null` is as good as absent.
    pub(super) data: Value,
}

impl Expect {
    pub(super) fn of(worker: WorkerId, kind: &'static str, data: Value) -> Self {
        Self {
            worker: Some(worker),
            kind,
            run: OfRun::No,
            data,
        }
    }

    pub(super) fn in_run(mut self, run_id: RunId) -> Self {
        self.run = OfRun::This(run_id);
        self
    }

    pub(super) fn of_runtime(kind: &'static str, data: Value) -> Self {
        Self {
            worker: None,
            kind,
            run: OfRun::No,
            data,
        }
    }
}

/// Takes events into the model's log after checking each against what must come.
pub(super) fn take(
    plain: &mut Plain,
    expected: &[Expect],
    came: Vec<Event>,
    at: Timestamp,
) -> Played<()> {
    let mut waiting: BTreeMap<Option<WorkerId>, Vec<&Expect>> = BTreeMap::new();
    for expect in expected.iter().rev() {
        waiting.entry(expect.worker).or_default().push(expect);
    }
    let words = || {
        let words = expected
            .iter()
            .map(|expect| format!("{} {}", expect.kind, expect.data));
        words.collect::<Vec<_>>().join(", ")
    };
    for event in came {
        if event.kind == EventType::ALLOCATION_REPARENTED {
            // What must be told of it follows from what was told right before it.
            check_place(plain, &event, at)?;
            follow(plain, &event)?;
            plain.log.push(event);
            continue;
        }
        let worker = event.worker.map(|place| place.worker_id);
        let next = waiting.get_mut(&worker).and_then(Vec::pop);
        let Some(expect) = next else {
            return broken(
                promise_about(event.kind.as_str()),
                format!("unexpected {}; expected: {}", tell(&event), words()),
            );
        };
        check_place(plain, &event, at)?;
        check_event(plain, expect, &event).map_err(|error| match error {
            super::stop::Stop::Broken(mut violation) => {
                violation.detail = format!("{}; expected: {}", violation.detail, words());
                super::stop::Stop::Broken(violation)
            }
            other => other,
        })?;
        follow(plain, &event)?;
        plain.log.push(event);
    }
    if plain.family.owed() > 0 {
        let detail = "those below are not told who is above them".to_owned();
        return broken(HELD, detail);
    }
    match waiting.values().flatten().next() {
        Some(missing) => broken(
            promise_about(missing.kind),
            format!("{} did not come; expected: {}", missing.kind, words()),
        ),
        None => Ok(()),
    }
}

/// Goes on with who holds what.
fn follow(plain: &mut Plain, event: &Event) -> Played<()> {
    match plain.family.follow(event) {
        Ok(()) => Ok(()),
        Err(detail) => broken(HELD, format!("{}: {detail}", tell(event))),
    }
}

/// An event in words.
pub(super) fn tell(event: &Event) -> String {
    let data = String::from_utf8_lossy(&event.data);
    let data: String = data.chars().take(300).collect();
    let worker = event.worker.map(|place| place.worker_id.to_string());
    format!(
        "{} at {} of {} {data}",
        event.kind,
        event.position,
        worker.as_deref().unwrap_or("the Runtime"),
    )
}

/// Positions, seqs and items are dense, and time is the store's.
pub(super) fn check_place(plain: &mut Plain, event: &Event, at: Timestamp) -> Played<()> {
    let promise = "I2 events are dense and in store time";
    let next = plain.position().next();
    if event.position != next || event.at != at {
        let detail = format!(
            "{}: expected position {next}, time {at}, not {}",
            tell(event),
            event.at
        );
        return broken(promise, detail);
    }
    let Some(place) = event.worker else {
        return Ok(());
    };
    let bears = bears_item(event);
    // A Worker that is being made is in the model before its first event.
    let Some(index) = plain.index_of(place.worker_id) else {
        return broken(promise, format!("{} of an unknown Worker", tell(event)));
    };
    let Some(worker) = plain.workers.get_mut(index) else {
        return Ok(());
    };
    let item = bears.then_some(worker.items);
    worker.seq += 1;
    worker.items += u64::from(bears);
    if place.seq != Seq(worker.seq) || place.item.map(|item| item.0) != item {
        let detail = format!(
            "{}: expected seq {} and item {item:?}, not {} and {:?}",
            tell(event),
            worker.seq,
            place.seq,
            place.item
        );
        return broken(promise, detail);
    }
    Ok(())
}

/// What is broken when such an event comes that nothing calls for, or does not come.
fn promise_about(kind: &str) -> &'static str {
    if ["worker.stopped", "worker.cancelled"].contains(&kind) {
        return "I6 a Worker has ended when all is quiet";
    }
    match kind.split('.').next() {
        Some("run" | "input") => "I4 an input has one run and one outcome",
        Some("allocation" | "lease") => HELD,
        _ => "I2 the log tells what happened and nothing else",
    }
}

fn check_event(plain: &mut Plain, expect: &Expect, event: &Event) -> Played<()> {
    let promise = "I2 an event tells what happened";
    let run_fits = match expect.run {
        OfRun::No => event.run_id.is_none(),
        OfRun::This(run_id) => event.run_id == Some(run_id),
        OfRun::New => event.run_id.is_some_and(|run_id| plain.runs.insert(run_id)),
    };
    let data: Value = serde_json::from_slice(&event.data).unwrap_or(Value::Null);
    let differs = differs(&expect.data, &data, "data");
    if expect.kind != event.kind.as_str() || !run_fits {
        let detail = format!(
            "{} (run {:?}) came for {} (run {:?})",
            tell(event),
            event.run_id,
            expect.kind,
            expect.run
        );
        return broken(promise, detail);
    }
    if let Some(differs) = differs {
        return broken(promise, format!("{}: {differs}", tell(event)));
    }
    let grants = [
        "allocation.granted",
        "allocation.changed",
        "run.started",
        "lease.granted",
    ];
    let grants = grants.contains(&expect.kind);
    if let (true, Some(fence)) = (grants, data.get("fence").and_then(Value::as_u64)) {
        // A run that goes on keeps its own.
        let current = expect.worker.and_then(|worker| plain.family.get(worker));
        let is_kept = expect.kind == "allocation.changed"
            && current.is_some_and(|current| current.fence.0 == fence);
        if is_kept {
            return Ok(());
        }
        if fence <= plain.fence {
            let detail = format!("{}: fence {fence} after {}", tell(event), plain.fence);
            return broken("I6 a fence is never used again", detail);
        }
        plain.fence = fence;
    }
    Ok(())
}

/// Where the expected fields are not these.
pub(super) fn differs(expected: &Value, actual: &Value, path: &str) -> Option<String> {
    match (expected, actual) {
        (Value::String(text), _) if text == CHOSEN => None,
        (Value::Object(expected), Value::Object(actual)) => {
            expected.iter().find_map(|(name, value)| {
                let found = actual.get(name).unwrap_or(&Value::Null);
                differs(value, found, &format!("{path}.{name}"))
            })
        }
        (expected, actual) if expected == actual => None,
        (expected, actual) => Some(format!("{path} is {actual}, not {expected}")),
    }
}

/// The position of the first of these events that is of this kind.
pub(super) fn position_of(events: &[Event], kind: &str) -> Position {
    let found = events.iter().find(|event| event.kind.as_str() == kind);
    found.map_or(Position(0), |event| event.position)
}
