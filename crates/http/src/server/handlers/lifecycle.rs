//! The lives of Workers.

use axum::{Extension, Json, extract::State, http::HeaderMap};
use schemars::JsonSchema;
use serde::Deserialize;
use worker_runtime_core::{EndOptions, WorkerId, limits::REASON_BYTES_MAX, view::LifecycleReceipt};

use crate::{
    server::{
        app::App,
        auth::Access,
        extract::{OptionalJson, Path, Query, present},
        handlers::{allocations::ChangeQuery, seen::catalog},
        refusal::Refusal,
    },
    wire::{AccessScope, Because, EndWorker, WorkerRestore, WouldRestore},
};

/// What becomes of a deleted Worker's bytes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct DeleteQuery {
    /// Its text goes at once, from its history and from the Runtime's stream; needs scope `admin`
    purge: bool,
    /// Why, for the record of the operation: a DELETE has no body
    #[serde(deserialize_with = "present")]
    #[schemars(length(max = REASON_BYTES_MAX))]
    reason: Option<String>,
}

type Changed = Result<Json<LifecycleReceipt>, Refusal>;

/// # Errors
/// To take processes for dead is to give their scope away.
fn options(access: &Access, request: EndWorker) -> Result<EndOptions, Refusal> {
    if request.assume_dead {
        access.require(AccessScope::Admin)?;
    }
    Ok(EndOptions {
        reason: request.reason,
        assume_dead: request.assume_dead,
    })
}

pub(in crate::server) async fn stop(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<EndWorker>,
) -> Changed {
    let options = options(&access, request)?;
    let catalog = catalog(&access.operate(&app, None)?, &headers)?;
    Ok(Json(catalog.stop(worker_id, options).await?))
}

pub(in crate::server) async fn cancel(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<EndWorker>,
) -> Changed {
    let options = options(&access, request)?;
    let catalog = catalog(&access.operate(&app, None)?, &headers)?;
    Ok(Json(catalog.cancel(worker_id, options).await?))
}

pub(in crate::server) async fn pause(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<Because>,
) -> Changed {
    let catalog = catalog(&access.operate(&app, request.reason)?, &headers)?;
    Ok(Json(catalog.pause(worker_id).await?))
}

pub(in crate::server) async fn resume(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<Because>,
) -> Changed {
    let catalog = catalog(&access.operate(&app, request.reason)?, &headers)?;
    Ok(Json(catalog.resume(worker_id).await?))
}

pub(in crate::server) async fn archive(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<Because>,
) -> Changed {
    let catalog = catalog(&access.operate(&app, request.reason)?, &headers)?;
    Ok(Json(catalog.archive(worker_id).await?))
}

pub(in crate::server) async fn restore(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<Because>,
) -> Result<Json<WorkerRestore>, Refusal> {
    let catalog = catalog(&access.operate(&app, request.reason)?, &headers)?;
    if query.dry_run {
        let would_restore = catalog.would_restore(worker_id).await?;
        return Ok(Json(WorkerRestore::Tried(WouldRestore { would_restore })));
    }
    let restored = catalog.restore(worker_id).await?;
    Ok(Json(WorkerRestore::Restored(restored)))
}

pub(in crate::server) async fn delete(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    headers: HeaderMap,
    Extension(access): Extension<Access>,
    Query(query): Query<DeleteQuery>,
) -> Changed {
    if query.purge {
        access.require(AccessScope::Admin)?;
    }
    let catalog = catalog(&access.operate(&app, query.reason)?, &headers)?;
    Ok(Json(catalog.delete(worker_id, query.purge).await?))
}
