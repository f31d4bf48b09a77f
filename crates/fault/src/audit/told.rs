//! The log that was told, against what was asked: every acknowledged operation is there exactly
//! once, at its Position, with its data; nothing is there that nobody asked for (I1, I5).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use worker_runtime_core::{Event, EventType, Position, WorkerId};

use super::{expected::data, lessees::fits_lease};
use crate::{
    report::Violation,
    workload::{Answer, Asked, Done, Entry, HoldChange, Journal, LifeChange, SinkCall},
};

const KEPT: &str = "I1 acknowledged is kept, exactly once and in its place";
const ASKED: &str = "I8 nothing is made up";

/// Events that were acknowledged as one commit: the first and the last.
pub(super) fn groups(journal: &Journal) -> Vec<(Position, Position)> {
    let groups = journal.entries.iter().filter_map(|entry| {
        let Asked::Sink(_, _, SinkCall::Events(events)) = &entry.asked else {
            return None;
        };
        let last = entry.answer.done()?.position?;
        let before = (events.len() as u64).saturating_sub(1);
        Some((Position(last.0.saturating_sub(before)), last))
    });
    groups.filter(|(first, last)| first < last).collect()
}

/// Checks the log that was told.
pub(super) fn check_told(journal: &Journal) -> Vec<Violation> {
    let mut check = Check {
        journal,
        found: Vec::new(),
        claimed: BTreeMap::new(),
    };
    for entry in &journal.entries {
        if let Answer::Done(done) = &entry.answer {
            check.check_done(entry, done);
        }
    }
    check.check_asked();
    check.found
}

struct Check<'a> {
    journal: &'a Journal,
    found: Vec<Violation>,
    /// What each position was given out for; nothing is given out twice.
    claimed: BTreeMap<Position, &'static str>,
}

impl Check<'_> {
    fn broken(&mut self, promise: &str, detail: String) {
        self.found.push(Violation::new(promise, detail));
    }

    /// Whether the event at a position was shown, and is of a Worker that is meant.
    fn event(&self, position: Position) -> Option<&Event> {
        self.journal.told.get(&position).map(|told| &told.event)
    }

    fn was_redacted(&self, position: Position) -> bool {
        let hidden = |from: &Position, to: &Position| (*from..=*to).contains(&position);
        let mut redacted = self.journal.redacted.iter();
        redacted.any(|(from, to, _)| hidden(from, to))
            || self.journal.gaps.iter().any(|(from, to)| hidden(from, to))
    }

    fn check_done(&mut self, entry: &Entry, done: &Done) {
        let word = entry.asked.word();
        for position in [done.position, done.input].into_iter().flatten() {
            if self.event(position).is_none() && !self.was_redacted(position) {
                return self.broken(KEPT, format!("{word}: nothing was told at {position}"));
            }
        }
        let Some(position) = done.position else {
            return;
        };
        if !done.repeated
            && let Some(other) = self.claimed.insert(position, word)
        {
            self.broken(
                KEPT,
                format!("{word}: {position} was given out for {other} too"),
            );
        }
        let Some(event) = self.event(position) else {
            return;
        };
        let whose = event.worker.map(|place| place.worker_id);
        let (kind, told) = (event.kind.as_str().to_owned(), data(event));
        if whose != entry.asked.worker_id() {
            return self.broken(
                KEPT,
                format!("{word}: {kind} at {position} is of another Worker"),
            );
        }
        let fits = match &entry.asked {
            Asked::Create(_, request) => {
                kind == "worker.created"
                    && (done.repeated
                        || told.get("display_name") == Some(&json!(request.display_name)))
                    && (done.repeated || is_label_set(&told, &json!(request.labels)))
            }
            Asked::Send(_, input) => {
                let is_same = told.get("segments") == Some(&json!(input.segments));
                kind == "input.accepted"
                    && told.get("input_id") == Some(&json!(input.input_id))
                    && is_same != done.content_differs
            }
            Asked::Answer(_, _, action_id, option) => {
                kind == "run.action_answered"
                    && told.get("action_id") == Some(&json!(action_id))
                    && told.get("option") == Some(&json!(option))
            }
            Asked::Life(_, change) => fits_change(change, done, &kind, &told),
            Asked::Hold(_, change) => fits_hold(change, done, &kind, &told),
            Asked::Lease(lease_id, change) => fits_lease(*lease_id, change, &kind, &told),
            Asked::Sink(_, _, call) => self.fits_call(entry, call, position, &kind, &told),
            // Their answers have no position: `ends` looks for what came of them.
            Asked::CancelRun(..) | Asked::StopRuntime(_) | Asked::StartRuntime => false,
        };
        if !fits {
            let asked = format!("{:?}", entry.asked);
            let asked: String = asked.chars().take(300).collect();
            self.broken(
                KEPT,
                format!("{asked} was answered with {position}, which is {kind} {told}"),
            );
        }
    }

    fn fits_call(
        &self,
        entry: &Entry,
        call: &SinkCall,
        position: Position,
        kind: &str,
        told: &Value,
    ) -> bool {
        let Asked::Sink(worker_id, run_id, _) = &entry.asked else {
            return false;
        };
        match call {
            SinkCall::Events(events) => {
                let first = position.0.saturating_sub(events.len() as u64 - 1);
                let places = (first..).map(Position);
                places.zip(events).all(|(place, (kind, wanted))| {
                    self.event(place).is_some_and(|event| {
                        event.kind == *kind
                            && event.run_id == Some(*run_id)
                            && event.worker.is_some_and(|it| it.worker_id == *worker_id)
                            && data(event) == *wanted
                    })
                })
            }
            SinkCall::FinishBlock(block) => {
                let block_of = self.journal.blocks.get(&(*run_id, *block));
                let text = block_of.and_then(|block| block.texts.last());
                kind == "block.finished"
                    && told.get("block") == Some(&json!(block))
                    && told.get("text") == Some(&json!(text.map_or("", |last| &last.text)))
            }
            SinkCall::RequestAction(action_id, options, _) => {
                kind == "run.requires_action"
                    && told.get("action_id") == Some(&json!(action_id))
                    && told.get("options") == Some(&json!(options))
            }
            SinkCall::Usage(usage) => kind == "usage" && *told == json!(usage),
            SinkCall::Status(name, value) => {
                kind == "worker.status" && *told == json!({ "name": name, "value": value })
            }
            // None of these is answered with a position of its own.
            SinkCall::Append(..)
            | SinkCall::Replace(..)
            | SinkCall::ProcessStarted(_)
            | SinkCall::ProcessEnded(_)
            | SinkCall::ResumeReference(_)
            | SinkCall::Finish(..) => false,
        }
    }

    /// That everything in the log was asked for, once, and nothing that was refused.
    fn check_asked(&mut self) {
        let mut inputs: BTreeSet<(WorkerId, String)> = BTreeSet::new();
        let mut workers: BTreeSet<WorkerId> = BTreeSet::new();
        let mut numbers: BTreeSet<u64> = BTreeSet::new();
        for entry in &self.journal.entries {
            // A repetition that is refused may be of one that was taken.
            match &entry.asked {
                Asked::Create(worker_id, request) => {
                    workers.insert(*worker_id);
                    if let Some(input) = &request.initial_input {
                        inputs.insert((*worker_id, name_of(input)));
                    }
                }
                Asked::Send(worker_id, input) => {
                    inputs.insert((*worker_id, name_of(input)));
                }
                Asked::Sink(_, _, SinkCall::Events(events))
                    if !matches!(entry.answer, Answer::Refused(_)) =>
                {
                    let told = events.iter().filter_map(|(_, data)| number_of(data));
                    numbers.extend(told);
                }
                _ => {}
            }
        }
        let mut broken = Vec::new();
        for told in self.journal.told.values() {
            let event = &told.event;
            let Some(place) = event.worker else {
                continue;
            };
            let told = data(event);
            let is_asked = match event.kind.as_str() {
                "worker.created" => workers.remove(&place.worker_id),
                "input.accepted" => {
                    let input_id = told.get("input_id").and_then(Value::as_str);
                    inputs.remove(&(place.worker_id, input_id.unwrap_or_default().to_owned()))
                }
                kind if kind.starts_with("tool.") => {
                    number_of(&told).is_some_and(|number| numbers.remove(&number))
                }
                _ => event.kind != EventType::REDACTED,
            };
            if !is_asked {
                let (at, kind) = (event.position, &event.kind);
                broken.push(format!(
                    "{kind} at {at} was not asked for, or is there twice: {told}"
                ));
            }
        }
        for detail in broken {
            self.broken(ASKED, detail);
        }
    }
}

fn name_of(input: &worker_runtime_core::input::SubmitInput) -> String {
    let name = input.input_id.as_ref().map(|input_id| input_id.as_str());
    name.unwrap_or("initial").to_owned()
}

fn number_of(data: &Value) -> Option<u64> {
    data.get("n")?.as_u64()
}

fn is_label_set(told: &Value, labels: &Value) -> bool {
    told.get("labels") == Some(labels)
}

/// Whether an event is what was asked of a Worker's life.
pub(super) fn fits_change(change: &LifeChange, done: &Done, kind: &str, told: &Value) -> bool {
    // A repetition points to what made it so, whatever that was.
    if done.repeated {
        return kind.starts_with("worker.");
    }
    match change {
        LifeChange::Pause => kind == "worker.paused",
        LifeChange::Resume => kind == "worker.resumed",
        LifeChange::Update(update) => {
            kind == "worker.updated"
                && told.get("display_name") == Some(&json!(update.display_name))
                && told.get("labels") == Some(&json!(update.labels))
        }
        LifeChange::Stop => kind == "worker.ending" && told.get("kind") == Some(&json!("stop")),
        LifeChange::Cancel => kind == "worker.ending" && told.get("kind") == Some(&json!("cancel")),
        LifeChange::Archive => kind == "worker.archived",
        LifeChange::Restore => kind == "worker.restored",
        LifeChange::Delete(purge) => {
            kind == "worker.deleted" && told.get("purge") == Some(&json!(purge))
        }
    }
}

/// Whether an event is what was asked of what a Worker holds.
pub(super) fn fits_hold(change: &HoldChange, done: &Done, kind: &str, told: &Value) -> bool {
    match change {
        // It is held already: nothing but its life tells of that.
        HoldChange::Change(..) if done.repeated => kind.starts_with("worker."),
        HoldChange::Change(scope, delegation) if scope.is_empty() && delegation.is_empty() => {
            kind == "allocation.released"
        }
        HoldChange::Change(scope, _) => {
            ["allocation.changed", "allocation.granted"].contains(&kind)
                && told.get("allow") == Some(&json!(scope.allow))
        }
        HoldChange::Release(false) => kind == "allocation.released",
        HoldChange::Release(true) => kind == "allocation.releasing",
        HoldChange::Reclaim(_) => kind == "allocation.reclaimed",
    }
}
