//! An image, opened as an embedder opens a store, and audited.

use std::{path::Path, time::Duration};

use worker_runtime_core::{Dispatch, Runtime, error::OpenError};
use worker_runtime_persist::{FileStore, WrapBackend};

use crate::{
    audit::{Expected, Found, Look},
    backend::Stage,
    disk::{Image, Place, Recorder, Tape},
    report::{Doing, HarnessError, Violation},
    workload::{limits, on_one_thread},
};

/// Time has gone on when a store is opened again.
const LATER: Duration = Duration::from_secs(3_600);

/// Makes other ids for an opening that is recorded.
const RECORDED: u64 = 1 << 40;

/// Where one thread opens images, one after the other.
pub(crate) struct Opener {
    place: Place,
    tokio: tokio::runtime::Runtime,
    seed: u64,
}

impl Opener {
    /// In this directory.
    pub(crate) fn new(directory: &Path, seed: u64) -> Result<Self, HarnessError> {
        Ok(Self {
            place: Place::new(directory)?,
            tokio: on_one_thread()?,
            seed,
        })
    }

    /// Opens an image, with nothing dispatched, and looks at all of it.
    pub(crate) fn audit(
        &self,
        image: &Image,
        expected: &Expected<'_>,
        look: Look,
    ) -> Result<Found, HarnessError> {
        let wrap = self.place.mount(image)?;
        let opened = self.open(wrap, &Stage::default(), Dispatch::None, self.seed)?;
        Ok(self.tokio.block_on(async {
            match opened {
                Ok(runtime) => expected.look(&runtime.observation(), look),
                Err(error) => not_opened(&error),
            }
        }))
    }

    /// The same, then asks again for everything, and lets everything run that waits.
    pub(crate) fn audit_and_ask(
        &self,
        image: &Image,
        expected: &Expected<'_>,
        look: Look,
    ) -> Result<Found, HarnessError> {
        let mut found = self.audit(image, expected, look)?;
        let wrap = self.place.mount(image)?;
        let stage = Stage::completing();
        // Opened anew from the same image: this time everything is dispatched.
        let runtime = match self.open(wrap, &stage, Dispatch::All, self.seed)? {
            Ok(runtime) => runtime,
            Err(error) => {
                found.violations.extend(not_opened(&error).violations);
                return Ok(found);
            }
        };
        let world = found.world.take();
        let known = Found {
            world,
            kept: found.kept,
            violations: Vec::new(),
        };
        let asked = expected.ask_again(&runtime, look.index, known);
        found.violations.extend(self.tokio.block_on(asked));
        self.tokio.block_on(async { drop(runtime) });
        Ok(found)
    }

    /// Opens an image while all its calls are recorded, and closes it clean. The calls count as the
    /// fault's time did: the tape begins anew.
    pub(crate) fn record_opening(&self, image: &Image) -> Result<Tape, HarnessError> {
        let recorder = Recorder::new(self.place.path());
        let wrap = recorder.wrap_over(self.place.mount(image)?);
        // The same image was opened and audited before. What is opened again after this one needs ids
        // of its own.
        let seed = self.seed ^ RECORDED;
        let opened = self.open(wrap, &Stage::default(), Dispatch::None, seed)?;
        let runtime = opened.doing("open an image again that was opened before")?;
        // What could not be closed clean is one more state to recover from.
        let _ = self.tokio.block_on(runtime.close());
        Ok(recorder.tape())
    }

    fn open(
        &self,
        wrap: WrapBackend,
        stage: &Stage,
        dispatch: Dispatch,
        seed: u64,
    ) -> Result<Result<Runtime, OpenError>, HarnessError> {
        let clock = limits::clock();
        clock.advance(LATER);
        let mut options = limits::file_options(&clock, seed);
        options.wrap_backend = Some(wrap);
        let store = match FileStore::open(self.place.path(), options) {
            Ok(store) => store,
            Err(error) => {
                let detail = error.to_string();
                let error = worker_runtime_core::store::StoreError::Read { detail };
                return Ok(Err(error.into()));
            }
        };
        let options = limits::runtime_options(stage.factory(), dispatch, &clock, seed)?;
        let opening = Runtime::open(Box::new(store), options);
        Ok(self.tokio.block_on(opening))
    }
}

fn not_opened(error: &OpenError) -> Found {
    Found {
        violations: vec![Violation::new(
            "I1 a store can be opened",
            error.to_string(),
        )],
        ..Found::default()
    }
}
