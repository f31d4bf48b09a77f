//! What a refusal says (RFC 9457), the same shape for every route and every kind of mistake.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use worker_runtime_core::{Code, Cursor, InputId, RunId, WorkerId, view::ScopeOwner};

use super::AccessScope;

/// Why a request was refused, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The page of its code, relative to the server.
    #[serde(rename = "type")]
    pub page: String,
    /// What its code means, in a line.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// Its stable code.
    pub code: Code,
    /// Which request, as in the header `X-Request-Id` and in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The field that can't be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The scope of access that is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<AccessScope>,
    /// The newest cursor of the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Cursor>,
    /// Where to go on from: before the earliest event that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Cursor>,
    /// Where to go on from: the newest cursor that both histories share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_at: Option<Cursor>,
    /// Every Worker that holds what was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<ScopeOwner>,
    /// The Worker that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// The input that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_id: Option<InputId>,
    /// The run that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
}

impl Problem {
    /// A problem of this code; the server gives it its status.
    pub fn new(code: Code, status: u16, detail: impl Into<String>) -> Self {
        Self {
            page: format!("/errors/{code}"),
            title: title(code).to_owned(),
            status,
            detail: detail.into(),
            code,
            request_id: None,
            field: None,
            scope: None,
            tail: None,
            earliest: None,
            fork_at: None,
            owners: Vec::new(),
            worker_id: None,
            input_id: None,
            run_id: None,
        }
    }
}

/// The headline of a code's page, without the code.
fn title(code: Code) -> &'static str {
    let line = code.page().lines().next().unwrap_or_default();
    line.split_once(": ").map_or(line, |(_, title)| title)
}
