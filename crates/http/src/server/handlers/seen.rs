//! What a Worker was seen as: the tag of its representation, and changes that are made only while it has
//! that tag (`If-Match`).
//!
//! The Runtime's writer looks at the tag right before the change: nothing comes between.

use axum::http::HeaderMap;
use worker_runtime_core::{Allocations, Catalog, Code, Digest, Interaction, view::WorkerView};

use crate::server::{
    app::App,
    extract::{Header, Tags, tags},
    refusal::Refusal,
};

/// The catalog, for a change of a Worker under the request's condition.
///
/// # Errors
/// A condition that is none.
pub(super) fn catalog(app: &App, headers: &HeaderMap) -> Result<Catalog, Refusal> {
    let catalog = app.0.runtime.catalog();
    Ok(match wanted(headers)? {
        Some(wanted) => catalog.only_if(move |worker| is_one_of(worker, &wanted)),
        None => catalog,
    })
}

/// As [`catalog`], for input, actions, and the end of runs.
///
/// # Errors
/// As [`catalog`].
pub(super) fn interaction(app: &App, headers: &HeaderMap) -> Result<Interaction, Refusal> {
    let interaction = app.0.runtime.interaction();
    Ok(match wanted(headers)? {
        Some(wanted) => interaction.only_if(move |worker| is_one_of(worker, &wanted)),
        None => interaction,
    })
}

/// As [`catalog`], for what is held.
///
/// # Errors
/// As [`catalog`].
pub(super) fn allocations(app: &App, headers: &HeaderMap) -> Result<Allocations, Refusal> {
    let allocations = app.0.runtime.allocations();
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

/// The digest of the representation without its cursor, which moves with the Runtime; without quotes.
pub(super) fn entity_tag(view: &WorkerView) -> Result<String, Refusal> {
    let bug = |error: serde_json::Error| Refusal::new(Code::Bug, error.to_string());
    let mut value = serde_json::to_value(view).map_err(bug)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("cursor");
    }
    Ok(Digest::of(value.to_string().as_bytes()).to_string())
}
