//! A Runtime with the scripted backend over a store in memory, and the short ways to use it.

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;
use worker_runtime_core::{
    ActionId, Clock, EventType, InputId, ManualClock, Mounts, Observation, ObserveOptions,
    ObserveStream, Permission, Runtime, RuntimeOptions, Scope, ScopeRule, SeededEntropy, Stream,
    SystemClock, Timestamp, WorkerId,
    cursor::From as Start,
    input::{InputReceipt, SubmitInput},
    limits::Limits,
    profile::NamedProfiles,
    run::{Outcome, OutcomeKind, StopReason},
    store::Store,
    view::WorkerView,
    worker::{BackendSelection, CreateWorker, Intent},
};
use worker_runtime_persist::{FileOptions, FileStore, MemoryStore, StoreOptions};

use super::{
    BACKEND, Faults, Script, TakenRun, Told,
    audit::{Audited, audit},
    observed::{data, within},
};

/// When a manual clock begins.
const BEGINS_AT: Timestamp = Timestamp::from_unix_ms(1_767_312_000_000);

/// What a test's Runtime is opened with.
pub(crate) struct HostOptions {
    pub(crate) limits: Limits,
    pub(crate) mounts: Mounts,
    pub(crate) profiles: NamedProfiles,
    pub(crate) clock: Option<ManualClock>,
    pub(crate) seed: u64,
    /// Where its store is; in memory without.
    pub(crate) directory: Option<PathBuf>,
}

impl Default for HostOptions {
    fn default() -> Self {
        let mut mounts = Mounts::default();
        // Nothing is ever made there: scopes are compared as names.
        mounts.set("repo", "/nonexistent/repo").unwrap();
        Self {
            limits: Limits::default(),
            mounts,
            profiles: NamedProfiles::default(),
            clock: None,
            seed: 1,
            directory: None,
        }
    }
}

impl HostOptions {
    fn clock(&self) -> Arc<dyn Clock> {
        match &self.clock {
            Some(clock) => Arc::new(clock.clone()),
            None => Arc::new(SystemClock::default()),
        }
    }

    fn runtime(&self, script: &Script) -> RuntimeOptions {
        RuntimeOptions {
            backends: vec![script.factory()],
            mounts: self.mounts.clone(),
            profiles: self.profiles.clone(),
            limits: self.limits.clone(),
            clock: self.clock(),
            entropy: Box::new(SeededEntropy::new(self.seed)),
            ..RuntimeOptions::default()
        }
    }

    /// The store in its directory, or an empty one in memory.
    fn store(&self) -> Box<dyn Store> {
        let (clock, entropy) = (self.clock(), self.seed.wrapping_add(1));
        let entropy = Box::new(SeededEntropy::new(entropy));
        if let Some(directory) = &self.directory {
            let store = StoreOptions {
                clock,
                entropy,
                ..StoreOptions::file()
            };
            let options = FileOptions {
                store,
                ballast_bytes: 0,
                ..FileOptions::default()
            };
            return Box::new(FileStore::open(directory, options).unwrap());
        }
        let options = StoreOptions {
            clock,
            entropy,
            ..StoreOptions::memory()
        };
        Box::new(MemoryStore::new(options).unwrap())
    }
}

/// A Runtime, what scripts its backend, and what makes its store fail.
pub(crate) struct Host {
    pub(crate) runtime: Runtime,
    pub(crate) script: Script,
    pub(crate) faults: Faults,
    options: HostOptions,
}

impl Host {
    pub(crate) async fn open() -> Self {
        Self::with(HostOptions::default()).await
    }

    pub(crate) async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut options = HostOptions::default();
        change(&mut options.limits);
        Self::with(options).await
    }

    /// With a clock that moves only when told.
    pub(crate) async fn at_rest() -> (Self, ManualClock) {
        let clock = ManualClock::at(BEGINS_AT);
        let host = Self::with(HostOptions {
            clock: Some(clock.clone()),
            ..HostOptions::default()
        });
        (host.await, clock)
    }

    pub(crate) async fn with(options: HostOptions) -> Self {
        let (script, faults) = (Script::default(), Faults::new(options.store()));
        let runtime = Runtime::open(faults.store(), options.runtime(&script));
        Self {
            runtime: runtime.await.unwrap(),
            script,
            faults,
            options,
        }
    }

    /// Drops the Runtime without closing it, as an end of its process does, and opens another one
    /// over the same store; its backends are new too.
    pub(crate) async fn crash(self) -> Self {
        self.crash_and(|_| {}).await
    }

    /// As [`crash`](Self::crash), with a backend that was prepared.
    pub(crate) async fn crash_and(self, prepare: impl FnOnce(&Script)) -> Self {
        let Self {
            runtime,
            script: _old,
            faults,
            options,
        } = self;
        // Its last handle is dropped where it may wait for the writer.
        tokio::task::spawn_blocking(move || drop(runtime))
            .await
            .unwrap();
        if options.directory.is_some() {
            faults.reopen(|| options.store());
        }
        let script = Script::default();
        prepare(&script);
        let runtime = Runtime::open(faults.store(), options.runtime(&script));
        Self {
            runtime: within("the next opening", runtime).await.unwrap(),
            script,
            faults,
            options,
        }
    }

    pub(crate) fn observation(&self) -> Observation {
        self.runtime.observation()
    }

    /// Makes a Worker that the scripted backend runs.
    pub(crate) async fn worker(&self) -> WorkerId {
        self.create(scripted()).await
    }

    pub(crate) async fn create(&self, request: CreateWorker) -> WorkerId {
        let catalog = self.runtime.catalog();
        let created = within("a creation", catalog.create(request)).await;
        created.unwrap().worker_id
    }

    pub(crate) fn view(&self, worker_id: WorkerId) -> WorkerView {
        self.observation().worker(worker_id).unwrap()
    }

    pub(crate) async fn send(&self, worker_id: WorkerId, input: SubmitInput) -> InputReceipt {
        let interaction = self.runtime.interaction();
        let sent = interaction.send_input(worker_id, input);
        within("a receipt", sent).await.unwrap()
    }

    /// Sends an input and takes its run.
    pub(crate) async fn start(&self, worker_id: WorkerId, id: &str) -> TakenRun {
        self.send(worker_id, input(id)).await;
        let run = self.script.run().await;
        assert_eq!(run.input_id(), id);
        run
    }

    /// Sends an input and ends its run.
    pub(crate) async fn complete(&self, worker_id: WorkerId, id: &str) {
        let run = self.start(worker_id, id).await;
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    }

    /// The stream of a Worker, from its beginning.
    pub(crate) fn stream(&self, worker_id: WorkerId) -> ObserveStream {
        self.observe(Stream::Worker(worker_id), Start::Beginning)
    }

    pub(crate) fn observe(&self, stream: Stream, start: Start) -> ObserveStream {
        let options = ObserveOptions::default();
        self.observation().observe(stream, start, options).unwrap()
    }

    /// Waits for an event of this type.
    pub(crate) async fn until(&self, worker_id: WorkerId, kind: EventType) -> Value {
        data(&self.stream(worker_id).event_of(kind, |_| true).await)
    }

    /// Waits for the outcome of an input.
    pub(crate) async fn outcome(&self, worker_id: WorkerId, id: &str) -> Outcome {
        let mut stream = self.stream(worker_id);
        loop {
            let event = stream.event().await;
            let ends = [EventType::RUN_FINISHED, EventType::INPUT_FINISHED].contains(&event.kind);
            let data = data(&event);
            if ends && data["input_id"] == id {
                return serde_json::from_value(data["outcome"].clone()).unwrap();
            }
        }
    }

    /// Waits for the outcome of an input, and compares it.
    pub(crate) async fn ends(
        &self,
        worker_id: WorkerId,
        id: &str,
        kind: OutcomeKind,
        stop: StopReason,
    ) {
        let outcome = self.outcome(worker_id, id).await;
        assert_eq!((outcome.kind, outcome.stop.0), (kind, stop), "of {id}");
    }

    /// The types of a Worker's events, in order.
    pub(crate) fn types(&self, worker_id: WorkerId) -> Vec<String> {
        let events = super::audit::read_all(&self.observation(), Stream::Worker(worker_id));
        let types = events.iter().map(|event| event.kind.as_str().to_owned());
        types.collect()
    }

    /// How many events of a type a Worker has.
    pub(crate) fn count(&self, worker_id: WorkerId, kind: EventType) -> usize {
        let types = self.types(worker_id);
        types
            .iter()
            .filter(|other| **other == kind.as_str())
            .count()
    }

    /// Checks everything that holds at any moment.
    pub(crate) fn audit(&self) -> Audited {
        audit(&self.observation())
    }

    /// Checks, and closes.
    pub(crate) async fn end(self) {
        self.audit();
        let closed = self.runtime.close();
        within("a close", closed).await.unwrap();
    }
}

/// A Worker without anything.
pub(crate) fn assistant() -> CreateWorker {
    CreateWorker::new(Intent::Assistant { purpose: None })
}

/// A Worker that the scripted backend runs.
pub(crate) fn scripted() -> CreateWorker {
    CreateWorker {
        backend: Some(BackendSelection {
            name: BACKEND.to_owned(),
            config: worker_runtime_core::AsJson(serde_json::json!({})),
        }),
        ..assistant()
    }
}

/// Write access to a path of the mount `repo` and everything below it.
pub(crate) fn write(path: &str) -> Scope {
    Scope {
        allow: vec![ScopeRule {
            mount: "repo".into(),
            path: path.into(),
            permission: Permission::Write,
            recursive: true,
        }],
        deny: Vec::new(),
    }
}

pub(crate) fn input_id(id: &str) -> InputId {
    InputId::new(id).unwrap()
}

pub(crate) fn action_id(id: &str) -> ActionId {
    ActionId::new(id).unwrap()
}

/// An input that is refused when the Worker is busy.
pub(crate) fn input(id: &str) -> SubmitInput {
    SubmitInput::text(format!("do {id}")).with_id(input_id(id))
}

/// An input that waits for its turn.
pub(crate) fn queued(id: &str) -> SubmitInput {
    input(id).queued()
}
