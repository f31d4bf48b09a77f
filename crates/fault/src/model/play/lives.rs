//! A Worker's life: the first end of an epoch wins, repeated calls give the first receipt, and a scope
//! is taken again or not at all (I5, I6).

use serde_json::json;
use worker_runtime_core::{
    Code, EndOptions, Position, Stream,
    error::LifecycleError,
    record::CancelCause,
    run::{OutcomeKind, StopReason},
    view::LifecycleReceipt,
    worker::{EndKind, UpdateWorker},
};

use super::{
    Game,
    allocations::{check_refusal, code_of},
};
use crate::model::{
    expect::{CHOSEN, Expect, position_of},
    held::Refusal,
    plain::{End, Life, Worker, outcome_json},
    step::{Begin, LifeStep},
    stop::{Played, broken, ensure},
};

/// Why somebody asks for an end.
const REASON: &str = "enough";

impl Game {
    pub(super) async fn live(&mut self, index: usize, op: LifeStep) -> Played<()> {
        let Some(worker) = self.plain.workers.get(index) else {
            return Ok(());
        };
        let codes = self.life_refusals(index, op);
        if matches!(op, LifeStep::Delete { .. }) && worker.life != Life::Deleted {
            // Somebody who is behind reads its stream when it goes.
            self.observe(Some(index), Begin::Beginning, false)?;
        }
        let Some(worker) = self.plain.workers.get(index) else {
            return Ok(());
        };
        let answer = self.ask_life(worker.id, op).await?;
        if let (Err(LifecycleError::ScopeRefused(told)), LifeStep::Restore) = (&answer, op) {
            check_refusal(told, self.refused_again(worker).as_ref())?;
        }
        if !codes.is_empty() {
            let answer = answer.map_err(|error| error.code());
            return self.refused(&codes, answer, &format!("{op:?}"));
        }
        let receipt = match answer {
            Ok(receipt) => receipt,
            Err(error) => {
                return broken(
                    "I8 a refusal says why",
                    format!("{op:?} was refused: {error}"),
                );
            }
        };
        let position = match op {
            LifeStep::Pause => self.paused(index, true).await?,
            LifeStep::Resume => self.paused(index, false).await?,
            LifeStep::Stop { assume_dead } => self.end(index, EndKind::Stop, assume_dead).await?,
            LifeStep::Cancel { assume_dead } => {
                self.end(index, EndKind::Cancel, assume_dead).await?
            }
            LifeStep::Archive => self.archived(index).await?,
            LifeStep::Restore => self.restored(index).await?,
            LifeStep::Delete { purge } => self.deleted(index, purge).await?,
            LifeStep::Rename => self.renamed(index).await?,
        };
        self.check_life(index, &receipt, position)
    }

    async fn ask_life(
        &self,
        id: worker_runtime_core::WorkerId,
        op: LifeStep,
    ) -> Played<Result<LifecycleReceipt, LifecycleError>> {
        let catalog = self.world.runtime()?.catalog();
        let options = |assume_dead| EndOptions {
            reason: Some(REASON.into()),
            assume_dead,
        };
        let asked = async {
            match op {
                LifeStep::Pause => catalog.pause(id).await,
                LifeStep::Resume => catalog.resume(id).await,
                LifeStep::Stop { assume_dead } => catalog.stop(id, options(assume_dead)).await,
                LifeStep::Cancel { assume_dead } => catalog.cancel(id, options(assume_dead)).await,
                LifeStep::Archive => catalog.archive(id).await,
                LifeStep::Restore => catalog.restore(id).await,
                LifeStep::Delete { purge } => catalog.delete(id, purge).await,
                LifeStep::Rename => catalog.update(id, self.rename()).await,
            }
        };
        self.world
            .watchdog
            .within("the answer about a life", asked)
            .await
    }

    fn rename(&self) -> UpdateWorker {
        let now = self.plain.position().0;
        UpdateWorker {
            display_name: Some(format!("renamed {now}")),
            labels: [
                ("renamed".to_owned(), Some(now.to_string())),
                ("team".to_owned(), None),
            ]
            .into(),
            reason: None,
        }
    }

    fn life_refusals(&self, index: usize, op: LifeStep) -> Vec<Code> {
        let Some(worker) = self.plain.workers.get(index) else {
            return vec![Code::WorkerUnknown];
        };
        if worker.life == Life::Deleted {
            return vec![Code::WorkerDeleted];
        }
        let is_active = worker.life == Life::Active;
        match op {
            LifeStep::Pause | LifeStep::Resume if !is_active => vec![Code::WorkerNotActive],
            LifeStep::Archive | LifeStep::Delete { .. } if is_active => vec![Code::WorkerNotEnded],
            // An end that was asked for must come first.
            LifeStep::Restore if is_active && worker.end.is_some() => {
                vec![Code::WorkerNotEnded, Code::WorkerNotActive]
            }
            LifeStep::Restore if worker.life == Life::Cancelled => vec![Code::WorkerNotActive],
            LifeStep::Restore if worker.life == Life::Stopped => {
                let refusal = self.refused_again(worker);
                refusal.iter().map(code_of).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Why a Worker that ended may not have again what it had.
    fn refused_again(&self, worker: &Worker) -> Option<Refusal> {
        let parent = self.plain.parent_again(worker.id);
        let family = &self.plain.family;
        family.refusal(&worker.keeps, parent, Some(worker.id))
    }

    /// A receipt tells where the Worker stands when it is answered, and the event that made it so.
    fn check_life(
        &self,
        index: usize,
        receipt: &LifecycleReceipt,
        (position, repeated): (Position, bool),
    ) -> Played<()> {
        let id = self.id_of(index);
        let fits = receipt.worker_id == id
            && receipt.repeated == repeated
            && (receipt.position == position || position == Position(0))
            && receipt.cursor.position() == receipt.position
            && receipt
                .cursor
                .is_of(self.world.observation.runtime_id(), Stream::Worker(id));
        ensure(fits, "I5 a repeated call gives the first receipt", || {
            format!("{receipt:?} for the event at {position} (repeated: {repeated})")
        })
    }

    /// What only is an event and a mark.
    async fn told_of(&mut self, index: usize, expected: Vec<Expect>) -> Played<(Position, bool)> {
        let kind = expected.first().map_or("", |expect| expect.kind);
        let events = self.events(expected).await?;
        let position = position_of(&events, kind);
        self.note_fence(index, &events);
        if let Some(worker) = self.plain.workers.get_mut(index) {
            worker.changed = position;
        }
        Ok((position, false))
    }

    pub(super) fn changed(&self, index: usize) -> (Position, bool) {
        let worker = self.plain.workers.get(index);
        (worker.map_or(Position(0), |worker| worker.changed), true)
    }

    async fn paused(&mut self, index: usize, paused: bool) -> Played<(Position, bool)> {
        let id = self.id_of(index);
        let before = self.changed(index);
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok(before);
        };
        if worker.paused == paused {
            self.count("repeated receipts of a life");
            return Ok(before);
        }
        worker.paused = paused;
        let kind = if paused {
            "worker.paused"
        } else {
            "worker.resumed"
        };
        let mut expected = vec![Expect::of(id, kind, json!({}))];
        let runs = self.dispatched(index);
        let is_run = runs.is_some();
        expected.extend(runs);
        let told = self.told_of(index, expected).await?;
        if is_run {
            self.given(index).await?;
        }
        Ok(told)
    }

    async fn archived(&mut self, index: usize) -> Played<(Position, bool)> {
        let id = self.id_of(index);
        let before = self.changed(index);
        match self.plain.workers.get_mut(index) {
            Some(worker) if !worker.archived => worker.archived = true,
            _ => return Ok(before),
        }
        self.told_of(index, vec![Expect::of(id, "worker.archived", json!({}))])
            .await
    }

    async fn restored(&mut self, index: usize) -> Played<(Position, bool)> {
        let before = self.changed(index);
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok(before);
        };
        if worker.life == Life::Active {
            // One that was never restored has no first receipt but that of its creation.
            return Ok(before);
        }
        worker.life = Life::Active;
        worker.end = None;
        worker.archived = false;
        worker.epoch += 1;
        let mut expected = vec![Expect::of(
            worker.id,
            "worker.restored",
            json!({ "epoch": worker.epoch }),
        )];
        let (id, keeps) = (worker.id, worker.keeps.clone());
        if !keeps.is_nothing() {
            let data = keeps.told(self.plain.parent_again(id));
            expected.push(Expect::of(id, "allocation.granted", data));
        }
        self.count("workers restored");
        self.told_of(index, expected).await
    }

    async fn deleted(&mut self, index: usize, purge: bool) -> Played<(Position, bool)> {
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok((Position(0), false));
        };
        worker.life = Life::Deleted;
        let id = worker.id;
        let trimmed = self.plain.trimmed.get(&Stream::Worker(id));
        worker.trimmed_alive = trimmed.copied().unwrap_or_default();
        let told = Expect::of(worker.id, "worker.deleted", json!({ "purge": purge }));
        self.count(if purge { "purges" } else { "deletes" });
        let answer = self.told_of(index, vec![told]).await?;
        // Its own stream is gone; who reads it still is told so.
        self.plain.trimmed.insert(Stream::Worker(id), answer.0);
        self.observers.deleted(Stream::Worker(id));
        self.observers
            .drain_newest(&self.plain, &self.world.watchdog)
            .await?;
        Ok(answer)
    }

    async fn renamed(&mut self, index: usize) -> Played<(Position, bool)> {
        let update = self.rename();
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok((Position(0), false));
        };
        let changed = worker.changed;
        worker.name = update.display_name.clone();
        worker.labels.remove("team");
        let renamed = update.labels.get("renamed").cloned().flatten();
        worker
            .labels
            .insert("renamed".into(), renamed.unwrap_or_default());
        let data = json!({ "display_name": update.display_name, "labels": CHOSEN });
        let told = Expect::of(worker.id, "worker.updated", data);
        let told = self.told_of(index, vec![told]).await?;
        if let Some(worker) = self.plain.workers.get_mut(index) {
            worker.changed = changed;
        }
        Ok(told)
    }

    async fn end(
        &mut self,
        index: usize,
        kind: EndKind,
        assume_dead: bool,
    ) -> Played<(Position, bool)> {
        let at = self.world.now();
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok((Position(0), false));
        };
        let id = worker.id;
        let first = worker.end.as_ref().map(|end| (end.position, true));
        if let Some(first) = first {
            let is_unproven = worker.unproven;
            self.count("repeated receipts of a life");
            if assume_dead && is_unproven {
                // That an operator said so is told, and the end is still the one of the first call.
                let data = json!({ "kind": kind, "reason": REASON, "assume_dead": true });
                let told = vec![Expect::of(id, "worker.ending", data)];
                return self.free_unproven(index, told).await;
            }
            return Ok(first);
        }
        let data = json!({ "kind": kind, "reason": REASON });
        let mut expected = vec![Expect::of(id, "worker.ending", data)];
        worker.end = Some(End {
            kind,
            at,
            position: Position(0),
            reason: Some(REASON.into()),
        });
        // Its scope is free with its end.
        worker.taken = None;
        let outcome = (OutcomeKind::Cancelled, StopReason::Cancelled);
        for input_id in std::mem::take(&mut worker.queue) {
            let data = json!({ "input_id": input_id, "outcome": outcome_json(&outcome) });
            expected.push(Expect::of(id, "input.finished", data));
            if let Some(accepted) = worker.inputs.get_mut(&input_id) {
                accepted.outcome = Some(outcome.clone());
            }
            self.outcome.count("outcomes cancelled", 1);
        }
        if assume_dead && self.plain.worker(id).is_some_and(|worker| worker.unproven) {
            return self.free_unproven(index, expected).await;
        }
        let (asked, settles) = self.settle(index, CancelCause::WorkerEnds);
        expected.extend(asked);
        let events = self.events(expected).await?;
        let position = position_of(&events, "worker.ending");
        self.note_ending(index, position);
        self.settled(vec![(index, settles)]).await?;
        Ok((position, false))
    }

    fn note_ending(&mut self, index: usize, position: Position) {
        let worker = self.plain.workers.get_mut(index);
        if let Some(end) = worker.and_then(|worker| worker.end.as_mut()) {
            end.position = position;
        }
    }

    /// An operator says that what can't be shown to be dead is: its run and its Worker end.
    async fn free_unproven(
        &mut self,
        index: usize,
        mut expected: Vec<Expect>,
    ) -> Played<(Position, bool)> {
        let worker = self.plain.workers.get(index);
        let Some(worker) = worker.filter(|worker| worker.unproven && worker.is_ending()) else {
            return Ok((Position(0), true));
        };
        let runs = worker.run.is_some();
        self.world.settle().await;
        let until = self.world.observation.runtime().position;
        let came = self.world.told_until(until).await?;
        if runs {
            let (asked, _) = self.ask_for_end(index, CancelCause::WorkerEnds);
            expected.extend(asked);
            expected.extend(self.lost_run(index, &came)?);
        }
        expected.extend(self.end_of_worker(index));
        let events = self.take(&expected, came)?;
        let position = position_of(&events, "worker.ending");
        let end = self
            .plain
            .workers
            .get(index)
            .and_then(|worker| worker.end.as_ref());
        if end.is_some_and(|end| end.position == Position(0)) {
            self.note_ending(index, position);
        }
        self.count("freed by an operator");
        Ok((position, false))
    }
}
