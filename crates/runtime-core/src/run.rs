//! Runs and how they end: every accepted input gets exactly one durable outcome (I4).

use serde::{Deserialize, Serialize};

use crate::AsJson;

/// The four outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The backend said explicitly that it is done.
    Completed,
    /// The backend, the command or the time limit ended it.
    Failed,
    /// Somebody asked for the end.
    Cancelled,
    /// It stopped without an end, with the Runtime or by itself. It is never run again by itself.
    Interrupted,
}

/// Why a run stopped. Open: reasons that this version doesn't know are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StopReason {
    /// The turn is over.
    EndTurn,
    /// The output limit was reached.
    MaxTokens,
    /// The limit of turns was reached.
    MaxTurns,
    /// The model refused.
    Refusal,
    /// It was cancelled.
    Cancelled,
    /// The stream ended without saying that it is done.
    NoTerminator,
    /// The command ended.
    Exit {
        /// Its status, unless a signal ended it.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// It took longer than it was given.
    Timeout,
    /// The Runtime ended while it ran.
    RuntimeLost,
    /// Something failed.
    Error {
        /// A stable word for it, where the backend has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// What happened, fit for a client: no absolute path, no secret (I11).
        message: String,
    },
    /// Another explicit end.
    Other {
        /// The backend's word for it.
        reason: String,
    },
}

impl StopReason {
    /// The outcome that follows from the reason alone.
    pub const fn outcome_kind(&self) -> OutcomeKind {
        match self {
            Self::EndTurn
            | Self::MaxTokens
            | Self::MaxTurns
            | Self::Refusal
            | Self::Other { .. } => OutcomeKind::Completed,
            Self::Exit { code: Some(0), .. } => OutcomeKind::Completed,
            Self::Exit { .. } | Self::Timeout | Self::Error { .. } => OutcomeKind::Failed,
            Self::Cancelled => OutcomeKind::Cancelled,
            Self::NoTerminator | Self::RuntimeLost => OutcomeKind::Interrupted,
        }
    }
}

/// How an input ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outcome {
    /// Which of the four.
    pub kind: OutcomeKind,
    /// Why.
    pub stop: AsJson<StopReason>,
}

impl From<StopReason> for Outcome {
    fn from(stop: StopReason) -> Self {
        Self {
            kind: stop.outcome_kind(),
            stop: AsJson(stop),
        }
    }
}

/// What was used, cumulative within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Usage {
    /// Tokens read, those from a cache included.
    pub input_tokens: u64,
    /// Of these, tokens read from a cache.
    pub cached_input_tokens: u64,
    /// Tokens written, those of thought included.
    pub output_tokens: u64,
    /// Of these, tokens of thought.
    pub reasoning_tokens: u64,
    /// Calls of tools.
    pub tool_calls: u64,
    /// Cost, in millionths of a US dollar.
    pub cost_usd_micros: u64,
}

impl Usage {
    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_input_tokens: self
                .cached_input_tokens
                .saturating_add(other.cached_input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            tool_calls: self.tool_calls.saturating_add(other.tool_calls),
            cost_usd_micros: self.cost_usd_micros.saturating_add(other.cost_usd_micros),
        }
    }
}
