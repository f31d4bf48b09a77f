//! Which events of a stream a reader wants. A filter advances the cursor over what it leaves out.

use std::{fmt, str::FromStr};

use super::{EVENT_TYPE_LEN_MAX_BYTES, Event};
use crate::RunId;

/// How many types a filter may name.
pub const FILTER_TYPES_MAX: usize = 32;

/// The types of one word, `run.finished`, or all below one, `run.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePattern {
    /// With the dot, when all below it are meant.
    text: String,
    below: bool,
}

impl TypePattern {
    fn takes(&self, kind: &str) -> bool {
        match self.below {
            true => kind.starts_with(&self.text),
            false => kind == self.text,
        }
    }
}

/// What is no pattern of event types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no type of events: write one as `run.finished`, or all below a word as `run.*`"
)]
pub struct TypePatternError {
    text: String,
}

impl FromStr for TypePattern {
    type Err = TypePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || TypePatternError {
            text: text.chars().take(EVENT_TYPE_LEN_MAX_BYTES).collect(),
        };
        let (words, below) = match text.strip_suffix(".*") {
            Some(words) => (words, true),
            None => (text, false),
        };
        let is_word = |word: &str| {
            let mut bytes = word.bytes();
            !word.is_empty()
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        if text.len() > EVENT_TYPE_LEN_MAX_BYTES || !words.split('.').all(is_word) {
            return Err(refused());
        }
        let text = match below {
            true => format!("{words}."),
            false => words.to_owned(),
        };
        Ok(Self { text, below })
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.below { "*" } else { "" })
    }
}

/// Which events are wanted: those of any of the types, when some are named, and of the run, when one is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of any of these types; of every type when empty.
    pub types: Vec<TypePattern>,
    /// Of this run.
    pub run_id: Option<RunId>,
}

impl EventFilter {
    /// Takes every event.
    pub const ALL: Self = Self {
        types: Vec::new(),
        run_id: None,
    };

    /// Whether it leaves nothing out.
    pub const fn is_all(&self) -> bool {
        self.types.is_empty() && self.run_id.is_none()
    }

    /// Whether an event is wanted.
    pub fn takes(&self, event: &Event) -> bool {
        let is_of_type = || {
            let mut types = self.types.iter();
            self.types.is_empty() || types.any(|pattern| pattern.takes(event.kind.as_str()))
        };
        let is_of_run = self.run_id.is_none() || self.run_id == event.run_id;
        is_of_run && is_of_type()
    }
}

#[cfg(test)]
mod tests;
