//! A working host that is stopped (SIGSTOP) for longer than the deadlines within the Runtime: those
//! of a submit, of a command that is being started, of an idle store, of readers that wait. Meanwhile
//! others are refused with its pid. When it goes on, nothing is lost or doubled, and no outcome comes
//! of the time that it did not have (I1, I2, I4, I8).

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{
    host::{Host, Kept, Lives},
    journals::{acknowledged, audit},
    log::Log,
    order::Part,
    place::Place,
    ran::DEADLINE,
    script::{healthy, hold},
    soak::drain,
};
use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::Settings,
};

const PART: &str = "stopped";
/// It works for so long before it is stopped, and is then given as long to go on.
const WORKS: Duration = Duration::from_millis(1_500);

/// Stops hosts, and lets them go on.
///
/// # Errors
/// When processes can't be made or journals read.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let mut outcome = Outcome::new(PART, settings.seed);
    // At length, longer than a close may take, too.
    let stopped = Duration::from_secs(settings.size.pick(3, 12, 40));
    let progress = settings.progress(PART, 2);
    for in_opening in [false, true] {
        let stop = Stop {
            workers: settings.size.pick(10, 20, 30),
            stopped,
            in_opening,
        };
        let place = Place::new(settings.disk()?)?;
        if let Err(violation) = stop.one(&place, settings.seed, &mut outcome)? {
            let at = format!("seed {}, in an opening: {in_opening}", settings.seed);
            outcome.violated(at, violation);
        }
        progress.add(1);
        if settings.until_violation && outcome.violations > 0 {
            break;
        }
    }
    Ok(outcome)
}

struct Stop {
    workers: u64,
    stopped: Duration,
    in_opening: bool,
}

impl Stop {
    fn one(&self, place: &Place, seed: u64, outcome: &mut Outcome) -> Kept<()> {
        let lives = Lives::new(place, None)?;
        if self.in_opening {
            // So that there is something to open: a kill in the middle of work.
            let host = self.feed(&lives, seed)?;
            hold!(host.opened()?);
            hold!(self.works(&lives)?);
            host.kill()?;
        }
        let host = self.feed(&lives, seed.wrapping_add(1))?;
        if self.in_opening {
            hold!(host.said()?);
        } else {
            hold!(host.opened()?);
            hold!(self.works(&lives)?);
        }
        host.stop()?;
        let noted = acknowledged(&lives.journals(), self.workers)?;
        hold!(self.while_stopped(place, &host, outcome)?);
        if acknowledged(&lives.journals(), self.workers)? != noted {
            return Err(HarnessError::new("stop a host", "its clients went on"));
        }
        host.signal(Signal::SIGCONT)?;
        if self.in_opening {
            hold!(host.opened_after_opening()?);
        }
        hold!(self.works(&lives)?);
        let more = acknowledged(&lives.journals(), self.workers)?.saturating_sub(noted);
        outcome.count("inputs acknowledged after it went on", more);
        host.kill()?;
        let before = hold!(Log::read(place)?);
        hold!(self.ended_nothing_by_time(&before, outcome));
        let drained = hold!(drain(&lives, self.workers)?);
        let of = (self.workers, drained);
        hold!(audit(place, &lives.journals(), of, &before, outcome)?);
        outcome.count("stops", 1);
        healthy(place)
    }

    fn feed(&self, lives: &Lives<'_>, seed: u64) -> Result<Host, HarnessError> {
        lives.start(Part::Feed {
            journals: lives.journals(),
            seed,
            workers: self.workers,
        })
    }

    /// It acknowledges more inputs than before, within the deadline.
    fn works(&self, lives: &Lives<'_>) -> Kept<()> {
        let began = acknowledged(&lives.journals(), self.workers)?;
        let started = Instant::now();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let now = acknowledged(&lives.journals(), self.workers)?;
            if now > began && started.elapsed() >= WORKS {
                return Ok(Ok(()));
            }
            if started.elapsed() > DEADLINE {
                let why = format!("nothing was acknowledged within {DEADLINE:?}");
                return Ok(Err(Violation::new("I9 a host goes on after a stop", why)));
            }
        }
    }

    /// Others are refused at once, and told by whom.
    fn while_stopped(&self, place: &Place, host: &Host, outcome: &mut Outcome) -> Kept<()> {
        let began = Instant::now();
        let pid = host.pid().to_string();
        let calls: &[&[&str]] = &[
            &["worker", "ls"],
            &["status"],
            &["worker", "ls", "--wait", "1s"],
            &["run", "--", "true"],
        ];
        // An opening that has not come to its lock keeps nobody out.
        let calls = calls.iter().take(if self.in_opening { 3 } else { 4 });
        while began.elapsed() < self.stopped {
            for arguments in calls.clone() {
                let ran = place.call(arguments)?;
                hold!(ran.ended_well());
                let told = ran.error();
                let is_told = told.is_some_and(|(code, words)| {
                    code == "WR-STATE-LOCKED" && (self.in_opening || words.contains(&pid))
                });
                let is_refused = ran.is(11) && is_told;
                let is_let_in = self.in_opening && ran.is(0);
                if !is_refused && !is_let_in {
                    let why = format!("{arguments:?} while {pid} holds it: {ran}");
                    return Ok(Err(Violation::new("I1 one process has the store", why)));
                }
                outcome.count("others refused", u64::from(ran.is(11)));
            }
        }
        Ok(Ok(()))
    }

    /// The log of a life that nobody asked to end anything early: what ended, ended by itself or
    /// because its client cancelled it; only the opening after a kill interrupts.
    fn ended_nothing_by_time(&self, log: &Log, outcome: &mut Outcome) -> Result<(), Violation> {
        for ((_, input), told) in &log.inputs {
            let Some((state, all)) = &told.outcome else {
                continue;
            };
            let is_fine = match state.as_str() {
                "interrupted" => self.in_opening,
                "failed" => all.pointer("/stop/type").is_some_and(|stop| stop == "exit"),
                _ => true,
            };
            if !is_fine {
                let why = format!("{input}: {all}");
                return Err(Violation::new("I8 no outcome is made up", why));
            }
            outcome.count("inputs that ended in a life with a stop", 1);
        }
        Ok(())
    }
}
