//! Plays a step on both sides: what the model says must happen, and what the Runtime does.
//!
//! - here: the game itself, and events that must come; `calls`: what a backend must be asked
//! - `create`, `inputs`, `lives`, `allocations`, `taking`, `leases`, `runs`: the
//!   commands; `says`: what backends say
//! - `ends`: how runs and Workers end; `time`: deadlines; `restart`: the end of the process
//!
//! Looks at I1 (what is answered was told), I2 (the log tells what happened and nothing else), I4, I5,
//! I6 and I8 after each step.

mod allocations;
mod calls;
mod create;
mod ends;
mod inputs;
mod leases;
mod lives;
mod restart;
mod runs;
mod says;
mod taking;
mod time;

use worker_runtime_core::{
    Code, Cursor, Event, EventType, RunSink, Stream, WorkerId,
    backend::{BackendError, BackendErrorKind, Cancelled, Submitted},
    run::StopReason,
};

use super::{
    backend::{Call, Reply},
    expect::{Expect, tell},
    observers::Observers,
    plain::{Plain, Run},
    step::Step,
    stop::{Played, broken, ensure},
    world::World,
};
use crate::{report::Outcome, settings::Settings};

/// A loop of the Runtime that ends a run: it asks the backend until that is quiet.
pub(super) struct CancelLoop {
    /// What the run stops with when the backend is quiet.
    stop: StopReason,
    /// It has told that the run can't be shown to have ended.
    told: bool,
    reply: Option<Reply<Result<Cancelled, BackendError>>>,
    /// When the timers show this, it asks again.
    again_at_ms: u64,
}

/// What the backend of one Worker was asked and has not answered, and the sink of its run.
#[derive(Default)]
pub(super) struct Side {
    /// The Runtime has a task for it: something was dispatched since its last end.
    has_task: bool,
    is_started: bool,
    start: Option<Reply<Result<(), BackendError>>>,
    submit: Option<Reply<Submitted>>,
    stop: Option<Reply<Result<(), BackendError>>>,
    loops: Vec<CancelLoop>,
    sink: Option<RunSink>,
}

/// Both sides of one history.
pub(super) struct Game {
    pub(super) plain: Plain,
    pub(super) world: World,
    pub(super) observers: Observers,
    pub(super) outcome: Outcome,
    /// Cursors that were handed out, with their stream.
    pub(super) cursors: Vec<(Stream, Cursor)>,
    sides: Vec<Side>,
    /// Sinks of runs that are over, and the opening that they are of.
    old_sinks: Vec<(RunSink, u64)>,
    /// Whether processes can't be shown to be dead in this incarnation.
    unproven: bool,
    /// The Runtime closes: nothing is dispatched any more.
    is_closing: bool,
}

/// Cursors that are kept to be followed later.
const CURSORS_MAX: usize = 256;

impl Game {
    /// An empty store, opened, and what that tells.
    pub(super) async fn begin(settings: &Settings, seed: u64) -> Played<Self> {
        let world = World::begin(settings, seed).await?;
        let mut game = Self {
            plain: Plain::default(),
            world,
            observers: Observers::default(),
            outcome: Outcome::new("model", seed),
            cursors: Vec::new(),
            sides: Vec::new(),
            old_sinks: Vec::new(),
            unproven: false,
            is_closing: false,
        };
        game.note_opening()?;
        let opened = Expect::of_runtime("runtime.started", serde_json::json!({}));
        game.events(vec![opened]).await?;
        Ok(game)
    }

    /// One step on both sides.
    pub(super) async fn play(&mut self, step: Step) -> Played<()> {
        self.count(&format!("steps {}", step.name()));
        match step {
            Step::Create {
                serial,
                minted,
                ask,
            } => self.create(serial, minted, ask).await?,
            Step::CreateAgain { worker, differs } => self.create_again(worker, differs).await?,
            Step::Send {
                worker,
                input,
                queue,
                time_ms,
                bytes,
            } => {
                self.send(worker, input, queue, time_ms, bytes).await?;
            }
            Step::SendAgain {
                worker,
                nth,
                differs,
            } => self.send_again(worker, nth, differs).await?,
            Step::SendBad { worker, bad } => self.send_bad(worker, bad).await?,
            Step::SendToNobody => self.send_to_nobody().await?,
            Step::Life { worker, op } => self.live(worker, op).await?,
            Step::Hold { worker, op } => self.hold(worker, op).await?,
            Step::Lease { op } => self.lease(op).await?,
            Step::CancelRun { worker, other } => self.cancel_run(worker, other).await?,
            Step::Answer { worker, how } => self.answer(worker, how).await?,
            Step::StopRuntime { drain } => self.stop_runtime(drain).await?,
            Step::StartRuntime => self.start_runtime().await?,
            Step::Backend { worker, say } => self.say(worker, say).await?,
            Step::Reply { worker, how } => self.reply(worker, how).await?,
            Step::Late { nth, finish } => self.late(nth, finish).await?,
            Step::Advance { ms } => self.advance(ms).await?,
            Step::Jump { forward } => self.jump(forward),
            Step::Observe {
                worker,
                begin,
                deltas,
            } => self.observe(worker, begin, deltas)?,
            Step::Drain { nth } => self.drain(nth).await?,
            Step::LetGo { nth } => self.observers.let_go(nth),
            Step::Restart { by, unproven } => self.restart(by, unproven).await?,
            Step::CheckAll => self.check_all()?,
        }
        self.world.settle().await;
        self.check_quiet().await?;
        self.check_views()?;
        self.check_held()
    }

    pub(super) fn count(&mut self, name: &str) {
        self.outcome.count(name, 1);
    }

    /// A command was refused, and had to be, with one of these codes.
    fn refused<T: std::fmt::Debug>(
        &mut self,
        codes: &[Code],
        answer: Result<T, Code>,
        what: &str,
    ) -> Played<()> {
        match answer {
            Err(code) if codes.contains(&code) => {
                self.count(&format!("refused {code}"));
                Ok(())
            }
            other => broken(
                match codes.contains(&Code::ScopeConflict) {
                    true => "I6 what is held is refused to others",
                    false => "I8 a refusal says why",
                },
                format!("{what} was answered {other:?}; it must be refused as {codes:?}"),
            ),
        }
    }

    /// The events that must come now, taken into the log; runs that began are given to backends.
    async fn events(&mut self, expected: Vec<Expect>) -> Played<Vec<Event>> {
        let waits = expected.iter().map(|expect| expect.kind);
        let what = format!("the events {}", waits.collect::<Vec<_>>().join(", "));
        let mut came = self.world.told(expected.len(), &what).await?;
        self.told_below(expected.len(), &mut came, &what).await?;
        self.take(&expected, came)
    }

    /// Of those below one that lets go of what it holds it is told who is above them now: as many
    /// events more.
    async fn told_below(&mut self, count: usize, came: &mut Vec<Event>, what: &str) -> Played<()> {
        loop {
            let below = came.iter().filter(|event| is_told_of_below(event)).count();
            let lacking = count.saturating_add(below).saturating_sub(came.len());
            let lacking = lacking.saturating_add(self.plain.family.owed_after(came));
            if lacking == 0 {
                return Ok(());
            }
            let more = self.world.told(lacking, what).await?;
            if more.is_empty() {
                return Ok(());
            }
            came.extend(more);
        }
    }

    fn take(&mut self, expected: &[Expect], came: Vec<Event>) -> Played<Vec<Event>> {
        super::expect::take(&mut self.plain, expected, came.clone(), self.world.now())?;
        for event in &came {
            self.note_cursor(event);
            if event.kind.as_str() == "run.started" {
                self.begin_run(event)?;
            }
        }
        Ok(came)
    }

    fn note_cursor(&mut self, event: &Event) {
        let Some(incarnation) = self.plain.incarnation_at(event.position) else {
            return;
        };
        let runtime_id = self.world.observation.runtime_id();
        let streams = [
            Some(Stream::Runtime),
            event.worker.map(|place| Stream::Worker(place.worker_id)),
        ];
        for stream in streams.into_iter().flatten() {
            let cursor = Cursor::new(runtime_id, stream, event.position, incarnation);
            if self.cursors.len() >= CURSORS_MAX {
                let slot = usize::try_from(event.position.0).unwrap_or_default() % CURSORS_MAX;
                self.cursors.swap_remove(slot);
            }
            self.cursors.push((stream, cursor));
        }
    }

    /// The front of the queue runs now.
    fn begin_run(&mut self, event: &Event) -> Played<()> {
        let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let number = |name: &str| data.get(name).and_then(serde_json::Value::as_u64);
        let found = event
            .worker
            .and_then(|place| self.plain.index_of(place.worker_id));
        let Some(worker) = found.and_then(|index| self.plain.workers.get_mut(index)) else {
            return Ok(());
        };
        let input_id = worker.queue.remove(0);
        let generation = worker_runtime_core::Generation(number("generation").unwrap_or_default());
        ensure(
            generation > worker.generation,
            "I4 generations grow",
            || format!("{} after generation {}", tell(event), worker.generation),
        )?;
        worker.generation = generation;
        let fence = number("fence").map(worker_runtime_core::Fence);
        if worker.holds.is_some() {
            worker.holds = fence;
        }
        let budget = worker
            .inputs
            .get(&input_id)
            .map(|accepted| accepted.input.budget);
        let time = budget.and_then(|budget| budget.time_ms);
        worker.run = Some(Run {
            run_id: event
                .run_id
                .unwrap_or(worker_runtime_core::RunId::from_bytes([0; 16])),
            input_id,
            generation,
            fence,
            started_at: event.at,
            deadline: time.map(|ms| event.at.plus(std::time::Duration::from_millis(ms))),
            cancel: None,
            actions: Vec::new(),
            actions_asked: 0,
            blocks: Default::default(),
            blocks_opened: 0,
            usage: Default::default(),
            has_process: false,
        });
        self.count("runs started");
        Ok(())
    }

    /// What is dispatched now if the Worker's first waiting input may run.
    fn dispatched(&self, index: usize) -> Option<Expect> {
        let worker = self.plain.workers.get(index)?;
        let may = worker.life == super::plain::Life::Active
            && worker.end.is_none()
            && worker.taken.is_none()
            && !worker.paused
            && !worker.unproven
            && !self.plain.stopped
            && !self.is_closing
            && worker.run.is_none();
        let input_id = worker.queue.first().filter(|_| may)?;
        let fence = match worker.holds {
            Some(_) => serde_json::json!(super::expect::CHOSEN),
            None => serde_json::Value::Null,
        };
        let data = serde_json::json!({
            "input_id": input_id,
            "generation": super::expect::CHOSEN,
            "fence": fence,
        });
        let mut expect = Expect::of(worker.id, "run.started", data);
        expect.run = super::expect::OfRun::New;
        Some(expect)
    }

    /// Whether a backend has the Worker's run and may talk of it.
    pub(super) fn is_talking(&self, index: usize) -> bool {
        let side = self.sides.get(index);
        side.is_some_and(|side| side.sink.is_some() && side.submit.is_none())
    }

    /// Whether a call of the Worker's backend waits for its answer.
    pub(super) fn is_asked(&self, index: usize) -> bool {
        self.sides.get(index).is_some_and(|side| {
            side.start.is_some()
                || side.submit.is_some()
                || side.stop.is_some()
                || side.loops.iter().any(|cancel| cancel.reply.is_some())
        })
    }

    /// Whether its backend was asked to stop.
    pub(super) fn is_stopping(&self, index: usize) -> bool {
        let side = self.sides.get(index);
        side.is_some_and(|side| side.stop.is_some())
    }

    /// Whether time may go on: a cancel gives a backend that takes a run ten seconds.
    pub(super) fn may_wait(&self) -> bool {
        let waits = |(worker, side): (&super::plain::Worker, &Side)| {
            side.submit.is_some() && worker.run.as_ref().is_some_and(|run| run.cancel.is_some())
        };
        !self.plain.workers.iter().zip(&self.sides).any(waits)
    }

    /// Whether the Worker's run has a block that has not ended.
    pub(super) fn has_block(&self, index: usize) -> bool {
        let run = self
            .plain
            .workers
            .get(index)
            .and_then(|worker| worker.run.as_ref());
        run.is_some_and(|run| !run.blocks.is_empty())
    }

    fn open_blocks(&self) -> impl Iterator<Item = &super::plain::Block> {
        let workers = self.plain.workers.iter();
        let runs = workers.filter_map(|worker| worker.run.as_ref());
        runs.flat_map(|run| run.blocks.values())
    }

    /// Whether a run has output that an opening must keep.
    pub(super) fn has_kept_output(&self) -> bool {
        self.open_blocks().any(|block| block.kept > 0)
    }

    /// Whether a run has output that must be kept when some time has passed.
    pub(super) fn has_waiting_output(&self) -> bool {
        self.open_blocks().any(|block| !block.waiting.is_empty())
    }

    /// Whether something that runs has a deadline.
    pub(super) fn has_deadline(&self) -> bool {
        let mut runs = self
            .plain
            .workers
            .iter()
            .filter_map(|worker| worker.run.as_ref());
        runs.any(|run| {
            run.cancel.is_none() && run.deadline.is_some()
                || run.actions.iter().any(|action| action.deadline.is_some())
        })
    }

    /// Whether a close needs no time to go by.
    pub(super) fn may_close(&self) -> bool {
        let waits = |side: &Side| side.loops.iter().any(|cancel| cancel.reply.is_none());
        !self.sides.iter().any(waits)
    }

    /// Nothing was told and no backend was asked beyond what had to be.
    async fn check_quiet(&mut self) -> Played<()> {
        if let Ok(call) = self.world.calls.try_recv() {
            return unexpected(&call, "nothing");
        }
        let position = self.world.observation.runtime().position;
        if position == self.plain.position() {
            return Ok(());
        }
        let too_many = position.0.saturating_sub(self.plain.position().0);
        let too_many = usize::try_from(too_many).unwrap_or(usize::MAX);
        let came = self.world.told(too_many, "what nothing calls for").await?;
        super::expect::take(&mut self.plain, &[], came, self.world.now())?;
        let detail = format!(
            "the log ends at {position}, not at {}",
            self.plain.position()
        );
        broken("I2 the log tells what happened and nothing else", detail)
    }

    fn id_of(&self, index: usize) -> WorkerId {
        let found = self.plain.workers.get(index);
        found.map_or(WorkerId::from_bytes([9; 16]), |worker| worker.id)
    }
}

/// Whether it follows from another one that somebody else is above a Worker now.
pub(super) fn is_told_of_below(event: &Event) -> bool {
    event.kind == EventType::ALLOCATION_REPARENTED
}

fn unexpected<T>(call: &Call, instead: &str) -> Played<T> {
    broken(
        "I4 a backend is asked what it must be, once",
        format!(
            "its backend was asked for {} and not for {instead}",
            call.name()
        ),
    )
}

fn backend_error(kind: BackendErrorKind, message: &str) -> BackendError {
    BackendError::new(kind, message)
}
