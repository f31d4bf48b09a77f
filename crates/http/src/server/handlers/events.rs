//! Events by poll and long-poll: pages after a cursor, of the same shape whether there are any or
//! not; and by streams, over SSE and WebSockets (I1, I10).

use std::time::Duration;

use axum::{
    Extension, Json,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use worker_runtime_core::{
    Code, Cursor, CursorError, EventFilter, PageSize, RunId, Stream, TypePattern, WireEvent,
    WorkerId,
    cursor::From as Start,
    error::ReadError,
    event::{FILTER_TYPES_MAX, TypePatternError},
    view::EventPage,
};

use super::workers::Limit;
use crate::{
    server::{
        app::App,
        auth::Access,
        extract::{Path, Query, last_event_id, present},
        metrics::Transport,
        observe::{self, Asked, Frames},
        refusal::Refusal,
        serve::Connection,
    },
    wire::{EventsBody, GapBody},
};

/// Which part of a stream, and how it is to be given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct EventsQuery {
    /// Only events after this cursor
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<Cursor>")]
    cursor: Option<String>,
    /// Where to start without a cursor
    #[serde(deserialize_with = "present")]
    from: Option<Begin>,
    /// Only events of these types: a type, or all below a word, as `run.*`; may be given several times
    #[serde(rename = "type")]
    #[schemars(inner(length(min = 1, max = 64)))]
    types: Vec<String>,
    /// Only events of this run
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<RunId>")]
    run_id: Option<RunId>,
    /// How many events to give at most; 100 when left out. Not for a stream
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<Limit>")]
    limit: Option<Limit>,
    /// How many seconds to wait for news when there is nothing; 60 at most. Not for a stream
    #[serde(deserialize_with = "present")]
    #[schemars(range(max = 60))]
    wait: Option<u64>,
    /// Whether previews of a Worker's unfinished blocks are sent too. Only for a stream
    #[serde(deserialize_with = "present")]
    deltas: Option<bool>,
}

/// The part of a Worker's or the Runtime's stream that a WebSocket sends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::server) struct StreamQuery {
    /// Only events after this cursor
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<Cursor>")]
    cursor: Option<String>,
    /// Where to start without a cursor
    #[serde(deserialize_with = "present")]
    from: Option<Begin>,
    /// Only events of these types: a type, or all below a word, as `run.*`; may be given several times
    #[serde(rename = "type")]
    #[schemars(inner(length(min = 1, max = 64)))]
    types: Vec<String>,
    /// Only events of this run
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<RunId>")]
    run_id: Option<RunId>,
    /// Whether previews of a Worker's unfinished blocks are sent too
    #[serde(deserialize_with = "present")]
    deltas: Option<bool>,
}

/// A start that is no cursor.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Begin {
    /// The earliest event that is left
    Beginning,
    /// After the newest one
    Now,
}

impl EventsQuery {
    /// What a stream is asked for.
    ///
    /// # Errors
    /// What only a page has, and what can't be understood.
    fn streamed(self, stream: Stream, headers: &HeaderMap) -> Result<Asked, Refusal> {
        let of_pages = [
            ("limit", self.limit.is_some()),
            ("wait", self.wait.is_some()),
        ];
        if let Some((field, _)) = of_pages.into_iter().find(|(_, is_there)| *is_there) {
            let detail = format!("a stream has no `{field}`: it goes on by itself");
            return Err(Refusal::new(Code::QueryInvalid, detail).with_field(field));
        }
        let query = StreamQuery {
            cursor: self.cursor,
            from: self.from,
            types: self.types,
            run_id: self.run_id,
            deltas: self.deltas,
        };
        query.asked(stream, headers)
    }
}

impl StreamQuery {
    fn asked(self, stream: Stream, headers: &HeaderMap) -> Result<Asked, Refusal> {
        if self.deltas == Some(true) && stream == Stream::Runtime {
            let detail = "only one Worker's stream has previews of its unfinished blocks";
            return Err(Refusal::new(Code::QueryInvalid, detail).with_field("deltas"));
        }
        Ok(Asked {
            stream,
            start: start(self.cursor.as_deref(), self.from, headers)?,
            filter: filter(&self.types, self.run_id)?,
            deltas: self.deltas.unwrap_or_default(),
        })
    }
}

/// Where to begin. What a client that comes back says it has seen wins: it can't change its address.
fn start(cursor: Option<&str>, from: Option<Begin>, headers: &HeaderMap) -> Result<Start, Refusal> {
    let seen = last_event_id(headers)?;
    match (cursor, from) {
        (Some(_), Some(_)) => {
            let detail = "`cursor` and `from` exclude each other";
            Err(Refusal::new(Code::QueryInvalid, detail).with_field("from"))
        }
        (Some(text), None) => match text.parse::<Cursor>() {
            Ok(cursor) => Ok(Start::After(seen.unwrap_or(cursor))),
            Err(error) => {
                let refusal = Refusal::new(Code::CursorMalformed, error.to_string());
                Err(refusal.with_field("cursor"))
            }
        },
        (None, from) => Ok(match (seen, from) {
            (Some(seen), _) => Start::After(seen),
            (None, Some(Begin::Now)) => Start::Now,
            (None, Some(Begin::Beginning) | None) => Start::Beginning,
        }),
    }
}

fn filter(types: &[String], run_id: Option<RunId>) -> Result<EventFilter, Refusal> {
    let refused = |detail: String| Refusal::new(Code::QueryInvalid, detail).with_field("type");
    if types.len() > FILTER_TYPES_MAX {
        let detail = format!("at most {FILTER_TYPES_MAX} types may be named");
        return Err(refused(detail));
    }
    let types: Result<Vec<TypePattern>, _> = types.iter().map(|text| text.parse()).collect();
    let types = types.map_err(|error: TypePatternError| refused(error.to_string()))?;
    Ok(EventFilter { types, run_id })
}

pub(in crate::server) async fn of_worker(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Extension(access): Extension<Access>,
    Extension(connection): Extension<Connection>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    events(
        &app,
        &access,
        &connection,
        Stream::Worker(worker_id),
        query,
        &headers,
    )
    .await
}

pub(in crate::server) async fn of_runtime(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    Extension(connection): Extension<Connection>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    events(&app, &access, &connection, Stream::Runtime, query, &headers).await
}

pub(in crate::server) async fn socket_of_worker(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Extension(access): Extension<Access>,
    Extension(connection): Extension<Connection>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let asked = query.asked(Stream::Worker(worker_id), &headers)?;
    open_socket(&app, &access, connection, asked, socket)
}

pub(in crate::server) async fn socket_of_runtime(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    Extension(connection): Extension<Connection>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let asked = query.asked(Stream::Runtime, &headers)?;
    open_socket(&app, &access, connection, asked, socket)
}

fn open_socket(
    app: &App,
    access: &Access,
    connection: Connection,
    asked: Asked,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let socket = socket.map_err(|error| {
        let detail = format!("this is a WebSocket: {}", error.body_text());
        Refusal::new(Code::UpgradeRequired, detail)
    })?;
    let frames = Frames::begin(app, access, asked, Transport::websocket)?;
    Ok(observe::upgrade(socket, connection, frames))
}

async fn events(
    app: &App,
    access: &Access,
    connection: &Connection,
    stream: Stream,
    query: EventsQuery,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    if !observe::wants_stream(headers) {
        let page = page(app, access, stream, &query, headers).await?;
        return Ok(Json(page).into_response());
    }
    let asked = query.streamed(stream, headers)?;
    let had_cursor = matches!(asked.start, Start::After(_));
    match Frames::begin(app, access, asked, Transport::sse) {
        Ok(frames) => Ok(observe::respond(app, frames, connection.unhurried())),
        // It was followed, and is gone for good: a browser that is told so in any other way comes back for
        // ever, or shows an error.
        Err(refusal) if had_cursor && refusal.says_gone() => {
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn page(
    app: &App,
    access: &Access,
    stream: Stream,
    query: &EventsQuery,
    headers: &HeaderMap,
) -> Result<EventsBody, Refusal> {
    let start = start(query.cursor.as_deref(), query.from, headers)?;
    let filter = filter(&query.types, query.run_id)?;
    if query.deltas.is_some() {
        let detail = "only a stream has previews: send `Accept: text/event-stream`";
        return Err(Refusal::new(Code::QueryInvalid, detail).with_field("deltas"));
    }
    let wait = Duration::from_secs(query.wait.unwrap_or_default());
    if wait > app.0.limits.wait_max {
        let detail = format!("it must be at most {}", app.0.limits.wait_max.as_secs());
        return Err(Refusal::new(Code::QueryInvalid, detail).with_field("wait"));
    }
    let size = PageSize {
        events_max: query.limit.unwrap_or_default().0,
        ..PageSize::default()
    };
    let observation = app.0.runtime.observation();
    loop {
        // A relative start means one place, also while it is waited for news.
        let begin = observation.resolve(stream, start)?;
        let from = Start::After(begin);
        let page = if wait.is_zero() {
            observation.events_that(stream, from, size, &filter)
        } else {
            let _place = app.0.waits.begin(access.token_id())?;
            let _waiting = app.0.metrics.waiting();
            let until = async {
                // Either way the page is given, empty or not.
                let _ = tokio::time::timeout(wait, observe::over(app, access)).await;
            };
            observation
                .events_when_any(stream, from, size, &filter, until)
                .await
        };
        match page {
            // What was the beginning was trimmed just now. Who named no cursor is told of none.
            Err(ReadError::Cursor(CursorError::Expired { .. })) if start == Start::Beginning => {}
            page => return body(&page?, begin),
        }
    }
}

fn body(page: &EventPage, start: Cursor) -> Result<EventsBody, Refusal> {
    let wire = page.events.iter().map(|(cursor, event)| {
        to_raw_value(&WireEvent {
            event,
            runtime_id: page.runtime_id,
            cursor: *cursor,
        })
    });
    let events: Result<Vec<Box<RawValue>>, _> = wire.collect();
    Ok(EventsBody {
        runtime_id: page.runtime_id,
        start,
        gap: page
            .gap
            .clone()
            .zip(page.after_gap)
            .map(|(gap, cursor)| GapBody { gap, cursor }),
        events: events.map_err(|error| Refusal::new(Code::Bug, error.to_string()))?,
        next: page.next,
        up_to_date: page.up_to_date,
    })
}
