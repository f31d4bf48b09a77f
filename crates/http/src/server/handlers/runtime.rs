//! The Runtime itself.

use axum::{Extension, Json, extract::State};
use worker_runtime_core::{
    profile::ResolvedProfile,
    view::{Diagnostic, RuntimeStatus},
};

use crate::{
    server::{app::App, auth::Access, extract::OptionalJson, refusal::Refusal},
    wire::{BackendView, Because, PositionBody, StopRuntime},
};

pub(in crate::server) async fn status(State(app): State<App>) -> Json<RuntimeStatus> {
    Json(app.0.runtime.management().status())
}

pub(in crate::server) async fn stop(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<StopRuntime>,
) -> Result<Json<PositionBody>, Refusal> {
    let runtime = access.operate(&app, None)?;
    let position = runtime.management().stop(request.reason).await?;
    Ok(Json(PositionBody { position }))
}

pub(in crate::server) async fn drain(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<StopRuntime>,
) -> Result<Json<PositionBody>, Refusal> {
    let runtime = access.operate(&app, None)?;
    let position = runtime.management().drain(request.reason).await?;
    Ok(Json(PositionBody { position }))
}

pub(in crate::server) async fn start(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    OptionalJson(request): OptionalJson<Because>,
) -> Result<Json<PositionBody>, Refusal> {
    let runtime = access.operate(&app, request.reason)?;
    let position = runtime.management().start().await?;
    Ok(Json(PositionBody { position }))
}

pub(in crate::server) async fn diagnostics(State(app): State<App>) -> Json<Vec<Diagnostic>> {
    Json(app.0.runtime.management().diagnostics())
}

pub(in crate::server) async fn profiles(State(app): State<App>) -> Json<Vec<ResolvedProfile>> {
    Json(app.0.runtime.management().profiles())
}

pub(in crate::server) async fn backends(State(app): State<App>) -> Json<Vec<BackendView>> {
    let backends = app.0.runtime.management().backends().into_iter();
    let view = |(name, capabilities)| BackendView { name, capabilities };
    Json(backends.map(view).collect())
}
