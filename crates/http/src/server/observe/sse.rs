//! Frames as server-sent events (WHATWG HTML, 9.2), as real clients need them: lines end with LF, every
//! frame but a preview has an `id:`, and nothing is sent as a comment.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_core::Stream as FutureStream;
use tokio::time::{Sleep, sleep};
use worker_runtime_core::Code;

use super::Frames;
use crate::{
    server::{
        app::App,
        send::{END_SENT_MAX, Unhurried},
    },
    wire::Frame,
};

/// What an `Accept` names it by.
pub(in crate::server) const MEDIA_TYPE: &str = "text/event-stream";
/// How long a client is to wait before it comes back after a cut, and as much again by chance.
const RETRY: Duration = Duration::from_secs(1);

/// Whether a request asks for events as a stream rather than as a page.
pub(in crate::server) fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let names_it = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(MEDIA_TYPE));
        let is_refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
        });
        names_it && !is_refused
    })
}

/// The answer that sends these frames until they end.
pub(in crate::server) fn respond(app: &App, frames: Frames, unhurried: Unhurried) -> Response {
    sent(app, frames, Some(unhurried))
}

/// The answer to who finds no place, in the time that any answer has.
pub(in crate::server) fn respond_busy(app: &App, detail: &str) -> Response {
    sent(app, Frames::busy(app, Code::ServerBusy, detail), None)
}

fn sent(app: &App, frames: Frames, unhurried: Option<Unhurried>) -> Response {
    let retry = RETRY + RETRY.mul_f64(app.chance());
    let body = Body::from_stream(Encoded {
        frames,
        retry: Some(retry),
        unhurried,
        cut: None,
    });
    let headers = [
        (header::CONTENT_TYPE, MEDIA_TYPE),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        // Some proxies would gather what is sent.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (StatusCode::OK, headers, body).into_response()
}

struct Encoded {
    frames: Frames,
    /// Told with the first frame.
    retry: Option<Duration>,
    unhurried: Option<Unhurried>,
    /// Until when its reader may take what is left, once it is over.
    cut: Option<Pin<Box<Sleep>>>,
}

impl Encoded {
    /// Ready when its connection may be given more; an error when its reader reads nothing and it is over.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(unhurried) = &self.unhurried else {
            return Poll::Ready(Ok(()));
        };
        if unhurried.poll_sent(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.frames.poll_over(context));
        let cut = self
            .cut
            .get_or_insert_with(|| Box::pin(sleep(END_SENT_MAX)));
        ready!(cut.as_mut().poll(context));
        let reason = "a stream was over and its reader did not read";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
    }
}

impl FutureStream for Encoded {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.poll_sent(context))?;
        let Some(batch) = ready!(Pin::new(&mut self.frames).poll_next(context)) else {
            return Poll::Ready(None);
        };
        let mut text = String::new();
        for frame in &batch {
            let retry = match frame {
                Frame::Busy(busy) => Some(Duration::from_millis(busy.retry_ms)),
                _ => self.retry.take(),
            };
            if let Err(error) = encode(frame, retry, &mut text) {
                // Nothing that is sent could fail so; what can't be written is not passed over.
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        if let Some(unhurried) = &self.unhurried {
            unhurried.give(text.len());
        }
        Poll::Ready(Some(Ok(text.into())))
    }
}

/// Appends a frame. JSON has no line ends of its own, so its data is one line.
fn encode(frame: &Frame, retry: Option<Duration>, into: &mut String) -> serde_json::Result<()> {
    if let Some(retry) = retry {
        into.push_str("retry: ");
        into.push_str(&retry.as_millis().to_string());
        into.push('\n');
    }
    if let Some(cursor) = frame.cursor() {
        into.push_str("id: ");
        into.push_str(&cursor.to_string());
        into.push('\n');
    }
    if !matches!(frame, Frame::Event(_)) {
        into.push_str("event: ");
        into.push_str(frame.name());
        into.push('\n');
    }
    into.push_str("data: ");
    into.push_str(&frame.data()?);
    into.push_str("\n\n");
    Ok(())
}

#[cfg(test)]
mod tests;
