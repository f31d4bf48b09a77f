//! Cursors: *after this position*, in one Worker's stream or the Runtime's.
//!
//! One token on every transport, opaque to clients: URL-safe, 50 characters, and within one stream
//! it sorts like the order. It holds a tag of its stream, the position, the id of the incarnation
//! that wrote the position, and a check value, so that a mistyped token, one of another Worker and
//! one of a forked history are told apart.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use twox_hash::XxHash3_64;

use crate::{Position, RuntimeId, WorkerId};

/// A stream of events: the whole Runtime's, or one Worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Every event, in command order.
    Runtime,
    /// The events of one Worker.
    Worker(WorkerId),
}

impl Stream {
    /// 64 bits that tell this stream from others, also from those of other Runtimes.
    fn tag(self, runtime_id: RuntimeId) -> u64 {
        let [a, b] = match self {
            Self::Runtime => [runtime_id.to_bytes(), [0; 16]],
            Self::Worker(worker_id) => [runtime_id.to_bytes(), worker_id.to_bytes()],
        };
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(a.into_iter().chain(b)) {
            *to = from;
        }
        XxHash3_64::oneshot(&bytes)
    }
}

/// After this position, in one stream of one Runtime, as this incarnation knew it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    tag: u64,
    position: Position,
    incarnation_id: u32,
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no cursor: {reason}")]
pub struct CursorMalformed {
    /// What was given, cut to 64 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Cursor {
    /// The length of every token, in characters.
    pub const LEN_CHARS: usize = 50;

    /// The cursor after `position` of `stream`, which `incarnation_id` wrote.
    pub fn new(
        runtime_id: RuntimeId,
        stream: Stream,
        position: Position,
        incarnation_id: u32,
    ) -> Self {
        Self {
            tag: stream.tag(runtime_id),
            position,
            incarnation_id,
        }
    }

    /// The position it stands after.
    pub const fn position(self) -> Position {
        self.position
    }

    /// The random id of the incarnation that wrote the position.
    pub const fn incarnation_id(self) -> u32 {
        self.incarnation_id
    }

    /// Whether it belongs to `stream` of this Runtime.
    pub fn is_of(self, runtime_id: RuntimeId, stream: Stream) -> bool {
        self.tag == stream.tag(runtime_id)
    }

    fn check(self) -> u32 {
        let mut bytes = [0; 20];
        let parts = self
            .tag
            .to_le_bytes()
            .into_iter()
            .chain(self.position.0.to_le_bytes());
        for (to, from) in bytes
            .iter_mut()
            .zip(parts.chain(self.incarnation_id.to_le_bytes()))
        {
            *to = from;
        }
        (XxHash3_64::oneshot(&bytes) >> 32) as u32
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tag,
            position,
            incarnation_id,
        } = self;
        write!(
            f,
            "c1{tag:016x}{:016x}{incarnation_id:08x}{:08x}",
            position.0,
            self.check()
        )
    }
}

impl FromStr for Cursor {
    type Err = CursorMalformed;

    fn from_str(text: &str) -> Result<Self, CursorMalformed> {
        let malformed = |reason| CursorMalformed {
            text: text.chars().take(64).collect(),
            reason,
        };
        if text.len() != Self::LEN_CHARS {
            return Err(malformed("it does not have 50 characters"));
        }
        let hex = text
            .strip_prefix("c1")
            .ok_or_else(|| malformed("it does not start with c1"))?;
        if hex
            .bytes()
            .any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(malformed("it has a character that no cursor has"));
        }
        let field = |from: usize, to: usize| {
            hex.get(from..to)
                .and_then(|part| u64::from_str_radix(part, 16).ok())
        };
        let fields = (field(0, 16), field(16, 32), field(32, 40), field(40, 48));
        let (Some(tag), Some(position), Some(incarnation), Some(check)) = fields else {
            return Err(malformed("it has a character that no cursor has"));
        };
        let cursor = Self {
            tag,
            position: Position(position),
            incarnation_id: incarnation as u32,
        };
        if u64::from(cursor.check()) != check {
            return Err(malformed(
                "its check value does not fit, so a character was changed",
            ));
        }
        Ok(cursor)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Where a reader wants to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the earliest event that is still there.
    Beginning,
    /// After the newest one.
    Now,
    /// After this cursor.
    After(Cursor),
}

/// Why a cursor can't be followed as it is; each names where one can go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// An event of the stream after the cursor was trimmed by retention.
    #[error(
        "events after the cursor were trimmed by retention; the earliest that is left follows {earliest}"
    )]
    Expired {
        /// The cursor before the earliest event that is left.
        earliest: Cursor,
        /// The cursor after the newest one.
        tail: Cursor,
    },
    /// The cursor's position has not been written yet.
    #[error("the cursor is beyond the newest event, which is at {tail}")]
    Ahead {
        /// The cursor after the newest event.
        tail: Cursor,
    },
    /// The cursor belongs to another Worker or another Runtime.
    #[error("the cursor belongs to another stream")]
    Foreign {
        /// The cursor after the newest event of the stream that was asked for.
        tail: Cursor,
    },
    /// The cursor's position was written by a history that this store is not a continuation of.
    #[error("the cursor belongs to a history that forked from this one after {fork_at}")]
    Forked {
        /// The newest cursor that both histories share, as far as this store can tell.
        fork_at: Cursor,
        /// The cursor after the newest event.
        tail: Cursor,
    },
}

#[cfg(test)]
mod tests;
