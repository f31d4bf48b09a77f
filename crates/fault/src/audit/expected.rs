//! What must be found, made once from a journal: the log as it was told, the world at each of its
//! positions, and from which call of the disk on which position is promised.

use std::collections::BTreeMap;

use worker_runtime_core::{Event, EventType, Position, RunId, WorkerId};

use super::{
    apply::Data,
    told::{check_told, groups},
    world::World,
};
use crate::{
    report::Violation,
    workload::{Asked, Journal, SinkCall, journal::Beginning},
};

/// That a position is durable from some call on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    since: u64,
    position: Position,
}

/// How much is promised. It grows from call to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promises {
    /// What is durable.
    pub(crate) position: Position,
    /// How many texts of blocks are kept.
    pub(crate) texts: usize,
    /// What was told to be trimmed.
    pub(crate) trimmed_to: Position,
    /// How many answers of leases are true that no event tells of.
    pub(crate) leases: usize,
}

impl Promises {
    /// All that either of them promises.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            position: self.position.max(other.position),
            texts: self.texts.max(other.texts),
            trimmed_to: self.trimmed_to.max(other.trimmed_to),
            leases: self.leases.max(other.leases),
        }
    }
}

/// What must be found.
pub struct Expected<'a> {
    /// The journal that it was made from.
    pub journal: &'a Journal,
    /// What the journal itself shows to be broken: the log that was told, against what was asked.
    pub violations: Vec<Violation>,
    /// The world after each position, from 0 on.
    worlds: Vec<World>,
    /// Positions of each Worker's events.
    pub(super) places: BTreeMap<WorkerId, Vec<Position>>,
    /// Events that are in one commit: the first and the last.
    pub(super) groups: Vec<(Position, Position)>,
    needs: Vec<Need>,
    /// When the text of a block was promised, in order.
    texts_since: Vec<u64>,
    /// When an answer was given of a lease that no event tells of, in order.
    pub(super) leases_since: Vec<u64>,
}

impl<'a> Expected<'a> {
    /// Makes it, and checks the log that was told against what was asked and answered.
    pub fn new(journal: &'a Journal) -> Self {
        let mut expected = Self {
            journal,
            violations: journal.violations.clone(),
            worlds: vec![World::default()],
            places: BTreeMap::new(),
            groups: groups(journal),
            needs: Vec::new(),
            texts_since: Vec::new(),
            leases_since: Vec::new(),
        };
        expected.follow();
        expected.violations.extend(check_told(journal));
        let ends = expected.check_ends();
        expected.violations.extend(ends);
        let leases = expected.check_lease_answers();
        expected.violations.extend(leases);
        expected.find_lease_answers();
        expected.find_needs();
        let blocks = journal.blocks.values();
        expected.texts_since = blocks
            .flat_map(|block| block.kept.iter().map(|kept| kept.since))
            .collect();
        expected.texts_since.sort_unstable();
        expected
    }

    /// The newest position that was told.
    pub fn told_to(&self) -> Position {
        self.worlds
            .last()
            .map_or(Position(0), |world| world.position)
    }

    /// The world after a position; `None` when the log was not told that far.
    pub fn world(&self, position: Position) -> Option<&World> {
        self.worlds.get(usize::try_from(position.0).ok()?)
    }

    /// The event at a position; `None` also when it was never shown.
    pub fn event(&self, position: Position) -> Option<&Event> {
        self.journal.told.get(&position).map(|told| &told.event)
    }

    /// What is promised to be durable after so many calls of the disk.
    pub fn promised(&self, index: u64) -> Position {
        let known = self.needs.partition_point(|need| need.since <= index);
        let last = known.checked_sub(1).and_then(|last| self.needs.get(last));
        last.map_or(Position(0), |need| need.position)
    }

    /// How much is promised after so many calls: an image that is right at one call need not be right
    /// at a later one, when this has grown.
    pub(crate) fn promises(&self, index: u64) -> Promises {
        Promises {
            position: self.promised(index),
            texts: self.texts_since.partition_point(|since| *since <= index),
            trimmed_to: self
                .told_beginning(index)
                .map_or(Position(0), |seen| seen.trimmed_to),
            leases: self.leases_since.partition_point(|since| *since <= index),
        }
    }

    /// Where the log was last told to begin.
    pub(super) fn told_beginning(&self, index: u64) -> Option<&Beginning> {
        let mut seen = self.journal.beginnings.iter().rev();
        seen.find(|seen| seen.seen_at <= index)
    }

    fn follow(&mut self) {
        let end = self.journal.told_to();
        let mut world = World::default();
        while world.position < end {
            let next = world.position.next();
            let redacted = self.journal.redacted.iter();
            let mut redacted = redacted.filter(|(from, to, _)| (*from..=*to).contains(&next));
            match (self.journal.told.get(&next), redacted.next()) {
                (Some(told), _) => {
                    if let Err(violation) = world.apply(&told.event) {
                        self.violations.push(violation);
                        // Goes on as well as it can.
                        world.position = next;
                    }
                    if let Some(place) = told.event.worker {
                        self.places.entry(place.worker_id).or_default().push(next);
                    }
                }
                (None, Some((_, _, worker_id))) => world.pass_over(next, *worker_id),
                // A gap that was told: from here on nothing is known.
                (None, None) => return,
            }
            self.worlds.push(world.clone());
        }
    }

    fn find_needs(&mut self) {
        let journal = self.journal;
        let mut needs: Vec<Need> = Vec::new();
        let mut need = |since: u64, position: Option<Position>| {
            needs.extend(position.map(|position| Need { since, position }));
        };
        for told in journal.told.values() {
            need(told.told_at, Some(told.event.position));
        }
        for (since, position) in &journal.shown {
            need(*since, Some(*position));
        }
        let runs = Runs::of(journal);
        for given in &journal.given {
            need(given.at, runs.started.get(&given.run_id).copied());
        }
        for entry in &journal.entries {
            let (Some(done), Some(at)) = (entry.answer.done(), entry.answered_at) else {
                continue;
            };
            need(at, done.position.max(done.durable_to).max(done.input));
            match &entry.asked {
                Asked::Sink(_, run_id, SinkCall::Finish(..)) => {
                    need(at, runs.finished.get(run_id).copied());
                }
                Asked::CancelRun(_, run_id) => need(at, runs.cancelled.get(run_id).copied()),
                _ => {}
            }
        }
        needs.sort_unstable();
        let mut newest = Position(0);
        for need in &mut needs {
            newest = newest.max(need.position);
            need.position = newest;
        }
        self.needs = needs;
    }
}

/// Where runs are told of.
#[derive(Default)]
pub(super) struct Runs {
    pub(super) started: BTreeMap<RunId, Position>,
    pub(super) cancelled: BTreeMap<RunId, Position>,
    pub(super) finished: BTreeMap<RunId, Position>,
}

impl Runs {
    pub(super) fn of(journal: &Journal) -> Self {
        let mut runs = Self::default();
        for told in journal.told.values() {
            let event = &told.event;
            let Some(run_id) = event.run_id else {
                continue;
            };
            let table = match &event.kind {
                kind if *kind == EventType::RUN_STARTED => &mut runs.started,
                kind if *kind == EventType::RUN_CANCEL_REQUESTED => &mut runs.cancelled,
                kind if *kind == EventType::RUN_FINISHED => &mut runs.finished,
                _ => continue,
            };
            table.insert(run_id, event.position);
        }
        runs
    }
}

/// What an event tells, as JSON.
pub(crate) fn data(event: &Event) -> serde_json::Value {
    Data::of(event).value().clone()
}
