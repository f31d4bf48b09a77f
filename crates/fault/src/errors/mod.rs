//! One failing call of the disk in a run of the whole Runtime: every call in turn, of every kind, in
//! every way, once and for good (I1, I4, I5, I9).
//!
//! - `jobs`: which call fails, and how
//! - `drive`: the run: a client over the failing disk, what it must get while it fails, and after
//! - `reached`: at which of the calls one really failed, in each of its ways
//! - `cut`: power cuts from the fault on, to the last acknowledgement and the end
//!
//! A run that makes fewer calls than the counted one, as the writer took more commands together, may
//! not come to the call that should fail. It is repeated, and counted apart when that is in vain.
//!
//! After a call that failed once, service resumes by itself: a new Worker's inputs are not only
//! accepted, but run to their ends. While calls go on failing, everything is answered with a typed
//! refusal; when that is over, service resumes by itself or after a reopening. What a client did not
//! learn the outcome of, it learns by asking again. What is waited for in vain while no call fails
//! counts as broken, and so does a run that is not over in time: nothing may hang.

mod cut;
mod drive;
mod jobs;
mod reached;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::Settings,
};
use drive::{Calls, drive};
use jobs::{Amount, Job};
use reached::Reached;

const NAME: &str = "errors";

/// How long a run may take, by the clock of the machine; a few hundred milliseconds are usual.
const RUN_WAIT_MAX: Duration = Duration::from_secs(30);

/// Runs that are counted.
const COUNTED_RUNS: usize = 5;

/// How often a run is repeated that did not come to the call that should fail.
const REPEATS_MAX: usize = 24;

/// Runs that are under way at a time, for each thread: most of a run is waiting.
const RUNS_PER_THREAD: usize = 6;

/// Runs the part.
///
/// # Errors
/// When the harness itself can't do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let amount = Amount::of(settings.size);
    let mut outcome = Outcome::new(NAME, settings.seed);
    let mut all = Vec::new();
    let mut reached = Reached::default();
    for session in 0..amount.sessions {
        let seed = settings.seed.wrapping_mul(1_000).wrapping_add(session);
        let calls = count_calls(settings, Job::whole(seed, amount.steps), &mut outcome)?;
        let jobs = Job::all(seed, &amount, &calls);
        reached.want(&jobs);
        all.extend(jobs);
    }
    let progress = settings.progress(NAME, all.len() as u64);
    let next = AtomicUsize::new(0);
    let shared = Mutex::new((outcome, reached));
    let work = || -> Result<(), HarnessError> {
        while let Some(job) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = in_time_until_reached(settings, *job)?;
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let (outcome, reached) = &mut *shared;
            if found.fired > 0 {
                reached.note(job);
            }
            outcome.merge(found.outcome);
            progress.add(1);
            if settings.until_violation && outcome.violations > 0 {
                break;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..settings.threads.max(1) * RUNS_PER_THREAD)
            .map(|_| scope.spawn(work))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(HarnessError::new(NAME, "a thread panicked")))
        })
    })?;
    let (mut outcome, reached) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    reached.tell(settings, &mut outcome);
    Ok(outcome)
}

/// Runs without a fault, to know how many calls there are: as whole as any other. How many differs a
/// little from run to run; what all of them make is counted.
fn count_calls(
    settings: &Settings,
    whole: Job,
    outcome: &mut Outcome,
) -> Result<Calls, HarnessError> {
    let first = drive(settings, whole)?;
    outcome.merge(first.outcome);
    let mut calls = first.calls;
    for _ in 1..COUNTED_RUNS {
        let next = drive(settings, whole)?;
        outcome.merge(next.outcome);
        calls = calls.fewest(&next.calls);
    }
    outcome.count("calls of scripted runs", calls.all.of(None));
    Ok(calls)
}

/// What a run that had its time came to.
struct Found {
    outcome: Outcome,
    /// How many calls were made to fail.
    fired: u64,
}

/// Drives a run, and again while the call that should fail is not made.
fn in_time_until_reached(settings: &Settings, job: Job) -> Result<Found, HarnessError> {
    let mut found = in_time(settings, job)?;
    for _ in 0..REPEATS_MAX {
        if found.fired > 0 || found.outcome.violations > 0 {
            break;
        }
        let again = in_time(settings, job)?;
        found.fired = again.fired;
        found.outcome.merge(again.outcome);
    }
    Ok(found)
}

/// Drives a run on a thread of its own: one that hangs is told of, and left.
fn in_time(settings: &Settings, job: Job) -> Result<Found, HarnessError> {
    let (tell, told) = mpsc::channel();
    let own = settings.clone();
    let driving = thread::spawn(move || {
        let _ = tell.send(drive(&own, job));
    });
    let broken = |promise: &str, detail: String| {
        let mut outcome = Outcome::new(NAME, settings.seed);
        outcome.count("runs that did not end", 1);
        outcome.violated(job.to_string(), Violation::new(promise, detail));
        Ok(Found { outcome, fired: 0 })
    };
    match told.recv_timeout(RUN_WAIT_MAX) {
        Ok(driven) => {
            let driven = driven?;
            Ok(Found {
                outcome: driven.outcome,
                fired: driven.fired,
            })
        }
        Err(RecvTimeoutError::Timeout) => {
            let detail = format!("the run was not over after {RUN_WAIT_MAX:?}");
            broken("nothing hangs", detail)
        }
        Err(RecvTimeoutError::Disconnected) => {
            let _ = driving.join();
            broken("nothing panics", "the run's thread panicked".to_owned())
        }
    }
}
