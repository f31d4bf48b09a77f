//! After a failed commit: the store is brought back, and the working state is made anew from what it
//! really holds. What was in the batch has then happened whole or not at all; what the Runtime must
//! not forget (a backend's word that it is quiet, a close, a run's output) goes on from there.

use std::time::Duration;

use tracing::{error, warn};

use super::{command::Command, writer::Writer};
use crate::{
    WorkerId,
    backend::BackendError,
    error::Unavailable,
    state::{Dispatch, Effect, Now, State},
    store::{Loaded, StoreError},
    sync::atomic::Ordering,
};

/// The wait before the second attempt to bring a failed store back, and the longest one.
const RECOVER_WAIT_MIN: Duration = Duration::from_millis(50);
const RECOVER_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often commands are refused meanwhile.
const REFUSE_EVERY: Duration = Duration::from_millis(20);

/// The wait before what a failed commit left is tried again, from its second failure on.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(20);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

/// What failures left to do.
#[derive(Default)]
pub(crate) struct Failing {
    /// Commits that failed since the last one that did not.
    count: u32,
    /// What backends said at their end and is not durable: it must not be lost with a batch, or a
    /// scope would be free although somebody may still write (I6).
    quiets: Vec<(WorkerId, Result<(), BackendError>)>,
    /// The writer ends: the working state is not the store's any more, or is not needed.
    pub(super) over: bool,
}

impl Failing {
    /// The batch is durable.
    pub(super) fn committed(&mut self, changed_something: bool) {
        self.quiets.clear();
        if changed_something {
            self.count = 0;
        }
    }

    /// At once after the first failure; then slower, so that a full disk is no busy loop.
    fn retry_wait(&self) -> Duration {
        match self.count {
            0 | 1 => Duration::ZERO,
            count => RETRY_WAIT_MIN
                .saturating_mul(1 << count.saturating_sub(2).min(8))
                .min(RETRY_WAIT_MAX),
        }
    }
}

impl Writer {
    /// A backend is quiet, or can't be shown to be.
    pub(super) fn backend_quiet(&mut self, worker_id: WorkerId, quiet: Result<(), BackendError>) {
        self.failing.quiets.push((worker_id, quiet.clone()));
        if let Err(error) = self.state.backend_quiet(worker_id, quiet) {
            self.spoil(&error);
        }
    }

    /// Nobody knows what is durable, or nothing was written: every answer of the batch says so, and
    /// the state is made anew.
    pub(super) fn after_failure(&mut self, error: &StoreError, dropped: Vec<Effect>) {
        warn!(%error, "a commit failed");
        self.failing.count = self.failing.count.saturating_add(1);
        let failure = match error {
            StoreError::Full { .. } => Unavailable::StorageFull,
            StoreError::Bug { invariant } => Unavailable::Bug {
                invariant: invariant.clone(),
            },
            _ => Unavailable::OutcomeUnknown,
        };
        self.answers
            .drain(..)
            .for_each(|answer| answer.deliver(Some(&failure)));
        let unknown = failure == Unavailable::OutcomeUnknown;
        if unknown {
            self.shared.commits_unknown.fetch_add(1, Ordering::Relaxed);
        }
        match self.bring_back(unknown) {
            Some(loaded) => self.remake_state(loaded, dropped),
            None => self.failing.over = true,
        }
    }

    /// Brings the store back, however long it takes; commands that come meanwhile are refused with
    /// nothing done, and reads go on. `None` when the Runtime ends before it is back.
    fn bring_back(&mut self, mut recover: bool) -> Option<Loaded> {
        let mut wait = RECOVER_WAIT_MIN;
        loop {
            let recovered = match recover {
                true => self.store.recover(),
                false => Ok(()),
            };
            let error = match recovered.and_then(|()| self.store.load()) {
                Ok(loaded) => return Some(loaded),
                Err(error) => error,
            };
            error!(%error, "the store could not be brought back; trying again");
            recover = true;
            let refusal = Unavailable::Store {
                detail: format!("it failed and is being brought back: {error}"),
            };
            let until = self.clock.monotonic().saturating_add(wait);
            loop {
                self.put_off_commands(&refusal);
                let now = self.clock.monotonic();
                let closing = self.closing.as_ref();
                if self.failing.over || closing.is_some_and(|closing| now >= closing.give_up_at) {
                    return None;
                }
                if now >= until {
                    break;
                }
                crate::sync::thread::sleep(REFUSE_EVERY.min(until.saturating_sub(now)));
            }
            wait = (wait * 2).min(RECOVER_WAIT_MAX);
        }
    }

    /// Refuses what waits; what is said once and must not be lost is kept for the state to come.
    fn put_off_commands(&mut self, refusal: &Unavailable) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Close(reply) => self.note_close(reply),
                Command::BackendQuiet(worker_id, quiet) => {
                    self.shared.live.remove_owner(worker_id);
                    self.failing.quiets.push((worker_id, quiet));
                }
                Command::Abandon => self.failing.over = true,
                command => command.refuse(refusal),
            }
        }
    }

    fn remake_state(&mut self, loaded: Loaded, dropped: Vec<Effect>) {
        // A batch is durable whole or not at all, so its last event tells.
        let was_durable =
            loaded.position > self.shared.position() && loaded.position >= self.state.position;
        let around = self.state.around.clone();
        let dispatch = std::mem::take(&mut self.state.dispatch);
        let late_messages = self.state.late_messages;
        let leasing = std::mem::take(&mut self.state.leasing);
        let entropy = self.state.give_entropy();
        self.state = State::new(loaded, dispatch, around, entropy);
        self.state.late_messages = late_messages;
        self.state.leasing = leasing;
        self.state.set_now(Now {
            at: self.time.at(self.clock.monotonic()),
        });
        self.state.begin_leases();
        match was_durable {
            true => self.shared.live.forget_closed(),
            false => self.shared.live.reset_after_failure(),
        }
        self.shared.publish_all(&self.state);
        self.shared.notify_all();
        self.go_on(dropped);
        // What this adds is committed with the next command; a tick makes sure that there is one.
        let retry_at = self
            .clock
            .monotonic()
            .saturating_add(self.failing.retry_wait());
        self.alarm.wake_at(retry_at);
    }

    /// Takes up what the failed batch, or the time that it took, left undone.
    fn go_on(&mut self, dropped: Vec<Effect>) {
        // Among it are ends that were asked for.
        self.state.batch.must_happen = true;
        self.look_for_room();
        // Before anything else looks whether a Worker is quiet.
        for (worker_id, quiet) in std::mem::take(&mut self.failing.quiets) {
            self.backend_quiet(worker_id, quiet);
        }
        if self.closing.is_some() {
            self.state.dispatch = Dispatch::None;
        }
        if let Err(error) = self.state.resume_after_failure() {
            self.spoil(&error);
        }
        if self.closing.is_some()
            && let Err(error) = self.state.end_runs()
        {
            self.spoil(&error);
        }
        self.state.resume_answers(dropped);
    }
}
