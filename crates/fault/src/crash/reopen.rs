//! The part `recovery`: the opening of a crash image, itself crashed at every call, and opened again.

use std::sync::{Mutex, PoisonError, atomic::AtomicBool, atomic::AtomicUsize, atomic::Ordering};

use fastrand::Rng;

use super::{
    explore::on_threads,
    known::{Known, Novelty},
    open::Opener,
    session::Session,
};
use crate::{
    audit::{Expected, Look},
    disk::{HeadChoice, Image},
    report::{Doing, HarnessError, Outcome, Violation},
    settings::{Progress, Settings},
};

/// Variants of each point of an opening.
const VARIANTS: usize = 8;

/// One image in so many is asked again after its audit.
const ASKED_ONE_IN: u32 = 24;

/// How much is done.
struct Sizes {
    sessions: u64,
    steps: usize,
    /// Openings that are recorded, in each session.
    openings: usize,
}

/// Runs the part.
///
/// # Errors
/// When the harness can't do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let catch = Sizes {
        sessions: 1,
        steps: 60,
        openings: 8,
    };
    let quick = Sizes {
        sessions: 4,
        steps: 120,
        openings: 8,
    };
    let full = Sizes {
        sessions: 40,
        steps: 200,
        openings: 60,
    };
    let sizes = settings.size.pick(catch, quick, full);
    let mut outcome = Outcome::new("recovery", settings.seed);
    let progress = settings.progress("recovery", sizes.sessions * sizes.openings as u64);
    for number in 0..sizes.sessions {
        // Other sessions than those of the part `crash`.
        let seed = settings.seed.wrapping_mul(1_000).wrapping_add(500 + number);
        let session = Session::play(settings, seed, sizes.steps)?;
        let expected = Expected::new(&session.journal);
        for violation in &expected.violations {
            let at = format!("session {seed}, no crash");
            outcome.violated(at, violation.clone());
        }
        let shared = Shared {
            settings,
            session: &session,
            expected: &expected,
            openings: sizes.openings,
            known: Mutex::default(),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            progress: &progress,
        };
        outcome.merge(on_threads(settings, "recovery", || shared.work())?);
        outcome.count("sessions", 1);
        session.journal.count_leases(&mut outcome);
        if settings.until_violation && outcome.violations > 0 {
            break;
        }
    }
    Ok(outcome)
}

struct Shared<'a> {
    settings: &'a Settings,
    session: &'a Session,
    expected: &'a Expected<'a>,
    openings: usize,
    known: Mutex<Known>,
    next: AtomicUsize,
    over: AtomicBool,
    progress: &'a Progress,
}

/// An opening that is crashed.
struct Opening<'a> {
    at: String,
    image: &'a Image,
    look: Look,
}

impl Shared<'_> {
    fn work(&self) -> Result<Outcome, HarnessError> {
        let mut outcome = Outcome::new("recovery", self.settings.seed);
        let directory = self.settings.scratch()?;
        let opener = Opener::new(directory.path(), self.session.seed)?;
        let mut explorer = self.session.tape.explorer();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.openings || self.over.load(Ordering::Relaxed) {
                return Ok(outcome);
            }
            let mut rng = Rng::with_seed(self.session.seed ^ (number as u64) << 32);
            // One in each stretch of the session, so that all of it is seen.
            let stretch = (self.session.tape.len() / self.openings).max(1);
            let index = number * stretch + rng.usize(0..stretch);
            explorer.goto(index);
            let crash = explorer.crash();
            let variants = crash.variants(&mut rng, 12);
            let Some(variant) = rng.choice(variants) else {
                continue;
            };
            let opening = Opening {
                at: format!("session {}, call {index}, {variant}", self.session.seed),
                image: &crash.image(variant, HeadChoice::AsOfThen),
                look: Look {
                    index: index as u64,
                    seed: self.session.seed,
                    thorough: false,
                },
            };
            self.crash_opening(&opener, &opening, &mut rng, &mut outcome)?;
            self.progress.add(1);
        }
    }

    fn crash_opening(
        &self,
        opener: &Opener,
        opening: &Opening<'_>,
        rng: &mut Rng,
        outcome: &mut Outcome,
    ) -> Result<(), HarnessError> {
        let first = opener.audit(opening.image, self.expected, opening.look)?;
        let is_broken = !first.violations.is_empty();
        let seen = ("recovery", opening.at.as_str());
        opening
            .image
            .keep(seen, &self.session.journal, &first.violations)?;
        for violation in first.violations {
            outcome.violated(&opening.at, violation);
        }
        // What is broken already is the part `crash`'s to tell.
        if is_broken {
            return Ok(());
        }
        let tape = opener.record_opening(opening.image)?;
        outcome.count("openings", 1);
        let mut explorer = tape.explorer();
        for call in 0..=tape.len() {
            explorer.goto(call);
            let crash = explorer.crash();
            for variant in crash.variants(rng, VARIANTS) {
                let head = match rng.u8(0..8) {
                    0 => HeadChoice::OneBefore,
                    1 => HeadChoice::Missing,
                    _ => HeadChoice::AsOfThen,
                };
                let image = crash.image(variant, head);
                let novelty = self.novelty(&image, opening.look.index);
                if novelty == Novelty::None {
                    continue;
                }
                let at = format!(
                    "{}; then its opening, call {call}, {variant}, head {head:?}",
                    opening.at
                );
                let found = match rng.u32(0..ASKED_ONE_IN) {
                    0 => opener.audit_and_ask(&image, self.expected, opening.look),
                    _ => opener.audit(&image, self.expected, opening.look),
                };
                let mut found = found.doing(&at)?;
                outcome.count(novelty.figure("crashes during recovery"), 1);
                if found.kept != first.kept && found.violations.is_empty() {
                    let detail = format!("{} was kept, and is {} now", first.kept, found.kept);
                    let promise = "I1 what an opening found stays";
                    found.violations.push(Violation::new(promise, detail));
                }
                image.keep(("recovery", &at), &self.session.journal, &found.violations)?;
                for violation in found.violations {
                    outcome.violated(&at, violation);
                }
                if self.settings.until_violation && outcome.violations > 0 {
                    self.over.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn novelty(&self, image: &Image, index: u64) -> Novelty {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.novelty(image.fingerprint(), self.expected.promises(index))
    }
}
