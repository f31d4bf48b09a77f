//! The catalog: which Workers there are, and their lives.

use std::collections::BTreeMap;

use super::{command::Command, condition::Condition, handle::Runtime};
use crate::{
    Cursor, WorkerId,
    error::{CreateError, LifecycleError, WorkerError},
    state::LifecycleOp,
    view::{CreateReceipt, DamagedView, LifecycleReceipt, WorkerView},
    worker::{CreateWorker, EndKind, UpdateWorker},
};

/// Which Workers a list holds; the default is all that are not archived.
#[derive(Debug, Clone, Default)]
pub struct WorkerFilter {
    /// Only those in one of these lifecycles (`active`, `stopped`, `cancelled`); empty means any.
    pub lifecycles: Vec<String>,
    /// Only those with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Only those whose display name has this text in it.
    pub name_contains: Option<String>,
    /// Only those with an input without outcome (`true`), or without one (`false`).
    pub busy: Option<bool>,
    /// Archived ones too.
    pub archived: bool,
}

/// How a list is sorted. Ties are broken by id, so that pages don't overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListOrder {
    /// Oldest first.
    #[default]
    Created,
    /// By name for people.
    Name,
}

/// A page of the list of Workers.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerList {
    /// The Workers.
    pub workers: Vec<WorkerView>,
    /// How many there are in all that the filter takes.
    pub total: usize,
    /// The offset to go on from.
    pub next: Option<usize>,
    /// Workers that can't be shown because what is stored of them is damaged; on every page, whatever
    /// the filter.
    pub damaged: Vec<DamagedView>,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
}

/// How a Worker is to end.
#[derive(Debug, Clone, Default)]
pub struct EndOptions {
    /// Why, for whoever reads its events.
    pub reason: Option<String>,
    /// Take the processes of an earlier run for dead although that could not be shown. Its scope
    /// becomes free: make sure of it first.
    pub assume_dead: bool,
}

/// Which Workers there are, and their lives.
#[derive(Clone)]
pub struct Catalog {
    runtime: Runtime,
    condition: Option<Condition>,
}

impl Catalog {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            condition: None,
        }
    }

    /// The same, for changes of one Worker that are to be made only if that is as it has to be then: as
    /// somebody saw it, so that what another did meanwhile is not undone. Else they are refused with
    /// [`WorkerError::Changed`]. The writer looks right before the change, so that nothing comes between;
    /// it waits for the condition, which has to be quick. Reads and creations are as ever.
    #[must_use]
    pub fn only_if(
        mut self,
        condition: impl Fn(&WorkerView) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.condition = Some(Condition::new(condition));
        self
    }

    /// Makes a Worker: its record, its scope and its first input in one transaction, or nothing.
    ///
    /// # Errors
    /// [`CreateError`]; a repeated request with the same `worker_id` gives the first receipt.
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn create(&self, request: CreateWorker) -> Result<CreateReceipt, CreateError> {
        let prepared = self.runtime.inner().prepare_create(request)?;
        self.runtime
            .ask(|reply| Command::Create(Box::new(prepared), reply))
            .await
    }

    /// Whether [`create`](Self::create) would make a Worker now, or has made it before. Nothing is
    /// changed and nothing is held: what is free now may be taken by the next call.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn would_create(&self, request: CreateWorker) -> Result<bool, CreateError> {
        let prepared = self.runtime.inner().prepare_create(request)?;
        self.runtime
            .ask(|reply| Command::WouldCreate(Box::new(prepared), reply))
            .await
    }

    /// One Worker.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn get(&self, worker_id: WorkerId) -> Result<WorkerView, WorkerError> {
        self.runtime.observation().worker(worker_id)
    }

    /// Workers, filtered, sorted and paged.
    pub fn list(
        &self,
        filter: &WorkerFilter,
        order: ListOrder,
        offset: usize,
        count_max: usize,
    ) -> WorkerList {
        self.runtime
            .observation()
            .workers(filter, order, offset, count_max)
    }

    /// Changes what a Worker is called.
    ///
    /// # Errors
    /// [`LifecycleError`].
    ///
    /// # Durability
    /// As every call here: survives a crash when it returns `Ok`.
    pub async fn update(
        &self,
        worker_id: WorkerId,
        update: UpdateWorker,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        self.runtime.inner().check_update(&update)?;
        self.lifecycle(worker_id, LifecycleOp::Update(update)).await
    }

    /// Holds dispatch; what runs goes on.
    ///
    /// # Errors
    /// [`LifecycleError`].
    pub async fn pause(&self, worker_id: WorkerId) -> Result<LifecycleReceipt, LifecycleError> {
        self.lifecycle(worker_id, LifecycleOp::Pause).await
    }

    /// Dispatches again.
    ///
    /// # Errors
    /// [`LifecycleError`].
    pub async fn resume(&self, worker_id: WorkerId) -> Result<LifecycleReceipt, LifecycleError> {
        self.lifecycle(worker_id, LifecycleOp::Resume).await
    }

    /// Ends a Worker so that it can be restored: its run is cancelled, waiting inputs are
    /// cancelled, and its scope is free once the run is quiet. The answer comes when the request is
    /// durable; the end is the event `worker.stopped`.
    ///
    /// # Errors
    /// [`LifecycleError`].
    pub async fn stop(
        &self,
        worker_id: WorkerId,
        options: EndOptions,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        self.end(worker_id, EndKind::Stop, options).await
    }

    /// As [`stop`](Self::stop), for good.
    ///
    /// # Errors
    /// [`LifecycleError`].
    pub async fn cancel(
        &self,
        worker_id: WorkerId,
        options: EndOptions,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        self.end(worker_id, EndKind::Cancel, options).await
    }

    async fn end(
        &self,
        worker_id: WorkerId,
        kind: EndKind,
        options: EndOptions,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        let EndOptions {
            reason,
            assume_dead,
        } = options;
        self.runtime.inner().check_reason(reason.as_ref())?;
        self.lifecycle(
            worker_id,
            LifecycleOp::End {
                kind,
                reason,
                assume_dead,
            },
        )
        .await
    }

    /// Puts an ended Worker away.
    ///
    /// # Errors
    /// [`LifecycleError`].
    pub async fn archive(&self, worker_id: WorkerId) -> Result<LifecycleReceipt, LifecycleError> {
        self.lifecycle(worker_id, LifecycleOp::Archive).await
    }

    /// Starts the next epoch of a stopped Worker, with the scope that it had.
    ///
    /// # Errors
    /// [`LifecycleError`]; a scope that others hold by now is a conflict.
    pub async fn restore(&self, worker_id: WorkerId) -> Result<LifecycleReceipt, LifecycleError> {
        self.lifecycle(worker_id, LifecycleOp::Restore).await
    }

    /// Whether [`restore`](Self::restore) would change anything now, by the very checks of that. Nothing is
    /// changed and nothing is held for it.
    ///
    /// # Errors
    /// [`LifecycleError`], as the restore would be refused.
    pub async fn would_restore(&self, worker_id: WorkerId) -> Result<bool, LifecycleError> {
        self.runtime
            .ask(|reply| {
                let command = Command::WouldRestore(worker_id, reply);
                command.only_if(self.condition.as_ref())
            })
            .await
    }

    /// Deletes an ended Worker. Its id is never used again; with `purge` its bytes go at once.
    ///
    /// # Errors
    /// [`LifecycleError`].
    pub async fn delete(
        &self,
        worker_id: WorkerId,
        purge: bool,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        self.lifecycle(worker_id, LifecycleOp::Delete { purge })
            .await
    }

    async fn lifecycle(
        &self,
        worker_id: WorkerId,
        op: LifecycleOp,
    ) -> Result<LifecycleReceipt, LifecycleError> {
        self.runtime
            .ask(|reply| {
                let command = Command::Lifecycle(worker_id, op, reply);
                command.only_if(self.condition.as_ref())
            })
            .await
    }
}
