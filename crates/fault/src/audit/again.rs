//! Asking again after a fault: what was acknowledged gives its first receipt, what was not is
//! accepted once, and everything that waits runs once (I4, I5). It writes.

mod leases;

use std::{collections::BTreeSet, time::Duration};

use tokio::time::timeout;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Code, Cursor, Event, Observation, ObserveOptions, Observed, Position, Runtime, Stream,
    WorkerId,
    cursor::From as Start,
    input::SubmitInput,
    record::Lifecycle,
    store::{Gap, GapCause},
    view::Holder,
};

use super::{expected::Expected, fitting::Fitting, found::Found, streams::PAGE, world::World};
use crate::{
    report::Violation,
    workload::{Answer, Asked, Entry, LeaseChange},
};

const RECEIPTS: &str = "I5 the same id gives the first receipt";
const ONCE: &str = "I5 what was not accepted is, once, or is refused with cause";

/// How long what waits may take to run.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(10);

impl Expected<'_> {
    /// Asks again for everything that had been asked by then, of a Runtime that was opened after
    /// the fault and whose runs all complete by themselves; then follows its log to the end.
    pub async fn ask_again(&self, runtime: &Runtime, index: u64, found: Found) -> Vec<Violation> {
        let Some(world) = found.world else {
            return Vec::new();
        };
        let mut violations = Vec::new();
        let mut log = match Log::open(runtime.observation(), world) {
            Ok(log) => log,
            Err(violation) => return vec![violation],
        };
        let mut asked = BTreeSet::new();
        for entry in &self.journal.entries {
            if entry.asked_at > index {
                continue;
            }
            if let Some(key) = key_of(&entry.asked)
                && asked.insert(key)
                && let Err(violation) = self.repeat(runtime, entry, &mut log).await
            {
                violations.push(violation);
            }
        }
        // Everything was dispatched or refused by now; what runs completes by itself.
        match timeout(QUIET_WAIT_MAX, log.follow()).await {
            Ok(Ok(())) => {}
            Ok(Err(violation)) => violations.push(violation),
            Err(_) => {
                let detail = "what waits after a crash does not run to its end".to_owned();
                violations.push(Violation::new("I4 one outcome for each input", detail));
            }
        }
        violations
    }

    async fn repeat(
        &self,
        runtime: &Runtime,
        entry: &Entry,
        log: &mut Log,
    ) -> Result<(), Violation> {
        if let Asked::Lease(lease_id, LeaseChange::Acquire(request)) = &entry.asked {
            return leases::repeat(runtime, entry, (*lease_id, request), log).await;
        }
        let broken = |detail: String| Err(Violation::new(RECEIPTS, detail));
        let Some(worker_id) = entry.asked.worker_id() else {
            return Ok(());
        };
        log.catch_up()?;
        let name = input_of(&entry.asked).map(|input| {
            input
                .input_id
                .as_ref()
                .map_or("initial", |id| id.as_str())
                .to_owned()
        });
        // What the log that is left says of it: it was accepted, or it was not.
        let known = log.known(worker_id, name.as_deref());
        let fitting = Fitting::of(&entry.asked, &log.world).filter(|_| log.is_whole);
        let life = log.world.workers.get(&worker_id);
        let is_deleted = life.is_some_and(|life| life.lifecycle == Lifecycle::Deleted);
        let first = entry.asked.clone().carry_out(runtime, None).await;
        let word = format!("{} {name:?} of {worker_id}", entry.asked.word());
        match (&first, known) {
            (Answer::Refused(Code::WorkerDeleted), _) if is_deleted => return Ok(()),
            (Answer::Done(done), Some(position)) => {
                let is_first = name.is_none() || done.position == Some(position);
                if !done.repeated || !is_first {
                    return broken(format!(
                        "{word} was accepted at {position}, and now gives {done:?}"
                    ));
                }
                self.compare(entry, &first, &word)?;
            }
            // The first of that id was refused, and another one taken.
            (Answer::Refused(Code::WorkerExists), Some(_)) if name.is_none() => {}
            (answer, Some(position)) => {
                return broken(format!(
                    "{word} was accepted at {position}, and now gives {answer:?}"
                ));
            }
            (answer, None) => {
                fits(answer, fitting.as_ref(), &word)?;
                log.catch_up()?;
                log.holds(answer, worker_id, name.as_deref(), &word)?;
            }
        }
        let second = entry.asked.clone().carry_out(runtime, None).await;
        match (&first, &second) {
            (Answer::Done(one), Answer::Done(two)) => {
                match two.repeated && one.position == two.position {
                    true => Ok(()),
                    false => broken(format!("{word} gives {one:?}, then {two:?}")),
                }
            }
            (Answer::Done(one), other) => broken(format!("{word} gives {one:?}, then {other:?}")),
            (Answer::Refused(Code::WorkerExists), other) if known.is_some() => {
                match first == *other {
                    true => Ok(()),
                    false => broken(format!("{word} gives {first:?}, then {other:?}")),
                }
            }
            // What was refused uses up no id, and nothing of it was done.
            (_, other) => fits(other, fitting.as_ref(), &word),
        }
    }

    /// The receipt is the very one that was acknowledged, its cursor too.
    fn compare(&self, entry: &Entry, now: &Answer, word: &str) -> Result<(), Violation> {
        let (Some(before), Some(now)) = (entry.answer.done(), now.done()) else {
            return Ok(());
        };
        match (before.position, before.cursor) == (now.position, now.cursor) {
            true => Ok(()),
            false => Err(Violation::new(
                RECEIPTS,
                format!("{word} was {before:?}, and is {now:?}"),
            )),
        }
    }
}

fn input_of(asked: &Asked) -> Option<&SubmitInput> {
    match asked {
        Asked::Send(_, input) => Some(input),
        _ => None,
    }
}

/// What is asked once: each input, each creation, each lease.
fn key_of(asked: &Asked) -> Option<(Holder, Option<String>)> {
    match asked {
        Asked::Send(worker_id, input) => {
            let name = input.input_id.as_ref().map(ToString::to_string);
            Some(((*worker_id).into(), Some(name?)))
        }
        Asked::Create(worker_id, _) => Some(((*worker_id).into(), None)),
        Asked::Lease(lease_id, LeaseChange::Acquire(_)) => Some(((*lease_id).into(), None)),
        _ => None,
    }
}

/// The log, read on while things are asked.
struct Log {
    observation: Observation,
    cursor: Cursor,
    world: World,
    /// What was written meanwhile was not trimmed before it was read: the world is known.
    is_whole: bool,
}

impl Log {
    /// From where the world is, which must not be trimmed.
    fn open(observation: Observation, world: World) -> Result<Self, Violation> {
        let beginning = observation.resolve(Stream::Runtime, Start::Beginning);
        let cursor = beginning.map_err(|error| not_dense(error.to_string()))?;
        if cursor.position() > world.position {
            let (beginning, position) = (cursor.position(), world.position);
            let detail = format!("it ended at {position}, and now begins after {beginning}");
            return Err(not_dense(detail));
        }
        Ok(Self {
            observation,
            cursor,
            world,
            is_whole: true,
        })
    }

    /// Reads what is published.
    fn catch_up(&mut self) -> Result<(), Violation> {
        while self.is_whole {
            let start = Start::After(self.cursor);
            let page = self.observation.events(Stream::Runtime, start, PAGE);
            let page = page.map_err(|error| not_dense(error.to_string()))?;
            if let Some(gap) = page.gap {
                self.note_gap(gap)?;
            }
            for (_, event) in page.events {
                self.take(&event)?;
            }
            self.cursor = page.next;
            if page.up_to_date {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &Event) -> Result<(), Violation> {
        match self.is_whole && event.position > self.world.position {
            true => self.world.apply(event),
            false => Ok(()),
        }
    }

    fn note_gap(&mut self, gap: Gap) -> Result<(), Violation> {
        if gap.cause != GapCause::Retention {
            return Err(not_dense(format!("a gap: {gap:?}")));
        }
        self.is_whole &= gap.to <= self.world.position;
        Ok(())
    }

    /// Where it was accepted, if it was; a Worker at 0.
    fn known(&self, worker_id: WorkerId, name: Option<&str>) -> Option<Position> {
        let life = self.world.workers.get(&worker_id)?;
        match name {
            Some(name) => life.accepted.get(name).copied(),
            None => Some(Position(0)),
        }
    }

    /// That what was done just now is in the log.
    fn holds(
        &self,
        answer: &Answer,
        worker_id: WorkerId,
        name: Option<&str>,
        word: &str,
    ) -> Result<(), Violation> {
        let Some(done) = answer.done().filter(|_| self.is_whole) else {
            return Ok(());
        };
        let known = self.known(worker_id, name);
        let is_there = match name {
            Some(_) => known.is_some() && known == done.position,
            None => known.is_some(),
        };
        match is_there {
            true => Ok(()),
            false => Err(Violation::new(
                ONCE,
                format!("{word} gives {done:?}, and the log holds it at {known:?}"),
            )),
        }
    }

    /// Follows the log until nothing waits that could run.
    async fn follow(&mut self) -> Result<(), Violation> {
        self.catch_up()?;
        let (start, options) = (Start::After(self.cursor), ObserveOptions::default());
        let stream = self.observation.observe(Stream::Runtime, start, options);
        let mut stream = stream.map_err(|error| not_dense(error.to_string()))?;
        while self.is_whole {
            let is_at_end = self.world.position == self.observation.runtime().position;
            if is_at_end && is_quiet(&self.world) {
                return Ok(());
            }
            match stream.next().await {
                Some(Ok(Observed::Event(_, event))) => self.take(&event)?,
                Some(Ok(Observed::Gap(_, gap))) => self.note_gap(gap)?,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(not_dense(error.to_string())),
                None => return Err(not_dense("the stream ended".to_owned())),
            }
        }
        Ok(())
    }
}

fn not_dense(detail: String) -> Violation {
    Violation::new("I2 streams are dense", detail)
}

/// That a command which is not in the log is answered as the world stands.
fn fits(answer: &Answer, fitting: Option<&Fitting>, word: &str) -> Result<(), Violation> {
    let is_known = match (answer, fitting) {
        (Answer::Unknown | Answer::Pending, _) => false,
        (Answer::Done(done), _) if done.repeated => false,
        (_, Some(fitting)) => fitting.takes(answer),
        (_, None) => true,
    };
    match is_known {
        true => Ok(()),
        false => Err(Violation::new(
            ONCE,
            format!("{word} is not in the log, and gives {answer:?} where {fitting:?} fits"),
        )),
    }
}

/// Nothing runs, and what waits is held.
fn is_quiet(world: &World) -> bool {
    world.workers.values().all(|life| {
        let is_held = life.paused || world.stopped || life.backend.is_none();
        life.run.is_none() && (life.queue.is_empty() || is_held)
    })
}
