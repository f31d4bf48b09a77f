//! What is asked for, where the core has no type for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AccessScope;

/// How a Worker is to end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndWorker {
    /// Why, for whoever reads its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Take the processes of an earlier run for dead although that could not be shown; needs scope
    /// `admin`. Its scope becomes free: make sure of it first.
    pub assume_dead: bool,
}

/// Why the Runtime is stopped or drained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StopRuntime {
    /// Why, for whoever reads its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to an action that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerAction {
    /// One of the options that the action offers, or any text where it offers none.
    pub option: String,
}

/// What an access token is to allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// For whom, in the operator's words.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What it allows.
    pub scope: AccessScope,
    /// After how many seconds it expires; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 315_360_000))]
    pub expires_in_seconds: Option<u64>,
}
