//! Why a backend's message was not taken.

use super::Unavailable;
use crate::{BlockId, Code, Generation, RunId};

/// Why a backend's message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The run is over, or another one has begun. The message was dropped and counted.
    #[error("run {run_id} of generation {generation} is over")]
    Stale {
        /// Which run.
        run_id: RunId,
        /// Its generation.
        generation: Generation,
    },
    /// There is no such open block.
    #[error("block {0} is not open")]
    BlockUnknown(BlockId),
    /// A limit was reached; the message was dropped.
    #[error("{what} reached its limit of {max}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The message can't be taken as it is.
    #[error("the message can't be taken: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// It could not be made durable.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl SinkError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Stale { .. } => Code::RunStale,
            Self::BlockUnknown(_) | Self::Limit { .. } | Self::Invalid { .. } => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}
