//! One command at a time, with everything that a user can look at compared at both stops.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::json;
use tokio_stream::{Stream as _, StreamExt as _};
use worker_runtime_core::{
    EventType, ManualClock, Mounts, ObserveOptions, ObserveStream, Observed, PageSize, Permission,
    Position, RunSink, Runtime, RuntimeOptions, Scope, ScopeRule, SeededEntropy, Stream, Timestamp,
    WorkerId,
    cursor::From as Start,
    run::StopReason,
    view::{AllocationView, WorkerView},
};
use worker_runtime_persist::{MemoryStore, StoreOptions};

use super::{
    PART,
    gate::{Gate, Gated, Point},
};
use crate::{
    backend::{BACKEND, News, Stage},
    report::{Doing, HarnessError, Outcome, Violation},
    settings::Settings,
    workload::limits::MOUNT,
};

/// How long the writer, an answer or an observer may take: much longer than any of them does.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

const WORKERS: usize = 4;

type Answered<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// What can be done to a Worker now.
enum Next {
    Create,
    Submit(WorkerId),
    Tell(usize),
    Finish(usize),
    Update(WorkerId),
    /// Changes what it may hand on.
    Hold(WorkerId),
}

pub(super) struct Scene {
    pub(super) runtime: Runtime,
    pub(super) gate: Arc<Gate>,
    stage: Stage,
    workers: Vec<WorkerId>,
    runs: Vec<RunSink>,
    rng: Rng,
    log: ObserveStream,
    seen: Position,
}

/// What a user sees, beside the streams.
#[derive(PartialEq)]
struct Sight {
    position: Position,
    workers: Vec<WorkerView>,
    held: Vec<AllocationView>,
    events: usize,
}

pub(super) async fn run(settings: &Settings, outcome: &mut Outcome) -> Result<(), HarnessError> {
    let steps = settings.size.pick(40, 2_000, 50_000);
    let progress = settings.progress(PART, steps);
    let mut scene = Scene::open(settings.seed).await?;
    for step in 0..steps {
        scene.gate.shut(true);
        let stepped = scene.step().await;
        scene.gate.shut(false);
        outcome.count("commits looked into", 1);
        progress.add(1);
        if let Err(violation) = stepped? {
            outcome.violated(format!("seed {}, step {step}", settings.seed), violation);
            // What follows would be judged by what was just seen to be wrong.
            break;
        }
    }
    scene.close().await
}

impl Scene {
    pub(super) async fn open(seed: u64) -> Result<Self, HarnessError> {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_700_000_000_000)));
        let mut options = StoreOptions::memory();
        options.clock = clock.clone();
        options.entropy = Box::new(SeededEntropy::new(seed));
        let gate = Arc::new(Gate::default());
        let store = Gated {
            store: Box::new(MemoryStore::new(options).doing("make a store")?),
            gate: Arc::clone(&gate),
        };
        let stage = Stage::default();
        let mut mounts = Mounts::default();
        mounts
            .set(MOUNT, "/nonexistent/repo")
            .doing("make a mount")?;
        let options = RuntimeOptions {
            backends: vec![stage.factory()],
            mounts,
            clock,
            entropy: Box::new(SeededEntropy::new(seed)),
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::open(Box::new(store), options)
            .await
            .doing("open the Runtime")?;
        let log = runtime
            .observation()
            .observe(Stream::Runtime, Start::Beginning, ObserveOptions::default())
            .doing("observe")?;
        let mut scene = Self {
            runtime,
            gate,
            stage,
            workers: Vec::new(),
            runs: Vec::new(),
            rng: Rng::with_seed(seed),
            log,
            seen: Position(0),
        };
        let position = scene.runtime.observation().runtime().position;
        if scene.hear_up_to(position).await.is_err() {
            return Err(HarnessError::new(
                "observe",
                "the first event does not come",
            ));
        }
        Ok(scene)
    }

    /// Ends it; a close would wait for observers that don't read.
    pub(super) async fn close(self) -> Result<(), HarnessError> {
        let Self { runtime, log, .. } = self;
        drop(log);
        runtime.close().await.doing("close the Runtime")
    }

    /// One command, from its call to the last who hears of it.
    async fn step(&mut self) -> Result<Result<(), Violation>, HarnessError> {
        let before = self.sight()?;
        let next = self.choose();
        let mut answered = self.call(&next);
        let mut answer = polled(&mut answered).await;
        for point in [Point::Before, Point::After] {
            if answer.is_none() && !self.gate.has_stopped(point, WITHIN) {
                // A refusal comes without a commit; everything else is the harness's own mistake.
                answer = polled(&mut answered).await;
                let why = answer.map_or("nobody commits".to_owned(), |early| format!("{early:?}"));
                return Err(HarnessError::new("have a command committed", why));
            }
            answer = match answer {
                None => polled(&mut answered).await,
                early => early,
            };
            if let Some(answer) = answer {
                let detail = format!("{answer:?} was answered {point:?} the commit had returned");
                return Ok(Err(Violation::new("I1 acknowledged is durable", detail)));
            }
            let told = self.hear_now().await;
            if let Some(event) = told {
                let detail =
                    format!("an observer was told {event} {point:?} the commit had returned");
                return Ok(Err(Violation::new("I1 shown is durable", detail)));
            }
            let now = self.sight()?;
            if now != before {
                let detail = format!(
                    "a reader saw position {} and {} events, not {} and {}, {point:?} the commit had returned",
                    now.position, now.events, before.position, before.events
                );
                return Ok(Err(Violation::new("I1 shown is durable", detail)));
            }
            self.gate.let_on();
        }
        self.gate.shut(false);
        let answer = tokio::time::timeout(WITHIN, &mut answered).await;
        drop(answered);
        let Ok(answer) = answer else {
            let detail = "a command whose commit has returned has no answer";
            return Ok(Err(Violation::new("I1 every command is answered", detail)));
        };
        answer.doing("have a command taken")?;
        let position = self.runtime.observation().runtime().position;
        if position <= before.position {
            let detail =
                format!("a command was answered, and a reader sees position {position} still");
            return Ok(Err(Violation::new("I1 acknowledged is shown", detail)));
        }
        self.note(next).await?;
        Ok(self.hear_up_to(position).await)
    }

    fn choose(&mut self) -> Next {
        let idle = self.workers.iter().filter(|worker_id| {
            let runs = |run: &RunSink| run.worker_id() == **worker_id;
            !self.runs.iter().any(runs)
        });
        let idle: Vec<WorkerId> = idle.copied().collect();
        let all = self.workers.clone();
        let run = (!self.runs.is_empty()).then(|| self.rng.usize(..self.runs.len()));
        match (
            self.rng.u8(0..10),
            run,
            self.rng.choice(idle),
            self.rng.choice(all),
        ) {
            _ if self.workers.len() < WORKERS => Next::Create,
            (0..5, Some(run), ..) => Next::Tell(run),
            (5..7, Some(run), ..) => Next::Finish(run),
            (7, _, _, Some(worker_id)) => Next::Hold(worker_id),
            (_, _, Some(worker_id), _) => Next::Submit(worker_id),
            (_, Some(run), _, None) => Next::Tell(run),
            (.., Some(worker_id)) if self.rng.bool() => Next::Hold(worker_id),
            (_, _, _, Some(worker_id)) => Next::Update(worker_id),
            _ => Next::Create,
        }
    }

    /// The call, not yet polled.
    fn call<'a>(&self, next: &Next) -> Answered<'a> {
        let (catalog, interaction) = (self.runtime.catalog(), self.runtime.interaction());
        match next {
            Next::Create => {
                let scope = scope(&self.workers.len().to_string(), Permission::Write);
                Box::pin(async move {
                    let request = json!({
                        "intent": { "type": "assistant" },
                        "backend": { "name": BACKEND },
                        "scope": scope,
                    });
                    let request = serde_json::from_value(request).map_err(|it| it.to_string())?;
                    let made = catalog.create(request).await;
                    made.map(drop).map_err(|it| it.to_string())
                })
            }
            Next::Submit(worker_id) => {
                let worker_id = *worker_id;
                Box::pin(async move {
                    let input = json!({ "segments": [{ "type": "text", "text": "go" }] });
                    let input = serde_json::from_value(input).map_err(|it| it.to_string())?;
                    let sent = interaction.send_input(worker_id, input).await;
                    sent.map(drop).map_err(|it| it.to_string())
                })
            }
            Next::Update(worker_id) => {
                let worker_id = *worker_id;
                Box::pin(async move {
                    let update = serde_json::from_value(json!({ "labels": { "at": "now" } }));
                    let update = update.map_err(|it| it.to_string())?;
                    let updated = catalog.update(worker_id, update).await;
                    updated.map(drop).map_err(|it| it.to_string())
                })
            }
            Next::Hold(worker_id) => {
                let (worker_id, allocations) = (*worker_id, self.runtime.allocations());
                let mut known = self.workers.iter();
                let number = known
                    .position(|known| *known == worker_id)
                    .unwrap_or_default();
                // More and less by turns, of what it may look at anyway: nothing that runs is in the way.
                let below = format!("{number}/{}", self.seen.0);
                Box::pin(async move {
                    let own = scope(&number.to_string(), Permission::Write);
                    let lends = scope(&below, Permission::Read);
                    let changed = allocations.change(worker_id, &own, &lends, None).await;
                    changed.map(drop).map_err(|it| it.to_string())
                })
            }
            Next::Tell(run) => {
                let sink = self.runs.get(*run).cloned();
                Box::pin(async move {
                    let sink = sink.ok_or("there is no such run")?;
                    let data = json!({ "tool": "look" });
                    let told = sink.event(EventType::TOOL_CALL, &data).await;
                    told.map(drop).map_err(|it| it.to_string())
                })
            }
            Next::Finish(run) => {
                let sink = self.runs.get(*run).cloned();
                Box::pin(async move {
                    let sink = sink.ok_or("there is no such run")?;
                    let ended = sink.finish(StopReason::EndTurn, None).await;
                    ended.map_err(|it| it.to_string())
                })
            }
        }
    }

    /// What follows from an answer.
    async fn note(&mut self, next: Next) -> Result<(), HarnessError> {
        match next {
            Next::Create => {
                let seen = self.runtime.observation();
                let list = seen.workers(&Default::default(), Default::default(), 0, WORKERS);
                self.workers = list.workers.iter().map(|view| view.worker_id).collect();
            }
            Next::Submit(_) => {
                let taken = tokio::time::timeout(WITHIN, self.taken()).await;
                taken.doing("have an input run")?;
            }
            Next::Finish(run) => drop(self.runs.swap_remove(run)),
            Next::Tell(_) | Next::Update(_) | Next::Hold(_) => {}
        }
        Ok(())
    }

    /// Waits until the backend has the run.
    async fn taken(&mut self) {
        loop {
            for news in self.stage.take_news() {
                if let News::Taken(taken) = news {
                    self.runs.push(taken.sink);
                    return;
                }
            }
            self.stage.changed().await;
        }
    }

    fn sight(&self) -> Result<Sight, HarnessError> {
        let seen = self.runtime.observation();
        let list = seen.workers(&Default::default(), Default::default(), 0, WORKERS + 1);
        let after = seen.resolve(Stream::Runtime, Start::Now).doing("read")?;
        let page = seen
            .events(Stream::Runtime, Start::After(after), PageSize::default())
            .doing("read")?;
        Ok(Sight {
            position: seen.runtime().position,
            workers: list.workers,
            held: seen.allocations(0, WORKERS + 1).allocations,
            events: page.events.len(),
        })
    }

    /// What the observer of the log is told now, without waiting: the first event.
    async fn hear_now(&mut self) -> Option<String> {
        let log = &mut self.log;
        poll_fn(|context| {
            loop {
                return Poll::Ready(match Pin::new(&mut *log).poll_next(context) {
                    Poll::Ready(Some(Ok(Observed::Event(_, event)))) => {
                        Some(format!("{} at {}", event.kind, event.position))
                    }
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(error))) => Some(error.to_string()),
                    Poll::Ready(None) => Some("its end".to_owned()),
                    Poll::Pending => None,
                });
            }
        })
        .await
    }

    /// Waits until the observer of the log was told all up to there, each once and in order.
    async fn hear_up_to(&mut self, position: Position) -> Result<(), Violation> {
        let until = Instant::now() + WITHIN;
        while self.seen < position {
            let left = until.saturating_duration_since(Instant::now());
            let told = tokio::time::timeout(left, self.log.next()).await;
            match told {
                Ok(Some(Ok(Observed::Event(_, event)))) => {
                    if event.position != self.seen.next() {
                        let detail = format!("{} was told after {}", event.position, self.seen);
                        return Err(Violation::new("I10 nothing is skipped or doubled", detail));
                    }
                    self.seen = event.position;
                }
                Ok(Some(Ok(_))) => {}
                Ok(other) => {
                    let detail = format!("the stream ends at {}: {other:?}", self.seen);
                    return Err(Violation::new("I10 a stream goes on", detail));
                }
                Err(_) => {
                    let detail = format!("{position} was acknowledged, and {} told", self.seen);
                    return Err(Violation::new("I10 there is news for who waits", detail));
                }
            }
        }
        Ok(())
    }
}

fn scope(path: &str, permission: Permission) -> Scope {
    let rule = ScopeRule {
        mount: MOUNT.to_owned(),
        path: path.to_owned(),
        permission,
        recursive: true,
    };
    Scope {
        allow: vec![rule],
        deny: Vec::new(),
    }
}

/// One look at a call.
async fn polled(answered: &mut Answered<'_>) -> Option<Result<(), String>> {
    poll_fn(|context| {
        Poll::Ready(match answered.as_mut().poll(context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
    })
    .await
}
