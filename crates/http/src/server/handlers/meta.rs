//! The server itself: whether it lives and is ready, and what it has.

use std::sync::LazyLock;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use worker_runtime_core::Code;

use crate::{
    server::{app::App, extract::Path, metrics::MEDIA_TYPE, refusal::Refusal, routes},
    wire::ReadyBody,
};

pub(in crate::server) async fn health() -> Json<ReadyBody> {
    Json(ReadyBody {
        ready: true,
        reason: None,
    })
}

pub(in crate::server) async fn ready(State(app): State<App>) -> (StatusCode, Json<ReadyBody>) {
    let runtime = &app.0.runtime;
    let reason = if app.is_draining() {
        Some("the server is about to end")
    } else if runtime.is_closed() {
        Some("the Runtime is closed")
    } else if runtime.management().status().stopped {
        Some("a user stopped the Runtime")
    } else {
        None
    };
    let code = match reason {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = ReadyBody {
        ready: reason.is_none(),
        reason: reason.map(str::to_owned),
    };
    (code, Json(body))
}

pub(in crate::server) async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let text = app.0.metrics.text();
    let text = text.map_err(|error| Refusal::new(Code::Bug, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

pub(in crate::server) async fn openapi() -> Response {
    // It is the same for as long as the program is.
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| routes::openapi().to_string().into());
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (headers, DOCUMENT.clone()).into_response()
}

pub(in crate::server) async fn error_page(Path(code): Path<String>) -> Result<Response, Refusal> {
    let known = Code::ALL.iter().find(|known| known.as_str() == code);
    let Some(known) = known else {
        return Err(Refusal::new(Code::RouteUnknown, "there is no such code"));
    };
    let headers = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Ok((headers, known.page()).into_response())
}
