//! What a user is told when something can't be done: a code, a message, and what to type next.
//!
//! Every family of errors of the core becomes a [`CliError`] here, with the code that it names
//! itself; `exit` knows what each code ends the program with.

use std::io;

use worker_runtime_core::{
    Code, CursorError, CursorMalformed, IdError, ScopeError,
    error::{
        AllocationError, CreateError, FenceError, FieldInvalid, LeaseError, LifecycleError,
        NoLease, NoOperation, OpenError, ReadError, RunError, ScopeRefusal, SubmitError,
        Unavailable, WorkerError,
    },
    store::StoreError,
    view::{Holder, Phase},
};

use crate::{exit::Exit, suggest::Suggestion};

/// An error for a user.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CliError {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// What to type next, the most useful first.
    pub(crate) hints: Vec<Suggestion>,
}

impl CliError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>, command: &[&str]) -> Self {
        Self::new(Code::Usage, message).hint(Suggestion::help(command))
    }

    #[must_use]
    pub(crate) fn hint(mut self, suggestion: Suggestion) -> Self {
        self.hints.push(suggestion);
        self
    }

    pub(crate) const fn exit(&self) -> Exit {
        Exit::of(self.code)
    }
}

/// Why a command ended without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong.
    Error(Box<CliError>),
    /// Whoever read the output has gone: no error, and nothing is left to say.
    ClosedPipe,
}

impl<E: Into<CliError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

impl Failure {
    /// A failure to write data.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        CliError::new(Code::OutputIo, format!("can't write the output: {error}")).into()
    }
}

impl From<WorkerError> for CliError {
    fn from(error: WorkerError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            WorkerError::Damaged { worker_id, .. } => {
                told.hint(Suggestion::event_ls(Some(worker_id)))
            }
            WorkerError::Changed(worker_id) => told.hint(Suggestion::worker_show(worker_id)),
            _ => told.hint(Suggestion::worker_ls()),
        }
    }
}

impl From<Unavailable> for CliError {
    fn from(error: Unavailable) -> Self {
        Self::new(error.code(), error.to_string()).hint(Suggestion::status())
    }
}

impl From<ScopeError> for CliError {
    fn from(error: ScopeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<CreateError> for CliError {
    fn from(error: CreateError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            CreateError::ScopeRefused(refusal) => with_refusal(told, &refusal),
            CreateError::Exists(worker_id) => told.hint(Suggestion::worker_show(worker_id)),
            CreateError::Worker(error) => error.into(),
            CreateError::Input(error) => error.into(),
            CreateError::Unavailable(error) => error.into(),
            CreateError::ParentUnknown(_) | CreateError::Limit { .. } => {
                told.hint(Suggestion::worker_ls())
            }
            _ => told.hint(Suggestion::help(&["worker", "create"])),
        }
    }
}

impl From<SubmitError> for CliError {
    fn from(error: SubmitError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            SubmitError::Worker(error) => error.into(),
            SubmitError::Unavailable(error) => error.into(),
            // On a stopped store an input waits until somebody runs it.
            SubmitError::Busy {
                worker_id,
                phase: Phase::Queued,
                ..
            }
            | SubmitError::QueueFull { worker_id, .. } => told
                .hint(Suggestion::worker_run(worker_id))
                .hint(Suggestion::worker_show(worker_id)),
            SubmitError::NotActive { worker_id, .. }
            | SubmitError::Incapable { worker_id, .. }
            | SubmitError::Busy { worker_id, .. }
            | SubmitError::Quota { worker_id, .. } => told.hint(Suggestion::worker_show(worker_id)),
            _ => told.hint(Suggestion::help(&["worker", "send"])),
        }
    }
}

impl From<LifecycleError> for CliError {
    fn from(error: LifecycleError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            LifecycleError::Worker(error) => error.into(),
            LifecycleError::Unavailable(error) => error.into(),
            LifecycleError::ScopeRefused(refusal) => with_refusal(told, &refusal),
            LifecycleError::NotEnded { worker_id, .. } => {
                told.hint(Suggestion::worker_stop(worker_id))
            }
            LifecycleError::WrongState { worker_id, .. } => {
                told.hint(Suggestion::worker_show(worker_id))
            }
            _ => told,
        }
    }
}

impl From<AllocationError> for CliError {
    fn from(error: AllocationError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            AllocationError::Worker(error) => error.into(),
            AllocationError::Unavailable(error) => error.into(),
            AllocationError::Refused(refusal) => with_refusal(told, &refusal),
            AllocationError::NotActive { worker_id, .. } => {
                told.hint(Suggestion::worker_show(worker_id))
            }
            AllocationError::NotHeld(_) => told.hint(Suggestion::lock_ls()),
            AllocationError::Lent { child, .. } => told.hint(Suggestion::lock_show(child)),
            AllocationError::InUse { worker_id, .. } => told
                .hint(Suggestion::lock_release_by_force(worker_id))
                .hint(Suggestion::worker_show(worker_id)),
            _ => told.hint(Suggestion::help(&["lock", "change"])),
        }
    }
}

impl From<LeaseError> for CliError {
    fn from(error: LeaseError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            LeaseError::Lease(error) => error.into(),
            LeaseError::Unavailable(error) => error.into(),
            LeaseError::Refused(refusal) => with_refusal(told, &refusal),
            LeaseError::Exists(lease_id) | LeaseError::Stale { lease_id, .. } => {
                told.hint(Suggestion::lock_show(lease_id))
            }
            LeaseError::Limit { .. } => told.hint(Suggestion::lock_ls()),
            _ => told.hint(Suggestion::help(&["lock", "acquire"])),
        }
    }
}

impl From<NoOperation> for CliError {
    fn from(error: NoOperation) -> Self {
        Self::new(error.code(), error.to_string()).hint(Suggestion::op_log(None))
    }
}

impl From<FieldInvalid> for CliError {
    fn from(error: FieldInvalid) -> Self {
        Self::new(Code::FieldInvalid, error.to_string()).hint(Suggestion::help(&[]))
    }
}

impl From<NoLease> for CliError {
    fn from(error: NoLease) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            NoLease::Damaged { lease_id, .. } => {
                told.hint(Suggestion::lock_release_by_force(lease_id))
            }
            _ => told.hint(Suggestion::lock_ls()),
        }
    }
}

impl From<FenceError> for CliError {
    fn from(error: FenceError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            FenceError::Worker(error) => error.into(),
            FenceError::Lease(error) => error.into(),
            FenceError::Stale {
                holder: Holder::Worker(worker_id),
                ..
            } => told.hint(Suggestion::worker_show(worker_id)),
            FenceError::Stale { holder, .. } | FenceError::Denied { holder, .. } => {
                told.hint(Suggestion::lock_show(holder))
            }
            _ => told.hint(Suggestion::help(&["lock", "verify"])),
        }
    }
}

fn with_refusal(told: CliError, refusal: &ScopeRefusal) -> CliError {
    match refusal {
        ScopeRefusal::Undelegated { parent, .. } => told
            .hint(Suggestion::lock_show(*parent))
            .hint(Suggestion::help(&["lock", "change"])),
        _ => with_owners(told, refusal.owners()),
    }
}

/// With who is in the way, and what takes the first of them out of it.
pub(crate) fn with_owners(
    told: CliError,
    owners: &[worker_runtime_core::view::ScopeOwner],
) -> CliError {
    let mut named: Vec<Holder> = owners.iter().map(|owner| owner.holder).collect();
    named.dedup();
    let stop = named.first().map(|holder| match holder {
        Holder::Worker(worker_id) => Suggestion::worker_stop(*worker_id),
        Holder::Lease(lease_id) => Suggestion::lock_release_by_force(*lease_id),
    });
    let show = named.into_iter().take(3).map(|holder| match holder {
        Holder::Worker(worker_id) => Suggestion::worker_show(worker_id),
        Holder::Lease(lease_id) => Suggestion::lock_show(lease_id),
    });
    let asked = owners
        .first()
        .map(|owner| Suggestion::lock_who(&owner.asked));
    show.chain(asked).chain(stop).fold(told, CliError::hint)
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::new(error.code(), error.to_string()).hint(Suggestion::status())
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error {
            ReadError::Worker(error) => error.into(),
            ReadError::Cursor(CursorError::Expired { earliest, .. }) => {
                told.hint(Suggestion::event_ls_after(None, earliest))
            }
            ReadError::Cursor(
                CursorError::Ahead { tail } | CursorError::Forked { fork_at: tail, .. },
            ) => told.hint(Suggestion::event_ls_after(None, tail)),
            ReadError::Malformed(_) | ReadError::Cursor(_) => told.hint(Suggestion::event_ls(None)),
            _ => told.hint(Suggestion::status()),
        }
    }
}

impl From<CursorMalformed> for CliError {
    fn from(error: CursorMalformed) -> Self {
        ReadError::from(error).into()
    }
}

impl From<IdError> for CliError {
    fn from(error: IdError) -> Self {
        Self::new(Code::FieldInvalid, error.to_string()).hint(Suggestion::help(&["worker", "send"]))
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Full { .. } => Code::StorageFull,
            StoreError::OutcomeUnknown { .. } => Code::OutcomeUnknown,
            StoreError::Damaged { .. } => Code::StateDamaged,
            StoreError::Bug { .. } => Code::Bug,
            _ => Code::StateIo,
        };
        Self::new(code, error.to_string()).hint(Suggestion::state_info())
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => error.into(),
            OpenError::Recovery(error) => error.into(),
            other => Self::new(Code::Bug, other.to_string()),
        }
    }
}
