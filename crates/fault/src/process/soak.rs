//! A host with journaling clients and observers, killed again and again at any moment, in its recovery
//! too, a third of the time with its monitors. Nothing that was acknowledged is lost, nothing runs
//! twice, every observer goes on where it was, and nothing is left running after an opening (I1, I2,
//! I4, I5).
//!
//! The seed replays the choices, not how the machine schedules.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{
    host::{Host, Kept, Lives},
    journals::audit,
    log::Log,
    order::{Part, Said},
    place::{Place, kill, signal},
    script::{healthy, hold},
    syncs::join,
};
use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::{Progress, Settings},
};

const PART: &str = "soak";
/// Kills in the middle of an opening come within this time of its beginning.
const OPENING_MS_MAX: u64 = 60;
/// The others, within this time of its end.
const OPEN_MS: std::ops::Range<u64> = 100..1_200;

/// Kills hosts.
///
/// # Errors
/// When processes can't be made or journals read.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let kills = settings.size.pick(8, 100, 2_000);
    // A client has only so much to say, so that hosts begin anew on an empty store now and then.
    let kills_each = settings.size.pick(4, 25, 25);
    let progress = settings.progress(PART, kills);
    let threads = settings.threads.clamp(1, 2);
    let mut outcome = Outcome::new(PART, settings.seed);
    let parts: Result<Vec<Outcome>, HarnessError> = std::thread::scope(|scope| {
        let soaks: Vec<_> = (0..threads)
            .map(|own| {
                let soak = Soak {
                    workers: settings.size.pick(20, 30, 50),
                    kills: kills_each,
                    until_violation: settings.until_violation,
                    progress: progress.clone(),
                };
                let stores = (own as u64..kills / kills_each).step_by(threads);
                scope.spawn(move || soak.all(settings, stores))
            })
            .collect();
        soaks.into_iter().map(join).collect()
    });
    for part in parts? {
        outcome.merge(part);
    }
    if outcome.violations == 0 {
        shows_enough(&mut outcome);
    }
    Ok(outcome)
}

/// A run in which nothing was in the way of a kill would show nothing.
fn shows_enough(outcome: &mut Outcome) {
    for figure in [
        "inputs completed",
        "inputs interrupted",
        "receipts repeated",
        "events observed",
    ] {
        if outcome.figures.get(figure).is_none_or(|found| *found == 0) {
            let violation = Violation::new("a run shows something", format!("no {figure}"));
            outcome.violated(format!("seed {}", outcome.seed), violation);
        }
    }
}

struct Soak {
    workers: u64,
    kills: u64,
    until_violation: bool,
    progress: Progress,
}

impl Soak {
    fn all(
        &self,
        settings: &Settings,
        stores: impl Iterator<Item = u64>,
    ) -> Result<Outcome, HarnessError> {
        let mut outcome = Outcome::new(PART, settings.seed);
        for store in stores {
            let mut random = fastrand::Rng::with_seed(settings.seed ^ (store << 32));
            let place = Place::new(settings.disk()?)?;
            let soaked = self.one(&place, &mut random, &mut outcome)?;
            if let Err(violation) = soaked {
                outcome.violated(format!("seed {}, store {store}", settings.seed), violation);
                if self.until_violation {
                    break;
                }
            }
        }
        Ok(outcome)
    }

    /// One store, from its first opening to the audit.
    fn one(&self, place: &Place, random: &mut fastrand::Rng, outcome: &mut Outcome) -> Kept<()> {
        let lives = Lives::new(place, None)?;
        for _ in 0..self.kills {
            hold!(self.live_and_be_killed(&lives, random, outcome)?);
            self.progress.add(1);
        }
        // As the last kill left it.
        let before = hold!(Log::read(place)?);
        let drained = hold!(drain(&lives, self.workers)?);
        let of = (self.workers, drained);
        hold!(audit(place, &lives.journals(), of, &before, outcome)?);
        healthy(place)
    }

    /// One life, ended at a moment that nobody chose.
    fn live_and_be_killed(
        &self,
        lives: &Lives<'_>,
        random: &mut fastrand::Rng,
        outcome: &mut Outcome,
    ) -> Kept<()> {
        let host = lives.start(Part::Feed {
            journals: lives.journals(),
            seed: random.u64(..),
            workers: self.workers,
        })?;
        if random.u64(..4) == 0 {
            let said = hold!(host.said()?);
            if said != Said::Opening {
                let why = format!("{said:?}");
                return Ok(Err(Violation::new("a host goes on", why)));
            }
            std::thread::sleep(Duration::from_millis(random.u64(..OPENING_MS_MAX)));
            outcome.count("kills aimed at an opening", 1);
        } else {
            hold!(host.opened()?);
            hold!(lives.place.nothing_left_of(lives.round()));
            std::thread::sleep(Duration::from_millis(random.u64(OPEN_MS)));
        }
        kill_with(lives.place, host, random.u64(..3) == 0)?;
        outcome.count("kills", 1);
        Ok(Ok(()))
    }
}

/// Kills a host, or it and the monitors above its commands: then nobody is left who would end what
/// they started but the next opening.
fn kill_with(place: &Place, host: Host, monitors: bool) -> Result<(), HarnessError> {
    let shims = || place.living().into_iter().filter(|process| process.is_shim);
    if monitors {
        shims().for_each(|process| signal(process.pid, Signal::SIGSTOP));
    }
    host.kill()?;
    if monitors {
        shims().for_each(|process| kill(process.pid));
    }
    Ok(())
}

/// Lets everything end; the position at which nothing was left.
pub(super) fn drain(lives: &Lives<'_>, workers: u64) -> Kept<u64> {
    let host = lives.start(Part::Drain {
        journals: lives.journals(),
        workers,
    })?;
    hold!(host.opened()?);
    hold!(lives.place.nothing_left_of(lives.round()));
    let said = hold!(host.said()?);
    let Said::Drained(position) = said else {
        let why = format!("{said:?}");
        return Ok(Err(Violation::new("a host goes on", why)));
    };
    let ended = host.ended()?;
    Ok(if ended.success() {
        Ok(position.0)
    } else {
        Err(Violation::new("a host closes", ended.to_string()))
    })
}
