//! Leases: granted, renewed, given back, and over when their time is (I6).
//!
//! Everything is refused before anything is changed. A renewal begins the time of a lease again and is no
//! commit (`times`). An opening begins it again for every lease, and voids their fences.

mod times;

use std::sync::Arc;

pub(crate) use times::{Leasing, void_at_opening};

use serde_json::{Value, json};

use super::{Grant, State, draft};
use crate::{
    Cursor, Digest, EventType, Fence, HeldScope, LeaseId, Position, Stream,
    error::{LeaseError, NoLease, Unavailable},
    holdings::Asker,
    lease::AcquireLease,
    record::LeaseRecord,
    runtime::incarnation_at,
    sabotage::{self, Sabotage},
    store::Change,
    view::{LeaseReceipt, LeaseReleased, LeaseView, wire_scope},
};

/// A request whose fields were checked on the caller's thread, its scope normalised.
pub(crate) struct PreparedLease {
    pub(crate) request: AcquireLease,
    pub(crate) fingerprint: Digest,
    /// What the checks gave. A repetition is answered even when it would not pass them any more.
    pub(crate) checked: Result<HeldScope, LeaseError>,
}

/// What is asked for under a lease's fence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewal {
    pub(crate) lease_id: LeaseId,
    pub(crate) fence: Fence,
    pub(crate) ttl_ms: Option<u64>,
}

/// How a lease is ended.
#[derive(Debug, Clone)]
pub(crate) struct LeaseEnd {
    pub(crate) lease_id: LeaseId,
    /// Shown by its holder; `None` when it is taken by force.
    pub(crate) fence: Option<Fence>,
    pub(crate) reason: Option<String>,
}

impl State {
    pub(crate) fn acquire(&mut self, prepared: PreparedLease) -> Result<LeaseReceipt, LeaseError> {
        if let Some(held) = self.repeated_lease(&prepared)? {
            if self.is_of_now(&held) {
                return Ok(self.lease_receipt(&held, true));
            }
            // The first answer may have been lost with the incarnation whose fence it told.
            self.room.clone()?;
            let held = self.fence_anew(&held, held.fence, held.ttl_ms)?;
            return Ok(self.lease_receipt(&held, true));
        }
        let grant = self.refuse_lease(&prepared)?;
        let PreparedLease {
            request,
            fingerprint,
            ..
        } = prepared;
        let lease_id = match request.lease_id {
            Some(lease_id) => lease_id,
            None => LeaseId::mint(self.now(), &mut *self.entropy),
        };
        let held = LeaseRecord {
            lease_id,
            holder: request.holder,
            fingerprint,
            scope: grant.scope.unwrap_or_default(),
            ttl_ms: request.ttl_ms,
            fence: self.grant_fence(),
            shown: None,
            granted_at: self.now(),
            reason: request.reason,
        };
        let held = self.grant_lease(held)?;
        Ok(self.lease_receipt(&held, false))
    }

    /// Whether [`acquire`](Self::acquire) would grant it, by the very checks of that.
    pub(crate) fn would_acquire(&self, prepared: PreparedLease) -> Result<bool, LeaseError> {
        if self.repeated_lease(&prepared)?.is_some() {
            return Ok(false);
        }
        self.refuse_lease(&prepared).map(|_| true)
    }

    fn repeated_lease(
        &self,
        prepared: &PreparedLease,
    ) -> Result<Option<Arc<LeaseRecord>>, LeaseError> {
        let Some(lease_id) = prepared.request.lease_id else {
            return Ok(None);
        };
        match self.lease(lease_id) {
            Ok(held) if held.fingerprint == prepared.fingerprint => Ok(Some(held)),
            Ok(_) => Err(LeaseError::Exists(lease_id)),
            Err(NoLease::Unknown(_)) => Ok(None),
            Err(damaged) => Err(damaged.into()),
        }
    }

    /// What is granted, if nothing is against it.
    fn refuse_lease(&self, prepared: &PreparedLease) -> Result<Grant, LeaseError> {
        let scope = prepared.checked.clone()?;
        self.room.clone()?;
        let leases_max = self.around.limits.leases_max;
        if self.holdings.leases().len() >= leases_max {
            return Err(LeaseError::Limit { leases_max });
        }
        let grant = Grant {
            scope: Some(Arc::new(scope)),
            delegation: None,
        };
        let nobody = Asker {
            worker_id: None,
            parent: None,
        };
        self.refuse_grant(&grant, nobody)?;
        Ok(grant)
    }

    /// From now on it lasts its whole time again. A fence of an earlier incarnation gives the next one.
    pub(crate) fn renew(&mut self, asked: Renewal) -> Result<LeaseReceipt, LeaseError> {
        let Renewal {
            lease_id,
            fence,
            ttl_ms,
        } = asked;
        let held = self.lease(lease_id)?;
        let ttl_ms = ttl_ms.unwrap_or(held.ttl_ms);
        if !is_holders(&held, fence) {
            return Err(LeaseError::Stale { lease_id, fence });
        }
        if !self.is_of_now(&held) {
            self.room.clone()?;
            let held = self.fence_anew(&held, fence, ttl_ms)?;
            return Ok(self.lease_receipt(&held, false));
        }
        // Who shows the new one has heard of it: from then on nobody else comes by with the old one.
        let shown = held.shown.filter(|_| fence != held.fence);
        let held = if ttl_ms == held.ttl_ms && shown == held.shown {
            held
        } else {
            // What an opening lets it have again is what its holder was told.
            self.room.clone()?;
            self.hold_lease(LeaseRecord {
                ttl_ms,
                shown,
                ..(*held).clone()
            })
        };
        self.begin_lease(&held);
        Ok(self.lease_receipt(&held, true))
    }

    fn fence_anew(
        &mut self,
        held: &LeaseRecord,
        shown: Fence,
        ttl_ms: u64,
    ) -> Result<Arc<LeaseRecord>, Unavailable> {
        let held = LeaseRecord {
            fence: self.grant_fence(),
            shown: Some(shown),
            ttl_ms,
            ..held.clone()
        };
        self.grant_lease(held)
    }

    fn grant_lease(&mut self, held: LeaseRecord) -> Result<Arc<LeaseRecord>, Unavailable> {
        let told = draft(EventType::LEASE_GRANTED, None, &granted(&held))?;
        self.emit_runtime(told);
        let held = self.hold_lease(held);
        self.begin_lease(&held);
        Ok(held)
    }

    fn hold_lease(&mut self, held: LeaseRecord) -> Arc<LeaseRecord> {
        let held = Arc::new(held);
        self.touched.leases.insert(held.lease_id);
        let before = self.holdings.lease(held.lease_id);
        let is_renewed = before.is_some_and(|before| before.fence == held.fence);
        let is_forgotten = sabotage::is(Sabotage::ForgetLease)
            || (is_renewed && sabotage::is(Sabotage::ForgetRenewal));
        if !is_forgotten {
            self.change(Change::Lease(held.clone()));
        }
        self.holdings.insert_lease(held.clone());
        held
    }

    /// Ends a lease: what it held is free with the commit. One whose record is damaged is cleared away.
    pub(crate) fn end_lease(&mut self, asked: LeaseEnd) -> Result<LeaseReleased, LeaseError> {
        let held = self.would_end_lease(&asked)?;
        let LeaseEnd {
            lease_id,
            fence,
            reason,
        } = asked;
        let by_force = fence.is_none();
        let mut data = json!({ "lease_id": lease_id, "by_force": by_force, "reason": reason });
        match held {
            Some(held) => {
                if let Some(fields) = data.as_object_mut() {
                    fields.insert("holder".to_owned(), json!(held.holder));
                    fields.insert("fence".to_owned(), json!(held.fence));
                }
            }
            None => self
                .damaged
                .retain(|record| record.lease_id != Some(lease_id)),
        }
        let position = self.emit_runtime(draft(EventType::LEASE_RELEASED, None, &data)?);
        self.let_go(lease_id);
        Ok(LeaseReleased {
            lease_id,
            position,
            cursor: self.runtime_cursor(),
        })
    }

    /// What would be ended, if nothing is against it; `None` for one whose record is damaged, which is
    /// cleared away by force alone.
    pub(crate) fn would_end_lease(
        &self,
        asked: &LeaseEnd,
    ) -> Result<Option<Arc<LeaseRecord>>, LeaseError> {
        let LeaseEnd {
            lease_id, fence, ..
        } = *asked;
        match self.lease(lease_id) {
            Ok(held) => match fence {
                Some(fence) if !is_holders(&held, fence) => {
                    Err(LeaseError::Stale { lease_id, fence })
                }
                _ => Ok(Some(held)),
            },
            Err(NoLease::Damaged { .. }) if fence.is_none() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn let_go(&mut self, lease_id: LeaseId) {
        self.holdings.remove_lease(lease_id);
        self.touched.leases.insert(lease_id);
        self.change(Change::EndLease(lease_id));
    }

    fn lease(&self, lease_id: LeaseId) -> Result<Arc<LeaseRecord>, NoLease> {
        let held = self.holdings.lease(lease_id).cloned();
        held.ok_or_else(|| no_lease(&self.damaged, lease_id))
    }

    /// Whether the fence of a lease was granted by this incarnation.
    fn is_of_now(&self, held: &LeaseRecord) -> bool {
        held.fence > self.leasing.void_to
    }

    fn runtime_cursor(&self) -> Cursor {
        let (position, runtime_id) = (self.position, self.runtime.runtime_id);
        let wrote = incarnation_at(&self.incarnations, position);
        Cursor::new(runtime_id, Stream::Runtime, position, wrote)
    }

    fn lease_receipt(&self, held: &LeaseRecord, repeated: bool) -> LeaseReceipt {
        let expires_at = self.lease_expires_at(held.lease_id);
        let position: Position = self.position;
        LeaseReceipt {
            lease: LeaseView::of(held, self.is_of_now(held), expires_at),
            repeated,
            position,
            cursor: self.runtime_cursor(),
        }
    }
}

/// Whether whoever shows this fence is its holder: the last one, or the one that it was got with.
fn is_holders(held: &LeaseRecord, fence: Fence) -> bool {
    fence == held.fence || Some(fence) == held.shown
}

/// Why there is no such lease.
pub(crate) fn no_lease(damaged: &[crate::store::DamagedRecord], lease_id: LeaseId) -> NoLease {
    let mut damaged = damaged.iter();
    match damaged.find(|record| record.lease_id == Some(lease_id)) {
        Some(record) => NoLease::Damaged {
            lease_id,
            detail: record.detail.clone(),
        },
        None => NoLease::Unknown(lease_id),
    }
}

/// What is told of a grant.
fn granted(held: &LeaseRecord) -> Value {
    let scope = wire_scope(&held.scope);
    json!({
        "lease_id": held.lease_id,
        "holder": held.holder,
        "fence": held.fence,
        "renewed": held.shown,
        "allow": scope.allow,
        "deny": scope.deny,
        "ttl_ms": held.ttl_ms,
        "reason": held.reason,
    })
}

#[cfg(test)]
mod tests;
