//! What is taken of Workers, and who is asked for it: a Runtime of this process, or a server.

use worker_runtime_core::{
    EventType, Runtime, WorkerId, error::AllocationError, view::AllocationReceipt,
};
use worker_runtime_http::{
    client::{Client, ClientError},
    wire::TakeAllocation,
};

use crate::{suggest::Suggestion, target::Told};

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// What the Worker holds.
    Own,
    /// What those directly below it hold.
    Lent,
}

impl What {
    pub(super) const fn command(self) -> &'static [&'static str] {
        match self {
            Self::Own => &["lock", "release"],
            Self::Lent => &["lock", "reclaim"],
        }
    }

    pub(super) async fn call(
        self,
        runtime: &Runtime,
        worker_id: WorkerId,
        take: TakeAllocation,
    ) -> Result<AllocationReceipt, AllocationError> {
        let allocations = runtime.allocations();
        let reason = take.reason;
        match (self, take.force) {
            (Self::Own, false) => allocations.release(worker_id, reason).await,
            (Self::Lent, false) => allocations.reclaim(worker_id, reason).await,
            (Self::Own, true) => {
                let reason = reason.unwrap_or_default();
                allocations.release_by_force(worker_id, reason).await
            }
            (Self::Lent, true) => {
                let reason = reason.unwrap_or_default();
                allocations.reclaim_by_force(worker_id, reason).await
            }
        }
    }

    pub(super) async fn ask(
        self,
        client: &Client,
        worker_id: WorkerId,
        take: &TakeAllocation,
    ) -> Result<AllocationReceipt, ClientError> {
        match self {
            Self::Own => client.release_allocation(worker_id, take).await,
            Self::Lent => client.reclaim_allocation(worker_id, take).await,
        }
    }

    /// From whom something would be taken.
    pub(super) async fn would_call(
        self,
        runtime: &Runtime,
        worker_id: WorkerId,
        take: TakeAllocation,
    ) -> Result<Vec<WorkerId>, AllocationError> {
        let allocations = runtime.allocations();
        let TakeAllocation { reason, force } = take;
        match self {
            Self::Own => {
                let would = allocations.would_release(worker_id, reason, force).await?;
                Ok(would.then_some(worker_id).into_iter().collect())
            }
            Self::Lent => allocations.would_reclaim(worker_id, reason, force).await,
        }
    }

    pub(super) async fn would_ask(
        self,
        client: &Client,
        worker_id: WorkerId,
        take: &TakeAllocation,
    ) -> Result<Vec<WorkerId>, ClientError> {
        match self {
            Self::Own => {
                let would = client.would_release_allocation(worker_id, take).await?;
                Ok(would.then_some(worker_id).into_iter().collect())
            }
            Self::Lent => client.would_reclaim_allocation(worker_id, take).await,
        }
    }

    /// What the events say of it.
    pub(super) fn told(self, take: &TakeAllocation) -> Told {
        Told {
            kinds: vec![match (self, take.force) {
                (Self::Own, false) => EventType::ALLOCATION_RELEASED,
                (Self::Own, true) => EventType::ALLOCATION_RELEASING,
                (Self::Lent, _) => EventType::ALLOCATION_RECLAIMED,
            }],
            reason: take.reason.clone(),
            holds: None,
        }
    }

    pub(super) fn by_force(self, worker_id: WorkerId) -> Suggestion {
        match self {
            Self::Own => Suggestion::lock_release_by_force(worker_id),
            Self::Lent => Suggestion::lock_reclaim_by_force(worker_id),
        }
    }
}
