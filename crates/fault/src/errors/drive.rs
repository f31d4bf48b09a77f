//! One run: a client over a disk on which a call fails, then over the whole disk, then a power cut.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use worker_runtime_core::{
    AsJson, Clock, ManualClock, SeededEntropy, WorkerId,
    input::SubmitInput,
    worker::{BackendSelection, CreateWorker, Intent},
};
use worker_runtime_persist::FileStore;

use super::{
    cut,
    jobs::{Healing, Job},
};
use crate::{
    backend::BACKEND,
    disk::{Counts, Recorder, Repeat},
    report::{HarnessError, Outcome, Violation},
    settings::Settings,
    workload::{Answer, Asked, Client, ClientOptions, limits, on_one_thread},
};

const BACK: &str = "I1 service resumes";

/// How often an opening on a whole disk is tried: the first may still meet what is planned.
const OPENINGS_MAX: usize = 3;

/// Steps of the Runtime's clock while the store is brought back, and how many at most: the longest
/// wait between two attempts is a few seconds.
const HEALING_STEP: Duration = Duration::from_millis(250);
const HEALING_STEPS_MAX: usize = 200;

/// What a run came to.
pub(super) struct Driven {
    pub(super) outcome: Outcome,
    /// How many calls there were.
    pub(super) calls: Counts,
}

struct Run<'a> {
    job: Job,
    place: TempDir,
    recorder: Recorder,
    clock: ManualClock,
    client: Client,
    /// Openings so far.
    openings: u64,
    outcome: &'a mut Outcome,
}

/// Drives one run to its end.
pub(super) fn drive(settings: &Settings, job: Job) -> Result<Driven, HarnessError> {
    let mut outcome = Outcome::new(super::NAME, settings.seed);
    let place = settings.scratch()?;
    let recorder = Recorder::new(place.path());
    let (clock, meter) = (limits::clock(), recorder.clone());
    let client = Client::new(ClientOptions {
        seed: job.seed,
        meter: Arc::new(move || meter.index()),
        clock: clock.clone(),
    });
    let mut run = Run {
        job,
        place,
        recorder: recorder.clone(),
        clock,
        client,
        openings: 0,
        outcome: &mut outcome,
    };
    if let Some(plan) = job.plan {
        recorder.plan(plan);
    }
    let tape = on_one_thread()?.block_on(run.drive())?;
    let calls = recorder.counts();
    let Run { client, .. } = run;
    let counted = match job.plan {
        Some(_) => "runs with a failing call",
        None => "scripted runs",
    };
    outcome.count(counted, 1);
    outcome.count("calls that failed", recorder.fired());
    let journal = client.into_journal();
    cut::audit(settings, job, &tape, &journal, &mut outcome)?;
    Ok(Driven { outcome, calls })
}

impl Run<'_> {
    async fn drive(&mut self) -> Result<crate::disk::Tape, HarnessError> {
        if self.job.plan.is_some() {
            self.client.meet_faults();
        }
        self.open(false).await?;
        self.client.play(self.job.steps).await;
        match self.job.plan.map(|plan| plan.repeat) {
            None | Some(Repeat::Once) => self.recorder.lift(),
            Some(Repeat::Sticky) => {
                self.count_reads();
                self.heal().await?;
            }
        }
        self.resume().await;
        // The power goes right after the last acknowledgement.
        let tape = self.recorder.tape();
        // What was acknowledged is also told; that it is may be seen a moment later.
        self.client.catch_up().await;
        self.client.abandon().await;
        Ok(tape)
    }

    /// Opens the store and the Runtime; on a disk that fails it may be refused, on a whole one not.
    async fn open(&mut self, is_whole: bool) -> Result<(), HarnessError> {
        for attempt in 1.. {
            self.openings += 1;
            let seed = self.job.seed.wrapping_add(self.openings << 40);
            let mut options = limits::file_options(&self.clock, seed);
            options.wrap_backend = Some(self.recorder.wrap());
            let refused = match FileStore::open(self.place.path(), options) {
                Ok(store) => match self.client.open(Box::new(store)).await? {
                    Ok(()) => return Ok(()),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            self.outcome.count("openings refused", 1);
            if attempt >= OPENINGS_MAX || is_whole {
                self.violated("I1 a store can be opened", refused);
                return Ok(());
            }
            if self
                .job
                .plan
                .is_some_and(|plan| plan.repeat == Repeat::Sticky)
            {
                self.recorder.lift();
            }
        }
        Ok(())
    }

    /// What can be read while everything fails: as much as the engine still has.
    fn count_reads(&mut self) {
        let Some(observation) = self.client.observation() else {
            return;
        };
        let status = observation.runtime();
        self.outcome.count("answers to reads while calls fail", 1);
        let failed = u64::from(status.commits_unknown > 0);
        self.outcome.count("of these after a failed commit", failed);
    }

    /// The disk is whole again.
    async fn heal(&mut self) -> Result<(), HarnessError> {
        if self.job.healing == Healing::Reopened {
            self.client.abandon().await;
            self.recorder.lift();
            self.client.take_heart();
            return self.open(true).await;
        }
        self.recorder.lift();
        for _ in 0..HEALING_STEPS_MAX {
            self.clock.advance(HEALING_STEP);
            tokio::time::sleep(Duration::from_millis(2)).await;
            if self.ask(Asked::StartRuntime).await {
                self.client.take_heart();
                return Ok(());
            }
        }
        self.violated(
            BACK,
            "the disk is whole, and nothing is accepted".to_owned(),
        );
        Ok(())
    }

    /// Everybody learns what became of what was asked, and new work is done.
    async fn resume(&mut self) {
        self.client.settle().await;
        if self.client.unsettled() > 0 {
            let detail = format!("{} commands have no answer", self.client.unsettled());
            self.violated("I5 who asks again learns the truth", detail);
        }
        if !self.ask(Asked::StartRuntime).await {
            return self.violated(BACK, "the Runtime can't be started".to_owned());
        }
        let mut entropy = SeededEntropy::new(!self.job.seed);
        let worker_id = WorkerId::mint(self.clock.now(), &mut entropy);
        let mut create = CreateWorker::new(Intent::Assistant { purpose: None });
        create.worker_id = Some(worker_id);
        create.backend = Some(BackendSelection {
            name: BACKEND.to_owned(),
            config: AsJson(serde_json::json!({})),
        });
        if !self.ask(Asked::Create(worker_id, Box::new(create))).await {
            return self.violated(BACK, "a new Worker is refused".to_owned());
        }
        let mut input = SubmitInput::text("are you there");
        input.input_id = worker_runtime_core::InputId::new("probe").ok();
        if !self.ask(Asked::Send(worker_id, input)).await {
            self.violated(BACK, "an input of a new Worker is refused".to_owned());
        }
    }

    /// Whether it is done.
    async fn ask(&mut self, asked: Asked) -> bool {
        self.client.ask_all(vec![asked]).await;
        let last = self.client.journal().entries.last();
        last.is_some_and(|entry| matches!(entry.answer, Answer::Done(_)))
    }

    fn violated(&mut self, promise: &str, detail: String) {
        let last = self.client.journal().entries.last();
        let last = last.map(|entry| format!("; last: {} {:?}", entry.asked.word(), entry.answer));
        let detail = format!("{detail}{}", last.unwrap_or_default());
        self.outcome
            .violated(self.job.to_string(), Violation::new(promise, detail));
    }
}
