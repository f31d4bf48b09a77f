//! How runs and Workers end: one outcome for each input (I4), and a scope that is free when all is
//! quiet, not before (I6).

use serde_json::json;
use worker_runtime_core::{
    BlockId, Code,
    backend::{BackendErrorKind, Cancelled, Submitted},
    record::CancelCause,
    run::{OutcomeKind, StopReason},
    worker::EndKind,
};

use super::{Game, backend_error, calls::Want};
use crate::model::{
    expect::{CHOSEN, Expect},
    held::Asked,
    plain::{Life, Worker, outcome_json, outcome_of},
    step::ReplyStep,
    stop::{Played, ensure},
};

/// How long after a cancel that failed the next one comes.
const AGAIN_AFTER_MS: u64 = 1_000;

/// What still comes after a run or a Worker was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// The backend is asked to end the run.
    Cancel,
    /// The run was never given to a backend, so it ends by itself.
    EndsAlone,
}

impl Game {
    /// Asks for the end of a Worker's run: the event, and what comes after it.
    pub(super) fn ask_for_end(&mut self, index: usize, cause: CancelCause) -> (Vec<Expect>, Then) {
        let at = self.world.now();
        let (Some(worker), Some(side)) =
            (self.plain.workers.get_mut(index), self.sides.get_mut(index))
        else {
            return (Vec::new(), Then::Nothing);
        };
        let id = worker.id;
        // Nobody runs what can't be shown to be dead, so no end of the Runtime is asked of it.
        let is_lost = worker.unproven && cause == CancelCause::RuntimeEnds;
        let run = worker.run.as_mut().filter(|_| !is_lost);
        let Some(run) = run.filter(|run| run.cancel.is_none()) else {
            return (Vec::new(), Then::Nothing);
        };
        run.cancel = Some((cause, at));
        let asked = Expect::of(id, "run.cancel_requested", json!({ "cause": cause }));
        let asked = vec![asked.in_run(run.run_id)];
        let then = match (worker.unproven, side.start.is_some(), side.submit.is_some()) {
            (true, ..) => Then::Nothing,
            (_, true, _) => {
                side.start = None;
                Then::EndsAlone
            }
            (_, _, true) => Then::Nothing,
            _ => Then::Cancel,
        };
        (asked, then)
    }

    /// What was asked for comes about, at several Workers in whatever order.
    pub(super) async fn follow(&mut self, asked: Vec<(usize, Then)>) -> Played<()> {
        let (mut expected, mut wanted, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for (index, then) in asked {
            match then {
                Then::Nothing => {}
                Then::Cancel => wanted.push(Want::Cancel(index, StopReason::Cancelled)),
                Then::EndsAlone => {
                    let Some(worker) = self.plain.workers.get(index) else {
                        continue;
                    };
                    let is_settling = worker.is_settling();
                    let (ends, outcome) = self.end_of_run(worker, &StopReason::Cancelled);
                    expected.extend(ends);
                    self.note_end_of_run(index, outcome);
                    alone.push(index);
                    if is_settling {
                        self.note_no_task(index);
                        expected.extend(self.end_of_worker(index));
                    }
                    if let Some(runs) = self.dispatched(index) {
                        expected.push(runs);
                        wanted.push(self.wants_run(index));
                    }
                }
            }
        }
        self.events(expected).await?;
        alone
            .into_iter()
            .for_each(|index| self.let_go_of_run(index));
        self.called(wanted).await
    }

    fn note_no_task(&mut self, index: usize) {
        if let Some(side) = self.sides.get_mut(index) {
            (side.has_task, side.is_started) = (false, false);
        }
    }

    /// The events of a run that ends like this, and how it ended.
    pub(super) fn end_of_run(
        &self,
        worker: &Worker,
        stop: &StopReason,
    ) -> (Vec<Expect>, (OutcomeKind, StopReason)) {
        let Some(run) = &worker.run else {
            return (Vec::new(), (OutcomeKind::Interrupted, stop.clone()));
        };
        let outcome = outcome_of(stop, run.cancel.map(|(cause, _)| cause));
        let marks = match outcome.0 {
            OutcomeKind::Completed => json!([]),
            kind => json!([kind]),
        };
        let blocks = run
            .blocks
            .iter()
            .filter(|(_, block)| !block.text.is_empty());
        let mut expected: Vec<Expect> = blocks
            .map(|(index, block)| {
                let id = BlockId {
                    generation: run.generation,
                    index: *index,
                };
                let data = json!({
                    "block": id,
                    "kind": block.kind,
                    "parent": block.parent,
                    "text": block.text,
                    "marks": marks,
                });
                Expect::of(worker.id, "block.finished", data).in_run(run.run_id)
            })
            .collect();
        let data = json!({
            "input_id": run.input_id,
            "outcome": outcome_json(&outcome),
            "generation": run.generation,
            "usage": run.usage,
        });
        expected.push(Expect::of(worker.id, "run.finished", data).in_run(run.run_id));
        (expected, outcome)
    }

    /// The run is over in the model.
    pub(super) fn note_end_of_run(&mut self, index: usize, outcome: (OutcomeKind, StopReason)) {
        let at = self.world.now();
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return;
        };
        let Some(run) = worker.run.take() else { return };
        worker.usage = worker.usage.plus(run.usage);
        worker.unproven = false;
        if let Some(accepted) = worker.inputs.get_mut(&run.input_id) {
            accepted.outcome = Some(outcome.clone());
        }
        let kind = format!("outcomes {:?}", outcome.0).to_lowercase();
        worker.last_run = Some((run.run_id, run.input_id, at, outcome.0, outcome.1));
        self.count(&kind);
    }

    /// The Worker's run ends now; then its Worker does, or the next input is dispatched.
    pub(super) async fn run_ends(&mut self, index: usize, stop: StopReason) -> Played<()> {
        let Some(worker) = self.plain.workers.get(index) else {
            return Ok(());
        };
        let (mut expected, outcome) = self.end_of_run(worker, &stop);
        self.note_end_of_run(index, outcome);
        let runs = self.dispatched(index);
        let is_run = runs.is_some();
        expected.extend(runs);
        self.events(expected).await?;
        self.let_go_of_run(index);
        if is_run {
            self.given(index).await?;
        }
        let worker = self.plain.workers.get(index);
        if worker.is_some_and(Worker::is_settling) {
            self.backend_stops(index).await?;
        }
        Ok(())
    }

    /// Nothing that was asked about the run matters any more.
    fn let_go_of_run(&mut self, index: usize) {
        let openings = self.world.openings;
        let Some(side) = self.sides.get_mut(index) else {
            return;
        };
        for cancel in side.loops.drain(..) {
            if let Some(reply) = cancel.reply {
                let _ = reply.send(Ok(Cancelled::Confirmed));
            }
        }
        if let Some(sink) = side.sink.take() {
            self.old_sinks.push((sink, openings));
            if self.old_sinks.len() > 8 {
                self.old_sinks.remove(0);
            }
        }
    }

    /// The backend of a Worker that ends, or gives up its scope, is stopped; without one that has come
    /// about.
    pub(super) async fn backend_stops(&mut self, index: usize) -> Played<()> {
        self.backends_stop(vec![index]).await
    }

    /// The same of several, whose backends are asked in whatever order.
    pub(super) async fn backends_stop(&mut self, indexes: Vec<usize>) -> Played<()> {
        let (mut wanted, mut quiet) = (Vec::new(), Vec::new());
        for index in indexes {
            let Some(side) = self.sides.get_mut(index) else {
                continue;
            };
            side.has_task = false;
            match std::mem::replace(&mut side.is_started, false) {
                true => wanted.push(Want::Stop(index)),
                false => quiet.push(index),
            }
        }
        self.called(wanted).await?;
        for index in quiet {
            self.worker_ends(index).await?;
        }
        Ok(())
    }

    /// The events of a Worker that has come to what it was asked for; it holds nothing any more.
    pub(super) fn end_of_worker(&mut self, index: usize) -> Vec<Expect> {
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Vec::new();
        };
        let reason = worker.taken.take().map(|taken| taken.reason);
        let Some(end) = worker.end.clone() else {
            worker.keeps = Asked::default();
            let released = released(worker, reason.as_deref());
            self.count("scopes taken by force");
            return released.into_iter().collect();
        };
        let (life, kind) = match end.kind {
            EndKind::Stop => (Life::Stopped, "worker.stopped"),
            EndKind::Cancel => (Life::Cancelled, "worker.cancelled"),
        };
        worker.life = life;
        worker.unproven = false;
        let data = json!({ "epoch": worker.epoch, "reason": end.reason });
        let ended = Expect::of(worker.id, kind, data);
        let released = released(worker, None);
        self.count("workers ended");
        released.into_iter().chain([ended]).collect()
    }

    /// All is quiet: what was asked for has come about, and who lives on may run what waits.
    pub(super) async fn worker_ends(&mut self, index: usize) -> Played<()> {
        let mut expected = self.end_of_worker(index);
        let runs = self.dispatched(index);
        let is_run = runs.is_some();
        expected.extend(runs);
        self.events(expected).await?;
        match is_run {
            true => self.given(index).await,
            false => Ok(()),
        }
    }

    /// Answers the call of a Worker's backend that has waited longest.
    pub(super) async fn reply(&mut self, index: usize, how: ReplyStep) -> Played<()> {
        let Some(side) = self.sides.get_mut(index) else {
            return Ok(());
        };
        if let Some(reply) = side.start.take() {
            return self.reply_start(index, reply, how).await;
        }
        if let Some(reply) = side.submit.take() {
            return self.reply_submit(index, reply, how).await;
        }
        if let Some(nth) = side.loops.iter().position(|cancel| cancel.reply.is_some()) {
            return self.reply_cancel(index, nth, how).await;
        }
        match side.stop.take() {
            Some(reply) => self.reply_stop(index, reply, how).await,
            None => Ok(()),
        }
    }

    async fn reply_start(
        &mut self,
        index: usize,
        reply: crate::model::backend::Reply<Result<(), worker_runtime_core::backend::BackendError>>,
        how: ReplyStep,
    ) -> Played<()> {
        if how == ReplyStep::Good {
            let _ = reply.send(Ok(()));
            if let Some(side) = self.sides.get_mut(index) {
                side.is_started = true;
            }
            return self.called(vec![Want::Submit(index)]).await;
        }
        let error = backend_error(BackendErrorKind::Start, "no such command");
        let _ = reply.send(Err(error));
        let stop = error_stop(Code::RunStartFailed.as_str(), "no such command");
        self.run_ends(index, stop).await
    }

    async fn reply_submit(
        &mut self,
        index: usize,
        reply: crate::model::backend::Reply<Submitted>,
        how: ReplyStep,
    ) -> Played<()> {
        let run = self
            .plain
            .workers
            .get(index)
            .and_then(|worker| worker.run.as_ref());
        let is_cancelled = run.is_some_and(|run| run.cancel.is_some());
        let (answer, stop) = match how {
            ReplyStep::Bad if !is_cancelled => {
                let error = backend_error(BackendErrorKind::Broken, "not today");
                (
                    Submitted::Rejected(error),
                    Some(error_stop("rejected", "not today")),
                )
            }
            ReplyStep::Worse if !is_cancelled => {
                let stop = error_stop("backend_busy", "the backend runs another input");
                (Submitted::Busy, Some(stop))
            }
            _ => (Submitted::Accepted, None),
        };
        if stop.is_some()
            && let Some(side) = self.sides.get_mut(index)
        {
            side.sink = None;
        }
        let _ = reply.send(answer);
        match stop {
            // Nothing of a run that was not taken may be left, so the backend is asked.
            Some(stop) => self.called(vec![Want::Cancel(index, stop)]).await,
            None if is_cancelled => {
                self.called(vec![Want::Cancel(index, StopReason::Cancelled)])
                    .await
            }
            None => Ok(()),
        }
    }

    async fn reply_cancel(&mut self, index: usize, nth: usize, how: ReplyStep) -> Played<()> {
        let timers_ms = self.world.timers_ms;
        let unproven = self.unproven;
        let (Some(worker), Some(side)) = (self.plain.workers.get(index), self.sides.get_mut(index))
        else {
            return Ok(());
        };
        let (Some(run), Some(cancel)) = (&worker.run, side.loops.get_mut(nth)) else {
            return Ok(());
        };
        let Some(reply) = cancel.reply.take() else {
            return Ok(());
        };
        let stop = cancel.stop.clone();
        let answer = match how {
            ReplyStep::Good => Ok(Cancelled::Confirmed),
            ReplyStep::Worse => Ok(Cancelled::Escalated),
            ReplyStep::Bad => Err(backend_error(
                BackendErrorKind::Broken,
                "pid 1 is still there",
            )),
        };
        // What it recorded as a process can be shown to be dead although the cancel failed.
        let is_quiet = answer.is_ok() || (run.has_process && !unproven);
        if is_quiet {
            let _ = reply.send(answer);
            return self.run_ends(index, stop).await;
        }
        cancel.again_at_ms = timers_ms.saturating_add(AGAIN_AFTER_MS);
        let told = std::mem::replace(&mut cancel.told, true);
        let diagnostic = Expect::of(
            worker.id,
            "diagnostic",
            json!({ "code": Code::RunUnproven, "message": CHOSEN }),
        );
        let diagnostic = diagnostic.in_run(run.run_id);
        let _ = reply.send(answer);
        self.count("cancels that failed");
        if !told {
            self.events(vec![diagnostic]).await?;
        }
        Ok(())
    }

    async fn reply_stop(
        &mut self,
        index: usize,
        reply: crate::model::backend::Reply<Result<(), worker_runtime_core::backend::BackendError>>,
        how: ReplyStep,
    ) -> Played<()> {
        let id = self.id_of(index);
        let held = self
            .plain
            .worker(id)
            .is_some_and(|worker| worker.life == Life::Active);
        ensure(held, "I6 a Worker has ended when all is quiet", || {
            format!("{id} has ended before its backend was quiet")
        })?;
        if how == ReplyStep::Bad {
            let error = backend_error(BackendErrorKind::Broken, "pid 7 does not answer");
            let _ = reply.send(Err(error));
            let data = json!({ "code": Code::RunUnproven, "message": CHOSEN });
            self.events(vec![Expect::of(id, "diagnostic", data)])
                .await?;
            if let Some(worker) = self.plain.workers.get_mut(index) {
                worker.unproven = true;
            }
            self.count("stops that failed");
            return Ok(());
        }
        let _ = reply.send(Ok(()));
        self.worker_ends(index).await
    }
}

/// That a Worker lets go of what it holds.
pub(super) fn released(worker: &mut Worker, reason: Option<&str>) -> Option<Expect> {
    let fence = worker.holds.take()?;
    let data = json!({ "fence": fence, "reason": reason });
    Some(Expect::of(worker.id, "allocation.released", data))
}

pub(super) fn error_stop(code: &str, message: &str) -> StopReason {
    StopReason::Error {
        code: Some(code.to_owned()),
        message: message.to_owned(),
    }
}
