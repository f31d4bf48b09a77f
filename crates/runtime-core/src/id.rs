//! Identities and ordinals: every id is its own type, so that two can't be swapped.
//!
//! Authority over a Worker is `runtime_id + worker_id`, never a name, a socket, a path or a pid.
//! All UUIDs are version 7, minted from the [`Clock`](crate::Clock) and
//! [`Entropy`] that the Runtime was given, so that a run can be replayed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::{Entropy, Timestamp};

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}: {reason}")]
pub struct IdError {
    /// Which id was wanted.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Mints a new id (UUIDv7) from the time and randomness given.
            pub fn mint(at: Timestamp, entropy: &mut dyn Entropy) -> Self {
                let mut random = [0; 10];
                entropy.fill(&mut random);
                Self(uuid::Builder::from_unix_timestamp_millis(at.unix_ms(), &random).into_uuid())
            }

            /// The id as its 16 bytes, in the order in which ids sort.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// Whether it is the UUID that names nothing: no text is read as it.
            pub const fn is_nil(self) -> bool {
                self.0.is_nil()
            }

            /// The id of these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let reason = match Uuid::try_parse(text) {
                    // Nobody mints it: it stands for an id that was left out.
                    Ok(uuid) if uuid.is_nil() => "it is the UUID that names nothing",
                    Ok(uuid) => return Ok(Self(uuid)),
                    Err(_) => "it is no UUID",
                };
                Err(IdError {
                    kind: $kind,
                    text: text.chars().take(64).collect(),
                    reason,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.to_bytes().serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(Self::from_bytes)
                }
            }
        }
    };
}

uuid_id!(
    /// The Runtime: minted with its store and kept in it.
    RuntimeId,
    "runtime id"
);
uuid_id!(
    /// A Worker inside one Runtime. Never used again, not even after a delete.
    WorkerId,
    "worker id"
);
uuid_id!(
    /// One execution of one input.
    RunId,
    "run id"
);
uuid_id!(
    /// What an outside holder holds for a time. An id that was given back may be used again.
    LeaseId,
    "lease id"
);

macro_rules! ordinal {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

ordinal!(
    /// The number of an event within its Worker, dense, from 1. 0 is "before the first".
    Seq
);
ordinal!(
    /// The number of an event within the Runtime, dense, in command order, from 1. 0 is "before the first".
    Position
);
ordinal!(
    /// The number of an item in a Worker's transcript, dense, from 0.
    ItemIndex
);
ordinal!(
    /// Grows with every run of a Worker; a message that bears an older one is late and is dropped.
    Generation
);
ordinal!(
    /// Grows with every grant of a scope in the Runtime; only the current one is accepted.
    Fence
);
ordinal!(
    /// Grows with every change of a Worker's record.
    Revision
);
ordinal!(
    /// The number of an operation within the Runtime, dense, from 1.
    OperationId
);
ordinal!(
    /// One life of a Worker: `restore` starts the next one.
    Epoch
);

/// One opening of the store for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Grows by one with every opening.
    pub number: u64,
    /// Random, so that two histories which forked from one can be told apart.
    pub id: u32,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:08x}", self.number, self.id)
    }
}

/// A block of output within a Worker: the run's generation and the block's index in that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId {
    /// The generation of the run that the block belongs to.
    pub generation: Generation,
    /// The block's index in its run, from 0.
    pub index: u32,
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.index)
    }
}

impl FromStr for BlockId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parts = text.split_once('.').and_then(|(generation, index)| {
            Some(Self {
                generation: Generation(generation.parse().ok()?),
                index: index.parse().ok()?,
            })
        });
        parts.ok_or_else(|| IdError {
            kind: "block id",
            text: text.chars().take(64).collect(),
            reason: "it is not GENERATION.INDEX",
        })
    }
}

impl Serialize for BlockId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.generation, self.index).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(de::Error::custom)
        } else {
            let (generation, index) = Deserialize::deserialize(deserializer)?;
            Ok(Self { generation, index })
        }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The longest that is taken, in bytes.
            pub const LEN_MAX_BYTES: usize = 256;

            /// Takes a text of 1 to 256 bytes without control characters.
            ///
            /// # Errors
            /// [`IdError`] when it is empty, too long, or has a control character.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let reason = if text.is_empty() {
                    "it is empty"
                } else if text.len() > Self::LEN_MAX_BYTES {
                    "it is longer than 256 bytes"
                } else if text.chars().any(char::is_control) {
                    "it has a control character"
                } else {
                    return Ok(Self(text.into_boxed_str()));
                };
                Err(IdError { kind: $kind, text: text.chars().take(64).collect(), reason })
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

text_id!(
    /// The caller's idempotency key for one input: the same one gives the first receipt again.
    InputId,
    "input id"
);
text_id!(
    /// What a run waits for, named by the execution backend; unique within its run.
    ActionId,
    "action id"
);

#[cfg(test)]
mod tests;
