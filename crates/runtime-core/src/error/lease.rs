//! Why a lease was not granted, renewed or given back.

use super::{FieldInvalid, ScopeRefusal, Unavailable};
use crate::{Code, Fence, LeaseId, ScopeError};

/// Why there is no lease that a call can be about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoLease {
    /// Nobody holds one of this id: it was given back, its time is over, or it never was.
    #[error("there is no lease {0}: it was released, its time is over, or it never was")]
    Unknown(LeaseId),
    /// Its record is damaged, and nobody knows what it holds.
    #[error("the record of lease {lease_id} is damaged, and it holds nothing any more: {detail}")]
    Damaged {
        /// Which.
        lease_id: LeaseId,
        /// What is wrong.
        detail: String,
    },
}

impl NoLease {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Code::LeaseUnknown,
            Self::Damaged { .. } => Code::RecordDamaged,
        }
    }
}

/// Why a lease was not granted, renewed or given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// There is none.
    #[error(transparent)]
    Lease(#[from] NoLease),
    /// The id is taken by a lease that was asked for differently.
    #[error(
        "lease {0} exists already and was asked for differently; use another id, or the first request again"
    )]
    Exists(LeaseId),
    /// There are as many as the Runtime grants.
    #[error("there are {leases_max} leases already, which is the limit")]
    Limit {
        /// The limit.
        leases_max: usize,
    },
    /// Its holder has another fence: whoever shows this one holds it no more, or never did.
    #[error("fence {fence} of lease {lease_id} is not current: touch nothing with it")]
    Stale {
        /// Which.
        lease_id: LeaseId,
        /// What was shown.
        fence: Fence,
    },
    /// The scope can't be taken.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// Somebody holds part of it.
    #[error(transparent)]
    Refused(#[from] ScopeRefusal),
    /// A field can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl LeaseError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Lease(error) => error.code(),
            Self::Exists(_) => Code::LeaseExists,
            Self::Limit { .. } => Code::LeaseLimit,
            Self::Stale { .. } => Code::FenceStale,
            Self::Scope(error) => error.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Field(_) => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}
