//! What is held, who holds a place, and what a fence is good for: the same of a live store and of a
//! stopped one (I6).

use super::{Observation, PublishedWorker, Snapshot};
use crate::{
    Mounts, Permission, Scope, ScopeError, ScopeRule, Stream, WorkerId,
    error::{AllocationError, FenceError},
    holdings::{Asker, Held},
    record::{AllocationRecord, RunRecord},
    scope::{HOLDERS_MAX, Leaves, deepest_at, nearest_below},
    state::{FENCE_LOST, Grant},
    view::{
        AllocationList, AllocationView, FenceVerified, Holder, Place, PlaceHolder, PlaceHolders,
        VerifyFence, wire_rule, wire_scope,
    },
};

impl Observation {
    /// What is held, oldest grant first, paged.
    pub fn allocations(&self, offset: usize, count_max: usize) -> AllocationList {
        let (snapshot, position) = self.shared.read();
        let mut held: Vec<_> = snapshot.holdings.iter().collect();
        held.sort_by_key(|held| (held.granted_at, held.worker_id));
        let total = held.len();
        let page = held.into_iter().skip(offset).take(count_max);
        let allocations: Vec<_> = page
            .map(|held| self.allocation_view(&snapshot, held))
            .collect();
        let end = offset.saturating_add(allocations.len());
        AllocationList {
            next: (end < total && !allocations.is_empty()).then_some(end),
            allocations,
            total,
            cursor: self.shared.cursor(Stream::Runtime, position),
        }
    }

    /// What one Worker holds; `None` when it holds nothing.
    pub fn allocation(&self, worker_id: WorkerId) -> Option<AllocationView> {
        let (snapshot, _) = self.shared.read();
        let held = snapshot.holdings.get(worker_id)?;
        Some(self.allocation_view(&snapshot, held))
    }

    /// Who holds a place, and what lies below it.
    ///
    /// # Errors
    /// When the place can't be taken.
    pub fn who(
        &self,
        mounts: &Mounts,
        place: impl Into<Place>,
    ) -> Result<PlaceHolders, ScopeError> {
        let place = place.into();
        let target = mounts.target_of(&place)?;
        let (snapshot, position) = self.shared.read();
        let mut at = snapshot
            .holdings
            .at(&target)
            .filter_map(|(held, permission)| {
                let rule = deepest_at(held.claim(), &target)?;
                let delegation = held.claim().delegation;
                Some(PlaceHolder {
                    delegates: delegation.permission_at(&target),
                    ..holder(&snapshot, held, permission, wire_rule(rule))
                })
            });
        let mut holders: Vec<PlaceHolder> = at.by_ref().take(HOLDERS_MAX).collect();
        holders.sort_by_key(|holder| (std::cmp::Reverse(holder.permission), holder.holder));
        let mut below = snapshot.holdings.below(&target).filter_map(|held| {
            let rule = nearest_below(held.claim(), &target)?;
            Some(holder(&snapshot, held, None, wire_rule(rule)))
        });
        let first_below = below.by_ref().take(HOLDERS_MAX).collect();
        Ok(PlaceHolders {
            place,
            holders,
            below: first_below,
            more: at.next().is_some() || below.next().is_some(),
            cursor: self.shared.cursor(Stream::Runtime, position),
        })
    }

    /// Whether this would be granted to a Worker below `parent`.
    ///
    /// # Errors
    /// [`AllocationError::Refused`] with every owner, and what is wrong with the scope itself.
    pub fn check_scope(
        &self,
        mounts: &Mounts,
        scope: &Scope,
        delegation: &Scope,
        parent: Option<WorkerId>,
    ) -> Result<(), AllocationError> {
        let grant = Grant::new(mounts.enter(scope)?, mounts.enter(delegation)?);
        let (snapshot, _) = self.shared.read();
        if let Some(parent) = parent {
            self.shared.check_readable(&snapshot, parent)?;
        }
        let Some(grant) = grant else {
            return Ok(());
        };
        let name_of = |worker_id| {
            snapshot
                .workers
                .get(&worker_id)?
                .record
                .display_name
                .clone()
        };
        let worker_id = None;
        let asker = Asker { worker_id, parent };
        Ok(snapshot.holdings.refuse(grant.claim(), asker, name_of)?)
    }

    /// Whether a fence is the one that was granted to the run that goes on, and whether that may touch
    /// a place. On a store that nobody runs no fence is current.
    ///
    /// # Errors
    /// [`FenceError`].
    pub fn verify(
        &self,
        mounts: &Mounts,
        worker_id: WorkerId,
        asked: &VerifyFence,
    ) -> Result<FenceVerified, FenceError> {
        let (fence, place) = (asked.fence, &asked.place);
        let target = mounts.target(&place.mount, &place.path)?;
        let (snapshot, position) = self.shared.read();
        self.shared.check_readable(&snapshot, worker_id)?;
        let holder = worker_id.into();
        let stale = FenceError::Stale { holder, fence };
        let worker = snapshot.workers.get(&worker_id);
        let held = snapshot.holdings.get(worker_id);
        let held = held.filter(|held| held.fence == fence);
        let Some(run) = worker
            .zip(held)
            .and_then(|(worker, held)| self.current_run(worker, held))
        else {
            return Err(stale);
        };
        let permission = snapshot.holdings.permission_at(worker_id, &target);
        match permission.filter(|permission| *permission >= asked.permission) {
            Some(permission) => Ok(FenceVerified {
                worker_id,
                run_id: run.run_id,
                fence,
                permission,
                cursor: self.shared.cursor(Stream::Runtime, position),
            }),
            None => Err(denied(holder, asked)),
        }
    }

    /// The run that goes on with the fence of what is held. On a store that nobody runs none does; one
    /// whose processes can't be shown to be dead was another incarnation's, and its fence is void.
    fn current_run<'a>(
        &self,
        worker: &'a PublishedWorker,
        held: &AllocationRecord,
    ) -> Option<&'a RunRecord> {
        let run = worker.unfinished.front()?.run.as_ref()?;
        let goes_on = self.is_live() && worker.record.unproven.is_none();
        (goes_on && run.fence == Some(held.fence)).then_some(run)
    }

    fn allocation_view(&self, snapshot: &Snapshot, held: &AllocationRecord) -> AllocationView {
        let worker = snapshot.workers.get(&held.worker_id);
        let run = worker.and_then(|worker| worker.unfinished.front()?.run.as_ref());
        let children = snapshot.holdings.children(held.worker_id);
        AllocationView {
            worker_id: held.worker_id,
            display_name: worker.and_then(|worker| worker.record.display_name.clone()),
            parent: held.parent,
            scope: wire_scope(&held.scope),
            delegation: held
                .delegation
                .as_deref()
                .map(wire_scope)
                .unwrap_or_default(),
            lent_to: children.map(|child| child.worker_id).collect(),
            fence: Some(held.fence).filter(|fence| *fence != FENCE_LOST),
            is_current: worker.is_some_and(|worker| self.current_run(worker, held).is_some()),
            run_id: run.map(|run| run.run_id),
            has_process: worker.is_some_and(|worker| !worker.record.processes.is_empty()),
            unproven: worker.is_some_and(|worker| worker.record.unproven.is_some()),
            releasing: worker.and_then(|worker| worker.record.release_asked().map(Into::into)),
            granted_at: held.granted_at,
        }
    }
}

/// That whoever has the fence may not do this there.
pub(super) fn denied(holder: Holder, asked: &VerifyFence) -> FenceError {
    let rule = ScopeRule {
        mount: asked.place.mount.clone(),
        path: asked.place.path.clone(),
        permission: asked.permission,
        recursive: false,
    };
    FenceError::Denied { holder, rule }
}

fn holder(
    snapshot: &Snapshot,
    held: Held<'_>,
    permission: Option<Permission>,
    rule: ScopeRule,
) -> PlaceHolder {
    let (display_name, run) = match held {
        Held::Allocation(held) => {
            let worker = snapshot.workers.get(&held.worker_id);
            let run = worker.and_then(|worker| worker.unfinished.front()?.run.as_ref());
            let name = worker.and_then(|worker| worker.record.display_name.clone());
            (name, run)
        }
        Held::Lease(held) => (Some(held.holder.clone()), None),
    };
    PlaceHolder {
        holder: held.holder(),
        display_name,
        permission,
        delegates: None,
        rule,
        run_id: run.map(|run| run.run_id),
    }
}
