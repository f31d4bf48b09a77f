//! A scripted run of the command in which each call that changes the state directory fails once, with
//! EIO or with ENOSPC, or fails from there on for a while (I1, I4, I5, I9, I11).
//!
//! The call must end, in words and with an exit code of its own; what was told before and by it is
//! kept; and the same step, repeated when the calls work again, comes to its end.

use std::time::Duration;

use nix::errno::Errno;

use super::{
    calls::WRITES,
    documented::Documented,
    log::{events_of, has_absolute_path},
    place::Place,
    ran::Ran,
    script::{Checked, Known, Step, Struck, hold, script},
    syncs::join,
    trace::{Plan, Strike, run_traced},
};
use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::{Progress, Settings, Size},
};

const PART: &str = "syscalls";

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

/// Has every call fail once: in one way each, and at length in all of them.
///
/// # Errors
/// When the processes can't be made or traced.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let progress = settings.progress(PART, settings.size.pick(40, 500, 4_000));
    let threads = settings.threads.clamp(1, 2);
    let mut outcome = Outcome::new(PART, settings.seed);
    let parts: Result<Vec<Outcome>, HarnessError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|own| {
                let progress = progress.clone();
                scope.spawn(move || Failing::new(settings, progress, (own, threads))?.all())
            })
            .collect();
        threads.into_iter().map(join).collect()
    });
    for part in parts? {
        outcome.merge(part);
    }
    Ok(outcome)
}

struct Failing<'a> {
    settings: &'a Settings,
    progress: Progress,
    place: Place,
    /// This thread's share of the calls.
    share: (usize, usize),
    random: fastrand::Rng,
    documented: Documented,
    outcome: Outcome,
}

impl<'a> Failing<'a> {
    fn new(
        settings: &'a Settings,
        progress: Progress,
        share: (usize, usize),
    ) -> Result<Self, HarnessError> {
        Ok(Self {
            place: Place::new(settings.scratch()?)?,
            random: fastrand::Rng::with_seed(settings.seed ^ (share.0 as u64)),
            documented: Documented::default(),
            outcome: Outcome::new(PART, settings.seed),
            settings,
            progress,
            share,
        })
    }

    fn all(mut self) -> Result<Outcome, HarnessError> {
        let mut known = Known::default();
        for step in &script() {
            let before = known.clone();
            self.place.keep(step.name)?;
            let untouched = self.traced(step, None)?;
            if let Err(violation) = known.after(&self.place, step, &untouched.ran)? {
                let at = format!("seed {}, step {}, untouched", self.settings.seed, step.name);
                self.outcome.violated(at, violation);
                break;
            }
            if self.share.0 == 0 {
                self.outcome.count("calls in the script", untouched.calls);
            }
            self.place.keep("after")?;
            if step.is_varied && self.fail_each(&before, step, untouched.calls)? {
                break;
            }
            self.place.bring_back("after")?;
        }
        Ok(self.outcome)
    }

    fn traced(
        &self,
        step: &Step,
        failing: Option<(u64, Way)>,
    ) -> Result<super::trace::Traced, HarnessError> {
        let (nth, way) = failing.unwrap_or((0, way(Errno::EIO, false)));
        let plan = Plan {
            kinds: WRITES,
            nth,
            lasts: if way.lasts { WHILE } else { Duration::ZERO },
            strike: Strike::Fail(way.errno),
        };
        let command = self.place.command(&step.arguments);
        run_traced(&command, &self.place.state(), &self.place.said(), plan)
    }

    /// Whether it is enough.
    fn fail_each(&mut self, known: &Known, step: &Step, calls: u64) -> Result<bool, HarnessError> {
        let stride = self.settings.size.pick(10, 1, 1);
        // One call in so many meets a fault that lasts; at length, all do.
        let lasts_at = self.settings.size.pick(5, 12, 1);
        for nth in (1..=calls).step_by(stride) {
            let turn = usize::try_from(nth).unwrap_or(0) / stride;
            if turn % self.share.1 != self.share.0 {
                continue;
            }
            let chosen = match (turn.is_multiple_of(lasts_at), self.random.bool()) {
                (false, disk) => usize::from(disk),
                (true, disk) => 2 + usize::from(disk),
            };
            for (number, way) in WAYS.into_iter().enumerate() {
                if self.settings.size != Size::Full && number != chosen {
                    continue;
                }
                self.fail(known, step, nth, way)?;
                self.progress.add(1);
                if self.settings.until_violation && self.outcome.violations > 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn fail(&mut self, known: &Known, step: &Step, nth: u64, way: Way) -> Result<(), HarnessError> {
        self.place.bring_back(step.name)?;
        let traced = self.traced(step, Some((nth, way)))?;
        let Some(struck) = &traced.struck else {
            self.outcome.count("calls that were not reached again", 1);
            return Ok(());
        };
        let name = if way.lasts { "for a while" } else { "once" };
        let errno = format!("{:?}", way.errno);
        self.outcome
            .count(&format!("failed with {errno} {name}"), 1);
        let checked = self.check(known, step, &traced.ran)?;
        if let Err(violation) = checked {
            let seed = self.settings.seed;
            let at = format!(
                "seed {seed}, step {}, {errno} {name} at call {nth}: {struck}",
                step.name
            );
            self.outcome.violated(at, violation);
        }
        Ok(())
    }

    fn check(&mut self, known: &Known, step: &Step, ran: &Ran) -> Checked {
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
        let struck = Struck { ran, refused: true };
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
