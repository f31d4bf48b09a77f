//! The client itself: it opens the Runtime, asks, listens, and keeps the journal.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use fastrand::Rng;
use worker_runtime_core::{
    Cursor, Dispatch, ManualClock, Observation, ObserveStream, Position, RunId, RunSink, Runtime,
    Stream, WorkerId,
    error::{OpenError, Unavailable},
    store::Store,
};

use super::{
    asked::Asked,
    journal::{Journal, Meter},
    limits::runtime_options,
    turn::Turn,
};
use crate::{
    backend::Stage,
    report::{Doing, HarnessError, Violation},
};

/// How long an answer, or quiet, is waited for: far longer than it takes on a crowded machine. Who waits
/// so long in vain waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// And how long while calls of the disk fail.
const PATIENCE_WITH_FAULTS: Duration = Duration::from_secs(2);

/// And how long after that was in vain once.
pub(super) const PATIENCE_LOST: Duration = Duration::from_millis(40);

/// What a client is made with.
#[derive(Clone)]
pub struct ClientOptions {
    /// What every choice is made from.
    pub seed: u64,
    /// Where the store's disk is.
    pub meter: Meter,
    /// The Runtime's clock; the client moves it.
    pub clock: ManualClock,
}

/// A user, and the player of all runs.
pub struct Client {
    pub(super) options: ClientOptions,
    pub(super) rng: Rng,
    pub(super) journal: Journal,
    /// Runs that their backend was given and that have not ended.
    pub(super) runs: BTreeMap<RunId, Turn>,
    /// Runs that are over, and whose backend may still say something.
    pub(super) over: VecDeque<(WorkerId, RunId, RunSink)>,
    /// Workers that were asked for.
    pub(super) workers: Vec<WorkerId>,
    pub(super) nonce: u64,
    pub(super) stage: Stage,
    pub(super) runtime: Option<Runtime>,
    pub(super) observer: Option<ObserveStream>,
    /// Where the observer is.
    pub(super) cursor: Option<Cursor>,
    /// Where streams began, when that was last looked at.
    pub(super) began: BTreeMap<Stream, Position>,
    /// Commands of which nobody knows what became.
    pub(super) unsettled: Vec<usize>,
    pub(super) patience: Duration,
    /// Calls of the disk fail: what is waited for may not come.
    pub(super) meets_faults: bool,
}

impl Client {
    /// A client that has asked nothing yet.
    pub fn new(options: ClientOptions) -> Self {
        Self {
            rng: Rng::with_seed(options.seed),
            options,
            journal: Journal::default(),
            runs: BTreeMap::new(),
            over: VecDeque::new(),
            workers: Vec::new(),
            nonce: 0,
            stage: Stage::default(),
            runtime: None,
            observer: None,
            cursor: None,
            began: BTreeMap::new(),
            unsettled: Vec::new(),
            patience: PATIENCE,
            meets_faults: false,
        }
    }

    /// What it kept so far.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What it kept.
    pub fn into_journal(self) -> Journal {
        self.journal
    }

    /// What it reads, while the Runtime is open.
    pub fn observation(&self) -> Option<Observation> {
        self.runtime.as_ref().map(Runtime::observation)
    }

    /// How many commands wait to be asked again.
    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// Calls of the disk fail, or may: an answer that does not come, or is not known, is no broken
    /// promise. Whoever makes them fail looks at what is left [`unsettled`](Self::unsettled).
    pub fn meet_faults(&mut self) {
        self.meets_faults = true;
        self.take_heart();
    }

    /// Waits as long as at first again: what was broken is whole.
    pub fn take_heart(&mut self) {
        self.patience = match self.meets_faults {
            true => PATIENCE_WITH_FAULTS,
            false => PATIENCE,
        };
    }

    /// Whether nothing was waited for in vain since it was made, or took heart.
    pub fn is_patient(&self) -> bool {
        self.patience != PATIENCE_LOST
    }

    /// Something was waited for in vain.
    pub(super) fn lose_patience(&mut self, what: &str) {
        if !self.meets_faults && self.is_patient() {
            let detail = format!("{what}: waited {:?} in vain", self.patience);
            self.violated("I9 nothing hangs", detail);
        }
        self.patience = PATIENCE_LOST;
        self.doubt_checkpoints();
    }

    pub(super) fn violated(&mut self, promise: &str, detail: String) {
        self.journal
            .violations
            .push(Violation::new(promise, detail));
    }

    /// Opens a Runtime over a store, and follows its stream from where it was.
    ///
    /// # Errors
    /// The opening's own, within; that the harness can't make its options, without.
    pub async fn open(
        &mut self,
        store: Box<dyn Store>,
    ) -> Result<Result<(), OpenError>, HarnessError> {
        self.stage = Stage::default();
        self.over.clear();
        self.journal.openings += 1;
        let seed = self.options.seed.wrapping_add(self.journal.openings << 32);
        let clock = &self.options.clock;
        let options = runtime_options(self.stage.factory(), Dispatch::All, clock, seed)?;
        match Runtime::open(store, options).await {
            Ok(runtime) => {
                self.journal.runtime_id = Some(runtime.observation().runtime_id());
                self.runtime = Some(runtime);
                self.catch_up().await;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Asks for `steps` things, one after the other or some at once.
    pub async fn play(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        if self.rng.u8(0..100) < 12 {
            return self.let_time_pass().await;
        }
        if self.rng.u8(0..100) < 4 {
            self.let_go_of_a_run();
            return self.catch_up().await;
        }
        if self.rng.u8(0..100) < 2 {
            return self.let_a_lease_end().await;
        }
        let count = match self.rng.u8(0..100) {
            0..82 => 1,
            _ => self.rng.usize(2..6),
        };
        let mut asks: Vec<Asked> = Vec::new();
        for _ in 0..count {
            let asked = self.choose();
            let whose = asked.as_ref().and_then(Asked::one_by_one);
            if whose.is_none() || asks.iter().all(|other| other.one_by_one() != whose) {
                asks.extend(asked);
            }
        }
        self.ask_all(asks).await;
        self.catch_up().await;
    }

    /// Closes the Runtime clean, and hears the stream to its end.
    ///
    /// # Errors
    /// The close's own.
    pub async fn close(&mut self) -> Result<(), Unavailable> {
        let Some(runtime) = self.runtime.take() else {
            return Ok(());
        };
        let closing = tokio::spawn(async move { runtime.close().await });
        self.hear_the_end().await;
        let closed = closing.await.unwrap_or(Err(Unavailable::Closed));
        self.runs.clear();
        closed
    }

    /// Lets go of the Runtime without closing it.
    pub async fn abandon(&mut self) {
        drop(self.runtime.take());
        self.hear_the_end().await;
        self.runs.clear();
    }
}

/// A scratch runtime for one client: everything but the writer is on this very thread.
///
/// # Errors
/// When it can't be made.
pub fn on_one_thread() -> Result<tokio::runtime::Runtime, HarnessError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .doing("make a tokio runtime")
}
