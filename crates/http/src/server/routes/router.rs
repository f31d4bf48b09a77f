//! What serves the routes, with the checks before every handler.

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tracing::Instrument;
use worker_runtime_core::Code;

use super::list::routes;
use crate::server::{
    app::App,
    auth::{Guarded, Takes, check_names, guard},
    refusal::{Refusal, finish},
};

/// The header that names a request, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that is taken from a client.
const REQUEST_ID_LEN_MAX: usize = 64;

/// The router over every route.
pub(in crate::server) fn router(app: &App) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let guarded = Guarded {
            app: app.clone(),
            needs: route.needs,
            takes: Takes {
                query: route.query.is_some(),
                body: route.body.is_some(),
            },
        };
        let handler = route
            .handler
            .route_layer(middleware::from_fn_with_state(guarded, guard));
        router = router.route(route.path, handler);
    }
    router
        .fallback(unknown)
        .method_not_allowed_fallback(refused)
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app.clone())
}

async fn unknown() -> Refusal {
    Refusal::new(Code::RouteUnknown, "there is nothing under this path")
}

async fn refused() -> Refusal {
    Refusal::new(Code::MethodRefused, "this path does not take this method")
}

/// Around every request, whatever its path: its id, the names it bears, and the body of a refusal.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(&REQUEST_ID);
    let sent = sent.and_then(|value| value.to_str().ok());
    let is_fit = |id: &&str| {
        (1..=REQUEST_ID_LEN_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let request_id = match sent.filter(is_fit) {
        Some(id) => id.to_owned(),
        None => app.request_id(),
    };
    let span = tracing::info_span!(
        "request",
        request_id,
        method = %request.method(),
        path = request.uri().path(),
    );
    let began = app.0.clock.monotonic();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = match check_names(&app, &request) {
        Ok(()) => next.run(request).instrument(span.clone()).await,
        Err(refusal) => refusal.into_response(),
    };
    let mut response = span.in_scope(|| finish(response, &request_id));
    tracing::debug!(parent: &span, status = response.status().as_u16(), "answered");
    let took = app.0.clock.monotonic().saturating_sub(began);
    // A path may be known and the method not: then the method is whatever a client made up.
    let is_known = response.status() != StatusCode::METHOD_NOT_ALLOWED;
    let matched = matched.as_ref().filter(|_| is_known);
    let matched = matched.map(|path| (path.as_str(), method.as_str()));
    let status = response.status().as_u16();
    app.0.metrics.answered(matched, status, took);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    // What is read is of the moment, and of one token.
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    let no_sniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, no_sniff);
    response
}
