//! What Workers hold: granted, changed, handed down, and given back (I6).
//!
//! Everything is refused before anything is changed. A scope comes and goes with its Worker's life
//! (`create`, `lifecycle`); here is what these do, and how it is changed. `taking` has the rest of what is
//! asked of an allocation by itself.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{State, Taking, draft};
use crate::{
    EventType, HeldScope, WorkerId,
    error::{AllocationError, ScopeRefusal, Unavailable},
    holdings::Asker,
    record::{AllocationRecord, Lifecycle, Recorded, WorkerRecord},
    sabotage::{self, Sabotage},
    scope::{Claim, NO_SCOPE, covers},
    store::Change,
    view::{AllocationReceipt, wire_rule, wire_scope},
};

/// What a Worker is to hold: normalised, and not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) scope: Option<Arc<HeldScope>>,
    pub(crate) delegation: Option<Arc<HeldScope>>,
}

impl Grant {
    /// `None` when nothing is asked for.
    pub(crate) fn new(scope: HeldScope, delegation: HeldScope) -> Option<Self> {
        let some = |scope: HeldScope| (!scope.allow.is_empty()).then(|| Arc::new(scope));
        let (scope, delegation) = (some(scope), some(delegation));
        (scope.is_some() || delegation.is_some()).then_some(Self { scope, delegation })
    }

    /// What a Worker held, or was made with.
    fn of(record: &WorkerRecord) -> Option<Self> {
        let (scope, delegation) = (record.scope.clone(), record.delegation.clone());
        (scope.is_some() || delegation.is_some()).then_some(Self { scope, delegation })
    }

    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim {
            scope: self.scope.as_deref().unwrap_or(&NO_SCOPE),
            delegation: self.delegation.as_deref().unwrap_or(&NO_SCOPE),
        }
    }
}

/// What is asked of an allocation.
#[derive(Debug, Clone)]
pub(crate) enum AllocationOp {
    /// To hold exactly this from now on.
    Change {
        grant: Option<Grant>,
        reason: Option<String>,
    },
    /// To hold nothing; what those below it hold lies under its parent then.
    Release { reason: Option<String>, how: Taking },
    /// To take back what those directly below it hold; what lies below these lies below it then.
    Reclaim { reason: Option<String>, how: Taking },
}

impl AllocationOp {
    /// Whether it only frees something, and is taken although there is no room for new work.
    pub(crate) fn must_happen(&self) -> bool {
        !matches!(self, Self::Change { .. })
    }
}

impl State {
    /// Whether this may be granted to whoever asks.
    pub(super) fn refuse_grant(&self, grant: &Grant, asker: Asker) -> Result<(), ScopeRefusal> {
        let name_of = |worker_id| self.workers.get(&worker_id)?.record.display_name.clone();
        match self.holdings.refuse(grant.claim(), asker, name_of) {
            Err(ScopeRefusal::Conflict { .. }) if sabotage::is(Sabotage::GrantOverlap) => Ok(()),
            answer => answer,
        }
    }

    /// What a Worker that was ended would take again, and under whom: the nearest above it that has
    /// not ended. That one bounds it whatever it holds now; one that gave all up delegates nothing. To
    /// look past it would let a Worker get by its lead's giving up all what it would not by its giving
    /// up a part. One whose record is lost bounds it too: nobody knows who is above that.
    pub(super) fn grant_again(&self, record: &WorkerRecord) -> (Option<Grant>, Asker) {
        let parent_of = |worker_id: WorkerId| self.workers.get(&worker_id)?.record.spec.parent;
        let bounds = |worker_id: &WorkerId| {
            let worker = self.workers.get(worker_id);
            worker.is_none_or(|worker| worker.record.lifecycle == Lifecycle::Active)
        };
        let above = std::iter::successors(record.spec.parent, |above| parent_of(*above));
        let asker = Asker {
            worker_id: Some(record.worker_id),
            parent: above.take(self.workers.len()).find(bounds),
        };
        (Grant::of(record), asker)
    }

    /// Grants what was found to meet nobody's.
    pub(super) fn grant(
        &mut self,
        worker_id: WorkerId,
        parent: Option<WorkerId>,
        grant: Grant,
    ) -> Result<(), Unavailable> {
        let fence = self.grant_fence();
        let allocation = AllocationRecord {
            worker_id,
            parent,
            scope: grant.scope.unwrap_or_default(),
            fence,
            granted_at: self.now(),
            delegation: grant.delegation,
        };
        let data = told(&allocation, None);
        self.emit(
            worker_id,
            draft(EventType::ALLOCATION_GRANTED, None, &data)?,
        )?;
        self.hold(allocation);
        Ok(())
    }

    /// From now on this is what its owner holds.
    pub(super) fn hold(&mut self, allocation: AllocationRecord) {
        let allocation = Arc::new(allocation);
        self.touched.workers.insert(allocation.worker_id);
        self.change(Change::Allocation(allocation.clone()));
        self.holdings.insert(allocation);
    }

    /// A Worker holds nothing any more. What those below it hold lies in the delegation of whoever is
    /// above it, or of nobody.
    pub(super) fn release(
        &mut self,
        worker_id: WorkerId,
        reason: Option<&str>,
    ) -> Result<Option<Recorded>, Unavailable> {
        let Some(allocation) = self.holdings.get(worker_id).cloned() else {
            return Ok(None);
        };
        let data = json!({ "fence": allocation.fence, "reason": reason });
        let recorded = self.emit(
            worker_id,
            draft(EventType::ALLOCATION_RELEASED, None, &data)?,
        )?;
        let children: Vec<_> = self.holdings.children(worker_id).cloned().collect();
        for child in children {
            let child_id = child.worker_id;
            if !self.workers.contains_key(&child_id) {
                // Its own record is damaged: nothing can be told of it, and it holds what it held.
                continue;
            }
            if sabotage::is(Sabotage::DropChildren) {
                self.hold_nothing(child_id);
                continue;
            }
            let data = json!({ "from": worker_id, "to": allocation.parent });
            self.emit(
                child_id,
                draft(EventType::ALLOCATION_REPARENTED, None, &data)?,
            )?;
            self.hold(AllocationRecord {
                parent: allocation.parent,
                ..(*child).clone()
            });
        }
        self.hold_nothing(worker_id);
        Ok(Some(recorded))
    }

    /// From now on it holds nothing.
    fn hold_nothing(&mut self, worker_id: WorkerId) {
        self.holdings.remove(worker_id);
        self.touched.workers.insert(worker_id);
        self.change(Change::Release(worker_id));
    }

    pub(crate) fn allocation(
        &mut self,
        worker_id: WorkerId,
        op: AllocationOp,
    ) -> Result<AllocationReceipt, AllocationError> {
        self.worker(worker_id)?;
        self.check_head(worker_id)?;
        if !op.must_happen() {
            self.room.clone()?;
        }
        match op {
            AllocationOp::Change { grant, reason } => {
                self.change_allocation(worker_id, grant, reason)
            }
            AllocationOp::Release { reason, how } => match how {
                Taking::Gently => self.release_allocation(worker_id, reason),
                Taking::ByForce => self.take(worker_id, reason),
            },
            AllocationOp::Reclaim { reason, how } => self.reclaim(worker_id, reason, how),
        }
    }

    /// Who would hold something else then, by the very checks of what is asked; nothing is changed.
    pub(crate) fn would(
        &mut self,
        worker_id: WorkerId,
        op: &AllocationOp,
    ) -> Result<Vec<WorkerId>, AllocationError> {
        self.worker(worker_id)?;
        self.check_head(worker_id)?;
        if !op.must_happen() {
            self.room.clone()?;
        }
        match op {
            AllocationOp::Change { grant, .. } => {
                self.refuse_change(worker_id, grant.as_ref())?;
                let changes = !self.holds_just(worker_id, grant.as_ref());
                Ok(changes.then_some(worker_id).into_iter().collect())
            }
            AllocationOp::Release { how, .. } => self.would_release(worker_id, *how),
            AllocationOp::Reclaim { how, .. } => self.refuse_reclaim(worker_id, *how),
        }
    }

    /// Why a Worker can't hold this from now on, if it can't; else as whom it asks.
    fn refuse_change(
        &self,
        worker_id: WorkerId,
        grant: Option<&Grant>,
    ) -> Result<Asker, AllocationError> {
        let record = self.active(worker_id)?;
        let held = self.holdings.get(worker_id);
        let nothing = Claim::from(&NO_SCOPE);
        let before = held.map_or(nothing, |held| held.claim());
        let after = grant.map_or(nothing, Grant::claim);
        if let Some((child, rule)) = self.holdings.child_beyond(worker_id, after) {
            let rule = wire_rule(&rule);
            return Err(AllocationError::Lent { child, rule });
        }
        let grows = covers(&after, &before) && covers(after.scope, before.scope);
        if !grows {
            self.refuse_in_use(worker_id)?;
        }
        let asker = Asker {
            worker_id: Some(worker_id),
            parent: match held {
                Some(held) => held.parent,
                None => self.grant_again(&record).1.parent,
            },
        };
        match grant {
            Some(grant) => self.refuse_grant(grant, asker)?,
            None => self.refuse_release(worker_id, Taking::Gently)?,
        }
        Ok(asker)
    }

    /// Whether a change to this would be none.
    fn holds_just(&self, worker_id: WorkerId, grant: Option<&Grant>) -> bool {
        let held = self.holdings.get(worker_id).map(|held| held.claim());
        held == grant.map(Grant::claim)
    }

    fn change_allocation(
        &mut self,
        worker_id: WorkerId,
        grant: Option<Grant>,
        reason: Option<String>,
    ) -> Result<AllocationReceipt, AllocationError> {
        let Asker { parent, .. } = self.refuse_change(worker_id, grant.as_ref())?;
        if self.holds_just(worker_id, grant.as_ref()) {
            let changed = self.worker(worker_id)?.record.changed;
            return Ok(AllocationReceipt {
                repeated: true,
                ..self.allocation_receipt(worker_id, changed, &[])
            });
        }
        let Some(grant) = grant else {
            return self.release_allocation(worker_id, reason);
        };
        let kind = match self.holdings.get(worker_id) {
            Some(_) => EventType::ALLOCATION_CHANGED,
            None => EventType::ALLOCATION_GRANTED,
        };
        let (scope, delegation) = (grant.scope.clone(), grant.delegation.clone());
        // A run that goes on keeps its fence: it may do what it could, and more.
        let runs = self.current_run(worker_id).and_then(|run| run.fence);
        let allocation = AllocationRecord {
            worker_id,
            parent,
            scope: grant.scope.unwrap_or_default(),
            fence: match runs {
                Some(fence) => fence,
                None => self.grant_fence(),
            },
            granted_at: self.now(),
            delegation: grant.delegation,
        };
        let data = told(&allocation, reason.as_deref());
        let recorded = self.emit(worker_id, draft(kind, None, &data)?)?;
        let held = self.holdings.get(worker_id);
        let is_less = held.is_some_and(|held| !covers(&allocation.claim(), &held.claim()));
        match is_less && sabotage::is(Sabotage::ForgetNarrowing) {
            true => self.holdings.insert(Arc::new(allocation)),
            false => self.hold(allocation),
        }
        self.update(worker_id, |record| {
            record.scope = scope;
            record.delegation = delegation;
        })?;
        Ok(self.allocation_receipt(worker_id, recorded, &[]))
    }

    pub(super) fn allocation_receipt(
        &self,
        worker_id: WorkerId,
        recorded: Recorded,
        taken_from: &[WorkerId],
    ) -> AllocationReceipt {
        AllocationReceipt {
            worker_id,
            fence: self.holdings.get(worker_id).map(|held| held.fence),
            waits_for: self.still_held(taken_from).collect(),
            position: recorded.position,
            cursor: self.cursor_of(worker_id, recorded),
            repeated: false,
        }
    }

    /// That nothing runs that was started with what the Worker holds, or may still do. What is asked to
    /// end holds it until all is quiet, and what can't be shown to be dead until it can.
    pub(super) fn refuse_in_use(&self, worker_id: WorkerId) -> Result<(), AllocationError> {
        let run_id = self.current_run(worker_id).map(|run| run.run_id);
        let record = &self.worker(worker_id)?.record;
        let is_quiet =
            record.processes.is_empty() && record.ending.is_none() && record.unproven.is_none();
        match run_id.is_none() && is_quiet {
            true => Ok(()),
            false => Err(AllocationError::InUse { worker_id, run_id }),
        }
    }

    pub(super) fn active(&self, worker_id: WorkerId) -> Result<Arc<WorkerRecord>, AllocationError> {
        let record = self.worker(worker_id)?.record.clone();
        let state = match record.lifecycle {
            Lifecycle::Active if record.ending.is_none() => return Ok(record),
            Lifecycle::Active if record.release_asked().is_some() => "about to give up its scope",
            Lifecycle::Active => "about to end",
            ended => ended.as_str(),
        };
        Err(AllocationError::NotActive { worker_id, state })
    }
}

/// What is told of an allocation.
fn told(allocation: &AllocationRecord, reason: Option<&str>) -> Value {
    let mut data = json!({
        "fence": allocation.fence,
        "parent": allocation.parent,
        "allow": wire_scope(&allocation.scope).allow,
        "deny": wire_scope(&allocation.scope).deny,
    });
    if let Some(fields) = data.as_object_mut() {
        if let Some(delegation) = &allocation.delegation {
            fields.insert("delegation".to_owned(), json!(wire_scope(delegation)));
        }
        if let Some(reason) = reason {
            fields.insert("reason".to_owned(), json!(reason));
        }
    }
    data
}
