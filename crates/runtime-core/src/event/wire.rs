//! Events on the wire: written without decoding what they hold, and read back the same.

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use serde_json::value::RawValue;

use super::{Digest, Event, EventType, WorkerPlace};
use crate::{Cursor, ItemIndex, Position, RunId, RuntimeId, Seq, Timestamp, WorkerId};

/// An event as it goes over the wire and into a command's JSON output.
#[derive(Debug, Clone)]
pub struct WireEvent<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its Runtime.
    pub runtime_id: RuntimeId,
    /// The cursor *after* this event, in the stream it was read from.
    pub cursor: Cursor,
}

impl Serialize for WireEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = std::str::from_utf8(&self.event.data)
            .map_err(serde::ser::Error::custom)
            .and_then(|text| {
                serde_json::from_str::<&serde_json::value::RawValue>(text)
                    .map_err(serde::ser::Error::custom)
            })?;
        let mut out = serializer.serialize_struct("Event", 10)?;
        out.serialize_field("cursor", &self.cursor)?;
        out.serialize_field("runtime_id", &self.runtime_id)?;
        if let Some(place) = &self.event.worker {
            out.serialize_field("worker_id", &place.worker_id)?;
            out.serialize_field("seq", &place.seq)?;
            if let Some(item) = &place.item {
                out.serialize_field("item", item)?;
            }
        }
        out.serialize_field("position", &self.event.position)?;
        out.serialize_field("at", &format_args!("{}", self.event.at))?;
        out.serialize_field("type", &self.event.kind)?;
        if let Some(run_id) = &self.event.run_id {
            out.serialize_field("run_id", run_id)?;
        }
        out.serialize_field("data", data)?;
        out.end()
    }
}

/// An event as it came over the wire: what [`WireEvent`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEvent {
    /// The event.
    pub event: Event,
    /// Its Runtime.
    pub runtime_id: RuntimeId,
    /// The cursor after it, in the stream it was read from.
    pub cursor: Cursor,
}

/// The fields that this version knows; others are ignored.
#[derive(Deserialize)]
struct Fields<'a> {
    cursor: Cursor,
    runtime_id: RuntimeId,
    worker_id: Option<WorkerId>,
    seq: Option<Seq>,
    item: Option<ItemIndex>,
    position: Position,
    at: Timestamp,
    #[serde(rename = "type")]
    kind: EventType,
    run_id: Option<RunId>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl ReceivedEvent {
    /// Reads an event; its data is kept byte for byte as it was sent.
    ///
    /// # Errors
    /// When the text is no event.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let Fields {
            cursor,
            runtime_id,
            worker_id,
            seq,
            item,
            position,
            at,
            kind,
            run_id,
            data,
        } = serde_json::from_str(text)?;
        let data = Bytes::copy_from_slice(data.get().as_bytes());
        let place = worker_id.zip(seq);
        let worker = place.map(|(worker_id, seq)| WorkerPlace {
            worker_id,
            seq,
            item,
        });
        let event = Event {
            position,
            at,
            worker,
            kind,
            run_id,
            data_digest: Digest::of(&data),
            data,
        };
        Ok(Self {
            event,
            runtime_id,
            cursor,
        })
    }
}
