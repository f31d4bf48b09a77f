//! One run: a client over a disk on which a call fails, then over the whole disk, then a power cut.
//!
//! The script goes on after what the client plays: everybody learns what became of what was asked, new
//! work is done to its end ([`resume`]), the Runtime is closed, opened again, asked again, and let go
//! of. A call that fails once may be any of these, so that what answers during the opening and the close
//! is met, too. What is refused then is excused only by a call that failed meanwhile.

mod resume;

use std::{collections::HashSet, sync::Arc, time::Duration};

use tempfile::TempDir;
use worker_runtime_core::{Fence, LeaseId, ManualClock};
use worker_runtime_persist::FileStore;

use super::{
    cut,
    jobs::{Healing, Job},
};
use crate::{
    disk::{Counts, Recorder, Repeat, Tape},
    report::{HarnessError, Outcome, Violation},
    settings::Settings,
    workload::{Answer, Asked, Client, ClientOptions, Journal, limits, on_one_thread},
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
    pub(super) calls: Calls,
    /// How many calls were made to fail.
    pub(super) fired: u64,
}

/// How many calls a run made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calls {
    /// Until the client had played: calls that fail for good begin to fail there.
    pub(super) played: Counts,
    /// To the very end.
    pub(super) all: Counts,
}

impl Calls {
    /// Those that both runs made.
    pub(super) fn fewest(&self, other: &Self) -> Self {
        Self {
            played: self.played.fewest(&other.played),
            all: self.all.fewest(&other.all),
        }
    }
}

/// What a run leaves.
struct Left {
    tape: Tape,
    /// The place on the tape of the last acknowledgement.
    acknowledged: usize,
    /// The calls until the client had played.
    played: Counts,
}

struct Run<'a> {
    job: Job,
    place: TempDir,
    recorder: Recorder,
    clock: ManualClock,
    client: Client,
    /// Openings so far.
    openings: u64,
    /// How many calls had failed when the client had played; none counts after that where they are
    /// lifted then.
    fired_while_played: u64,
    /// A lease that is held on, and the fence that is known of it.
    lease: Option<(LeaseId, Fence)>,
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
        fired_while_played: 0,
        lease: None,
        outcome: &mut outcome,
    };
    if let Some(plan) = job.plan {
        recorder.plan(plan);
    }
    let left = on_one_thread()?.block_on(run.drive())?;
    let calls = Calls {
        played: left.played,
        all: recorder.counts(),
    };
    let Run { client, .. } = run;
    let fired = recorder.fired();
    let counted = match (job.plan, fired) {
        (None, _) => "scripted runs",
        (Some(_), 0) => "runs whose call was not reached",
        (Some(_), _) => "runs with a failing call",
    };
    outcome.count(counted, 1);
    outcome.count("calls that failed", fired);
    let journal = client.into_journal();
    count_learned(&journal, &mut outcome);
    journal.count_leases(&mut outcome);
    cut::audit(
        settings,
        job,
        (&left.tape, left.acknowledged),
        &journal,
        &mut outcome,
    )?;
    Ok(Driven {
        outcome,
        calls,
        fired,
    })
}

/// What nobody knew the outcome of, and what came of asking again with the same id.
fn count_learned(journal: &Journal, outcome: &mut Outcome) {
    let mut unknown: HashSet<String> = HashSet::new();
    for entry in &journal.entries {
        // A run's own words can't be repeated.
        if matches!(entry.asked, Asked::Sink(..)) {
            continue;
        }
        let asked = format!("{:?}", entry.asked);
        match &entry.answer {
            Answer::Unknown => drop(unknown.insert(asked)),
            Answer::Done(_) | Answer::Refused(_) if unknown.remove(&asked) => {
                outcome.count("outcomes unknown, then learned by asking again", 1);
                let had_happened = entry.answer.done().is_some_and(|done| done.repeated);
                outcome.count("outcomes learned to have happened", u64::from(had_happened));
            }
            _ => {}
        }
    }
}

impl Run<'_> {
    async fn drive(&mut self) -> Result<Left, HarnessError> {
        if self.job.plan.is_some() {
            self.client.meet_faults();
        }
        self.open(false).await?;
        self.client.play(self.job.steps).await;
        let played = self.recorder.counts();
        self.fired_while_played = match self.is_sticky() {
            true => u64::MAX,
            false => self.recorder.fired(),
        };
        if self.is_sticky() {
            self.count_reads();
            self.heal().await?;
        }
        self.resume("are you there").await;
        // What hangs would go on hanging until all of the run's time is over.
        if self.outcome.violations == 0 {
            self.reopen().await?;
            self.resume("are you there again").await;
        }
        // Where the power is cut with the most to lose: right after the last acknowledgement.
        let acknowledged = usize::try_from(self.recorder.index()).unwrap_or(usize::MAX);
        // What was acknowledged is also told; that it is may be seen a moment later.
        self.client.catch_up().await;
        self.client.abandon().await;
        Ok(Left {
            tape: self.recorder.tape(),
            acknowledged,
            played,
        })
    }

    fn is_sticky(&self) -> bool {
        let repeat = self.job.plan.map(|plan| plan.repeat);
        repeat == Some(Repeat::Sticky)
    }

    /// Opens the store and the Runtime; it may be refused for a call that failed in it, no more.
    async fn open(&mut self, is_whole: bool) -> Result<(), HarnessError> {
        for attempt in 1.. {
            self.openings += 1;
            let fired = self.recorder.fired();
            let seed = self.job.seed.wrapping_add(self.openings << 40);
            let mut options = limits::file_options(&self.clock, seed);
            options.wrap_backend = Some(self.recorder.wrap());
            options.directory_synced = Some(self.recorder.directory_synced());
            let refused = match FileStore::open(self.place.path(), options) {
                Ok(store) => match self.client.open(Box::new(store)).await? {
                    Ok(()) => return Ok(()),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            self.outcome.count("openings refused", 1);
            let has_cause = self.recorder.fired() > fired;
            if attempt >= OPENINGS_MAX || is_whole || !has_cause {
                self.violated("I1 a store can be opened", refused);
                return Ok(());
            }
            if self.is_sticky() {
                self.recorder.lift();
            }
        }
        Ok(())
    }

    /// Closes the Runtime, and opens it again. A close may fail for a call that failed, no more.
    async fn reopen(&mut self) -> Result<(), HarnessError> {
        if let Err(error) = self.client.close().await {
            self.outcome.count("closes that failed", 1);
            if !self.failed_since_played() {
                self.violated("I1 a store can be closed", error.to_string());
            }
        }
        self.client.take_heart();
        self.open(false).await
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
            self.let_it_recover().await;
            if self.ask_once(Asked::StartRuntime).await {
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

    async fn let_it_recover(&mut self) {
        self.clock.advance(HEALING_STEP);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    /// Whether a call failed after the client had played: one that fails once may be any.
    fn failed_since_played(&self) -> bool {
        self.recorder.fired() > self.fired_while_played
    }

    fn violated(&mut self, promise: &str, detail: String) {
        let last = self.client.journal().entries.last();
        let last = last.map(|entry| format!("; last: {} {:?}", entry.asked.word(), entry.answer));
        let detail = format!("{detail}{}", last.unwrap_or_default());
        self.outcome
            .violated(self.job.to_string(), Violation::new(promise, detail));
    }
}
