//! The allocation plane: what is held is changed, given back and taken back.
//!
//! A Worker is granted a scope with its creation and loses it with its end; both belong to the catalog.
//! What is held is read through [`Observation`](super::Observation).

use super::{command::Command, condition::Condition, handle::Runtime};
use crate::{
    Scope, WorkerId,
    error::{AllocationError, FenceError, FieldInvalid},
    state::{AllocationOp, Taking},
    view::{AllocationReceipt, FenceVerified, Place, PlaceHolders, VerifyFence, WorkerView},
};

/// What is held, by itself.
#[derive(Clone)]
pub struct Allocations {
    pub(super) runtime: Runtime,
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
    /// what is held, and not less than what Workers below it hold. Of what it holds already nothing is
    /// changed, and its fence stays: the receipt is [`repeated`](AllocationReceipt::repeated).
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

    /// Whether [`change`](Self::change) would change anything now, by the very checks of that. Nothing is
    /// changed and nothing is held for it.
    ///
    /// # Errors
    /// [`AllocationError`], as the change would be refused.
    pub async fn would_change(
        &self,
        worker_id: WorkerId,
        scope: &Scope,
        delegation: &Scope,
    ) -> Result<bool, AllocationError> {
        let grant = self.runtime.inner().prepare_grant(scope, delegation)?;
        let op = AllocationOp::Change {
            grant,
            reason: None,
        };
        Ok(!self.would(worker_id, op).await?.is_empty())
    }

    /// Has a Worker give up what it holds, for good; at the top of the mount that it works in it may look
    /// on, if it could, which is in nobody's way. What Workers below it hold lies in the
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
        self.release_how(worker_id, reason, Taking::Gently).await
    }

    /// As [`release`](Self::release), also from one that runs something with it: that is cancelled, what
    /// waits stays waiting (the Worker is paused), and what it holds is free once all is quiet. The
    /// answer comes when that is durable, and [`waits_for`](AllocationReceipt::waits_for) says whether it
    /// is still to come; then the event `allocation.released` tells of it. Asked for again it is the
    /// same; an end of the Worker that is asked for meanwhile takes its place.
    ///
    /// # Errors
    /// [`AllocationError`].
    ///
    /// # Durability
    /// The answer, and what it says is to come, survive a crash when it returns `Ok`.
    pub async fn release_by_force(
        &self,
        worker_id: WorkerId,
        reason: String,
    ) -> Result<AllocationReceipt, AllocationError> {
        check_said(&reason)?;
        self.release_how(worker_id, Some(reason), Taking::ByForce)
            .await
    }

    async fn release_how(
        &self,
        worker_id: WorkerId,
        reason: Option<String>,
        how: Taking,
    ) -> Result<AllocationReceipt, AllocationError> {
        self.ask(worker_id, reason, |reason| AllocationOp::Release {
            reason,
            how,
        })
        .await
    }

    /// Whether [`release`](Self::release) would take something, or with `by_force`
    /// [`release_by_force`](Self::release_by_force), by the very checks of that: `false` when it was taken by
    /// force before, and is only waited for. Changes nothing.
    ///
    /// # Errors
    /// [`AllocationError`], as the release would be refused.
    pub async fn would_release(
        &self,
        worker_id: WorkerId,
        reason: Option<String>,
        by_force: bool,
    ) -> Result<bool, AllocationError> {
        let how = self.taking(reason.as_ref(), by_force)?;
        let op = AllocationOp::Release { reason, how };
        Ok(!self.would(worker_id, op).await?.is_empty())
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
        self.reclaim_how(worker_id, reason, Taking::Gently).await
    }

    /// As [`reclaim`](Self::reclaim), also from those that run something: as
    /// [`release_by_force`](Self::release_by_force) of each. All are asked in one step, and each gives
    /// up what it holds when it is quiet.
    ///
    /// # Errors
    /// [`AllocationError`]; then nobody is asked.
    ///
    /// # Durability
    /// The answer, and what it says is to come, survive a crash when it returns `Ok`.
    pub async fn reclaim_by_force(
        &self,
        worker_id: WorkerId,
        reason: String,
    ) -> Result<AllocationReceipt, AllocationError> {
        check_said(&reason)?;
        self.reclaim_how(worker_id, Some(reason), Taking::ByForce)
            .await
    }

    /// From whom [`reclaim`](Self::reclaim) would take something, or with `by_force`
    /// [`reclaim_by_force`](Self::reclaim_by_force), by the very checks of that. Changes nothing.
    ///
    /// # Errors
    /// [`AllocationError`], as the reclaim would be refused.
    pub async fn would_reclaim(
        &self,
        worker_id: WorkerId,
        reason: Option<String>,
        by_force: bool,
    ) -> Result<Vec<WorkerId>, AllocationError> {
        let how = self.taking(reason.as_ref(), by_force)?;
        let op = AllocationOp::Reclaim { reason, how };
        self.would(worker_id, op).await
    }

    async fn reclaim_how(
        &self,
        worker_id: WorkerId,
        reason: Option<String>,
        how: Taking,
    ) -> Result<AllocationReceipt, AllocationError> {
        self.ask(worker_id, reason, |reason| AllocationOp::Reclaim {
            reason,
            how,
        })
        .await
    }

    /// Who holds a place, and what lies below it. Changes nothing.
    ///
    /// # Errors
    /// When the place can't be taken.
    pub fn who(&self, place: impl Into<Place>) -> Result<PlaceHolders, crate::ScopeError> {
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

    /// How something is taken, its reason checked as where it is.
    fn taking(&self, reason: Option<&String>, by_force: bool) -> Result<Taking, FieldInvalid> {
        if by_force {
            check_said(reason.map_or("", |reason| reason))?;
        }
        self.runtime.inner().check_reason(reason)?;
        Ok(match by_force {
            true => Taking::ByForce,
            false => Taking::Gently,
        })
    }

    async fn would(
        &self,
        worker_id: WorkerId,
        op: AllocationOp,
    ) -> Result<Vec<WorkerId>, AllocationError> {
        self.runtime
            .ask(|reply| {
                let command = Command::Would(worker_id, op, reply);
                command.only_if(self.condition.as_ref())
            })
            .await
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

/// Whoever takes something by force says why.
pub(super) fn check_said(reason: &str) -> Result<(), FieldInvalid> {
    if !reason.trim().is_empty() {
        return Ok(());
    }
    Err(FieldInvalid {
        field: "reason",
        reason: "it is empty; say why it is taken by force".to_owned(),
    })
}
