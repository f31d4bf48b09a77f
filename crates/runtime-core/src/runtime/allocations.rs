//! The allocation plane: what is held is changed, given back and taken back.
//!
//! A Worker is granted a scope with its creation and loses it with its end; both belong to the catalog.
//! What is held is read through [`Observation`](super::Observation).

use super::{command::Command, condition::Condition, handle::Runtime};
use crate::{
    Scope, WorkerId,
    error::{AllocationError, FenceError},
    state::AllocationOp,
    view::{AllocationReceipt, FenceVerified, PlaceHolders, VerifyFence, WorkerView},
    worker::MountRef,
};

/// What is held, by itself.
#[derive(Clone)]
pub struct Allocations {
    runtime: Runtime,
    condition: Option<Condition>,
}

impl Allocations {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            condition: None,
        }
    }

    /// The same, for changes that are to be made only if their Worker is as it has to be then: as
    /// [`Catalog::only_if`](super::Catalog::only_if).
    #[must_use]
    pub fn only_if(self, holds: impl Fn(&WorkerView) -> bool + Send + Sync + 'static) -> Self {
        Self {
            condition: Some(Condition::new(holds)),
            ..self
        }
    }

    /// Has a Worker hold exactly this from now on; a restore takes this again. More can be had at any
    /// time, and a run that goes on keeps its fence; less only when nothing runs that was started with
    /// what is held, and not less than what Workers below it hold.
    ///
    /// # Errors
    /// [`AllocationError`]; nothing is changed then.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn change(
        &self,
        worker_id: WorkerId,
        scope: &Scope,
        delegation: &Scope,
        reason: Option<String>,
    ) -> Result<AllocationReceipt, AllocationError> {
        let grant = self.runtime.inner().prepare_grant(scope, delegation)?;
        self.ask(worker_id, reason, |reason| AllocationOp::Change {
            grant,
            reason,
        })
        .await
    }

    /// Has a Worker hold nothing from now on, for good. What Workers below it hold lies in the
    /// delegation of whoever is above it then.
    ///
    /// # Errors
    /// [`AllocationError`]; above all when something runs with it.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn release(
        &self,
        worker_id: WorkerId,
        reason: Option<String>,
    ) -> Result<AllocationReceipt, AllocationError> {
        self.ask(worker_id, reason, |reason| AllocationOp::Release { reason })
            .await
    }

    /// Takes back what the Workers directly below this one hold: all of it or nothing. What lies below
    /// those lies directly below this one then.
    ///
    /// # Errors
    /// [`AllocationError`]; above all when something runs with some of it.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn reclaim(
        &self,
        worker_id: WorkerId,
        reason: Option<String>,
    ) -> Result<AllocationReceipt, AllocationError> {
        self.ask(worker_id, reason, |reason| AllocationOp::Reclaim { reason })
            .await
    }

    /// Who holds a place, and what lies below it. Changes nothing.
    ///
    /// # Errors
    /// When the place can't be taken.
    pub fn who(&self, place: &MountRef) -> Result<PlaceHolders, crate::ScopeError> {
        let mounts = &self.runtime.inner().mounts;
        self.runtime.observation().who(mounts, place)
    }

    /// Whether this would be granted to a Worker below `parent`. Changes nothing.
    ///
    /// # Errors
    /// [`AllocationError::Refused`] with every owner, and what is wrong with the scope itself.
    pub fn check(
        &self,
        scope: &Scope,
        delegation: &Scope,
        parent: Option<WorkerId>,
    ) -> Result<(), AllocationError> {
        let mounts = &self.runtime.inner().mounts;
        let observation = self.runtime.observation();
        observation.check_scope(mounts, scope, delegation, parent)
    }

    /// Whether a fence is the one that was granted to the run that goes on, and whether that may touch
    /// a place. Whoever writes for a Worker asks this first: a late writer must not write (I6).
    ///
    /// # Errors
    /// [`FenceError`].
    pub fn verify(
        &self,
        worker_id: WorkerId,
        asked: &VerifyFence,
    ) -> Result<FenceVerified, FenceError> {
        let mounts = &self.runtime.inner().mounts;
        self.runtime.observation().verify(mounts, worker_id, asked)
    }

    async fn ask(
        &self,
        worker_id: WorkerId,
        reason: Option<String>,
        op: impl FnOnce(Option<String>) -> AllocationOp,
    ) -> Result<AllocationReceipt, AllocationError> {
        self.runtime.inner().check_reason(reason.as_ref())?;
        let op = op(reason);
        self.runtime
            .ask(|reply| {
                let command = Command::Allocation(worker_id, op, reply);
                command.only_if(self.condition.as_ref())
            })
            .await
    }
}
