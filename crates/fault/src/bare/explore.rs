//! The crash images of a session: each is opened, read, written once more; some are cut off while
//! they are opened.

use std::{collections::HashMap, path::Path};

use fastrand::Rng;
use tempfile::TempDir;
use worker_runtime_core::store::Store;
use worker_runtime_persist::{FileStore, WrapBackend};

use super::{
    Amount,
    audit::{self, Expected},
    script::Script,
    session::{RETENTION, Session, options},
};
use crate::{
    disk::{Crash, HeadChoice, Place, Recorder},
    report::{Doing, HarnessError, Outcome, Violation},
    settings::{Progress, Settings},
};

/// Variants of each point of an opening, of which its share is taken.
const RECOVERY_VARIANTS: usize = 8;

/// A thread's directories, used for one image after another.
pub(super) struct Explore<'a> {
    scratch: TempDir,
    first: Place,
    second: Place,
    progress: &'a Progress,
    until_violation: bool,
}

/// The images of a session that were seen, and which state each was found to be.
#[derive(Default)]
struct Seen(HashMap<u128, usize>);

impl<'a> Explore<'a> {
    pub(super) fn new(settings: &Settings, progress: &'a Progress) -> Result<Self, HarnessError> {
        let scratch = settings.scratch()?;
        Ok(Self {
            first: Place::new(&scratch.path().join("first"))?,
            second: Place::new(&scratch.path().join("second"))?,
            scratch,
            progress,
            until_violation: settings.until_violation,
        })
    }

    /// Records a session and looks at its images, spread over all of its crash points.
    pub(super) fn session(
        &mut self,
        seed: u64,
        number: usize,
        amount: &Amount,
        found: &mut Outcome,
    ) -> Result<(), HarnessError> {
        let seed = Rng::with_seed(seed ^ (number as u64).rotate_left(32)).u64(..);
        let live = self.scratch.path().join(format!("live-{number}"));
        let mut session = Session::record(&live, seed, amount.batches)?;
        std::fs::remove_dir_all(&live).doing("remove a session's directory")?;
        found.count("recorded sessions", 1);
        if let Some(violation) = session.broken.take() {
            found.violated(format!("session {seed:#x}, no fault"), violation);
        }
        let mut rng = Rng::with_seed(seed);
        let mut seen = Seen::default();
        let mut recovered = 0;
        let mut explorer = session.tape.explorer();
        for index in 0..=session.tape.len() {
            explorer.goto(index);
            let crash = explorer.crash();
            let points_left = session.tape.len() + 1 - index;
            let images_left = amount.images_per_session.saturating_sub(seen.0.len());
            let share = images_left.div_ceil(points_left);
            self.point(&session, &crash, share, &mut rng, &mut seen, found)?;
            let due = amount.recoveries_per_session * (index + 1) / (session.tape.len() + 1);
            if recovered < due {
                recovered += self.recoveries(&session, &crash, &mut rng, due - recovered, found)?;
            }
            if self.until_violation && found.violations > 0 {
                break;
            }
        }
        Ok(())
    }

    /// So many new images of one crash point, when it has as many.
    fn point(
        &mut self,
        session: &Session,
        crash: &Crash<'_>,
        share: usize,
        rng: &mut Rng,
        seen: &mut Seen,
        found: &mut Outcome,
    ) -> Result<(), HarnessError> {
        let allowed = session.allowed(crash.index());
        let before = seen.0.len();
        let mut is_audited = false;
        for variant in crash.variants(rng, share * 2) {
            let head = rng.choice(HeadChoice::ALL).unwrap_or(HeadChoice::AsOfThen);
            let image = crash.image(variant, head);
            let at = || {
                let index = crash.index();
                format!(
                    "session {:#x}, call {index}, {variant}, head {head:?}",
                    session.seed
                )
            };
            let fingerprint = image.fingerprint();
            if let Some(state) = seen.0.get(&fingerprint) {
                // It was read before; what it may be depends on what was acknowledged since.
                if !allowed.contains(state) {
                    let detail = format!("state {state}, and {allowed:?} are allowed");
                    found.violated(at(), Violation::new("I1 acknowledged is kept", detail));
                }
                continue;
            }
            let wrap = self.first.mount(&image)?;
            match image_of(session, self.first.path(), wrap, &allowed, rng) {
                Ok(state) => {
                    seen.0.insert(fingerprint, state);
                }
                Err(violation) => {
                    seen.0.insert(fingerprint, *allowed.start());
                    let broken = std::slice::from_ref(&violation);
                    image.keep(("bare", &at()), &(), broken)?;
                    found.violated(at(), violation);
                }
            }
            // A point counts by what was audited at it.
            found.count("crash points", u64::from(!is_audited));
            is_audited = true;
            found.count("audited images", 1);
            found.count(variant.figure(), 1);
            self.progress.add(1);
            if seen.0.len() >= before + share || (self.until_violation && found.violations > 0) {
                break;
            }
        }
        Ok(())
    }

    /// Opens an image on a recorded disk, and then what a power cut during that leaves.
    fn recoveries(
        &mut self,
        session: &Session,
        crash: &Crash<'_>,
        rng: &mut Rng,
        how_many: usize,
        found: &mut Outcome,
    ) -> Result<usize, HarnessError> {
        let allowed = session.allowed(crash.index());
        let variants = crash.variants(rng, 12);
        let variant = rng.choice(variants).unwrap_or(crate::disk::Variant::All);
        let image = crash.image(variant, HeadChoice::AsOfThen);
        let recorder = Recorder::new(self.first.path());
        let wrap = recorder.wrap_over(self.first.mount(&image)?);
        let at = format!(
            "session {:#x}, call {}, {variant}",
            session.seed,
            crash.index()
        );
        let first = self.first_opening(session, (&recorder, wrap), &allowed, rng);
        let (state, opened) = match first {
            Ok(first) => first,
            Err(violation) => {
                image.keep(("bare", &at), &(), std::slice::from_ref(&violation))?;
                found.violated(at, violation);
                return Ok(1);
            }
        };
        let tape = recorder.tape();
        let mut explorer = tape.explorer();
        let mut done = 0;
        let mut seen = Seen::default();
        for index in 0..=tape.len() {
            explorer.goto(index);
            let second = explorer.crash();
            let share = how_many
                .saturating_sub(done)
                .div_ceil(tape.len() + 1 - index);
            let mut variants = second.variants(rng, share.max(RECOVERY_VARIANTS));
            rng.shuffle(&mut variants);
            let mut new = 0;
            for variant in variants {
                let image = second.image(variant, HeadChoice::AsOfThen);
                if new == share {
                    break;
                }
                if seen.0.insert(image.fingerprint(), state).is_some() {
                    continue;
                }
                new += 1;
                let wrap = self.second.mount(&image)?;
                let openings = usize::from(index >= opened)..=1;
                let again = again(session, self.second.path(), wrap, state, openings);
                if let Err(violation) = again {
                    let at = format!("{at}, then call {index} of the opening, {variant}");
                    image.keep(("bare", &at), &(), std::slice::from_ref(&violation))?;
                    found.violated(at, violation);
                }
                done += 1;
                found.count("crashes during recovery", 1);
            }
        }
        Ok(done.max(1))
    }

    /// Which state a recorded opening found, and after how many calls it was open.
    fn first_opening(
        &self,
        session: &Session,
        (recorder, wrap): (&Recorder, WrapBackend),
        allowed: &std::ops::RangeInclusive<usize>,
        rng: &mut Rng,
    ) -> Result<(usize, usize), Violation> {
        let mut store = FileStore::open(self.first.path(), options(rng.u64(..), wrap))
            .map_err(|error| Violation::new("I1 the store opens", error.to_string()))?;
        let opened = usize::try_from(recorder.index()).unwrap_or(usize::MAX);
        let state = which(session, &mut store, allowed, 64)?;
        Ok((state, opened))
    }
}

/// Opens an image, reads it, writes one more batch, and reads that. Says which state it was.
fn image_of(
    session: &Session,
    path: &Path,
    wrap: WrapBackend,
    allowed: &std::ops::RangeInclusive<usize>,
    rng: &mut Rng,
) -> Result<usize, Violation> {
    let mut store = FileStore::open(path, options(rng.u64(..), wrap))
        .map_err(|error| Violation::new("I1 the store opens", error.to_string()))?;
    let page_events = if rng.u8(0..8) == 0 { 3 } else { 64 };
    let number = which(session, &mut store, allowed, page_events)?;
    one_more(session, &mut store, number, rng.u64(..))?;
    Ok(number)
}

/// Which of the allowed states a store is.
fn which(
    session: &Session,
    store: &mut FileStore,
    allowed: &std::ops::RangeInclusive<usize>,
    page_events: usize,
) -> Result<usize, Violation> {
    let mut broken = None;
    for number in allowed.clone().rev() {
        let Some(expected) = session.expected(number, page_events) else {
            continue;
        };
        match audit::reopened(store, &expected) {
            Ok(()) => return Ok(number),
            Err(violation) => broken = Some(violation),
        }
    }
    let mut violation =
        broken.unwrap_or_else(|| Violation::new("I1 acknowledged is kept", "no state is allowed"));
    violation.detail = format!("as state {allowed:?}: {}", violation.detail);
    Err(violation)
}

/// Commits one more batch, and reads it.
fn one_more(
    session: &Session,
    store: &mut FileStore,
    number: usize,
    seed: u64,
) -> Result<(), Violation> {
    let bug =
        |error: &dyn std::fmt::Display| Violation::new("I1 the store goes on", error.to_string());
    let loaded = audit::load(store)?;
    let Some(expected) = session.expected(number, 64) else {
        return Err(bug(&"no such state"));
    };
    let before = expected.state;
    let mut state = before.clone();
    state.incarnations = loaded.incarnations;
    let mut script = Script::going_on(seed, expected.events(), &state);
    let batch = script.batch(&mut state).map_err(|error| bug(&error))?;
    store.commit(&batch).map_err(|error| bug(&error))?;
    let reader = store.reader();
    for place in state.places().collect::<Vec<_>>() {
        let bounds = reader.bounds(place.stream()).map_err(|error| bug(&error))?;
        state.bounds.insert(place, bounds);
    }
    let expected = Expected {
        state: &state,
        events: &script.events,
        receipts: &session.receipts,
        page_events: 64,
    };
    let seen =
        audit::open(store, &expected).and_then(|()| audit::trimmed(&expected, before, &RETENTION));
    seen.map_err(|mut violation| {
        violation.detail = format!("after one more batch: {}", violation.detail);
        violation
    })
}

/// Opens what a power cut during an opening left: the same state, and perhaps that opening.
fn again(
    session: &Session,
    path: &Path,
    wrap: WrapBackend,
    number: usize,
    openings: std::ops::RangeInclusive<usize>,
) -> Result<(), Violation> {
    let mut store = FileStore::open(path, options(1, wrap))
        .map_err(|error| Violation::new("I1 the store opens", error.to_string()))?;
    let Some(expected) = session.expected(number, 64) else {
        return Err(Violation::new("I1 acknowledged is kept", "no such state"));
    };
    let loaded = audit::load(&mut store)?;
    let known = expected.state.incarnations.len();
    let kept = loaded.incarnations.len().saturating_sub(known + 1);
    if !openings.contains(&kept) {
        let detail = format!("{kept} openings more are known, and {openings:?} are allowed");
        return Err(Violation::new("I5 openings are counted", detail));
    }
    let mut state = expected.state.clone();
    state.incarnations = loaded
        .incarnations
        .get(..known + kept)
        .unwrap_or_default()
        .to_vec();
    if state.incarnations.get(..known) != Some(expected.state.incarnations.as_slice()) {
        return Err(Violation::new(
            "I5 openings are counted",
            "earlier ones have changed",
        ));
    }
    let expected = Expected {
        state: &state,
        ..expected
    };
    audit::reopened(&mut store, &expected)
}
