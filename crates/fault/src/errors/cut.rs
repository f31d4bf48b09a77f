//! Power cuts after a fault: what was acknowledged is there, and who asks again learns the truth.

use fastrand::Rng;
use worker_runtime_core::{Dispatch, Runtime};
use worker_runtime_persist::{FileStore, WrapBackend};

use super::{NAME, jobs::Job};
use crate::{
    audit::{Expected, Found, Look},
    backend::Stage,
    disk::{Call, Crash, HeadChoice, Place, SyncResult, Tape},
    report::{HarnessError, Outcome, Violation},
    settings::Settings,
    workload::{Journal, limits, on_one_thread},
};

/// Crash points between the fault and the end of a run, beside the last acknowledgement and the end.
const POINTS: usize = 2;

/// Variants of the last acknowledgement, and of the others.
const VARIANTS_LAST: usize = 4;
const VARIANTS: usize = 1;

/// Audits a run that is over, and what power cuts leave of it: above all right after the last
/// acknowledgement.
pub(super) fn audit(
    settings: &Settings,
    job: Job,
    (tape, acknowledged): (&Tape, usize),
    journal: &Journal,
    outcome: &mut Outcome,
) -> Result<(), HarnessError> {
    let expected = Expected::new(journal);
    for violation in &expected.violations {
        outcome.violated(job.to_string(), violation.clone());
    }
    if journal.runtime_id.is_none() {
        return Ok(());
    }
    let directory = settings.scratch()?;
    let place = Place::new(directory.path())?;
    let mut rng = Rng::with_seed(job.seed ^ tape.len() as u64);
    let failed = tape.calls.iter().position(|recorded| {
        let refused = [SyncResult::Refused, SyncResult::Lost].map(Call::Sync);
        recorded.call == Call::Refused || refused.contains(&recorded.call)
    });
    let first = failed.unwrap_or_default();
    let mut points: Vec<usize> = (0..POINTS).map(|_| rng.usize(first..=tape.len())).collect();
    points.extend([acknowledged, tape.len()]);
    let renames: Vec<usize> = tape.renames().collect();
    points.extend(rng.choice(renames));
    points.sort_unstable();
    points.dedup();
    let mut explorer = tape.explorer();
    for index in points {
        explorer.goto(index);
        let cut = Cut {
            at: format!("{job}, power cut after call {index} of {}", tape.len()),
            job,
            index: index as u64,
            is_last: index == acknowledged,
        };
        let without = explorer.crash_without_rename();
        if without.is_none() || cut.is_last {
            cut.audit(&explorer.crash(), &mut rng, (&place, &expected), outcome)?;
        }
        if let Some(crash) = without {
            let cut = Cut {
                at: format!("{}, and the rename before it taken back", cut.at),
                ..cut
            };
            outcome.count("power cuts that take back a rename", 1);
            cut.audit(&crash, &mut rng, (&place, &expected), outcome)?;
        }
    }
    Ok(())
}

/// One power cut.
struct Cut {
    at: String,
    job: Job,
    index: u64,
    /// Right after the last acknowledgement.
    is_last: bool,
}

impl Cut {
    fn audit(
        &self,
        crash: &Crash<'_>,
        rng: &mut Rng,
        (place, expected): (&Place, &Expected<'_>),
        outcome: &mut Outcome,
    ) -> Result<(), HarnessError> {
        let mut variants = crash.variants(rng, VARIANTS_LAST);
        if !self.is_last {
            rng.shuffle(&mut variants);
            variants.truncate(VARIANTS);
        }
        for (number, variant) in variants.into_iter().enumerate() {
            let image = crash.image(variant, HeadChoice::AsOfThen);
            let look = Look {
                index: self.index,
                seed: self.job.seed,
                thorough: self.is_last,
            };
            let asks = self.is_last && number == 0;
            let mount = || place.mount(&image);
            let found = look_at(place, mount, self.job, expected, look, asks)?;
            outcome.count("power cuts after a fault", 1);
            let at = format!("{}, {variant}", self.at);
            image.keep((NAME, &at), expected.journal, &found)?;
            for violation in found {
                outcome.violated(&at, violation);
            }
        }
        Ok(())
    }
}

/// Opens and audits; then opens once more, and asks for everything again.
fn look_at(
    place: &Place,
    mount: impl Fn() -> Result<WrapBackend, HarnessError>,
    job: Job,
    expected: &Expected<'_>,
    look: Look,
    asks: bool,
) -> Result<Vec<Violation>, HarnessError> {
    let tokio = on_one_thread()?;
    tokio.block_on(async {
        let stage = Stage::default();
        let runtime = match open(place, mount()?, job, &stage, Dispatch::None).await? {
            Ok(runtime) => runtime,
            Err(violation) => return Ok(vec![violation]),
        };
        let mut found = expected.look(&runtime.observation(), look);
        drop(runtime);
        if !asks {
            return Ok(found.violations);
        }
        let known = Found {
            world: found.world.take(),
            kept: found.kept,
            violations: Vec::new(),
        };
        let stage = Stage::completing();
        match open(place, mount()?, job, &stage, Dispatch::All).await? {
            Ok(runtime) => {
                let asked = expected.ask_again(&runtime, look.index, known).await;
                found.violations.extend(asked);
            }
            Err(violation) => found.violations.push(violation),
        }
        Ok(found.violations)
    })
}

async fn open(
    place: &Place,
    wrap: WrapBackend,
    job: Job,
    stage: &Stage,
    dispatch: Dispatch,
) -> Result<Result<Runtime, Violation>, HarnessError> {
    let clock = limits::clock();
    clock.advance(std::time::Duration::from_secs(3_600));
    let seed = job.seed ^ 1;
    let mut options = limits::file_options(&clock, seed);
    options.wrap_backend = Some(wrap);
    let broken = |error: String| Violation::new("I1 a store can be opened", error);
    let store = match FileStore::open(place.path(), options) {
        Ok(store) => store,
        Err(error) => return Ok(Err(broken(error.to_string()))),
    };
    let options = limits::runtime_options(stage.factory(), dispatch, &clock, seed)?;
    let opened = Runtime::open(Box::new(store), options).await;
    Ok(opened.map_err(|error| broken(error.to_string())))
}
