//! Why there is no operation to show.

use crate::{Code, OperationId};

/// Why there is no operation of this number to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoOperation {
    /// It never was.
    #[error("there is no operation {0}")]
    Unknown(OperationId),
    /// It was, and newer ones took its place.
    #[error(
        "operation {operation_id} is not kept any more: the oldest that is kept is {kept_from}"
    )]
    Gone {
        /// Which.
        operation_id: OperationId,
        /// The oldest that is kept.
        kept_from: OperationId,
    },
    /// Its record is damaged.
    #[error("the record of operation {operation_id} is damaged: {detail}")]
    Damaged {
        /// Which.
        operation_id: OperationId,
        /// What is wrong.
        detail: String,
    },
}

impl NoOperation {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unknown(_) | Self::Gone { .. } => Code::OperationUnknown,
            Self::Damaged { .. } => Code::RecordDamaged,
        }
    }
}
