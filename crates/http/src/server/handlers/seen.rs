//! What a Worker or its transcript was seen as: the tag of its representation, reads of what has another one
//! (`If-None-Match`), and changes of a Worker that are made only while it has that tag (`If-Match`).
//!
//! The Runtime's writer looks at the tag right before the change: nothing comes between.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use worker_runtime_core::{
    Allocations, Catalog, Code, Cursor, Digest, Interaction, Runtime, view::WorkerView,
};

use crate::server::{
    extract::{Header, Tags, tags},
    refusal::Refusal,
    routes::AnswerHeader,
};

/// The catalog, for a change of a Worker under the request's condition.
///
/// # Errors
/// A condition that is none.
pub(super) fn catalog(runtime: &Runtime, headers: &HeaderMap) -> Result<Catalog, Refusal> {
    let catalog = runtime.catalog();
    Ok(match wanted(headers)? {
        Some(wanted) => catalog.only_if(move |worker| is_one_of(worker, &wanted)),
        None => catalog,
    })
}

/// As [`catalog`], for input, actions, and the end of runs.
///
/// # Errors
/// As [`catalog`].
pub(super) fn interaction(runtime: &Runtime, headers: &HeaderMap) -> Result<Interaction, Refusal> {
    let interaction = runtime.interaction();
    Ok(match wanted(headers)? {
        Some(wanted) => interaction.only_if(move |worker| is_one_of(worker, &wanted)),
        None => interaction,
    })
}

/// As [`catalog`], for what is held.
///
/// # Errors
/// As [`catalog`].
pub(super) fn allocations(runtime: &Runtime, headers: &HeaderMap) -> Result<Allocations, Refusal> {
    let allocations = runtime.allocations();
    Ok(match wanted(headers)? {
        Some(wanted) => allocations.only_if(move |worker| is_one_of(worker, &wanted)),
        None => allocations,
    })
}

/// `None` when the request has no condition, or one that every Worker meets that can be changed.
fn wanted(headers: &HeaderMap) -> Result<Option<Tags>, Refusal> {
    let wanted = tags(headers, Header::IfMatch)?;
    Ok(wanted.filter(|wanted| *wanted != Tags::Any))
}

fn is_one_of(worker: &WorkerView, wanted: &Tags) -> bool {
    entity_tag(worker).is_ok_and(|tag| wanted.have_strongly(&tag))
}

/// The digest of a representation without its cursor, which moves with the Runtime; without quotes.
pub(super) fn entity_tag(representation: &impl Serialize) -> Result<String, Refusal> {
    let bug = |error: serde_json::Error| Refusal::new(Code::Bug, error.to_string());
    let mut value = serde_json::to_value(representation).map_err(bug)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("cursor");
    }
    Ok(Digest::of(value.to_string().as_bytes()).to_string())
}

/// A representation with its tag; without its body for who has it already (`If-None-Match`).
pub(super) fn unless_known(
    headers: &HeaderMap,
    representation: impl Serialize,
    tag: &str,
    cursor: Cursor,
) -> Result<Response, Refusal> {
    let known = tags(headers, Header::IfNoneMatch)?;
    let is_known = known.is_some_and(|known| known.have_weakly(tag));
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Json(representation).into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        headers.insert(AnswerHeader::ETag.name(), tag);
    }
    // The representation may be as it was while the stream went on.
    if let Ok(cursor) = HeaderValue::from_str(&cursor.to_string()) {
        headers.insert(AnswerHeader::Cursor.name(), cursor);
    }
    let revalidate = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, revalidate);
    Ok(response)
}
