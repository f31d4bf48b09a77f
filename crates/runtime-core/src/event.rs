//! Events: the durable facts of a Worker and of the Runtime (I1, I2).
//!
//! `data` is kept as the JSON text that it will be sent as. The caller encodes and hashes it; the
//! writer adds position, seq and time; a replay copies bytes.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{Serialize, Serializer};
use twox_hash::XxHash3_128;

use crate::{ItemIndex, Position, RunId, Seq, Stream, Timestamp, WorkerId};

mod filter;
mod wire;

pub use filter::{EventFilter, FILTER_TYPES_MAX, TypePattern, TypePatternError};
pub use wire::{ReceivedEvent, WireEvent};

/// 128 bits of XXH3: detects accidents, not forgery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(bytes).to_be_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// What kind of fact an event is: a dotted word. Readers ignore kinds they don't know.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventType(Cow<'static, str>);

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal $( ($item:ident) )?;)*) => {
        #[allow(missing_docs, reason = "the dotted word says it; docs/events.md tells the data of each")]
        impl EventType {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*
            /// Every type that this version writes.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
        fn known(text: &str) -> Option<EventType> {
            match text { $($text => Some(EventType::$name),)* _ => None }
        }
        fn bears_transcript(text: &str) -> bool {
            match text { $($text => { false $(|| stringify!($item) == "transcript")? })* _ => false }
        }
    };
}

event_types! {
    RUNTIME_STARTED = "runtime.started";
    RUNTIME_STOPPED = "runtime.stopped";
    RUNTIME_RESUMED = "runtime.resumed";
    WORKER_CREATED = "worker.created";
    WORKER_UPDATED = "worker.updated";
    WORKER_PAUSED = "worker.paused";
    WORKER_RESUMED = "worker.resumed";
    WORKER_ENDING = "worker.ending";
    WORKER_STOPPED = "worker.stopped";
    WORKER_CANCELLED = "worker.cancelled";
    WORKER_ARCHIVED = "worker.archived";
    WORKER_RESTORED = "worker.restored";
    WORKER_DELETED = "worker.deleted";
    WORKER_STATUS = "worker.status";
    INPUT_ACCEPTED = "input.accepted" (transcript);
    INPUT_FINISHED = "input.finished";
    RUN_STARTED = "run.started";
    RUN_REQUIRES_ACTION = "run.requires_action" (transcript);
    RUN_ACTION_ANSWERED = "run.action_answered" (transcript);
    RUN_CANCEL_REQUESTED = "run.cancel_requested";
    RUN_FINISHED = "run.finished";
    BLOCK_FINISHED = "block.finished" (transcript);
    TOOL_CALL = "tool.call" (transcript);
    TOOL_UPDATE = "tool.update";
    TOOL_RESULT = "tool.result" (transcript);
    USAGE = "usage";
    ALLOCATION_GRANTED = "allocation.granted";
    ALLOCATION_REFUSED = "allocation.refused";
    ALLOCATION_CHANGED = "allocation.changed";
    ALLOCATION_RELEASING = "allocation.releasing";
    ALLOCATION_RELEASED = "allocation.released";
    ALLOCATION_REPARENTED = "allocation.reparented";
    ALLOCATION_RECLAIMED = "allocation.reclaimed";
    LEASE_GRANTED = "lease.granted";
    LEASE_RELEASED = "lease.released";
    LEASE_EXPIRED = "lease.expired";
    CONTEXT_LOST = "context.lost";
    CONTEXT_COMPACTED = "context.compacted";
    BACKEND_MESSAGE = "backend.message";
    DIAGNOSTIC = "diagnostic";
    /// Stands for the events of a Worker that was deleted; made when the Runtime's stream is read.
    REDACTED = "redacted";
}

/// The longest event type, in bytes.
pub const EVENT_TYPE_LEN_MAX_BYTES: usize = 64;

impl EventType {
    /// The dotted word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type that a stored or sent text names, also one that this version doesn't know.
    pub fn from_text(text: &str) -> Self {
        known(text).unwrap_or_else(|| Self(Cow::Owned(text.to_owned())))
    }

    /// Whether events of this type are told by the Runtime alone: a backend that could tell them
    /// could fake an outcome.
    pub fn is_reserved(&self) -> bool {
        const PREFIXES: [&str; 6] = [
            "runtime.",
            "worker.",
            "input.",
            "run.",
            "allocation.",
            "lease.",
        ];
        *self == Self::BLOCK_FINISHED
            || *self == Self::REDACTED
            || PREFIXES.iter().any(|prefix| self.0.starts_with(prefix))
    }

    /// Whether a reader of the conversation wants events of this type.
    pub fn in_transcript(&self) -> bool {
        bears_transcript(&self.0)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for EventType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_text(&String::deserialize(deserializer)?))
    }
}

/// The place of an event in its Worker's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerPlace {
    /// Whose stream.
    pub worker_id: WorkerId,
    /// The event's number in it.
    pub seq: Seq,
    /// The event's number in the transcript, when it bears transcript.
    pub item: Option<ItemIndex>,
}

/// A durable fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's number in the Runtime.
    pub position: Position,
    /// When it was written (store time: never goes back within a Runtime).
    pub at: Timestamp,
    /// Its place in its Worker's stream; `None` for a fact about the Runtime itself.
    pub worker: Option<WorkerPlace>,
    /// What kind of fact.
    pub kind: EventType,
    /// The run it belongs to.
    pub run_id: Option<RunId>,
    /// The fact, as one JSON object.
    pub data: Bytes,
    /// XXH3-128 of `data`, made by whoever encoded it.
    pub data_digest: Digest,
}

/// An event before the writer has given it its place.
#[derive(Debug, Clone)]
pub struct EventDraft {
    pub(crate) kind: EventType,
    pub(crate) run_id: Option<RunId>,
    /// The fact, as one JSON object.
    pub(crate) data: Bytes,
    /// XXH3-128 of `data`.
    pub(crate) data_digest: Digest,
}

impl EventDraft {
    /// Encodes and hashes `data`, which must serialise to a JSON object.
    ///
    /// Done on the caller's thread, never on the writer's when it can be helped.
    ///
    /// # Errors
    /// When `data` can't be written as JSON (a map with keys that are no strings, say).
    pub fn new<T: Serialize>(
        kind: EventType,
        run_id: Option<RunId>,
        data: &T,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self::from_json(
            kind,
            run_id,
            serde_json::to_vec(data)?.into(),
        ))
    }

    /// Takes `data` that is a JSON object already.
    pub(crate) fn from_json(kind: EventType, run_id: Option<RunId>, data: Bytes) -> Self {
        let data_digest = Digest::of(&data);
        Self {
            kind,
            run_id,
            data,
            data_digest,
        }
    }
}

impl Event {
    /// Whether the event belongs to `stream`.
    pub fn is_in(&self, stream: Stream) -> bool {
        match stream {
            Stream::Runtime => true,
            Stream::Worker(worker_id) => self
                .worker
                .is_some_and(|place| place.worker_id == worker_id),
        }
    }
}

#[cfg(test)]
mod tests;
