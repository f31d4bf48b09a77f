//! Routes to what Workers said and what happened: by pages, by streams, over WebSockets.

use axum::http::StatusCode;
use worker_runtime_core::view::TranscriptPage;

use super::{route::Route, told::AnswerHeader};
use crate::{
    server::extract::Header,
    server::handlers::{
        events::{self, EventsQuery, StreamQuery},
        transcript::{self, TranscriptQuery},
    },
    server::observe::MEDIA_TYPE as SSE,
    wire::{EventsBody, Frame},
};

const OK: StatusCode = StatusCode::OK;
const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;
const SWITCHING: StatusCode = StatusCode::SWITCHING_PROTOCOLS;

pub(super) fn of_reading() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/workers/{worker_id}/transcript",
            "getTranscript",
            "What was said, from either end, and what has not ended yet",
            transcript::get,
        )
        .query::<TranscriptQuery>()
        .looks_at(&[Header::IfNoneMatch])
        .answers::<TranscriptPage>(OK, "A page of it")
        .with(&[AnswerHeader::ETag, AnswerHeader::Cursor])
        .answers_nothing(
            StatusCode::NOT_MODIFIED,
            "It is as the `If-None-Match` says",
        )
        .with(&[AnswerHeader::ETag, AnswerHeader::Cursor]),
        Route::get(
            "/v1/workers/{worker_id}/events",
            "listWorkerEvents",
            "A Worker's events after a cursor; with `wait`, once there are some; as they come, with \
             `Accept: text/event-stream`",
            events::of_worker,
        )
        .query::<EventsQuery>()
        .looks_at(&[Header::LastEventId])
        .answers::<EventsBody>(OK, "A page of them, empty when there are none")
        .or_streams::<Frame>(SSE)
        .answers_nothing(NO_CONTENT, "Of a stream: the Worker is gone, and won't come back"),
        Route::get(
            "/v1/workers/{worker_id}/events/ws",
            "observeWorker",
            "A Worker's events as they come, over a WebSocket",
            events::socket_of_worker,
        )
        .query::<StreamQuery>()
        .looks_at(&[Header::LastEventId])
        .answers::<Frame>(SWITCHING, "Messages, each a frame"),
        Route::get(
            "/v1/events",
            "listEvents",
            "All events after a cursor; with `wait`, once there are some; as they come, with \
             `Accept: text/event-stream`",
            events::of_runtime,
        )
        .query::<EventsQuery>()
        .looks_at(&[Header::LastEventId])
        .answers::<EventsBody>(OK, "A page of them, empty when there are none")
        .or_streams::<Frame>(SSE),
        Route::get(
            "/v1/events/ws",
            "observeRuntime",
            "All events as they come, over a WebSocket",
            events::socket_of_runtime,
        )
        .query::<StreamQuery>()
        .looks_at(&[Header::LastEventId])
        .answers::<Frame>(SWITCHING, "Messages, each a frame"),
    ]
}
