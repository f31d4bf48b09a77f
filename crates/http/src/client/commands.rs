//! The calls that change something. Each answer is durable when it is there. After
//! [`Unreachable`](ClientError::Unreachable) or [`TimedOut`](ClientError::TimedOut) nobody knows whether
//! it was carried out: repeat it with the same id.

use hyper::Method;
use worker_runtime_core::{
    ActionId, LeaseId, Position, RunId, WorkerId,
    input::{InputReceipt, SubmitInput},
    lease::{AcquireLease, RenewLease},
    view::{
        AllocationReceipt, CancelReceipt, CreateReceipt, LeaseReceipt, LeaseReleased,
        LifecycleReceipt,
    },
    worker::{CreateWorker, UpdateWorker},
};

use super::{
    Client, ClientError,
    call::{Call, escaped},
};
use crate::wire::{
    AnswerAction, Because, ChangeAllocation, CreateToken, EndWorker, PositionBody, ReleaseLease,
    StopRuntime, TakeAllocation, TokenCreated, WouldAcquire, WouldChange, WouldCreate,
    WouldReclaim, WouldRelease, WouldRestore,
};

type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    /// A request that says nothing but why.
    fn with_reason(&self, path: impl Into<String>) -> Call {
        match &self.reason {
            Some(_) => Call::post(path).json(&Because {
                reason: self.reason.clone(),
            }),
            None => Call::post(path),
        }
    }

    /// Makes a Worker. With a `worker_id` it can be repeated safely.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_worker(&self, request: &CreateWorker) -> Result<CreateReceipt> {
        self.call(Call::post("/v1/workers").json(request)).await
    }

    /// Whether [`create_worker`](Self::create_worker) would make a Worker now; nothing is made.
    ///
    /// # Errors
    /// [`ClientError`], as the creation would be refused.
    pub async fn would_create_worker(&self, request: &CreateWorker) -> Result<bool> {
        let call = Call::post("/v1/workers?dry_run=true").json(request);
        Ok(self.call::<WouldCreate>(call).await?.would_create)
    }

    /// Sends an input. With an `input_id` it can be repeated safely.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send_input(
        &self,
        worker_id: WorkerId,
        input: &SubmitInput,
    ) -> Result<InputReceipt> {
        self.call(Call::post(format!("/v1/workers/{worker_id}/input")).json(input))
            .await
    }

    /// Asks for the end of a run.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel_run(&self, worker_id: WorkerId, run_id: RunId) -> Result<CancelReceipt> {
        let path = format!("/v1/workers/{worker_id}/runs/{run_id}/cancel");
        self.call(self.with_reason(path)).await
    }

    /// Answers an action that a run waits for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn answer(
        &self,
        worker_id: WorkerId,
        run_id: RunId,
        action_id: &ActionId,
        option: impl Into<String>,
    ) -> Result<Position> {
        let action = escaped(action_id.as_str());
        let path = format!("/v1/workers/{worker_id}/runs/{run_id}/actions/{action}");
        let option = option.into();
        let body: PositionBody = self
            .call(Call::post(path).json(&AnswerAction { option }))
            .await?;
        Ok(body.position)
    }

    /// Changes what a Worker is called.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update_worker(
        &self,
        worker_id: WorkerId,
        update: &UpdateWorker,
    ) -> Result<LifecycleReceipt> {
        self.call(Call::new(Method::PATCH, format!("/v1/workers/{worker_id}")).json(update))
            .await
    }

    /// Ends a Worker so that it can be restored.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stop_worker(
        &self,
        worker_id: WorkerId,
        end: &EndWorker,
    ) -> Result<LifecycleReceipt> {
        self.call(Call::post(format!("/v1/workers/{worker_id}/stop")).json(end))
            .await
    }

    /// Ends a Worker for good.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel_worker(
        &self,
        worker_id: WorkerId,
        end: &EndWorker,
    ) -> Result<LifecycleReceipt> {
        self.call(Call::post(format!("/v1/workers/{worker_id}/cancel")).json(end))
            .await
    }

    /// Holds dispatch.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pause_worker(&self, worker_id: WorkerId) -> Result<LifecycleReceipt> {
        let path = format!("/v1/workers/{worker_id}/pause");
        self.call(self.with_reason(path)).await
    }

    /// Dispatches again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn resume_worker(&self, worker_id: WorkerId) -> Result<LifecycleReceipt> {
        let path = format!("/v1/workers/{worker_id}/resume");
        self.call(self.with_reason(path)).await
    }

    /// Puts an ended Worker away.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn archive_worker(&self, worker_id: WorkerId) -> Result<LifecycleReceipt> {
        let path = format!("/v1/workers/{worker_id}/archive");
        self.call(self.with_reason(path)).await
    }

    /// Starts the next epoch of a stopped Worker.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn restore_worker(&self, worker_id: WorkerId) -> Result<LifecycleReceipt> {
        let path = format!("/v1/workers/{worker_id}/restore");
        self.call(self.with_reason(path)).await
    }

    /// Whether [`restore_worker`](Self::restore_worker) would change anything now; nothing is changed.
    ///
    /// # Errors
    /// [`ClientError`], as the restore would be refused.
    pub async fn would_restore_worker(&self, worker_id: WorkerId) -> Result<bool> {
        let call = Call::post(format!("/v1/workers/{worker_id}/restore?dry_run=true"));
        Ok(self.call::<WouldRestore>(call).await?.would_restore)
    }

    /// Deletes an ended Worker; with `purge` its text goes at once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_worker(
        &self,
        worker_id: WorkerId,
        purge: bool,
    ) -> Result<LifecycleReceipt> {
        let mut path = format!("/v1/workers/{worker_id}?purge={purge}");
        if let Some(reason) = &self.reason {
            path.push_str("&reason=");
            path.push_str(&escaped(reason));
        }
        self.call(Call::new(Method::DELETE, path)).await
    }

    /// Has a Worker hold exactly this from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_allocation(
        &self,
        worker_id: WorkerId,
        change: &ChangeAllocation,
    ) -> Result<AllocationReceipt> {
        let path = format!("/v1/allocations/{worker_id}");
        self.call(Call::new(Method::PUT, path).json(change)).await
    }

    /// Whether [`change_allocation`](Self::change_allocation) would change anything now; nothing is changed.
    ///
    /// # Errors
    /// [`ClientError`], as the change would be refused.
    pub async fn would_change_allocation(
        &self,
        worker_id: WorkerId,
        change: &ChangeAllocation,
    ) -> Result<bool> {
        let path = format!("/v1/allocations/{worker_id}?dry_run=true");
        let call = Call::new(Method::PUT, path).json(change);
        Ok(self.call::<WouldChange>(call).await?.would_change)
    }

    /// Has a Worker give up what it holds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release_allocation(
        &self,
        worker_id: WorkerId,
        take: &TakeAllocation,
    ) -> Result<AllocationReceipt> {
        let path = format!("/v1/allocations/{worker_id}/release");
        self.call(Call::post(path).json(take)).await
    }

    /// Whether [`release_allocation`](Self::release_allocation) would take something now; nothing is taken.
    ///
    /// # Errors
    /// [`ClientError`], as the release would be refused.
    pub async fn would_release_allocation(
        &self,
        worker_id: WorkerId,
        take: &TakeAllocation,
    ) -> Result<bool> {
        let path = format!("/v1/allocations/{worker_id}/release?dry_run=true");
        let call = Call::post(path).json(take);
        Ok(self.call::<WouldRelease>(call).await?.would_release)
    }

    /// From whom [`reclaim_allocation`](Self::reclaim_allocation) would take something now; nothing is
    /// taken.
    ///
    /// # Errors
    /// [`ClientError`], as the reclaim would be refused.
    pub async fn would_reclaim_allocation(
        &self,
        worker_id: WorkerId,
        take: &TakeAllocation,
    ) -> Result<Vec<WorkerId>> {
        let path = format!("/v1/allocations/{worker_id}/reclaim?dry_run=true");
        let call = Call::post(path).json(take);
        Ok(self.call::<WouldReclaim>(call).await?.would_reclaim_from)
    }

    /// Takes back what the Workers directly below this one hold.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reclaim_allocation(
        &self,
        worker_id: WorkerId,
        take: &TakeAllocation,
    ) -> Result<AllocationReceipt> {
        let path = format!("/v1/allocations/{worker_id}/reclaim");
        self.call(Call::post(path).json(take)).await
    }

    /// Holds a scope for a time, for somebody who is no Worker. With a `lease_id` it can be repeated
    /// safely.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn acquire_lease(&self, request: &AcquireLease) -> Result<LeaseReceipt> {
        self.call(Call::post("/v1/leases").json(request)).await
    }

    /// Whether [`acquire_lease`](Self::acquire_lease) would be granted now; nothing is held.
    ///
    /// # Errors
    /// [`ClientError`], as it would be refused.
    pub async fn would_acquire_lease(&self, request: &AcquireLease) -> Result<bool> {
        let call = Call::post("/v1/leases?dry_run=true").json(request);
        Ok(self.call::<WouldAcquire>(call).await?.would_acquire)
    }

    /// Holds it for its whole time from now on. The receipt's fence is the one to show from then on: after
    /// a restart it is another one. It can be repeated safely.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn renew_lease(
        &self,
        lease_id: LeaseId,
        request: &RenewLease,
    ) -> Result<LeaseReceipt> {
        let path = format!("/v1/leases/{lease_id}/renew");
        self.call(Call::post(path).json(request)).await
    }

    /// Whether [`release_lease`](Self::release_lease) would end it now; it is held on.
    ///
    /// # Errors
    /// [`ClientError`], as the release would be refused.
    pub async fn would_release_lease(
        &self,
        lease_id: LeaseId,
        request: &ReleaseLease,
    ) -> Result<bool> {
        let path = format!("/v1/leases/{lease_id}/release?dry_run=true");
        let call = Call::post(path).json(request);
        Ok(self.call::<WouldRelease>(call).await?.would_release)
    }

    /// Gives a lease back, or takes it from its holder. Repeated it is refused as one that is not there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release_lease(
        &self,
        lease_id: LeaseId,
        request: &ReleaseLease,
    ) -> Result<LeaseReleased> {
        let path = format!("/v1/leases/{lease_id}/release");
        self.call(Call::post(path).json(request)).await
    }

    /// Ends what runs and takes no input until the Runtime is started again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stop_runtime(&self, reason: Option<String>) -> Result<Position> {
        let call = Call::post("/v1/runtime/stop").json(&StopRuntime { reason });
        Ok(self.call::<PositionBody>(call).await?.position)
    }

    /// As [`stop_runtime`](Self::stop_runtime), but what runs goes on to its end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn drain_runtime(&self, reason: Option<String>) -> Result<Position> {
        let call = Call::post("/v1/runtime/drain").json(&StopRuntime { reason });
        Ok(self.call::<PositionBody>(call).await?.position)
    }

    /// Takes input again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn start_runtime(&self) -> Result<Position> {
        Ok(self
            .call::<PositionBody>(self.with_reason("/v1/runtime/start"))
            .await?
            .position)
    }

    /// Makes an access token; its secret is told this once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_token(&self, request: &CreateToken) -> Result<TokenCreated> {
        self.call(Call::post("/v1/tokens").json(request)).await
    }

    /// Ends an access token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke_token(&self, token_id: &str) -> Result<()> {
        let path = format!("/v1/tokens/{}", escaped(token_id));
        self.call_for_nothing(Call::new(Method::DELETE, path)).await
    }
}
