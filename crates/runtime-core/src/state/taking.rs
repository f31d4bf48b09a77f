//! What Workers hold, given back and taken back: gently, when nothing runs with it, or by force, once all
//! of that is dead (I6).
//!
//! Called for the commands of the allocation plane, and by `lifecycle` when a Worker is quiet.

use std::sync::Arc;

use serde_json::json;

use super::{Grant, State, draft};
use crate::{
    EventType, HeldRule, HeldScope, Permission, WorkerId,
    error::{AllocationError, Unavailable},
    record::{CancelCause, Ending, EndingKind, Lifecycle, Recorded},
    sabotage::{self, Sabotage},
    view::AllocationReceipt,
};

/// How something is taken with which something else runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// Not at all: it is refused.
    Gently,
    /// What runs is ended; what is held is free once all of that is quiet.
    ByForce,
}

impl State {
    pub(super) fn release_allocation(
        &mut self,
        worker_id: WorkerId,
        reason: Option<String>,
    ) -> Result<AllocationReceipt, AllocationError> {
        self.refuse_release(worker_id, Taking::Gently)?;
        let Some(recorded) = self.give_up(worker_id, reason.as_deref())? else {
            return Err(AllocationError::NotHeld(worker_id));
        };
        Ok(self.allocation_receipt(worker_id, recorded, &[]))
    }

    /// That there is something to give up, and nothing runs with it but what would be ended.
    pub(super) fn refuse_release(
        &self,
        worker_id: WorkerId,
        how: Taking,
    ) -> Result<(), AllocationError> {
        self.active(worker_id)?;
        if !self.can_give_up(worker_id) {
            return Err(AllocationError::NotHeld(worker_id));
        }
        match how {
            Taking::Gently => self.refuse_in_use(worker_id),
            Taking::ByForce => Ok(()),
        }
    }

    /// Whether it was taken by force already, which is only waited for.
    fn is_taken(&self, worker_id: WorkerId, how: Taking) -> bool {
        let worker = self.workers.get(&worker_id);
        how == Taking::ByForce
            && worker.is_some_and(|worker| worker.record.release_asked().is_some())
    }

    /// From whom a release would take something, by the very checks of that.
    pub(super) fn would_release(
        &self,
        worker_id: WorkerId,
        how: Taking,
    ) -> Result<Vec<WorkerId>, AllocationError> {
        if self.is_taken(worker_id, how) {
            return Ok(Vec::new());
        }
        self.refuse_release(worker_id, how)?;
        Ok(vec![worker_id])
    }

    /// As a release, but what runs is ended first. It is one intent of the Worker's record, as an end
    /// is, so that nothing starts in between and a crash leaves nothing half done.
    pub(super) fn take(
        &mut self,
        worker_id: WorkerId,
        reason: Option<String>,
    ) -> Result<AllocationReceipt, AllocationError> {
        let record = self.worker(worker_id)?.record.clone();
        if let Some(asked) = record.release_asked() {
            let position = asked.position;
            let asked = Recorded {
                seq: crate::Seq(0),
                position,
                at: asked.at,
                incarnation_id: crate::runtime::incarnation_at(&self.incarnations, position),
            };
            return Ok(AllocationReceipt {
                repeated: true,
                ..self.allocation_receipt(worker_id, asked, &[worker_id])
            });
        }
        self.refuse_release(worker_id, Taking::ByForce)?;
        let recorded = self.ask_release(worker_id, reason.as_deref())?;
        Ok(self.allocation_receipt(worker_id, recorded, &[worker_id]))
    }

    /// Holds what waits, has the run cancelled, and the scope released when all is quiet.
    fn ask_release(
        &mut self,
        worker_id: WorkerId,
        reason: Option<&str>,
    ) -> Result<Recorded, Unavailable> {
        let data = json!({
            "fence": self.holdings.get(worker_id).map(|held| held.fence),
            "run_id": self.current_run(worker_id).map(|run| run.run_id),
            "reason": reason,
        });
        let told = draft(EventType::ALLOCATION_RELEASING, None, &data)?;
        let recorded = self.emit(worker_id, told)?;
        let paused = match self.worker_mut(worker_id)?.record.paused {
            true => None,
            false => {
                let told = draft(EventType::WORKER_PAUSED, None, &json!({}))?;
                Some(self.emit(worker_id, told)?)
            }
        };
        let ending = Ending {
            kind: EndingKind::Release,
            at: recorded.at,
            position: recorded.position,
            reason: reason.map(str::to_owned),
        };
        self.update(worker_id, |record| {
            record.ending = Some(ending);
            if let Some(paused) = paused {
                record.paused = true;
                record.changed = paused;
            }
        })?;
        self.request_cancel(worker_id, CancelCause::ScopeTaken)?;
        self.settle_end(worker_id)?;
        Ok(recorded)
    }

    /// From whom a reclaim takes something, if nothing is against it.
    pub(super) fn refuse_reclaim(
        &mut self,
        worker_id: WorkerId,
        how: Taking,
    ) -> Result<Vec<WorkerId>, AllocationError> {
        self.active(worker_id)?;
        if self.holdings.get(worker_id).is_none() {
            return Err(AllocationError::NotHeld(worker_id));
        }
        let children = self.holdings.children(worker_id);
        let mut children: Vec<WorkerId> = children
            .map(|child| child.worker_id)
            .filter(|child| self.can_give_up(*child))
            .collect();
        if sabotage::is(Sabotage::ReclaimTooDeep) {
            let deeper = children
                .iter()
                .flat_map(|child| self.holdings.children(*child));
            let deeper: Vec<WorkerId> = deeper.map(|child| child.worker_id).collect();
            children.extend(deeper);
        }
        for child in &children {
            self.worker(*child)?;
            self.check_head(*child)?;
            if how == Taking::Gently {
                self.refuse_in_use(*child)?;
            }
        }
        Ok(children)
    }

    pub(super) fn reclaim(
        &mut self,
        worker_id: WorkerId,
        reason: Option<String>,
        how: Taking,
    ) -> Result<AllocationReceipt, AllocationError> {
        let children = self.refuse_reclaim(worker_id, how)?;
        for child in &children {
            match how {
                Taking::Gently => drop(self.give_up(*child, reason.as_deref())?),
                // Of one that is about to end it is free with that.
                Taking::ByForce if self.worker(*child)?.record.ending.is_some() => {}
                Taking::ByForce => drop(self.ask_release(*child, reason.as_deref())?),
            }
        }
        let waits_for: Vec<WorkerId> = self.still_held(&children).collect();
        let data = json!({ "from": children, "waits_for": waits_for, "reason": reason });
        let recorded = self.emit(
            worker_id,
            draft(EventType::ALLOCATION_RECLAIMED, None, &data)?,
        )?;
        Ok(self.allocation_receipt(worker_id, recorded, &children))
    }

    /// Those that hold what was taken from them until all is quiet.
    pub(super) fn still_held<'a>(
        &'a self,
        of: &'a [WorkerId],
    ) -> impl Iterator<Item = WorkerId> + 'a {
        let waits = |worker_id: &WorkerId| {
            let worker = self.workers.get(worker_id);
            worker.is_some_and(|worker| {
                let record = &worker.record;
                record.lifecycle == Lifecycle::Active && record.ending.is_some()
            })
        };
        of.iter().copied().filter(waits)
    }

    /// Releases what a Worker holds for good: a restore does not take it again. Where it works it may
    /// look on.
    pub(super) fn give_up(
        &mut self,
        worker_id: WorkerId,
        reason: Option<&str>,
    ) -> Result<Option<Recorded>, Unavailable> {
        let parent = self.holdings.get(worker_id).and_then(|held| held.parent);
        let released = self.release(worker_id, reason)?;
        if released.is_none() {
            return Ok(None);
        }
        let kept = self.workspace_rule(worker_id).map(Arc::new);
        let scope = kept.clone();
        self.update(worker_id, |record| {
            record.scope = scope;
            record.delegation = None;
        })?;
        if kept.is_some() {
            let delegation = None;
            let grant = Grant {
                scope: kept,
                delegation,
            };
            self.grant(worker_id, parent, grant)?;
        }
        Ok(released)
    }

    /// What a Worker keeps of what it gives up: to look at the top of the mount that it works in, but at
    /// nothing that it was denied: less is never more. It is in nobody's way, and it tells what the mount's
    /// name stands for where nothing else does.
    fn workspace_rule(&self, worker_id: WorkerId) -> Option<HeldScope> {
        let record = &self.workers.get(&worker_id)?.record;
        let workspace = record.spec.workspace.as_ref()?;
        let is_it = |rule: &&HeldRule| {
            rule.mount == workspace.mount
                && rule.path.is_empty()
                && rule.permission == Permission::Read
                && rule.recursive
        };
        let scope = record.scope.as_ref()?;
        Some(HeldScope {
            allow: vec![scope.allow.iter().find(is_it)?.clone()],
            deny: scope.deny.clone(),
        })
    }

    /// Whether there is something that it could give up.
    fn can_give_up(&self, worker_id: WorkerId) -> bool {
        let kept = self.workspace_rule(worker_id);
        self.holdings
            .get(worker_id)
            .is_some_and(|held| held.delegation.is_some() || Some(&*held.scope) != kept.as_ref())
    }
}
