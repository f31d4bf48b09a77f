//! The part `crash`: after every call of every session, what a power cut may leave.

use std::{
    sync::{Mutex, PoisonError, atomic::AtomicBool, atomic::AtomicUsize, atomic::Ordering},
    thread,
};

use fastrand::Rng;

use super::{
    known::{Known, Novelty},
    open::Opener,
    session::Session,
};
use crate::{
    audit::{Expected, Look, data},
    disk::{HeadChoice, Image},
    report::{Doing, HarnessError, Outcome},
    settings::{Progress, Settings},
};

/// One image in so many is asked again after its audit.
const ASKED_ONE_IN: u32 = 24;

/// How much is done.
struct Sizes {
    sessions: u64,
    steps: usize,
    /// Images that are tried in all, about; those that are alike are audited once.
    tried: u64,
}

/// Runs the part.
///
/// # Errors
/// When the harness can't do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let catch = Sizes {
        sessions: 3,
        steps: 130,
        tried: 1_800,
    };
    let quick = Sizes {
        sessions: 10,
        steps: 130,
        tried: 60_000,
    };
    let full = Sizes {
        sessions: 80,
        steps: 220,
        tried: 1_200_000,
    };
    let sizes = settings.size.pick(catch, quick, full);
    let mut outcome = Outcome::new("crash", settings.seed);
    let progress = settings.progress("crash", sizes.tried);
    for number in 0..sizes.sessions {
        let seed = settings.seed.wrapping_mul(1_000).wrapping_add(number);
        let session = Session::play(settings, seed, sizes.steps)?;
        let explored = explore(settings, &session, sizes.tried / sizes.sessions, &progress)?;
        outcome.merge(explored);
        if settings.until_violation && outcome.violations > 0 {
            break;
        }
    }
    Ok(outcome)
}

/// What the threads share.
struct Shared<'a> {
    settings: &'a Settings,
    session: &'a Session,
    expected: &'a Expected<'a>,
    /// How many variants of each point are tried.
    variants: usize,
    known: Mutex<Known>,
    next: AtomicUsize,
    over: AtomicBool,
    progress: &'a Progress,
}

fn explore(
    settings: &Settings,
    session: &Session,
    tried: u64,
    progress: &Progress,
) -> Result<Outcome, HarnessError> {
    let mut outcome = Outcome::new("crash", settings.seed);
    let expected = Expected::new(&session.journal);
    for violation in &expected.violations {
        outcome.violated(
            format!("session {}, no crash", session.seed),
            violation.clone(),
        );
    }
    let points = session.tape.len() + 1;
    outcome.count("calls of the disk", session.tape.len() as u64);
    outcome.count("sessions", 1);
    outcome.count("acknowledged commands", acknowledged(session));
    outcome.count("events told", session.journal.told.len() as u64);
    outcome.count("scopes handed on, changed or taken back", moved(session));
    session.journal.count_leases(&mut outcome);
    let beginning = session.journal.beginnings.last();
    let trimmed = beginning.map_or(0, |seen| seen.trimmed_to.0);
    outcome.count("events trimmed", trimmed);
    let shared = Shared {
        settings,
        session,
        expected: &expected,
        variants: variants_of(tried, points),
        known: Mutex::default(),
        next: AtomicUsize::new(0),
        over: AtomicBool::new(settings.until_violation && outcome.violations > 0),
        progress,
    };
    outcome.merge(on_threads(settings, "crash", || shared.work())?);
    Ok(outcome)
}

/// The same work on each of the threads that a part may keep busy.
pub(super) fn on_threads(
    settings: &Settings,
    part: &str,
    work: impl Fn() -> Result<Outcome, HarnessError> + Sync,
) -> Result<Outcome, HarnessError> {
    let mut outcome = Outcome::new(part, settings.seed);
    let found: Vec<Result<Outcome, HarnessError>> = thread::scope(|scope| {
        let threads = 0..settings.threads.max(1);
        let threads: Vec<_> = threads.map(|_| scope.spawn(&work)).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        let ended = |joined: thread::Result<_>| {
            joined.unwrap_or_else(|_| Err(HarnessError::new("audit", "it panicked")))
        };
        joined.map(ended).collect()
    });
    for found in found {
        outcome.merge(found?);
    }
    Ok(outcome)
}

/// How many variants of each point are so many in all. Right after a sync there is but one.
fn variants_of(tried: u64, points: usize) -> usize {
    let each = usize::try_from(tried).unwrap_or(usize::MAX) / points.max(1);
    each.max(2)
}

fn acknowledged(session: &Session) -> u64 {
    let entries = session.journal.entries.iter();
    entries
        .filter(|entry| entry.answer.done().is_some())
        .count() as u64
}

/// How often it was told that something is held below somebody, or is held otherwise.
fn moved(session: &Session) -> u64 {
    let told = session.journal.told.values();
    let moves = told.filter(|told| {
        let kind = told.event.kind.as_str().strip_prefix("allocation.");
        kind.is_some_and(|kind| match kind {
            "granted" => data(&told.event)
                .get("parent")
                .is_some_and(|it| !it.is_null()),
            kind => ["changed", "releasing", "reclaimed", "reparented"].contains(&kind),
        })
    });
    moves.count() as u64
}

impl Shared<'_> {
    fn work(&self) -> Result<Outcome, HarnessError> {
        let mut outcome = Outcome::new("crash", self.settings.seed);
        let directory = self.settings.scratch()?;
        let opener = Opener::new(directory.path(), self.session.seed)?;
        let mut explorer = self.session.tape.explorer();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index > self.session.tape.len() || self.over.load(Ordering::Relaxed) {
                return Ok(outcome);
            }
            explorer.goto(index);
            let crash = explorer.crash();
            let mut rng = Rng::with_seed(self.session.seed ^ (index as u64) << 24);
            let mut is_audited = false;
            for variant in crash.variants(&mut rng, self.variants) {
                let head = match rng.u8(0..8) {
                    0 => HeadChoice::OneBefore,
                    1 => HeadChoice::Missing,
                    _ => HeadChoice::AsOfThen,
                };
                let image = crash.image(variant, head);
                self.progress.add(1);
                let novelty = self.novelty(&image, index as u64);
                if novelty == Novelty::None {
                    continue;
                }
                let at = format!(
                    "session {}, call {index}, {variant}, head {head:?}",
                    self.session.seed
                );
                let look = Look {
                    index: index as u64,
                    seed: self.session.seed,
                    thorough: false,
                };
                let is_asked = rng.u32(0..ASKED_ONE_IN) == 0;
                let found = match is_asked {
                    true => opener.audit_and_ask(&image, self.expected, look),
                    false => opener.audit(&image, self.expected, look),
                };
                let found = found.doing(&at)?;
                outcome.count(novelty.figure("audited images"), 1);
                outcome.count(variant.figure(), u64::from(novelty == Novelty::Image));
                // A point counts by what was audited at it.
                outcome.count("crash points", u64::from(!is_audited));
                is_audited = true;
                outcome.count("images asked again", u64::from(is_asked));
                image.keep(("crash", &at), &self.session.journal, &found.violations)?;
                for violation in found.violations {
                    outcome.violated(&at, violation);
                }
                if self.settings.until_violation && outcome.violations > 0 {
                    self.over.store(true, Ordering::Relaxed);
                }
                if self.over.load(Ordering::Relaxed) {
                    return Ok(outcome);
                }
            }
        }
    }

    fn novelty(&self, image: &Image, index: u64) -> Novelty {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.novelty(image.fingerprint(), self.expected.promises(index))
    }
}
