//! Why an input was not accepted.

use super::{FieldInvalid, Unavailable, WorkerError};
use crate::{Code, InputId, Timestamp, WorkerId, backend::IncapableReason, view::Phase};

/// Why an input was not accepted. A refusal uses up no `input_id`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// It has ended, or is about to.
    #[error("Worker {worker_id} takes no input: it is {state}")]
    NotActive {
        /// Which.
        worker_id: WorkerId,
        /// What it is instead.
        state: &'static str,
    },
    /// Nothing can run the input (I8).
    #[error("Worker {worker_id} can't execute input: {reason}", reason = describe_incapable(reason))]
    Incapable {
        /// Which.
        worker_id: WorkerId,
        /// Why.
        reason: IncapableReason,
    },
    /// It runs or holds another input.
    #[error("Worker {worker_id} is busy with input {input_id} since {since} ({phase})")]
    Busy {
        /// Which.
        worker_id: WorkerId,
        /// With which input.
        input_id: InputId,
        /// Since when.
        since: Timestamp,
        /// How far that input is.
        phase: Phase,
    },
    /// As many inputs wait as may.
    #[error("{waiting} inputs wait for Worker {worker_id} already, which is the limit")]
    QueueFull {
        /// Which.
        worker_id: WorkerId,
        /// How many.
        waiting: usize,
    },
    /// The input is larger than the Runtime takes.
    #[error("the input has {bytes} bytes and the limit is {bytes_max}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The input says nothing.
    #[error("the input is empty")]
    Empty,
    /// A segment can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// The Worker has accepted as many inputs as it ever may.
    #[error(
        "Worker {worker_id} has accepted {accepted} inputs, which is the limit; create another Worker"
    )]
    Quota {
        /// Which.
        worker_id: WorkerId,
        /// How many.
        accepted: u64,
    },
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl SubmitError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::NotActive { .. } => Code::WorkerNotActive,
            Self::Incapable { .. } => Code::InputIncapable,
            Self::Busy { .. } => Code::InputBusy,
            Self::QueueFull { .. } => Code::InputQueueFull,
            Self::TooLarge { .. } => Code::InputTooLarge,
            Self::Empty => Code::InputEmpty,
            Self::Field(_) => Code::FieldInvalid,
            Self::Quota { .. } => Code::InputQuota,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Says an [`IncapableReason`] in words.
pub fn describe_incapable(reason: &IncapableReason) -> String {
    match reason {
        IncapableReason::NoBackend => "it was created without an execution backend".to_owned(),
        IncapableReason::BackendMissing { name } => {
            format!("this Runtime has no execution backend {name:?}")
        }
        IncapableReason::ProviderMissing { detail } => format!("its provider is missing: {detail}"),
        IncapableReason::ProfileMissing { name } => format!("its profile {name:?} is missing"),
        IncapableReason::SecretMissing { name } => format!("secret {name:?} is missing"),
        IncapableReason::AuthorityMissing { detail } => format!("it has no authority: {detail}"),
        IncapableReason::Damaged => "its record is damaged".to_owned(),
    }
}
