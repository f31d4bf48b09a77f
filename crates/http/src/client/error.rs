//! What can go wrong with a call.

use std::time::Duration;

use worker_runtime_core::Code;

use crate::wire::Problem;

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The text is no address of a server.
    #[error("{url:?} is no address of a server: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The access token can't be sent.
    #[error("the access token has characters that can't be sent")]
    Token,
    /// The server could not be reached, or the connection broke. A command may have been carried out:
    /// repeat it with the same id.
    #[error("the server at {address} can't be reached: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
        /// Whether the request may have arrived there.
        sent: bool,
    },
    /// No answer came in time. A command may have been carried out: repeat it with the same id.
    #[error("the server at {address} did not answer within {after:?}")]
    TimedOut {
        /// Where.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// The server refused.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// What answered is not what was expected.
    #[error("what answers at {address} is no worker-runtime, or another version: {reason}")]
    Protocol {
        /// Where.
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl ClientError {
    /// Its stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Url { .. } => Code::Usage,
            Self::Token => Code::TokenInvalid,
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Protocol { .. } => {
                Code::ServerUnreachable
            }
            Self::Refused(problem) => problem.code,
        }
    }

    /// Whether nobody knows if the call was carried out: only the same call again tells, with the same id.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } => *sent,
            Self::TimedOut { .. } => true,
            Self::Refused(problem) => problem.code == Code::OutcomeUnknown,
            Self::Url { .. } | Self::Token | Self::Protocol { .. } => false,
        }
    }

    /// Whether the same call may succeed later: nothing is wrong with the call itself.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Refused(problem) => matches!(problem.status, 429 | 502..=504),
            Self::Url { .. } | Self::Token | Self::Protocol { .. } => false,
        }
    }
}
