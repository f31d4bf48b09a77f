//! Whether a Runtime is of use again: everybody learns what became of what was asked, a new Worker is
//! given inputs, and its backend runs them to their ends (I1, I4, I5, I9).
//!
//! That something is accepted shows little: a Runtime that dispatches nothing any more accepts it, too.
//! So the run of an input must be given to its backend, and that it is over must be told: one run by
//! its backend's word, and one as it is cancelled. What a call that failed left undone is tried again
//! later; with no call failing meanwhile, it must come.

use worker_runtime_core::{
    AsJson, Clock, EventType, InputId, LeaseId, RunId, SeededEntropy, WorkerId,
    input::SubmitInput,
    lease::AcquireLease,
    run::StopReason,
    worker::{BackendSelection, CreateWorker, Intent},
};

use super::{BACK, HEALING_STEPS_MAX, Run};
use crate::{
    backend::BACKEND,
    workload::{Answer, Asked, Client, LeaseChange, SinkCall, write_below},
};

const HANGS: &str = "I9 nothing hangs";

/// How often something may be waited for in vain while no call fails.
const IN_VAIN_MAX: usize = 4;

/// How long a lease lasts that is held on: longer than any run, however often it waits.
const LEASE_MS: u64 = 24 * 3_600_000;

/// Steps of the Runtime's clock before the next time: more than the longest wait of what is tried again.
const STEPS_BETWEEN: usize = 25;

/// How a run ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// By its backend's word.
    Finished,
    /// It is cancelled.
    Cancelled,
}

impl Run<'_> {
    /// Everybody learns what became of what was asked, and new work is done.
    pub(super) async fn resume(&mut self, says: &str) {
        if !self.settle().await {
            return;
        }
        if !self.ask(Asked::StartRuntime).await {
            return self.violated(BACK, "the Runtime can't be started".to_owned());
        }
        let mut entropy = SeededEntropy::new(!self.job.seed ^ self.openings << 40);
        if !self.hold_lease(&mut entropy).await {
            return self.violated(BACK, "a lease is refused, or not held on".to_owned());
        }
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
        for end in [End::Finished, End::Cancelled] {
            if !self.run_input(worker_id, says, end).await {
                return;
            }
            self.outcome.count("inputs run to their end afterwards", 1);
        }
    }

    /// Takes a lease, or holds on the one that was taken: its fence gives the next one after an opening.
    async fn hold_lease(&mut self, entropy: &mut SeededEntropy) -> bool {
        let (lease_id, change) = match self.lease {
            Some((lease_id, fence)) => (lease_id, LeaseChange::Renew(fence, None)),
            None => {
                let lease_id = LeaseId::mint(self.clock.now(), entropy);
                let request = AcquireLease {
                    lease_id: Some(lease_id),
                    holder: "somebody".to_owned(),
                    scope: write_below("o"),
                    ttl_ms: LEASE_MS,
                    reason: None,
                };
                (lease_id, LeaseChange::Acquire(Box::new(request)))
            }
        };
        if !self.ask(Asked::Lease(lease_id, change)).await {
            return false;
        }
        let last = self.client.journal().entries.last();
        let leased = last.and_then(|entry| entry.answer.done()?.leased.as_deref());
        let fence = leased.map(|view| view.fence);
        let before = self.lease.map(|(_, fence)| fence);
        self.lease = fence.map(|fence| (lease_id, fence));
        fence > before
    }

    /// Whether an input of a Worker is accepted, given to its backend, and has its outcome.
    async fn run_input(&mut self, worker_id: WorkerId, says: &str, end: End) -> bool {
        let input_id = InputId::new(format!("probe-{end:?}")).ok();
        let mut input = SubmitInput::text(says);
        input.input_id.clone_from(&input_id);
        if !self.ask(Asked::Send(worker_id, input)).await {
            let detail = "an input of a new Worker is refused";
            self.violated(BACK, detail.to_owned());
            return false;
        }
        let given = self.comes(None, |client| {
            let mut given = client.journal().given.iter().rev();
            let its =
                given.find(|it| it.worker_id == worker_id && input_id == Some(it.input_id.clone()));
            its.map(|given| given.run_id)
        });
        let Some(run_id) = given.await else {
            let detail = "an accepted input of a new Worker is given to no backend";
            self.violated(HANGS, detail.to_owned());
            return false;
        };
        let asked = match end {
            End::Finished => {
                let call = SinkCall::Finish(StopReason::EndTurn, None);
                Asked::Sink(worker_id, run_id, call)
            }
            End::Cancelled => Asked::CancelRun(worker_id, run_id),
        };
        let told = self
            .comes(Some(asked), |client| is_over(client, run_id))
            .await;
        if told.is_none() {
            let detail = format!("a run was {end:?}, and its outcome is not told");
            self.violated(HANGS, detail);
        }
        told.is_some()
    }

    /// All that was asked has an answer, and nothing is under way.
    async fn settle(&mut self) -> bool {
        let is_settled = |client: &Client| {
            let is_settled = client.unsettled() == 0 && client.is_patient();
            is_settled.then_some(())
        };
        if self.comes(None, is_settled).await.is_some() {
            return true;
        }
        if self.client.unsettled() > 0 {
            let detail = format!("{} commands have no answer", self.client.unsettled());
            self.violated("I5 who asks again learns the truth", detail);
        } else {
            let detail = format!("it does not become quiet, {}", self.client.unrest());
            self.violated(HANGS, detail);
        }
        false
    }

    /// What must come, and whether it does; it is asked for each time.
    async fn comes<T>(
        &mut self,
        asked: Option<Asked>,
        look: impl Fn(&Client) -> Option<T>,
    ) -> Option<T> {
        let mut in_vain = 0;
        while in_vain < IN_VAIN_MAX {
            let fired = self.recorder.fired();
            self.client.take_heart();
            if let Some(asked) = &asked {
                self.client.ask_all(vec![asked.clone()]).await;
            }
            self.client.settle().await;
            if let Some(found) = look(&self.client) {
                return Some(found);
            }
            in_vain = match self.recorder.fired() > fired {
                true => 0,
                false => in_vain + 1,
            };
            for _ in 0..STEPS_BETWEEN {
                self.let_it_recover().await;
            }
        }
        None
    }

    /// Whether it is done; if a call failed meanwhile, when the store has been brought back.
    async fn ask(&mut self, asked: Asked) -> bool {
        for _ in 0..HEALING_STEPS_MAX {
            if self.ask_once(asked.clone()).await {
                return true;
            }
            if !self.failed_since_played() {
                return false;
            }
            self.let_it_recover().await;
            self.client.take_heart();
        }
        false
    }

    /// Whether it is done at once.
    pub(super) async fn ask_once(&mut self, asked: Asked) -> bool {
        self.client.ask_all(vec![asked]).await;
        let last = self.client.journal().entries.last();
        last.is_some_and(|entry| matches!(entry.answer, Answer::Done(_)))
    }
}

/// Whether the end of a run was told.
fn is_over(client: &Client, run_id: RunId) -> Option<()> {
    let mut told = client.journal().told.values().rev();
    let is_end = |kind: &EventType| *kind == EventType::RUN_FINISHED;
    let end = told.find(|told| told.event.run_id == Some(run_id) && is_end(&told.event.kind));
    end.map(drop)
}
