//! Events by poll and long-poll: pages after a cursor, of the same shape whether there are any or
//! not (I1, I10).

use std::time::Duration;

use axum::{Extension, Json, extract::State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use worker_runtime_core::{
    Code, Cursor, PageSize, Stream, WireEvent, WorkerId, cursor::From as Start, view::EventPage,
};

use super::workers::Limit;
use crate::{
    server::{
        app::App,
        auth::Access,
        extract::{Path, Query, present},
        refusal::Refusal,
    },
    wire::{EventsBody, GapBody},
};

/// Which part of a stream, and whether to wait for it.
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
    /// How many events to give at most
    limit: Limit,
    /// How many seconds to wait for news when there is nothing; 60 at most
    #[schemars(range(max = 60))]
    wait: u64,
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
    fn start(&self) -> Result<Start, Refusal> {
        match (&self.cursor, self.from) {
            (Some(_), Some(_)) => {
                let detail = "`cursor` and `from` exclude each other";
                Err(Refusal::new(Code::QueryInvalid, detail).with_field("from"))
            }
            (Some(text), None) => match text.parse::<Cursor>() {
                Ok(cursor) => Ok(Start::After(cursor)),
                Err(error) => {
                    let refusal = Refusal::new(Code::CursorMalformed, error.to_string());
                    Err(refusal.with_field("cursor"))
                }
            },
            (None, Some(Begin::Now)) => Ok(Start::Now),
            (None, Some(Begin::Beginning) | None) => Ok(Start::Beginning),
        }
    }
}

pub(in crate::server) async fn of_worker(
    State(app): State<App>,
    Path(worker_id): Path<WorkerId>,
    Extension(access): Extension<Access>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<EventsBody>, Refusal> {
    page(&app, &access, Stream::Worker(worker_id), &query).await
}

pub(in crate::server) async fn of_runtime(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<EventsBody>, Refusal> {
    page(&app, &access, Stream::Runtime, &query).await
}

async fn page(
    app: &App,
    access: &Access,
    stream: Stream,
    query: &EventsQuery,
) -> Result<Json<EventsBody>, Refusal> {
    let start = query.start()?;
    let wait = Duration::from_secs(query.wait);
    if wait > app.0.limits.wait_max {
        let detail = format!("it must be at most {}", app.0.limits.wait_max.as_secs());
        return Err(Refusal::new(Code::QueryInvalid, detail).with_field("wait"));
    }
    let size = PageSize {
        events_max: query.limit.0,
        ..PageSize::default()
    };
    let observation = app.0.runtime.observation();
    // A relative start means one place, also while it is waited for news.
    let begin = observation.resolve(stream, start)?;
    let start = Start::After(begin);
    let page = if wait.is_zero() {
        observation.events(stream, start, size)?
    } else {
        let _place = app.0.waits.begin(access.token_id())?;
        let _waiting = app.0.metrics.waiting();
        let until = until(app, access, wait);
        observation
            .events_when_any(stream, start, size, until)
            .await?
    };
    Ok(Json(body(&page, begin)?))
}

/// Resolves when a long-poll has waited long enough: its time is over, the server is about to end, or
/// its token is not good any more.
async fn until(app: &App, access: &Access, wait: Duration) {
    let mut draining = app.0.draining.clone();
    let mut revoked = app.0.tokens.changes();
    let now = app.0.clock.now();
    let left = access.expires_at().map(|at| at.since(now));
    let time = tokio::time::sleep(left.map_or(wait, |left| left.min(wait)));
    tokio::pin!(time);
    // It may have been revoked between the look at it and the first look at changes.
    while access.is_good(app) {
        tokio::select! {
            () = &mut time => return,
            ended = draining.wait_for(|draining| *draining) => {
                let _ = ended;
                return;
            }
            changed = revoked.changed() => {
                if changed.is_err() {
                    return;
                }
            }
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
