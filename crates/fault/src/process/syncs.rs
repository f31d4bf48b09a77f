//! A scripted run of the command, killed at every sync of every process of it (I1, I2, I4, I5).
//!
//! Each step is a process of its own. Before each kill the state is what the steps before it left;
//! after it the store is read as it is, the step is repeated with the same ids, and once more. That no
//! process, killed or not, acknowledges what a power cut could take from its place is checked beside
//! (`entries`).

use super::{
    calls::{Kinds, SYNCS, WRITES},
    documented::Documented,
    entries::Entries,
    place::Place,
    script::{Known, Step, Struck, script},
    shares::{ATTEMPTS_MAX, ONCE, Shares, UNTOUCHED, is_all, usual},
    trace::{Plan, Strike, Traced, run_traced},
};
use crate::{
    report::{HarnessError, Outcome},
    settings::{Progress, Settings},
};

const PART: &str = "syncs";

/// The steps that are enough to see a fault that was put in on purpose.
const STEPS_CATCH: usize = 4;

/// What is struck, and what was.
const WANTED: &str = "calls to be killed at";
const KILLED: &str = "processes killed";

/// Processes that each thread keeps busy: a part of their time they wait.
const PLACES_PER_THREAD: usize = 2;

/// Kills the command at every sync; at length, at every call that changes a file, too.
///
/// # Errors
/// When the processes can't be made or traced.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let progress = settings.progress(PART, settings.size.pick(40, 220, 1_500));
    let steps = script();
    let shares = Shares::of(steps.len());
    let mut outcome = Outcome::new(PART, settings.seed);
    let parts: Result<Vec<Outcome>, HarnessError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..settings.threads.max(1) * PLACES_PER_THREAD)
            .map(|_| {
                let (progress, steps, shares) = (progress.clone(), &steps, &shares);
                scope.spawn(move || Killing::new(settings, progress, shares)?.all(steps))
            })
            .collect();
        threads.into_iter().map(join).collect()
    });
    for part in parts? {
        outcome.merge(part);
    }
    is_all(settings, &mut outcome, WANTED, KILLED);
    Ok(outcome)
}

/// What a thread ended with.
pub(super) fn join<T>(
    thread: std::thread::ScopedJoinHandle<'_, Result<T, HarnessError>>,
) -> Result<T, HarnessError> {
    thread.join().unwrap_or_else(|_| {
        Err(HarnessError::new(
            "go on",
            "a thread of the harness panicked",
        ))
    })
}

struct Killing<'a> {
    settings: &'a Settings,
    progress: Progress,
    place: Place,
    shares: &'a Shares,
    documented: Documented,
    outcome: Outcome,
}

impl<'a> Killing<'a> {
    fn new(
        settings: &'a Settings,
        progress: Progress,
        shares: &'a Shares,
    ) -> Result<Self, HarnessError> {
        Ok(Self {
            place: Place::new(settings.disk()?)?,
            documented: Documented::default(),
            outcome: Outcome::new(PART, settings.seed),
            settings,
            progress,
            shares,
        })
    }

    fn all(mut self, steps: &[Step]) -> Result<Outcome, HarnessError> {
        let mut known = Known::default();
        let some = self.settings.size.pick(STEPS_CATCH, usize::MAX, usize::MAX);
        for (number, step) in steps.iter().enumerate().take(some) {
            let before = known.clone();
            if !self.untouched(&mut known, step, number)? {
                break;
            }
            // This thread's own copy of what the step leaves, for the next one.
            self.place.keep("after")?;
            self.kill_at_each(&before, step, number)?;
            if self.is_enough() {
                break;
            }
            self.place.bring_back("after")?;
        }
        Ok(self.outcome)
    }

    fn is_enough(&self) -> bool {
        self.settings.until_violation && self.outcome.violations > 0
    }

    fn kinds(&self) -> Kinds {
        self.settings.size.pick(SYNCS, SYNCS, WRITES)
    }

    /// The step as it goes when nothing happens to it; whether it went so.
    fn untouched(
        &mut self,
        known: &mut Known,
        step: &Step,
        number: usize,
    ) -> Result<bool, HarnessError> {
        self.place.keep(step.name)?;
        let play = |place: &Place| {
            let plan = Plan::count(self.kinds());
            run_traced(place, step, plan, Entries::of(&place.state()))
        };
        let mut calls = Vec::new();
        for _ in 1..UNTOUCHED {
            calls.push(play(&self.place)?.calls);
            self.place.bring_back(step.name)?;
        }
        let traced = play(&self.place)?;
        calls.push(traced.calls);
        let calls = usual(calls);
        if let Err(violation) = known.after(&self.place, step, &traced)? {
            let at = format!("seed {}, step {}, untouched", self.settings.seed, step.name);
            self.outcome.violated(at, violation);
            return Ok(false);
        }
        if self.shares.counts(number, calls) {
            self.outcome.count("syncs in the script", traced.syncs);
            self.outcome.count(WANTED, calls);
            self.outcome.count("processes of the script", 1);
        }
        Ok(true)
    }

    fn kill_at_each(
        &mut self,
        known: &Known,
        step: &Step,
        number: usize,
    ) -> Result<(), HarnessError> {
        let stride = self.settings.size.pick(3, 1, 1);
        while let Some(nth) = self.shares.take(number, stride) {
            let Some((traced, struck)) = self.killed_at(step, nth)? else {
                self.outcome.count(ONCE, 1);
                continue;
            };
            self.progress.add(1);
            self.outcome.count(KILLED, 1);
            let is_sync = struck.starts_with("fsync") || struck.starts_with("fdatasync");
            self.outcome.count("killed at a sync", u64::from(is_sync));
            let (documented, outcome) = (&mut self.documented, &mut self.outcome);
            let was = Struck {
                traced: &traced,
                refused: false,
            };
            let checked = known.after_strike(&self.place, step, was, documented, outcome)?;
            if let Err(violation) = checked {
                let seed = self.settings.seed;
                let at = format!(
                    "seed {seed}, step {}, killed at call {nth}: {struck}",
                    step.name
                );
                self.outcome.violated(at, violation);
                if self.is_enough() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Kills the step there. A little less may happen in it at times, so it is tried again.
    fn killed_at(
        &mut self,
        step: &Step,
        nth: u64,
    ) -> Result<Option<(Traced, String)>, HarnessError> {
        for _ in 0..ATTEMPTS_MAX {
            self.place.bring_back(step.name)?;
            let plan = Plan {
                nth,
                strike: Strike::Kill,
                ..Plan::count(self.kinds())
            };
            let entries = Entries::of(&self.place.state());
            let mut traced = run_traced(&self.place, step, plan, entries)?;
            if let Some(struck) = traced.struck.take() {
                return Ok(Some((traced, struck)));
            }
            self.outcome.count("processes that did not come to it", 1);
        }
        Ok(None)
    }
}
