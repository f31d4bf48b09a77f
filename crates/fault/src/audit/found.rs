//! What is found in a store that was opened after a fault, against what must be.

use std::collections::BTreeMap;

use fastrand::Rng;
use worker_runtime_core::{
    Event, EventType, Observation, Position, Stream, cursor::From as Start, error::ReadError,
    error::WorkerError, record::Lifecycle,
};

use super::{
    expected::Expected,
    streams::{Seen, check_transcript, check_trimmed, read, redacted},
    texts::check_texts,
    trims::check_trims,
    views::check_views,
    world::World,
};
use crate::{report::Violation, workload::limits::RETENTION};

const PREFIX: &str = "I1 the log is a prefix of what was told";

/// How to look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// After how many calls of the disk the fault was.
    pub index: u64,
    /// What is sampled, and which Workers' transcripts are read, is chosen from this.
    pub seed: u64,
    /// All transcripts too.
    pub thorough: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// Where the log that was told ends.
    pub kept: Position,
    /// The world at the end of all; `None` when the log is not known that far.
    pub world: Option<World>,
}

/// What an opening shows.
struct Shown<'a> {
    observation: &'a Observation,
    /// The world at its end.
    world: &'a World,
    /// Where what was told ends, and what comes after that.
    kept: Position,
    new: &'a [Event],
}

impl Expected<'_> {
    /// Looks at a store that was opened again after a fault, with nothing dispatched.
    pub fn look(&self, observation: &Observation, look: Look) -> Found {
        let mut found = Found::default();
        if let Err(violation) = self.look_at_all(observation, look, &mut found) {
            found.violations.push(violation);
        }
        found
    }

    fn look_at_all(
        &self,
        observation: &Observation,
        look: Look,
        found: &mut Found,
    ) -> Result<(), Violation> {
        let mut rng = Rng::with_seed(look.seed ^ look.index);
        let runtime_id = observation.runtime_id();
        if self
            .journal
            .runtime_id
            .is_some_and(|known| known != runtime_id)
        {
            return Err(Violation::new(
                "I1 the Runtime is the same",
                format!("{runtime_id}"),
            ));
        }
        let seen = read(observation, Stream::Runtime)?;
        let kept = self.kept(observation, &seen);
        found.kept = kept;
        self.check_kept(kept, look.index, &mut found.violations);
        let first_new = seen.events.partition_point(|event| event.position <= kept);
        let (old, new) = seen.events.split_at(first_new);
        let Some(before) = self.world(kept) else {
            return Err(Violation::new(
                PREFIX,
                format!("nothing is known of {kept}"),
            ));
        };
        let world = self.go_on(before, new, look.index)?;
        self.check_prefix(observation, (&seen, old), &world)?;
        check_trimmed(
            "the log",
            &seen,
            RETENTION.log_bytes_max,
            &mut found.violations,
        );
        self.check_told_trims(seen.trimmed_to, look.index, &mut found.violations);
        let after: Vec<&Event> = new.iter().collect();
        check_texts(
            self.journal,
            before,
            &after,
            look.index,
            &mut found.violations,
        );
        check_views(observation, &world, &mut found.violations);
        self.check_leases(observation, &world, look.index, &mut found.violations);
        self.check_cursors(
            observation,
            (kept, seen.trimmed_to),
            &mut rng,
            &mut found.violations,
        );
        let shown = Shown {
            observation,
            world: &world,
            kept,
            new,
        };
        let mut begins = self.look_at_workers(&shown, look, &mut rng, &mut found.violations);
        begins.insert(Stream::Runtime, seen.trimmed_to);
        let told = (1..=kept.0).map(|position| self.event(Position(position)));
        // What was never shown took some room too, and nobody knows how much.
        if let Some(told) = told.collect::<Option<Vec<&Event>>>() {
            let all = told.into_iter().chain(new).collect();
            let broken = check_trims(all, &BTreeMap::new(), &begins, &RETENTION);
            found.violations.extend(broken);
        }
        found.world = Some(world);
        Ok(())
    }

    /// Looks at the stream of every Worker, and at some transcripts; tells where the streams begin.
    fn look_at_workers(
        &self,
        shown: &Shown<'_>,
        look: Look,
        rng: &mut Rng,
        found: &mut Vec<Violation>,
    ) -> BTreeMap<Stream, Position> {
        let Shown {
            observation, world, ..
        } = *shown;
        let mut begins = BTreeMap::new();
        for (worker_id, life) in &world.workers {
            let stream = Stream::Worker(*worker_id);
            if life.lifecycle == Lifecycle::Deleted {
                let read = observation.resolve(stream, Start::Beginning);
                if !matches!(read, Err(ReadError::Worker(WorkerError::Deleted(_)))) {
                    let detail = format!("{worker_id} was deleted, and reading it gives {read:?}");
                    found.push(Violation::new("I3 deleted is deleted", detail));
                }
                continue;
            }
            let part = (shown.kept, shown.new);
            let Some(own) = self.check_worker_stream(observation, *worker_id, part, found) else {
                continue;
            };
            begins.insert(stream, own.trimmed_to);
            if look.thorough || rng.u8(0..4) == 0 {
                check_transcript(observation, *worker_id, (world, &own.events), found);
            }
        }
        begins
    }

    /// Where what was told ends.
    fn kept(&self, observation: &Observation, seen: &Seen) -> Position {
        let is_gone = |position: Position| {
            let mut gaps = seen.gaps.iter();
            gaps.any(|(from, to)| (*from..=*to).contains(&position))
                && self.may_be_gone(observation, position)
        };
        let mut kept = seen.trimmed_to;
        let mut events = seen.events.iter();
        loop {
            while is_gone(kept.next()) {
                kept = kept.next();
            }
            let Some(event) = events.next() else {
                return kept;
            };
            let is_told = match self.event(event.position) {
                Some(told) => told == event || redacted(event).is_some(),
                None => event.position <= self.told_to(),
            };
            if !is_told {
                return kept;
            }
            kept = event.position;
        }
    }

    fn check_kept(&self, kept: Position, index: u64, found: &mut Vec<Violation>) {
        let promised = self.promised(index);
        if kept < promised {
            let detail = format!("{promised} was promised, and the log is kept to {kept}");
            found.push(Violation::new("I1 acknowledged is kept", detail));
        }
        let mut groups = self.groups.iter();
        if let Some((first, last)) = groups.find(|(first, last)| *first <= kept && kept < *last) {
            let detail = format!("{first} to {last} are one commit, and the log is kept to {kept}");
            found.push(Violation::new("I3 nothing half", detail));
        }
    }

    /// What is shown of the log is what was told, with redactions where Workers were deleted.
    fn check_prefix(
        &self,
        observation: &Observation,
        (seen, old): (&Seen, &[Event]),
        world: &World,
    ) -> Result<(), Violation> {
        let mut last = seen.trimmed_to;
        let is_told = |position: Position| {
            let mut gaps = seen.gaps.iter();
            gaps.any(|(from, to)| (*from..=*to).contains(&position))
        };
        let is_deleted = |worker_id| {
            let life = world.workers.get(&worker_id);
            life.is_some_and(|life| life.lifecycle == Lifecycle::Deleted)
        };
        for event in old {
            let (from, whose) = match redacted(event) {
                Some((from, whose)) => (from, Some(whose)),
                None => (event.position, None),
            };
            let mut missing = (last.next().0..from.0).map(Position);
            let is_dense = from > last
                && missing.all(|gone| is_told(gone) && self.may_be_gone(observation, gone));
            if !is_dense {
                let detail = format!("{from} comes after {last}, gaps are {:?}", seen.gaps);
                return Err(Violation::new("I2 streams are dense", detail));
            }
            last = event.position;
            let shown = event.worker.map(|place| place.worker_id);
            let fits = match whose {
                Some(whose) => (from.0..=last.0).map(Position).all(|position| {
                    let told = self.event(position);
                    is_deleted(whose) && told.is_none_or(|told| told.is_in(Stream::Worker(whose)))
                }),
                None => event.kind == EventType::WORKER_DELETED || !shown.is_some_and(is_deleted),
            };
            if !fits {
                let detail = format!("{} at {last} is redacted, or should be", event.kind);
                return Err(Violation::new("I3 deleted is deleted", detail));
            }
        }
        Ok(())
    }

    /// What was told to be trimmed stays so.
    fn check_told_trims(&self, trimmed_to: Position, index: u64, found: &mut Vec<Violation>) {
        let seen = self.told_beginning(index);
        if let Some(seen) = seen.filter(|seen| seen.trimmed_to > trimmed_to) {
            let detail = format!(
                "the log began after {} when it was at {}, and now after {trimmed_to}",
                seen.trimmed_to, seen.position
            );
            found.push(Violation::new("I9 trimmed stays trimmed", detail));
        }
    }
}
