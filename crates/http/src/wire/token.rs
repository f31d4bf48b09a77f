//! Access tokens, as clients see them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use worker_runtime_core::Timestamp;

/// What an access token allows; each scope includes the ones before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AccessScope {
    /// To read everything that a client may see.
    Observe,
    /// To make Workers, send them input and end them.
    Operate,
    /// To run free command lines, to stop the Runtime, to make tokens, and to purge.
    Admin,
}

impl AccessScope {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for AccessScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An access token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// By which it is revoked.
    pub token_id: String,
    /// For whom.
    pub name: String,
    /// What it allows.
    pub scope: AccessScope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops being good.
    pub expires_at: Option<Timestamp>,
}

/// A token that was just made: its secret is told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCreated {
    /// What to send as `Authorization: Bearer`.
    pub token: String,
    /// What is known of it later.
    #[serde(flatten)]
    pub view: TokenView,
}
