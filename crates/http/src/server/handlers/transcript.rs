//! What was said.

use axum::{extract::State, http::HeaderMap, response::Response};
use schemars::JsonSchema;
use serde::Deserialize;
use worker_runtime_core::{Code, TranscriptFrom, WorkerId};

use super::{
    seen::{entity_tag, unless_known},
    workers::Limit,
};
use crate::server::{
    app::App,
    extract::{Path, Query, present},
    refusal::Refusal,
};

/// Which items of a transcript; without `from` and `before`, the newest ones.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct TranscriptQuery {
    /// From this item on
    #[serde(deserialize_with = "present")]
    #[schemars(range(max = u64::MAX))]
    from: Option<u64>,
    /// Those before this item
    #[serde(deserialize_with = "present")]
    #[schemars(range(max = u64::MAX))]
    before: Option<u64>,
    /// How many to give at most
    limit: Limit,
}

pub(in crate::server) async fn get(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Query(query): Query<TranscriptQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let from = match (query.from, query.before) {
        (None, None) => TranscriptFrom::End,
        (Some(item), None) => TranscriptFrom::Item(item),
        (None, Some(item)) => TranscriptFrom::Before(item),
        (Some(_), Some(_)) => {
            let detail = "`from` and `before` exclude each other";
            return Err(Refusal::new(Code::QueryInvalid, detail).with_field("before"));
        }
    };
    let observation = app.0.runtime.observation();
    let page = observation.transcript(worker_id, from, query.limit.0)?;
    let (tag, cursor) = (entity_tag(&page)?, page.cursor);
    unless_known(&headers, page, &tag, cursor)
}
