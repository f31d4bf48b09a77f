//! Input: what is sent to a Worker, and the receipt that its sender gets.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{AsJson, Cursor, Digest, InputId, WorkerId, record::Recorded};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// A person or the program that stands for one.
    #[default]
    User,
    /// Whoever runs the host.
    System,
    /// A fact that the Worker is told.
    Notify,
}

/// A part of an input. Kinds that this version doesn't know are kept as they came.
///
/// Reading takes any JSON object, as what an earlier version kept must stay readable when its kind
/// becomes known; [`Segment::fault`] is for whoever takes a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Segment {
    /// One of the kinds below.
    Known(KnownSegment),
    /// A JSON object with another `type`; the execution backend decides whether it can take it.
    Other(Map<String, Value>),
}

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        Ok(match KnownSegment::deserialize(&fields) {
            Ok(known) => Self::Known(known),
            Err(_) => Self::Other(fields),
        })
    }
}

/// The kinds of segment that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum KnownSegment {
    /// Plain text.
    Text {
        /// It.
        text: String,
    },
    /// A picture.
    Image {
        /// Its media type.
        media_type: String,
        /// Its bytes, in base64.
        data: String,
    },
    /// A reference, with its content where the sender has it.
    Resource {
        /// Where it is.
        uri: String,
        /// Its content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
}

impl KnownSegment {
    /// The `type` of every kind that this version knows.
    pub const KINDS: &[&str] = &["text", "image", "resource"];
}

impl Segment {
    /// A segment of plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Known(KnownSegment::Text { text: text.into() })
    }

    /// What is wrong with it: it names no type, or a known one without that type's fields. Taken as
    /// it is, it would look like an unknown kind, and the Worker would not get what was meant.
    pub fn fault(&self) -> Option<&'static str> {
        let Self::Other(fields) = self else {
            return None;
        };
        match fields.get("type") {
            Some(Value::String(kind)) if KnownSegment::KINDS.contains(&kind.as_str()) => {
                Some("it lacks a field of its type, or has one with another kind of value")
            }
            Some(Value::String(_)) => None,
            _ => Some("it has no type"),
        }
    }
}

/// What to do when the Worker is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InputMode {
    /// Refuse; nothing is kept and the `input_id` is not used up.
    #[default]
    Reject,
    /// Keep it, bounded, and run it in its turn.
    Queue,
}

/// What one run may use. What a backend can't count it ignores, and its capabilities say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// The longest that the run may take.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::whole::optional"
    )]
    #[cfg_attr(feature = "schema", schemars(range(max = u64::MAX)))]
    pub time_ms: Option<u64>,
    /// The most output tokens.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::whole::optional"
    )]
    #[cfg_attr(feature = "schema", schemars(range(max = u64::MAX)))]
    pub output_tokens: Option<u64>,
    /// The most turns.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::whole::optional"
    )]
    #[cfg_attr(feature = "schema", schemars(range(max = u64::MAX)))]
    pub turns: Option<u64>,
}

/// What is asked for when an input is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitInput {
    /// The caller's idempotency key; minted when absent, and then a retry is another input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_id: Option<InputId>,
    /// Who speaks.
    #[serde(default)]
    pub kind: InputKind,
    /// What is said.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::segments"))]
    pub segments: Vec<Segment>,
    /// What to do when the Worker is busy.
    #[serde(default)]
    pub mode: InputMode,
    /// What its run may use.
    #[serde(default)]
    pub budget: Budget,
}

impl SubmitInput {
    /// A user's text, refused when the Worker is busy.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            input_id: None,
            kind: InputKind::User,
            segments: vec![Segment::text(text)],
            mode: InputMode::Reject,
            budget: Budget::default(),
        }
    }

    /// The same under this key, so that it can be sent again safely.
    #[must_use]
    pub fn with_id(mut self, input_id: InputId) -> Self {
        self.input_id = Some(input_id);
        self
    }

    /// The same, kept and run in its turn when the Worker is busy.
    #[must_use]
    pub fn queued(mut self) -> Self {
        self.mode = InputMode::Queue;
        self
    }
}

/// An input as the Runtime keeps it and as an execution backend sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The caller's idempotency key, or a minted one.
    pub input_id: InputId,
    /// Who speaks.
    pub kind: InputKind,
    /// What is said.
    pub segments: AsJson<Vec<Segment>>,
    /// What its run may use.
    pub budget: AsJson<Budget>,
}

impl Input {
    /// All text segments, joined by line ends.
    pub fn text(&self) -> String {
        let texts = self.segments.iter().filter_map(|segment| match segment {
            Segment::Known(KnownSegment::Text { text }) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// What a repeated input is compared by.
    ///
    /// # Errors
    /// When the segments can't be written as JSON.
    pub fn content_digest(&self) -> Result<Digest, serde_json::Error> {
        serde_json::to_vec(&(&self.kind, &self.segments)).map(|bytes| Digest::of(&bytes))
    }
}

/// That an input was accepted: durable when it is handed out, and the same for every repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InputReceipt {
    /// The Worker.
    pub worker_id: WorkerId,
    /// The input.
    pub input_id: InputId,
    /// Where its acceptance was recorded.
    #[serde(flatten)]
    pub accepted: Recorded,
    /// The cursor after its acceptance, in the Worker's stream: observe from here to see its run.
    pub cursor: Cursor,
    /// Whether this answers a repetition.
    pub repeated: bool,
    /// Whether the repetition had other content than the input that was accepted.
    pub content_differs: bool,
}

#[cfg(test)]
mod tests;
