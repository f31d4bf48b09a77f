//! Asking again after a fault: what was acknowledged gives its first receipt, what was not is
//! accepted once, and everything that waits runs once (I4, I5). It writes.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::timeout;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Code, ObserveOptions, Observed, Runtime, Stream, WorkerId, cursor::From as Start,
    input::SubmitInput, record::Lifecycle, store::GapCause,
};

use super::{expected::Expected, found::Found, world::World};
use crate::{
    report::Violation,
    workload::{Answer, Asked, Entry},
};

const RECEIPTS: &str = "I5 the same id gives the first receipt";

/// How long what waits may take to run.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(10);

impl Expected<'_> {
    /// Asks again for everything that had been asked by then, of a Runtime that was opened after
    /// the fault and whose runs all complete by themselves; then follows its log to the end.
    pub async fn ask_again(&self, runtime: &Runtime, index: u64, found: Found) -> Vec<Violation> {
        let mut violations = Vec::new();
        let Some(mut world) = found.world else {
            return violations;
        };
        let observation = runtime.observation();
        let mut asked = BTreeSet::new();
        for entry in &self.journal.entries {
            if entry.asked_at > index {
                continue;
            }
            if let Some(key) = key_of(&entry.asked)
                && asked.insert(key)
                && let Err(violation) = self.repeat(runtime, entry, &world).await
            {
                violations.push(violation);
            }
        }
        // Everything was dispatched or refused by now; what runs completes by itself.
        let cursor = observation.resolve(Stream::Runtime, Start::Beginning);
        let cursor = cursor.map(|beginning| match beginning.position() > world.position {
            true => Err("what came first is trimmed already"),
            false => Ok(beginning),
        });
        let Ok(Ok(beginning)) = cursor else {
            return violations;
        };
        let followed = follow(runtime, Start::After(beginning), &mut world);
        match timeout(QUIET_WAIT_MAX, followed).await {
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
        world: &World,
    ) -> Result<(), Violation> {
        let broken = |detail: String| Err(Violation::new(RECEIPTS, detail));
        let Some(worker_id) = entry.asked.worker_id() else {
            return Ok(());
        };
        let life = world.workers.get(&worker_id);
        let name = input_of(&entry.asked).map(|input| {
            input
                .input_id
                .as_ref()
                .map_or("initial", |id| id.as_str())
                .to_owned()
        });
        // What the log that is left says of it: it was accepted, or it was not.
        let known = match &name {
            Some(name) => life.and_then(|life| life.accepted.get(name).copied()),
            None => life.map(|_| worker_runtime_core::Position(0)),
        };
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
            (Answer::Refused(Code::WorkerExists), Some(_)) if name.is_none() => {}
            (answer, Some(position)) => {
                return broken(format!(
                    "{word} was accepted at {position}, and now gives {answer:?}"
                ));
            }
            (Answer::Done(done), None) if done.repeated => {
                return broken(format!("{word} is not in the log, and gives {done:?}"));
            }
            (_, None) => {}
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
            _ => Ok(()),
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

/// What is asked once: each input, each creation.
fn key_of(asked: &Asked) -> Option<(WorkerId, Option<String>)> {
    match asked {
        Asked::Send(worker_id, input) => {
            let name = input.input_id.as_ref().map(ToString::to_string);
            Some((*worker_id, Some(name?)))
        }
        Asked::Create(worker_id, _) => Some((*worker_id, None)),
        _ => None,
    }
}

/// Follows the log from where the world is, until nothing waits that could run.
async fn follow(runtime: &Runtime, start: Start, world: &mut World) -> Result<(), Violation> {
    let observation = runtime.observation();
    let options = ObserveOptions::default();
    let stream = observation.observe(Stream::Runtime, start, options);
    let broken = |detail: String| Violation::new("I2 streams are dense", detail);
    let mut stream = stream.map_err(|error| broken(error.to_string()))?;
    loop {
        let is_done = world.position == observation.runtime().position && is_quiet(world);
        if is_done {
            return Ok(());
        }
        match stream.next().await {
            Some(Ok(Observed::Event(_, event))) if event.position > world.position => {
                world.apply(&event)?;
            }
            // What was written meanwhile was trimmed before it was read: nothing more is known.
            Some(Ok(Observed::Gap(_, gap))) if gap.cause == GapCause::Retention => return Ok(()),
            Some(Ok(Observed::Gap(_, gap))) => return Err(broken(format!("a gap: {gap:?}"))),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(broken(error.to_string())),
            None => return Err(broken("the stream ended".to_owned())),
        }
    }
}

/// Nothing runs, and what waits is held.
fn is_quiet(world: &World) -> bool {
    world.workers.values().all(|life| {
        let is_held = life.paused || world.stopped || life.backend.is_none();
        life.run.is_none() && (life.queue.is_empty() || is_held)
    })
}
