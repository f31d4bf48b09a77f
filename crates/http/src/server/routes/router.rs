//! What serves the routes, with the checks before every handler.

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tracing::Instrument;
use worker_runtime_core::Code;

use super::{list::routes, told::AnswerHeader};
use crate::server::{
    app::App,
    auth::{Guarded, Takes, check_names, guard},
    observe::{respond_busy, wants_stream},
    refusal::{Refusal, finish},
};

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
                headers: route.headers,
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

/// A mark on requests that came while all ordinary places of connections were taken.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct InReserve;

/// What is kept free is for whoever asks whether the server lives. Everybody else is told that it is busy:
/// in a stream, where one was asked for, as a browser that is refused does not come back.
fn without_place(app: &App, request: &Request, matched: Option<&str>) -> Option<Response> {
    let is_kept_for = ["/healthz", "/readyz"].contains(&request.uri().path());
    if is_kept_for || request.extensions().get::<InReserve>().is_none() {
        return None;
    }
    let detail = "as many connections are open as may; ask later";
    let has_streams = matched.is_some_and(|path| path.ends_with("/events"));
    if has_streams && request.method() == Method::GET && wants_stream(request.headers()) {
        return Some(respond_busy(app, detail));
    }
    Some(Refusal::new(Code::ServerBusy, detail).into_response())
}

/// hyper has limits of its own for these, farther out, and tells them without a body.
///
/// # Errors
/// When the address or the headers are larger than is taken (I9).
fn check_head(app: &App, request: &Request) -> Result<(), Refusal> {
    let limits = &app.0.limits;
    let refused = |detail| Err(Refusal::new(Code::HeadTooLarge, detail));
    let target = request.uri().to_string().len();
    if target > limits.target_bytes_max {
        let max = limits.target_bytes_max;
        let detail = format!("the address has {target} bytes, and the limit is {max}");
        return refused(detail).map_err(|told| told.with_status(StatusCode::URI_TOO_LONG));
    }
    let (count, max) = (request.headers().len(), limits.headers_max);
    if count > max {
        return refused(format!("there are {count} headers, and the limit is {max}"));
    }
    // As they are sent: with a colon, a space, and the end of the line.
    let headers = request.headers().iter();
    let bytes = headers.fold(0_usize, |bytes, (name, value)| {
        let line = name.as_str().len().saturating_add(value.len());
        bytes.saturating_add(line).saturating_add(4)
    });
    let max = limits.headers_bytes_max;
    if bytes > max {
        return refused(format!(
            "the headers have {bytes} bytes, and the limit is {max}"
        ));
    }
    Ok(())
}

/// Around every request, whatever its path: its id, the names it bears, and the body of a refusal.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(AnswerHeader::RequestId.name());
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
    let checked = check_head(&app, &request).and_then(|()| check_names(&app, &request));
    let route = matched.as_ref().map(MatchedPath::as_str);
    let response = match (checked, without_place(&app, &request, route)) {
        (Err(refusal), _) => refusal.into_response(),
        (Ok(()), Some(busy)) => busy,
        (Ok(()), None) => next.run(request).instrument(span.clone()).await,
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
        headers.insert(AnswerHeader::RequestId.name(), value);
    }
    // What is read is of the moment, and of one token.
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    let no_sniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, no_sniff);
    response
}
