//! What is asked for, where the core has no type for it.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use worker_runtime_core::{
    Fence, Scope, WorkerId,
    limits::{ANSWER_BYTES_MAX, REASON_BYTES_MAX},
    whole,
};

use super::AccessScope;

/// How a Worker is to end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndWorker {
    /// Why, for whoever reads its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = REASON_BYTES_MAX))]
    pub reason: Option<String>,
    /// Take the processes of an earlier run for dead although that could not be shown; needs scope
    /// `admin`. Its scope becomes free: make sure of it first.
    pub assume_dead: bool,
}

/// What a Worker is to hold: exactly this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAllocation {
    /// What it may touch itself.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// What it may hand on to Workers below it.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub delegation: Scope,
    /// Why, for whoever reads its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = REASON_BYTES_MAX))]
    pub reason: Option<String>,
}

/// What somebody might ask to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckAllocation {
    /// What it would touch itself.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// What it would hand on.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub delegation: Scope,
    /// The Worker below which it would be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<WorkerId>,
}

/// How what is held is given back, or taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TakeAllocation {
    /// Why, for whoever reads the events; needed with `force`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = REASON_BYTES_MAX))]
    pub reason: Option<String>,
    /// Also from whoever runs something with it: the run is cancelled, what waits stays waiting, and what
    /// is held is free once all is quiet.
    pub force: bool,
}

/// How a lease is given back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReleaseLease {
    /// The fence that its holder was given last; needed without `force`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_fence"
    )]
    pub fence: Option<Fence>,
    /// Why, for whoever reads the events; needed with `force`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = REASON_BYTES_MAX))]
    pub reason: Option<String>,
    /// Take it from its holder, whoever that is: what it held is free at once.
    pub force: bool,
}

fn optional_fence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fence>, D::Error> {
    Ok(whole::optional(deserializer)?.map(Fence))
}

/// Why something is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Because {
    /// Why, for the record of the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = REASON_BYTES_MAX))]
    pub reason: Option<String>,
}

/// Why the Runtime is stopped or drained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StopRuntime {
    /// Why, for whoever reads its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = REASON_BYTES_MAX))]
    pub reason: Option<String>,
}

/// The answer to an action that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerAction {
    /// One of the options that the action offers, or any text where it offers none.
    #[schemars(length(max = ANSWER_BYTES_MAX))]
    pub option: String,
}

/// What an access token is to allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// For whom, in the operator's words.
    #[schemars(
        length(min = 1, max = Self::NAME_CHARS_MAX),
        regex(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")
    )]
    pub name: String,
    /// What it allows.
    pub scope: AccessScope,
    /// After how many seconds it expires; never when absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "worker_runtime_core::whole::optional"
    )]
    #[schemars(with = "Option<u64>", range(min = 1, max = Self::EXPIRES_IN_SECONDS_MAX))]
    pub expires_in_seconds: Option<u64>,
}

impl CreateToken {
    /// The longest name, in characters, as a schema counts.
    pub const NAME_CHARS_MAX: usize = 64;
    /// The latest end: ten years.
    pub const EXPIRES_IN_SECONDS_MAX: u64 = 315_360_000;
}
