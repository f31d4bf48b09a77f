//! Why a scope was not granted, changed or taken back.

use super::{FieldInvalid, NoLease, Unavailable, WorkerError};
use crate::{
    Code, Fence, Permission, RunId, ScopeError, ScopeRule, WorkerId,
    view::{Holder, Owners, ScopeOwner},
};

/// Why a scope is not granted: somebody holds it, or nobody may hand it on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeRefusal {
    /// Somebody holds part of it.
    #[error("the scope meets what {} {} hold: {}", owners.total, owners.kind(), owners)]
    Conflict {
        /// Every owner, deepest rule first.
        owners: Owners,
    },
    /// The parent may not hand this on.
    #[error("{}", undelegated(*parent, rule, *hands_on))]
    Undelegated {
        /// The Worker under which it was asked for.
        parent: WorkerId,
        /// The first rule that is beyond its delegation.
        rule: ScopeRule,
        /// Whether it delegates anything at all (any more).
        hands_on: bool,
    },
}

/// What is beyond a delegation, and the ways out of that.
fn undelegated(parent: WorkerId, rule: &ScopeRule, hands_on: bool) -> String {
    if hands_on {
        return format!(
            "Worker {parent} may not delegate {rule}; ask for less, or have its delegation extended"
        );
    }
    format!(
        "Worker {parent} delegates nothing, so nobody below it is granted {rule}; have it delegate that, or end it: what is below it is then below the next above it"
    )
}

impl ScopeRefusal {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Conflict { .. } => Code::ScopeConflict,
            Self::Undelegated { .. } => Code::ScopeUndelegated,
        }
    }

    /// Who holds what was asked for.
    pub fn owners(&self) -> &[ScopeOwner] {
        match self {
            Self::Conflict { owners } => &owners.named,
            Self::Undelegated { .. } => &[],
        }
    }
}

/// Why a fence is not good for what is to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The place can't be taken.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// There is no such lease.
    #[error(transparent)]
    Lease(#[from] NoLease),
    /// The run to which it was granted is over, the lease has another one, or it was another
    /// incarnation's.
    #[error("fence {fence} of {holder} is not current: touch nothing with it")]
    Stale {
        /// Whose.
        holder: Holder,
        /// What was shown.
        fence: Fence,
    },
    /// It may not do this there.
    #[error("{holder} may not {} there: {rule}", match rule.permission { Permission::Read => "look", Permission::Write => "write" })]
    Denied {
        /// Who.
        holder: Holder,
        /// What was to be done.
        rule: ScopeRule,
    },
}

impl FenceError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::Scope(error) => error.code(),
            Self::Lease(error) => error.code(),
            Self::Stale { .. } => Code::FenceStale,
            Self::Denied { .. } => Code::ScopeDenied,
        }
    }
}

/// Why an allocation was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocationError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The Worker has ended, or is about to.
    #[error("Worker {worker_id} is {state}, so it holds nothing that could be changed")]
    NotActive {
        /// Which.
        worker_id: WorkerId,
        /// What it is.
        state: &'static str,
    },
    /// It holds nothing.
    #[error("Worker {0} holds no scope")]
    NotHeld(WorkerId),
    /// The scope can't be taken.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// Somebody holds it, or nobody may hand it on.
    #[error(transparent)]
    Refused(#[from] ScopeRefusal),
    /// A Worker below it holds what it would no longer be able to hand on.
    #[error(
        "Worker {child} below it holds {rule}, which it would not be able to delegate any more; take that back first"
    )]
    Lent {
        /// Whose.
        child: WorkerId,
        /// The first rule of it that would be beyond the delegation.
        rule: ScopeRule,
    },
    /// Something runs that was started with the scope: a part of it is free when that is dead.
    #[error(
        "{} of Worker {worker_id} goes on with this scope; a part of it can be taken when that has ended",
        match run_id { Some(run_id) => format!("run {run_id}"), None => "a process".to_owned() }
    )]
    InUse {
        /// Whose.
        worker_id: WorkerId,
        /// Its run; `None` when it is a process that lives longer than one.
        run_id: Option<RunId>,
    },
    /// A field can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl AllocationError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::NotActive { .. } => Code::WorkerNotActive,
            Self::NotHeld(_) => Code::ScopeNotHeld,
            Self::Scope(error) => error.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Lent { .. } => Code::ScopeLent,
            Self::InUse { .. } => Code::ScopeInUse,
            Self::Field(_) => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}
