//! A scripted run of the command, killed at every sync of every process of it (I1, I2, I4, I5).
//!
//! Each step is a process of its own. Before each kill the state is what the steps before it left;
//! after it the store is read as it is, the step is repeated with the same ids, and once more.

use std::time::Duration;

use super::{
    calls::{SYNCS, WRITES},
    documented::Documented,
    place::Place,
    script::{Known, Step, Struck, script},
    trace::{Plan, Strike, run_traced},
};
use crate::{
    report::{HarnessError, Outcome},
    settings::{Progress, Settings, Size},
};

const PART: &str = "syncs";

/// Kills the command at every sync; at length, at every call that changes a file, too.
///
/// # Errors
/// When the processes can't be made or traced.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let progress = settings.progress(PART, settings.size.pick(40, 200, 1_500));
    let threads = settings.threads.clamp(1, 2);
    let mut outcome = Outcome::new(PART, settings.seed);
    let parts: Result<Vec<Outcome>, HarnessError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|own| {
                scope.spawn({
                    let progress = progress.clone();
                    move || Killing::new(settings, progress, (own, threads))?.all()
                })
            })
            .collect();
        threads.into_iter().map(join).collect()
    });
    for part in parts? {
        outcome.merge(part);
    }
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
    /// This thread's share of the calls.
    share: (usize, usize),
    documented: Documented,
    outcome: Outcome,
}

impl<'a> Killing<'a> {
    fn new(
        settings: &'a Settings,
        progress: Progress,
        share: (usize, usize),
    ) -> Result<Self, HarnessError> {
        Ok(Self {
            place: Place::new(settings.disk()?)?,
            documented: Documented::default(),
            outcome: Outcome::new(PART, settings.seed),
            settings,
            progress,
            share,
        })
    }

    fn all(mut self) -> Result<Outcome, HarnessError> {
        let mut known = Known::default();
        for (number, step) in script().iter().enumerate() {
            if self.settings.size == Size::Catch && number > 3 {
                break;
            }
            let before = known.clone();
            let Some(syncs) = self.untouched(&mut known, step)? else {
                break;
            };
            // This thread's own copy of what the step leaves, for the next one.
            self.place.keep("after")?;
            if step.is_killed {
                self.kill_at_each(&before, step, syncs)?;
            }
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

    fn plan(&self, nth: u64) -> Plan {
        Plan {
            kinds: self.settings.size.pick(SYNCS, SYNCS, WRITES),
            nth,
            lasts: Duration::ZERO,
            strike: Strike::Kill,
        }
    }

    /// The step as it goes when nothing happens to it; how often it syncs.
    fn untouched(&mut self, known: &mut Known, step: &Step) -> Result<Option<u64>, HarnessError> {
        self.place.keep(step.name)?;
        let command = self.place.command(&step.arguments);
        let state = self.place.state();
        let traced = run_traced(&command, &state, &self.place.said(), self.plan(0))?;
        if let Err(violation) = known.after(&self.place, step, &traced.ran)? {
            let at = format!("seed {}, step {}, untouched", self.settings.seed, step.name);
            self.outcome.violated(at, violation);
            return Ok(None);
        }
        if self.share.0 == 0 {
            self.outcome.count("calls in the script", traced.calls);
            self.outcome.count("processes of the script", 1);
        }
        Ok(Some(traced.calls))
    }

    fn kill_at_each(&mut self, known: &Known, step: &Step, calls: u64) -> Result<(), HarnessError> {
        let stride = self.settings.size.pick(3, 1, 1);
        for nth in (1..=calls).step_by(stride) {
            let turn = usize::try_from(nth).unwrap_or(0) / stride;
            if turn % self.share.1 != self.share.0 {
                continue;
            }
            self.place.bring_back(step.name)?;
            let command = self.place.command(&step.arguments);
            let (state, said) = (self.place.state(), self.place.said());
            let traced = run_traced(&command, &state, &said, self.plan(nth))?;
            self.progress.add(1);
            let Some(struck) = &traced.struck else {
                // A little less happened this time, as threads were scheduled otherwise.
                self.outcome.count("calls that were not reached again", 1);
                continue;
            };
            self.outcome.count("processes killed", 1);
            let (documented, outcome) = (&mut self.documented, &mut self.outcome);
            let was = Struck {
                ran: &traced.ran,
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
}
