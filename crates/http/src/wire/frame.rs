//! What an open stream of events sends, over SSE and over a WebSocket alike.

#[cfg(feature = "server")]
use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::value::RawValue;
use worker_runtime_core::{Code, Cursor, Delta, RuntimeId, Timestamp};

use super::{EventBody, GapBody};

/// One message of a stream. Over SSE an `event` has no `event:` line, so that it is what a browser's
/// `onmessage` gets; every other one has its own name there, and its `data` is what follows `data:`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "frame", content = "data", rename_all = "snake_case")]
pub enum Frame {
    /// Where the stream begins: the first frame.
    Started(StartedBody),
    /// A durable event.
    #[schemars(with = "EventBody")]
    Event(EventFrame),
    /// A stretch is missing, or the cursor could not be followed; the stream goes on after it.
    Gap(GapBody),
    /// A preview of a block that has not ended, when asked for. It is not durable and has no cursor.
    #[schemars(schema_with = "delta")]
    Delta(Arc<Delta>),
    /// Everything there was is sent; what follows is news. Told once.
    UpToDate(ReachedBody),
    /// Nothing new for a while, and how far the stream is.
    Heartbeat(ReachedBody),
    /// It can't be served now; the connection ends, and is to be tried again later.
    Busy(BusyBody),
    /// The stream ends here, on purpose.
    End(EndBody),
}

fn delta(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}

impl Frame {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Event(_) => "event",
            Self::Gap(_) => "gap",
            Self::Delta(_) => "delta",
            Self::UpToDate(_) => "up_to_date",
            Self::Heartbeat(_) => "heartbeat",
            Self::Busy(_) => "busy",
            Self::End(_) => "end",
        }
    }

    /// Where to go on after it; what has none leaves the reader where it was.
    pub const fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Started(body) => Some(body.cursor),
            Self::Event(event) => Some(event.cursor),
            Self::Gap(body) => Some(body.cursor),
            Self::UpToDate(body) | Self::Heartbeat(body) => Some(body.cursor),
            Self::Delta(_) | Self::Busy(_) | Self::End(_) => None,
        }
    }
}

#[cfg(feature = "server")]
impl Frame {
    /// Its data as JSON, without its name.
    pub(crate) fn data(&self) -> serde_json::Result<Cow<'_, str>> {
        match self {
            Self::Event(event) => Ok(event.json.get().into()),
            Self::Started(body) => to_text(body),
            Self::Gap(body) => to_text(body),
            Self::Delta(delta) => to_text(delta),
            Self::UpToDate(body) | Self::Heartbeat(body) => to_text(body),
            Self::Busy(body) => to_text(body),
            Self::End(body) => to_text(body),
        }
    }
}

#[cfg(feature = "server")]
fn to_text<T: Serialize>(body: &T) -> serde_json::Result<Cow<'static, str>> {
    serde_json::to_string(body).map(Cow::Owned)
}

/// An event as it is sent: JSON already, of the shape of [`EventBody`].
#[derive(Debug, Clone)]
pub struct EventFrame {
    pub(crate) cursor: Cursor,
    pub(crate) json: Arc<RawValue>,
}

impl Serialize for EventFrame {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StartedBody {
    /// The Runtime.
    pub runtime_id: RuntimeId,
    /// The cursor that the stream begins after: a relative start, resolved; any other as it was asked for,
    /// also where a gap follows, so that who is cut off before the gap is told of it again.
    pub cursor: Cursor,
    /// The cursor after the newest event there is.
    pub tail: Cursor,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReachedBody {
    /// The cursor after everything that was sent, or left out by a filter.
    pub cursor: Cursor,
    /// The cursor after the newest event there is.
    pub tail: Cursor,
    /// The server's time.
    pub at: Timestamp,
}

/// Why a stream can't be served now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BusyBody {
    /// What it is.
    pub code: Code,
    /// The same, in words.
    pub detail: String,
    /// How long to wait before trying again, in milliseconds.
    pub retry_ms: u64,
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its Worker was deleted, and everything is told: nothing will follow.
    Deleted,
    /// The server ends; try again, and go on at the cursor.
    Draining,
    /// Its access token has expired or was revoked.
    Token,
    /// The store could not be read; the server's log tells why.
    Store,
    /// The client sent what is not taken here: a stream is for observing.
    Refused,
}

/// The end of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EndBody {
    /// Why.
    pub reason: EndReason,
    /// The same, in words.
    pub detail: String,
    /// The error that names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}
