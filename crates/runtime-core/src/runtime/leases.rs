//! The allocation plane for those who are no Workers: leases are taken, renewed and given back.

use super::{
    allocations::{Allocations, check_said},
    command::Command,
};
use crate::{
    Fence, LeaseId,
    error::{FenceError, LeaseError},
    lease::{AcquireLease, RenewLease},
    state::{LeaseEnd, Renewal},
    view::{LeaseReceipt, LeaseReleased, LeaseVerified, VerifyFence},
};

impl Allocations {
    /// Holds a scope for a time, for somebody who is no Worker. Asked for again with the same id it is
    /// answered as before, for as long as it is held; after a restart with the next fence, as the first
    /// answer may have been lost.
    ///
    /// # Errors
    /// [`LeaseError`]; above all with every owner of what was asked for.
    ///
    /// # Durability
    /// That it is held survives a crash when it returns `Ok`, with its whole time again; its fence does
    /// not: [`renew`](Self::renew) with it gives the next one.
    pub async fn acquire(&self, request: AcquireLease) -> Result<LeaseReceipt, LeaseError> {
        let prepared = self.runtime.inner().prepare_lease(request)?;
        let prepared = Box::new(prepared);
        self.runtime
            .ask(|reply| Command::Acquire(prepared, reply))
            .await
    }

    /// Whether [`acquire`](Self::acquire) would grant it: `false` when it is held already. Changes
    /// nothing.
    ///
    /// # Errors
    /// Those of `acquire`.
    pub async fn would_acquire(&self, request: AcquireLease) -> Result<bool, LeaseError> {
        let prepared = self.runtime.inner().prepare_lease(request)?;
        let prepared = Box::new(prepared);
        self.runtime
            .ask(|reply| Command::WouldAcquire(prepared, reply))
            .await
    }

    /// Holds it on, for its whole time from now on. After a restart the fence of before gives the next
    /// one; that is safe to repeat.
    ///
    /// # Errors
    /// [`LeaseError`]; above all when it is held no more, or the fence is not its holder's.
    ///
    /// # Durability
    /// Another fence and another time survive a crash when it returns `Ok`. Else nothing is written: an
    /// opening lets every lease have its whole time again.
    pub async fn renew(
        &self,
        lease_id: LeaseId,
        asked: &RenewLease,
    ) -> Result<LeaseReceipt, LeaseError> {
        let RenewLease { fence, ttl_ms } = *asked;
        if let Some(ttl_ms) = ttl_ms {
            super::prepare::check_ttl(ttl_ms)?;
        }
        let renewal = Renewal {
            lease_id,
            fence,
            ttl_ms,
        };
        self.runtime
            .ask(|reply| Command::Renew(renewal, reply))
            .await
    }

    /// Gives it back, by its holder: what it held is free.
    ///
    /// # Errors
    /// [`LeaseError`]; above all when the fence is not its holder's.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn release_lease(
        &self,
        lease_id: LeaseId,
        fence: Fence,
        reason: Option<String>,
    ) -> Result<LeaseReleased, LeaseError> {
        self.end_lease(lease_id, Some(fence), reason).await
    }

    /// Takes it from its holder, whoever that is. Nothing of the holder's is known that could be ended,
    /// so what it held is free at once: a holder that asks for its fence before it writes is refused
    /// from then on, and another one is not kept from anything.
    ///
    /// # Errors
    /// [`LeaseError`].
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn release_lease_by_force(
        &self,
        lease_id: LeaseId,
        reason: String,
    ) -> Result<LeaseReleased, LeaseError> {
        check_said(&reason)?;
        self.end_lease(lease_id, None, Some(reason)).await
    }

    /// Whether [`release_lease`](Self::release_lease) would end it, or without a fence
    /// [`release_lease_by_force`](Self::release_lease_by_force), by the very checks of that. Changes nothing.
    ///
    /// # Errors
    /// [`LeaseError`], as the release would be refused.
    pub async fn would_release_lease(
        &self,
        lease_id: LeaseId,
        fence: Option<Fence>,
        reason: Option<String>,
    ) -> Result<(), LeaseError> {
        if fence.is_none() {
            check_said(reason.as_deref().unwrap_or_default())?;
        }
        let end = self.lease_end(lease_id, fence, reason)?;
        self.runtime
            .ask(|reply| Command::WouldEndLease(end, reply))
            .await
    }

    async fn end_lease(
        &self,
        lease_id: LeaseId,
        fence: Option<Fence>,
        reason: Option<String>,
    ) -> Result<LeaseReleased, LeaseError> {
        let end = self.lease_end(lease_id, fence, reason)?;
        self.runtime
            .ask(|reply| Command::EndLease(end, reply))
            .await
    }

    fn lease_end(
        &self,
        lease_id: LeaseId,
        fence: Option<Fence>,
        reason: Option<String>,
    ) -> Result<LeaseEnd, LeaseError> {
        self.runtime.inner().check_reason(reason.as_ref())?;
        Ok(LeaseEnd {
            lease_id,
            fence,
            reason,
        })
    }

    /// Whether a fence is the one that was granted with a lease, in this incarnation, and whether its
    /// holder may touch a place. Whoever writes under a lease asks this first (I6).
    ///
    /// # Errors
    /// [`FenceError`].
    pub fn verify_lease(
        &self,
        lease_id: LeaseId,
        asked: &VerifyFence,
    ) -> Result<LeaseVerified, FenceError> {
        let mounts = &self.runtime.inner().mounts;
        let observation = self.runtime.observation();
        observation.verify_lease(mounts, lease_id, asked)
    }
}
