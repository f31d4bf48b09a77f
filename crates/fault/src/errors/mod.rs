//! One failing call of the disk in a run of the whole Runtime: every call in turn, of every kind, in
//! every way, once and for good (I1, I4, I5, I9).
//!
//! - `jobs`: which call fails, and how
//! - `drive`: the run: a client over the failing disk, what it must get while it fails, and after
//! - `cut`: power cuts from the fault on, up to the last acknowledgement
//!
//! After a call that failed once, service resumes by itself. While calls go on failing, everything is
//! answered with a typed refusal; when that is over, it resumes by itself or after a reopening. What
//! a client did not learn the outcome of, it learns by asking again. A run that is not over in time
//! counts as broken: nothing may hang.

mod cut;
mod drive;
mod jobs;

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
use drive::drive;
use jobs::{Amount, Job};

const NAME: &str = "errors";

/// How long a run may take, by the clock of the machine; a few hundred milliseconds are usual.
const RUN_WAIT_MAX: Duration = Duration::from_secs(20);

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
    for session in 0..amount.sessions {
        let seed = settings.seed.wrapping_mul(1_000).wrapping_add(session);
        // Without a fault, to know how many calls there are; it must be as whole as any other.
        let first = drive(settings, Job::whole(seed, amount.steps))?;
        outcome.count("calls of scripted runs", first.calls.of(None));
        all.extend(Job::all(seed, &amount, &first.calls));
        outcome.merge(first.outcome);
    }
    let progress = settings.progress(NAME, all.len() as u64);
    let next = AtomicUsize::new(0);
    let shared = Mutex::new(outcome);
    let work = || -> Result<(), HarnessError> {
        while let Some(job) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = in_time(settings, *job)?;
            let mut outcome = shared.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.merge(found);
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
    Ok(shared.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Drives a run on a thread of its own: one that hangs is told of, and left.
fn in_time(settings: &Settings, job: Job) -> Result<Outcome, HarnessError> {
    let (tell, told) = mpsc::channel();
    let own = settings.clone();
    let driving = thread::spawn(move || {
        let _ = tell.send(drive(&own, job));
    });
    let broken = |promise: &str, detail: String| {
        let mut outcome = Outcome::new(NAME, settings.seed);
        outcome.count("runs with a failing call", 1);
        outcome.violated(job.to_string(), Violation::new(promise, detail));
        outcome
    };
    match told.recv_timeout(RUN_WAIT_MAX) {
        Ok(driven) => Ok(driven?.outcome),
        Err(RecvTimeoutError::Timeout) => {
            let detail = format!("the run was not over after {RUN_WAIT_MAX:?}");
            Ok(broken("nothing hangs", detail))
        }
        Err(RecvTimeoutError::Disconnected) => {
            let _ = driving.join();
            Ok(broken(
                "nothing panics",
                "the run's thread panicked".to_owned(),
            ))
        }
    }
}
