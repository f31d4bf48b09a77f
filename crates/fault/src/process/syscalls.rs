//! A scripted run of the command in which each call that changes the state directory, or makes it
//! durable, fails once, with EIO and ENOSPC by turns (which begins is the seed's); at length with both,
//! and also from there on for a while (I1, I4, I5, I9, I11).
//!
//! The call must end, in words and with an exit code of its own; what was told before and by it is
//! kept; and the same step, repeated when the calls work again, comes to its end. Nothing is
//! acknowledged that a power cut could take from its place (`entries`).

use std::time::Duration;

use nix::errno::Errno;

use super::{
    calls::WRITES,
    documented::Documented,
    entries::Entries,
    log::{events_of, has_absolute_path},
    place::Place,
    ran::Ran,
    script::{Checked, Known, Step, Struck, hold, script},
    shares::{ATTEMPTS_MAX, ONCE, Shares, UNTOUCHED, is_all, usual},
    syncs::join,
    trace::{Plan, Strike, Traced, run_traced},
};
use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::{Progress, Settings, Size},
};

const PART: &str = "syscalls";

/// What is struck, and what was.
const WANTED: &str = "calls in the script";
const FAILED: &str = "of these, calls that were made to fail";

/// Processes that each thread keeps busy: most of their time they wait.
const PLACES_PER_THREAD: usize = 3;

/// How a call fails.
#[derive(Debug, Clone, Copy)]
struct Way {
    errno: Errno,
    lasts: bool,
}

/// How long a fault lasts that lasts: longer than the first attempts to bring the store back.
const WHILE: Duration = Duration::from_millis(600);

const WAYS: [Way; 4] = [
    way(Errno::EIO, false),
    way(Errno::ENOSPC, false),
    way(Errno::EIO, true),
    way(Errno::ENOSPC, true),
];

const fn way(errno: Errno, lasts: bool) -> Way {
    Way { errno, lasts }
}

/// Has every call fail once; at length, in all ways.
///
/// # Errors
/// When the processes can't be made or traced.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let progress = settings.progress(PART, settings.size.pick(40, 1_350, 5_400));
    let steps = script();
    let shares = Shares::of(steps.len());
    let mut outcome = Outcome::new(PART, settings.seed);
    let parts: Result<Vec<Outcome>, HarnessError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..settings.threads.max(1) * PLACES_PER_THREAD)
            .map(|_| {
                let (progress, steps, shares) = (progress.clone(), &steps, &shares);
                scope.spawn(move || Failing::new(settings, progress, shares)?.all(steps))
            })
            .collect();
        threads.into_iter().map(join).collect()
    });
    for part in parts? {
        outcome.merge(part);
    }
    is_all(settings, &mut outcome, WANTED, FAILED);
    Ok(outcome)
}

struct Failing<'a> {
    settings: &'a Settings,
    progress: Progress,
    place: Place,
    shares: &'a Shares,
    documented: Documented,
    outcome: Outcome,
}

impl<'a> Failing<'a> {
    fn new(
        settings: &'a Settings,
        progress: Progress,
        shares: &'a Shares,
    ) -> Result<Self, HarnessError> {
        Ok(Self {
            place: Place::new(settings.scratch()?)?,
            documented: Documented::default(),
            outcome: Outcome::new(PART, settings.seed),
            settings,
            progress,
            shares,
        })
    }

    fn all(mut self, steps: &[Step]) -> Result<Outcome, HarnessError> {
        let mut known = Known::default();
        for (number, step) in steps.iter().enumerate() {
            let before = known.clone();
            self.place.keep(step.name)?;
            let mut calls = Vec::new();
            for _ in 1..UNTOUCHED {
                calls.push(self.traced(step, None)?.calls);
                self.place.bring_back(step.name)?;
            }
            let untouched = self.traced(step, None)?;
            calls.push(untouched.calls);
            let calls = usual(calls);
            if let Err(violation) = known.after(&self.place, step, &untouched)? {
                let at = format!("seed {}, step {}, untouched", self.settings.seed, step.name);
                self.outcome.violated(at, violation);
                break;
            }
            if self.shares.counts(number, calls) {
                self.outcome.count(WANTED, calls);
            }
            self.place.keep("after")?;
            if self.fail_each(&before, step, number)? {
                break;
            }
            self.place.bring_back("after")?;
        }
        Ok(self.outcome)
    }

    fn traced(&self, step: &Step, failing: Option<(u64, Way)>) -> Result<Traced, HarnessError> {
        let plan = match failing {
            None => Plan::count(WRITES),
            Some((nth, way)) => Plan {
                kinds: WRITES,
                nth,
                lasts: if way.lasts { WHILE } else { Duration::ZERO },
                strike: Strike::Fail(way.errno),
            },
        };
        let entries = Entries::of(&self.place.state());
        run_traced(&self.place, step, plan, entries)
    }

    /// Whether it is enough.
    fn fail_each(
        &mut self,
        known: &Known,
        step: &Step,
        number: usize,
    ) -> Result<bool, HarnessError> {
        let stride = self.settings.size.pick(40, 1, 1);
        while let Some(nth) = self.shares.take(number, stride) {
            let mut failed_in_all = true;
            for way in self.ways(nth) {
                failed_in_all &= self.fail(known, step, nth, way)?;
                self.progress.add(1);
                if self.settings.until_violation && self.outcome.violations > 0 {
                    return Ok(true);
                }
            }
            self.outcome.count(FAILED, u64::from(failed_in_all));
            self.outcome.count(ONCE, u64::from(!failed_in_all));
        }
        Ok(false)
    }

    /// The ways in which a call fails: one of the two errors, in turn, so that another seed has the
    /// other one; at length all.
    fn ways(&self, nth: u64) -> impl Iterator<Item = Way> + use<> {
        let (from, how_many) = match self.settings.size {
            Size::Full => (0, WAYS.len()),
            Size::Catch | Size::Quick => {
                (usize::from((nth + self.settings.seed).is_multiple_of(2)), 1)
            }
        };
        WAYS.into_iter().skip(from).take(how_many)
    }

    /// Whether it failed there. A little less may happen in a step at times, so it is tried again.
    fn fail(
        &mut self,
        known: &Known,
        step: &Step,
        nth: u64,
        way: Way,
    ) -> Result<bool, HarnessError> {
        for _ in 0..ATTEMPTS_MAX {
            self.place.bring_back(step.name)?;
            let traced = self.traced(step, Some((nth, way)))?;
            let Some(struck) = &traced.struck else {
                self.outcome.count("processes that did not come to it", 1);
                continue;
            };
            let name = if way.lasts { "for a while" } else { "once" };
            let errno = format!("{:?}", way.errno);
            self.outcome
                .count(&format!("failed with {errno} {name}"), 1);
            if let Err(violation) = self.check(known, step, &traced)? {
                let seed = self.settings.seed;
                let at = format!(
                    "seed {seed}, step {}, {errno} {name} at call {nth}: {struck}",
                    step.name
                );
                self.outcome.violated(at, violation);
                // What it left would be told of the next one, too.
                self.place.end_all();
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn check(&mut self, known: &Known, step: &Step, traced: &Traced) -> Checked {
        let ran = &traced.ran;
        self.outcome
            .count("times it printed, and stood on the disk", traced.prints);
        hold!(ran.ended_well());
        if ran.is(step.exit) {
            self.outcome
                .count("calls that did what was asked all the same", 1);
        } else {
            hold!(self.documented.failed_well(&self.place, ran)?);
            hold!(names_no_path(ran));
            let code = ran.error().map(|(code, _)| code);
            let code = code.unwrap_or_else(|| "a run that could not be recorded".to_owned());
            self.outcome.count(&format!("ended with {code}"), 1);
        }
        hold!(self.place.nothing_left());
        let told = events_of(&ran.stdout).len() as u64;
        self.outcome
            .count("events told although a call failed", told);
        let (documented, outcome) = (&mut self.documented, &mut self.outcome);
        let struck = Struck {
            traced,
            refused: true,
        };
        known.after_strike(&self.place, step, struck, documented, outcome)
    }
}

/// An error that any client may be told names no path of the host. Those about opening the directory
/// are the operator's alone.
fn names_no_path(ran: &Ran) -> Result<(), Violation> {
    match ran.error() {
        Some((code, words)) if !code.starts_with("WR-STATE-") && has_absolute_path(&words) => {
            let why = format!("{code}: {words}");
            Err(Violation::new("I11 no error names a path of the host", why))
        }
        _ => Ok(()),
    }
}
