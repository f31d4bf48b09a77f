//! A Worker's life: active -> stopped | cancelled -> deleted. The first end wins within an epoch,
//! and repeating a call gives the first receipt again.

use serde_json::json;

use super::{Effect, Grant, State, draft};
use crate::{
    EventType, WorkerId,
    backend::BackendError,
    error::{FieldInvalid, LifecycleError, RunError, Unavailable},
    holdings::Asker,
    record::{CancelCause, Ending, EndingKind, Lifecycle, Recorded},
    sabotage::{self, Sabotage},
    store::Change,
    view::{CancelReceipt, LifecycleReceipt},
    worker::{EndKind, UpdateWorker},
};

/// What is asked of a Worker's life.
#[derive(Debug, Clone)]
pub(crate) enum LifecycleOp {
    Update(UpdateWorker),
    Pause,
    Resume,
    End {
        kind: EndKind,
        reason: Option<String>,
        assume_dead: bool,
    },
    Archive,
    Restore,
    Delete {
        purge: bool,
    },
}

impl LifecycleOp {
    /// Whether it ends or holds something, and is taken although there is no room for new work.
    pub(crate) fn must_happen(&self) -> bool {
        !matches!(self, Self::Update(_) | Self::Resume | Self::Restore)
    }
}

impl State {
    pub(crate) fn lifecycle(
        &mut self,
        worker_id: WorkerId,
        op: LifecycleOp,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        self.worker(worker_id)?;
        self.check_head(worker_id)?;
        if !op.must_happen() {
            self.room.clone()?;
        }
        match op {
            LifecycleOp::Update(update) => self.update_worker(worker_id, update),
            LifecycleOp::Pause => self.set_paused(worker_id, true),
            LifecycleOp::Resume => self.set_paused(worker_id, false),
            LifecycleOp::End {
                kind,
                reason,
                assume_dead,
            } => self.end(worker_id, kind, reason, assume_dead),
            LifecycleOp::Archive => self.archive(worker_id),
            LifecycleOp::Restore => self.restore(worker_id),
            LifecycleOp::Delete { purge } => self.delete(worker_id, purge),
        }
    }

    fn update_worker(
        &mut self,
        worker_id: WorkerId,
        update: UpdateWorker,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        self.refuse_update(worker_id, &update)?;
        let data = json!({ "display_name": update.display_name, "labels": update.labels });
        let recorded = self.emit(worker_id, draft(EventType::WORKER_UPDATED, None, &data)?)?;
        self.update(worker_id, |record| {
            if let Some(name) = update.display_name {
                record.display_name = Some(name);
            }
            for (key, value) in update.labels {
                match value {
                    Some(value) => record.labels.insert(key, value),
                    None => record.labels.remove(&key),
                };
            }
        })?;
        Ok(self.lifecycle_receipt(worker_id, recorded, false)?)
    }

    /// Each update is within its limit; all of them together must be too (I9).
    fn refuse_update(
        &self,
        worker_id: WorkerId,
        update: &UpdateWorker,
    ) -> Result<(), LifecycleError> {
        let labels = &self.worker(worker_id)?.record.labels;
        let kept = labels
            .keys()
            .filter(|key| !update.labels.contains_key(*key))
            .count();
        let set = update.labels.values().flatten().count();
        let (count, max) = (kept.saturating_add(set), self.around.limits.labels_max);
        if count <= max {
            return Ok(());
        }
        let reason = format!("there would be {count} and the limit is {max}");
        let field = "labels";
        Err(FieldInvalid { field, reason }.into())
    }

    fn set_paused(
        &mut self,
        worker_id: WorkerId,
        paused: bool,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        let record = self.worker(worker_id)?.record.clone();
        let (wanted, kind) = if paused {
            ("paused", EventType::WORKER_PAUSED)
        } else {
            ("resumed", EventType::WORKER_RESUMED)
        };
        if record.lifecycle != Lifecycle::Active {
            return Err(LifecycleError::WrongState {
                worker_id,
                state: record.lifecycle.as_str(),
                wanted,
            });
        }
        if record.paused == paused {
            return Ok(self.unchanged(worker_id)?);
        }
        let recorded = self.emit(worker_id, draft(kind, None, &json!({}))?)?;
        self.update(worker_id, |record| {
            record.paused = paused;
            record.changed = recorded;
        })?;
        if !paused {
            self.dispatch(worker_id)?;
        }
        Ok(self.lifecycle_receipt(worker_id, recorded, false)?)
    }

    /// Asks for the Worker's end. It is reached at once when nothing runs, else when its run is
    /// quiet; until then it keeps its scope (I6).
    fn end(
        &mut self,
        worker_id: WorkerId,
        kind: EndKind,
        reason: Option<String>,
        assume_dead: bool,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        let record = self.worker(worker_id)?.record.clone();
        // An operator's word that its processes are dead is news for as long as nobody knows.
        let is_news = assume_dead && record.unproven.is_some();
        let is_asked = record.end_asked().is_some();
        if record.lifecycle != Lifecycle::Active || (is_asked && !is_news) {
            return Ok(self.end_again(worker_id)?);
        }
        let data = json!({ "kind": kind, "reason": reason, "assume_dead": assume_dead });
        let recorded = self.emit(worker_id, draft(EventType::WORKER_ENDING, None, &data)?)?;
        if !is_asked {
            let ending = Ending {
                kind: kind.into(),
                at: recorded.at,
                position: recorded.position,
                reason,
            };
            self.update(worker_id, |record| record.ending = Some(ending))?;
            self.cancel_queued(worker_id)?;
        }
        self.request_cancel(worker_id, CancelCause::WorkerEnds)?;
        if assume_dead && self.is_unproven(worker_id) {
            self.take_for_dead(worker_id)?;
        }
        self.settle_end(worker_id)?;
        Ok(self.lifecycle_receipt(worker_id, recorded, false)?)
    }

    pub(super) fn is_unproven(&self, worker_id: WorkerId) -> bool {
        let worker = self.workers.get(&worker_id);
        worker.is_some_and(|worker| worker.record.unproven.is_some())
    }

    /// A Worker whose end was asked for, or that of its scope, and that runs nothing: its backend is
    /// stopped, and when all is quiet it has come to that. Until then it keeps its scope (I6).
    pub(super) fn settle_end(&mut self, worker_id: WorkerId) -> Result<(), Unavailable> {
        let Some(worker) = self.workers.get(&worker_id) else {
            return Ok(());
        };
        let record = &worker.record;
        let asked = record.ending.is_some() && record.lifecycle == Lifecycle::Active;
        if !asked || record.unproven.is_some() || self.current_run(worker_id).is_some() {
            return Ok(());
        }
        if self.around.live.has_owner(worker_id) {
            self.effects.push(Effect::StopBackend { worker_id });
            if !sabotage::is(Sabotage::FreeScopeEarly) {
                return Ok(());
            }
        }
        self.reach_end(worker_id)
    }

    /// The Worker's backend was stopped: everything that it ran is quiet, or can't be shown to be.
    pub(crate) fn backend_quiet(
        &mut self,
        worker_id: WorkerId,
        quiet: Result<(), BackendError>,
    ) -> Result<(), Unavailable> {
        let Some(worker) = self.workers.get(&worker_id) else {
            return Ok(());
        };
        let had_processes = !worker.record.processes.is_empty();
        let is_taken_from = worker.record.release_asked().is_some();
        match quiet {
            Ok(()) if had_processes => {
                self.update(worker_id, |record| record.processes.clear())?;
            }
            Ok(()) => {}
            // Said again after a commit that failed and was durable after all.
            Err(error) if worker.record.unproven.as_ref() == Some(&error.message) => {}
            Err(error) => self.set_unproven(worker_id, error.message)?,
        }
        self.settle_end(worker_id)?;
        match is_taken_from {
            // Whoever resumed it meanwhile has it run without a scope.
            true => self.dispatch(worker_id),
            false => Ok(()),
        }
    }

    /// The Worker's run is quiet: it is what it was asked to be, and its scope is free.
    fn reach_end(&mut self, worker_id: WorkerId) -> Result<(), Unavailable> {
        let record = self.worker_mut(worker_id)?.record.clone();
        let Some(ending) = &record.ending else {
            return Ok(());
        };
        let (lifecycle, kind) = match ending.kind {
            EndingKind::Stop => (Lifecycle::Stopped, EventType::WORKER_STOPPED),
            EndingKind::Cancel => (Lifecycle::Cancelled, EventType::WORKER_CANCELLED),
            EndingKind::Release => {
                self.give_up(worker_id, ending.reason.as_deref())?;
                return self
                    .update(worker_id, |record| record.ending = None)
                    .map(drop);
            }
        };
        self.release(worker_id, None)?;
        let data = json!({ "epoch": record.epoch, "reason": ending.reason });
        self.emit(worker_id, draft(kind, None, &data)?)?;
        self.update(worker_id, |record| record.lifecycle = lifecycle)?;
        Ok(())
    }

    fn archive(&mut self, worker_id: WorkerId) -> Result<LifecycleReceipt, LifecycleError> {
        let record = self.ended(worker_id, "archived")?;
        if record.archived {
            return Ok(self.unchanged(worker_id)?);
        }
        let recorded = self.emit(
            worker_id,
            draft(EventType::WORKER_ARCHIVED, None, &json!({}))?,
        )?;
        self.update(worker_id, |record| {
            record.archived = true;
            record.changed = recorded;
        })?;
        Ok(self.lifecycle_receipt(worker_id, recorded, false)?)
    }

    /// Whether a restore would change anything, by the very checks of that; nothing is changed.
    pub(crate) fn would_restore(&mut self, worker_id: WorkerId) -> Result<bool, LifecycleError> {
        self.worker(worker_id)?;
        self.check_head(worker_id)?;
        self.room.clone()?;
        Ok(self.refuse_restore(worker_id)?.is_some())
    }

    /// Why a Worker can't be restored, if it can't; else what it would hold again, and as whom it asks.
    /// `None` when it is active already.
    fn refuse_restore(
        &self,
        worker_id: WorkerId,
    ) -> Result<Option<(Option<Grant>, Asker)>, LifecycleError> {
        let record = self.worker(worker_id)?.record.clone();
        match record.lifecycle {
            Lifecycle::Stopped => {}
            Lifecycle::Active if record.end_asked().is_none() => return Ok(None),
            lifecycle => {
                return Err(LifecycleError::WrongState {
                    worker_id,
                    state: lifecycle.as_str(),
                    wanted: "restored",
                });
            }
        }
        let (grant, asker) = self.grant_again(&record);
        if let Some(grant) = &grant {
            self.refuse_grant(grant, asker)?;
        }
        Ok(Some((grant, asker)))
    }

    /// Starts the next epoch of a stopped Worker, with the scope that it had.
    fn restore(&mut self, worker_id: WorkerId) -> Result<LifecycleReceipt, LifecycleError> {
        let Some((grant, asker)) = self.refuse_restore(worker_id)? else {
            return Ok(self.unchanged(worker_id)?);
        };
        let record = self.worker(worker_id)?.record.clone();
        let epoch = record.epoch.next();
        let recorded = self.emit(
            worker_id,
            draft(EventType::WORKER_RESTORED, None, &json!({ "epoch": epoch }))?,
        )?;
        self.update(worker_id, |record| {
            record.lifecycle = Lifecycle::Active;
            record.epoch = epoch;
            record.ending = None;
            record.archived = false;
            record.changed = recorded;
        })?;
        if let Some(grant) = grant {
            self.grant(worker_id, asker.parent, grant)?;
        }
        Ok(self.lifecycle_receipt(worker_id, recorded, false)?)
    }

    /// Leaves a tombstone: the id is never used again, and nothing of what the Worker was is kept.
    fn delete(
        &mut self,
        worker_id: WorkerId,
        purge: bool,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        self.ended(worker_id, "deleted")?;
        let recorded = self.emit(
            worker_id,
            draft(EventType::WORKER_DELETED, None, &json!({ "purge": purge }))?,
        )?;
        self.update(worker_id, |record| record.bury(recorded))?;
        let last = crate::Seq(recorded.seq.0.saturating_sub(1));
        self.change(Change::Trim(worker_id, last));
        self.change(match purge {
            true => Change::Purge(worker_id),
            false => Change::Forget(worker_id),
        });
        Ok(self.lifecycle_receipt(worker_id, recorded, false)?)
    }

    fn ended(
        &self,
        worker_id: WorkerId,
        wanted: &'static str,
    ) -> Result<std::sync::Arc<crate::record::WorkerRecord>, LifecycleError> {
        let record = self.worker(worker_id)?.record.clone();
        match record.lifecycle {
            Lifecycle::Active => Err(LifecycleError::NotEnded {
                worker_id,
                state: "active",
                wanted,
            }),
            _ => Ok(record),
        }
    }

    pub(crate) fn cancel_run(
        &mut self,
        worker_id: WorkerId,
        run_id: crate::RunId,
    ) -> Result<CancelReceipt, RunError> {
        let worker = self.worker(worker_id)?;
        let running = worker
            .unfinished
            .front()
            .and_then(|front| front.run.as_ref());
        if running.is_none_or(|run| run.run_id != run_id) {
            return Err(RunError::Unknown { worker_id, run_id });
        }
        match self.request_cancel(worker_id, CancelCause::Run)? {
            Some((run_id, requested_at, repeated)) => Ok(CancelReceipt {
                worker_id,
                run_id,
                requested_at,
                repeated,
            }),
            None => Err(RunError::Unknown { worker_id, run_id }),
        }
    }

    /// What a call answers that changes nothing because it is so already: the receipt of the call
    /// that made it so.
    fn unchanged(&self, worker_id: WorkerId) -> Result<LifecycleReceipt, Unavailable> {
        let changed = self.workers.get(&worker_id).map(|it| it.record.changed);
        self.repeated(worker_id, changed)
    }

    /// As [`unchanged`](Self::unchanged), for an end: the first one wins within an epoch.
    fn end_again(&self, worker_id: WorkerId) -> Result<LifecycleReceipt, Unavailable> {
        let worker = self.workers.get(&worker_id);
        let asked = worker.and_then(|worker| worker.record.end_asked());
        let asked = asked.map(|(_, ending)| Recorded {
            seq: crate::Seq(0),
            position: ending.position,
            at: ending.at,
            incarnation_id: crate::runtime::incarnation_at(&self.incarnations, ending.position),
        });
        self.repeated(worker_id, asked)
    }

    fn repeated(
        &self,
        worker_id: WorkerId,
        first: Option<Recorded>,
    ) -> Result<LifecycleReceipt, Unavailable> {
        let first = first.ok_or_else(|| Unavailable::Bug {
            invariant: format!("what was asked for again of Worker {worker_id} was never recorded"),
        })?;
        self.lifecycle_receipt(worker_id, first, true)
    }

    fn lifecycle_receipt(
        &self,
        worker_id: WorkerId,
        recorded: Recorded,
        repeated: bool,
    ) -> Result<LifecycleReceipt, Unavailable> {
        let worker = self
            .workers
            .get(&worker_id)
            .ok_or_else(|| Unavailable::Bug {
                invariant: format!("Worker {worker_id} was changed and is gone"),
            })?;
        let record = &worker.record;
        Ok(LifecycleReceipt {
            worker_id,
            lifecycle: record.lifecycle,
            ending: record.end_asked().is_some() && record.lifecycle == Lifecycle::Active,
            ending_kind: record.end_asked().map(|(kind, _)| kind),
            position: recorded.position,
            cursor: self.cursor_of(worker_id, recorded),
            repeated,
        })
    }
}
