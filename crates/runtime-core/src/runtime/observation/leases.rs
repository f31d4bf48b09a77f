//! Leases, and what their fences are good for: the same of a live store and of a stopped one (I6).

use super::{Observation, Snapshot, allocations::denied};
use crate::{
    LeaseId, Mounts, Stream,
    error::{FenceError, NoLease},
    record::LeaseRecord,
    scope::Leaves,
    state::no_lease,
    view::{LeaseList, LeaseVerified, LeaseView, VerifyFence},
};

impl Observation {
    /// What others than Workers hold, oldest grant first, paged.
    pub fn leases(&self, offset: usize, count_max: usize) -> LeaseList {
        let (snapshot, position) = self.shared.read();
        let mut held: Vec<_> = snapshot.holdings.leases().collect();
        held.sort_by_key(|held| (held.granted_at, held.lease_id));
        let total = held.len();
        let page = held.into_iter().skip(offset).take(count_max);
        let leases: Vec<_> = page.map(|held| self.lease_view(&snapshot, held)).collect();
        let end = offset.saturating_add(leases.len());
        LeaseList {
            next: (end < total && !leases.is_empty()).then_some(end),
            leases,
            total,
            cursor: self.shared.cursor(Stream::Runtime, position),
        }
    }

    /// What one lease holds.
    ///
    /// # Errors
    /// [`NoLease`].
    pub fn lease(&self, lease_id: LeaseId) -> Result<LeaseView, NoLease> {
        let (snapshot, _) = self.shared.read();
        let held = held(&snapshot, lease_id)?;
        Ok(self.lease_view(&snapshot, held))
    }

    /// Whether a fence is the one that was granted with a lease, in this incarnation, and whether its
    /// holder may touch a place. On a store that nobody runs no fence is current.
    ///
    /// # Errors
    /// [`FenceError`].
    pub fn verify_lease(
        &self,
        mounts: &Mounts,
        lease_id: LeaseId,
        asked: &VerifyFence,
    ) -> Result<LeaseVerified, FenceError> {
        let (fence, place) = (asked.fence, &asked.place);
        let target = mounts.target(&place.mount, &place.path)?;
        let (snapshot, position) = self.shared.read();
        let held = held(&snapshot, lease_id)?;
        let shown = self.lease_view(&snapshot, held);
        let holder = lease_id.into();
        if !shown.is_current || shown.fence != fence {
            return Err(FenceError::Stale { holder, fence });
        }
        let permission = held.scope.permission_at(&target);
        match permission.filter(|permission| *permission >= asked.permission) {
            Some(permission) => Ok(LeaseVerified {
                lease_id,
                fence,
                permission,
                expires_at: shown.expires_at,
                cursor: self.shared.cursor(Stream::Runtime, position),
            }),
            None => Err(denied(holder, asked)),
        }
    }

    fn lease_view(&self, snapshot: &Snapshot, held: &LeaseRecord) -> LeaseView {
        let void_to = self.shared.fences_void_to;
        let is_current = void_to.is_some_and(|void_to| held.fence > void_to);
        let expires_at = snapshot.leases_expire_at.get(&held.lease_id).copied();
        LeaseView::of(held, is_current, expires_at)
    }
}

fn held(snapshot: &Snapshot, lease_id: LeaseId) -> Result<&LeaseRecord, NoLease> {
    let held = snapshot.holdings.lease(lease_id);
    held.map(|held| &**held)
        .ok_or_else(|| no_lease(&snapshot.damaged, lease_id))
}
