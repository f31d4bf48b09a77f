//! The one writer: drain, apply, commit, publish, acknowledge, carry out (I1, I3).
//!
//! It runs on its own thread. A batch is whatever has queued up, without waiting for more. All
//! answers of a batch, refusals and repeated receipts included, leave after its commit. After a
//! failed commit (`failure`) the working state is discarded and made anew from what the store holds.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tracing::{error, warn};

use super::{
    alarm::Alarm,
    command::{Answer, Command, Reply, SinkMessage},
    failure::Failing,
    shared::Shared,
    supervisor::Supervisor,
};
use crate::{
    Clock, Timestamp,
    error::Unavailable,
    sabotage::{self, Sabotage},
    state::{Dispatch, Effect, Now, State, Touched},
    store::{Batch, Store, StoreError},
    sync,
};

/// How long after an input was not dispatched for lack of room the next look comes.
const ROOM_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a close waits for observers to read their last.
const OBSERVERS_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a close waits for what runs to be quiet.
pub(crate) const CLOSE_WAIT_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Writer {
    // First, so that whoever is told that nothing is taken any more finds the news ended.
    pub(crate) _ends: EndsNews,
    pub(crate) state: State,
    pub(crate) store: Box<dyn Store>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) supervisor: Supervisor,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) time: StoreTime,
    pub(crate) answers: Vec<Answer>,
    pub(crate) closing: Option<Closing>,
    /// Why the batch that is being gathered must not be committed.
    pub(crate) spoiled: Option<StoreError>,
    /// What failures left to do.
    pub(crate) failing: Failing,
    /// When the last commit with something in it was, in monotonic time; `None` after an idle step.
    pub(crate) active_at: Option<Duration>,
}

/// However the writer ends, also by a panic, nobody waits for its news any more.
pub(crate) struct EndsNews(pub(crate) Arc<Shared>);

impl Drop for EndsNews {
    fn drop(&mut self) {
        self.0.end_news(Duration::ZERO);
    }
}

/// A close that waits for what runs.
pub(crate) struct Closing {
    pub(super) replies: Vec<Reply<(), Unavailable>>,
    pub(super) give_up_at: Duration,
    /// Everything that ran has ended, and the backends were told to stop.
    stopping: bool,
}

/// Store time: where the last one ended or the wall clock is, then on by monotonic time. A jump of
/// the wall clock changes nothing until the next opening.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreTime {
    base: Timestamp,
    opened: Duration,
}

impl StoreTime {
    pub(crate) fn start(clock: &dyn Clock, last: Timestamp) -> Self {
        Self {
            base: clock.now().max(last),
            opened: clock.monotonic(),
        }
    }

    pub(crate) fn at(self, monotonic: Duration) -> Timestamp {
        self.base.plus(monotonic.saturating_sub(self.opened))
    }

    fn monotonic_of(self, at: Timestamp) -> Duration {
        self.opened.saturating_add(at.since(self.base))
    }
}

/// What the loop does next.
#[derive(PartialEq)]
pub(super) enum Turn {
    GoOn,
    End,
}

impl Writer {
    /// Dispatches what waited over the restart.
    pub(crate) fn begin(&mut self) {
        self.state.set_now(Now {
            at: self.time.at(self.clock.monotonic()),
        });
        self.look_for_room();
        if let Err(error) = self.state.dispatch_waiting() {
            self.spoil(&error);
        }
        self.commit();
        self.dispatch_when_there_is_room();
        if let Some(deadline) = self.state.next_deadline() {
            self.alarm.wake_at(self.time.monotonic_of(deadline));
        }
    }

    /// Runs until the Runtime is closed or a contradiction stops it.
    pub(crate) fn run(mut self) {
        while let Some(command) = sync::blocking_recv(&mut self.commands) {
            let limits = self.shared.limits.clone();
            let mut turn = self.apply(command);
            while turn == Turn::GoOn
                && self.state.batch.events.len() < limits.batch_events_max
                && self.answers.len() < limits.batch_events_max
                && self.state.batch_bytes < limits.batch_bytes_max
            {
                match self.commands.try_recv() {
                    Ok(command) => turn = self.apply(command),
                    Err(_) => break,
                }
            }
            self.commit();
            if turn == Turn::End || self.failing.over || self.is_quiet() {
                break;
            }
        }
        self.close();
    }

    pub(super) fn apply(&mut self, command: Command) -> Turn {
        let now = Now {
            at: self.time.at(self.clock.monotonic()),
        };
        self.state.set_now(now);
        if self.closing.is_some()
            && !matches!(
                command,
                Command::Sink(_)
                    | Command::ProcessEnded(..)
                    | Command::BackendQuiet(..)
                    | Command::Tick
                    | Command::Close(_)
                    | Command::Abandon
            )
        {
            command.refuse(&Unavailable::Closed);
            return Turn::GoOn;
        }
        let before = self.state.edits();
        self.look_for_room();
        if command.must_happen() {
            self.state.batch.must_happen = true;
        }
        let state = &mut self.state;
        let answer = match command {
            Command::Sink(SinkMessage {
                worker_id,
                run_id,
                generation,
                op,
                reply,
            }) => Answer::Sink(reply, state.sink(worker_id, run_id, generation, op)),
            Command::ProcessEnded(worker_id, identity, reply) => {
                Answer::new(reply, state.process_ended(worker_id, &identity))
            }
            Command::Submit(worker_id, input, reply) => {
                Answer::new(reply, state.submit(worker_id, input))
            }
            Command::Create(prepared, reply) => Answer::new(reply, state.create(*prepared)),
            Command::WouldCreate(prepared, reply) => {
                Answer::new(reply, state.would_create(*prepared))
            }
            Command::Lifecycle(worker_id, op, reply) => {
                Answer::new(reply, state.lifecycle(worker_id, op))
            }
            Command::Allocation(worker_id, op, reply) => {
                Answer::new(reply, state.allocation(worker_id, op))
            }
            Command::Acquire(prepared, reply) => Answer::new(reply, state.acquire(*prepared)),
            Command::WouldAcquire(prepared, reply) => {
                Answer::new(reply, state.would_acquire(*prepared))
            }
            Command::Renew(renewal, reply) => Answer::new(reply, state.renew(renewal)),
            Command::EndLease(end, reply) => Answer::new(reply, state.end_lease(end)),
            Command::WouldEndLease(end, reply) => {
                Answer::new(reply, state.would_end_lease(&end).map(drop))
            }
            Command::WouldRestore(worker_id, reply) => {
                Answer::new(reply, state.would_restore(worker_id))
            }
            Command::Would(worker_id, op, reply) => Answer::new(reply, state.would(worker_id, &op)),
            Command::CancelRun(worker_id, run_id, reply) => {
                Answer::new(reply, state.cancel_run(worker_id, run_id))
            }
            Command::Answer(worker_id, run_id, action_id, option, reply) => {
                Answer::new(reply, state.answer(worker_id, run_id, action_id, option))
            }
            Command::OnlyIf(condition, command) => {
                return match self.if_holds(&condition, *command) {
                    Some(command) => self.apply(command),
                    None => Turn::GoOn,
                };
            }
            Command::Operated(asked, command) => return self.operate(*asked, *command),
            Command::StopRuntime {
                end_runs,
                reason,
                reply,
            } => Answer::new(reply, state.stop_runtime(end_runs, reason)),
            Command::StartRuntime(reply) => Answer::new(reply, state.start_runtime()),
            Command::AcknowledgeWentBack(reply) => {
                Answer::new(reply, state.acknowledge_went_back())
            }
            Command::BackendQuiet(worker_id, quiet) => {
                self.shared.live.remove_owner(worker_id);
                self.backend_quiet(worker_id, quiet);
                return Turn::GoOn;
            }
            Command::Tick => {
                self.tick();
                return Turn::GoOn;
            }
            Command::Close(reply) => {
                self.begin_close(reply);
                return Turn::GoOn;
            }
            Command::Abandon => return Turn::End,
        };
        // Commands refuse before they change anything: one that failed half way spoils its batch.
        if answer.is_refusal() && self.state.edits() != before {
            self.spoil(&"a command was refused after it had changed something");
        }
        self.answers.push(answer);
        Turn::GoOn
    }

    /// Asks the store whether there is room for new work, which dispatch is too.
    pub(super) fn look_for_room(&mut self) {
        self.state.room = self.store.has_room().map_err(Unavailable::from);
    }

    /// Dispatches what waited for room, or looks again later.
    fn dispatch_when_there_is_room(&mut self) {
        if !self.state.waits_for_room {
            return;
        }
        if self.state.room.is_err() {
            let now = self.clock.monotonic();
            return self.alarm.wake_at(now.saturating_add(ROOM_AGAIN_AFTER));
        }
        self.state.waits_for_room = false;
        if let Err(error) = self.state.dispatch_waiting() {
            self.spoil(&error);
        }
    }

    /// The batch must not be committed.
    pub(super) fn spoil(&mut self, why: &dyn std::fmt::Display) {
        error!(%why, "the batch is given up");
        let invariant = why.to_string();
        self.spoiled.get_or_insert(StoreError::Bug { invariant });
    }

    fn tick(&mut self) {
        let before = self.state.edits();
        if let Err(error) = self.state.expire() {
            self.spoil(&error);
        }
        if self.state.edits() != before {
            self.state.batch.must_happen = true;
        }
        if self.state.room.is_ok() {
            self.state.checkpoint_all();
        }
        self.dispatch_when_there_is_room();
        let now = self.clock.monotonic();
        let idle_after = self.shared.limits.idle_after;
        if let Some(active_at) = self.active_at {
            let due = active_at.saturating_add(idle_after);
            if !self.state.is_unchanged() {
                self.alarm.wake_at(now.saturating_add(idle_after));
            } else if due > now {
                self.alarm.wake_at(due);
            } else {
                self.active_at = None;
                if let Err(error) = self.store.idle() {
                    warn!(%error, "the store could not be made quick to open");
                    let effects = std::mem::take(&mut self.state.effects);
                    self.after_failure(&error, effects);
                }
            }
        }
        if let Some(deadline) = self.state.next_deadline() {
            self.alarm.wake_at(self.time.monotonic_of(deadline));
        }
    }

    fn begin_close(&mut self, reply: Reply<(), Unavailable>) {
        self.note_close(reply);
        self.state.dispatch = Dispatch::None;
        if let Err(error) = self.state.end_runs() {
            self.spoil(&error);
        }
    }

    /// Somebody wants a close; nothing of the state is touched.
    pub(super) fn note_close(&mut self, reply: Reply<(), Unavailable>) {
        let give_up_at = self.clock.monotonic().saturating_add(CLOSE_WAIT_MAX);
        let closing = self.closing.get_or_insert_with(|| Closing {
            replies: Vec::new(),
            give_up_at,
            stopping: false,
        });
        closing.replies.push(reply);
        self.alarm.wake_at(give_up_at);
    }

    /// Whether a close may be carried out: every run has ended and every backend is quiet, or it
    /// took too long.
    fn is_quiet(&mut self) -> bool {
        let Some(closing) = &mut self.closing else {
            return false;
        };
        if self.clock.monotonic() >= closing.give_up_at {
            warn!("closing although not all is quiet; the next opening looks after it");
            return true;
        }
        if !self.state.running().is_empty() {
            return false;
        }
        if !closing.stopping {
            closing.stopping = true;
            self.supervisor.stop_all();
        }
        !self.shared.live.has_owners()
    }

    fn commit(&mut self) {
        let (batch, effects, touched) = self.state.take_batch();
        if sabotage::is(Sabotage::AcknowledgeBeforeCommit) {
            let answers = self.answers.drain(..);
            answers.for_each(|answer| answer.deliver(None));
        }
        if sabotage::is(Sabotage::PublishBeforeCommit) {
            self.shared.publish(&self.state, &touched, Vec::new());
        }
        let outcome = match self.spoiled.take() {
            Some(error) => Err(error),
            None if batch.is_empty() => Ok(()),
            None => self.store.commit(&batch),
        };
        match outcome {
            Ok(()) => {
                self.failing.committed(!batch.is_empty());
                self.publish(batch, &touched);
                self.answers
                    .drain(..)
                    .for_each(|answer| answer.deliver(None));
                self.carry_out(effects);
            }
            Err(error) => self.after_failure(&error, effects),
        }
    }

    fn publish(&mut self, batch: Batch, touched: &Touched) {
        let is_empty = batch.is_empty();
        let before = self.shared.position();
        let workers = batch.events.iter().filter_map(|event| event.worker);
        let told: Vec<_> = workers.map(|place| place.worker_id).collect();
        self.shared.publish(&self.state, touched, batch.events);
        if let Some(deadline) = self.state.deadline.take() {
            self.alarm.wake_at(self.time.monotonic_of(deadline));
        }
        if is_empty {
            return;
        }
        self.shared.live.forget_closed();
        self.shared.notify(before, told.into_iter());
        let now = self.clock.monotonic();
        if self.active_at.replace(now).is_none() {
            self.alarm
                .wake_at(now.saturating_add(self.shared.limits.idle_after));
        }
        if self.state.waits_for_room {
            self.alarm.wake_at(now.saturating_add(ROOM_AGAIN_AFTER));
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Start { unfinished, .. } = &effect
                && let Some(run) = &unfinished.run
            {
                self.shared.live.begin(
                    unfinished.worker_id,
                    run.run_id,
                    run.generation,
                    self.state.position,
                );
            }
            self.supervisor.carry_out(effect);
        }
    }

    fn close(mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Close(reply) => self.note_close(reply),
                command => command.refuse(&Unavailable::Closed),
            }
        }
        // What is left of a state that is not the store's any more is not written.
        if !std::mem::replace(&mut self.failing.over, true) {
            self.commit();
        }
        // Whoever only dropped its handles may hold up the very threads that observers need.
        let wait_max = match self.closing {
            Some(_) => OBSERVERS_WAIT_MAX,
            None => Duration::ZERO,
        };
        self.shared.end_news(wait_max);
        let result = self.store.close().map_err(Unavailable::from);
        if let Err(error) = &result {
            error!(%error, "the store could not be closed clean");
        }
        for reply in self.closing.into_iter().flat_map(|closing| closing.replies) {
            let _ = reply.send(result.clone());
        }
    }
}
