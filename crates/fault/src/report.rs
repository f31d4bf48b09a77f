//! What a part of the harness found: figures, and promises that it saw broken.
//!
//! A part returns an [`Outcome`] also when promises were broken; an error means that the harness
//! itself could not do its work, which is never counted as "nothing found".

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Violations that are kept word by word; all are counted.
const KEPT_MAX: usize = 20;

/// A promise that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The promise: the invariant's number and a few words, as `I1 acknowledged is kept`.
    pub promise: String,
    /// What replays it: seed, call, variant.
    pub at: String,
    /// What was seen.
    pub detail: String,
}

impl Violation {
    /// A promise that did not hold; who found it says where with [`Outcome::violated`].
    pub fn new(promise: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            promise: promise.into(),
            at: String::new(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.promise, self.at, self.detail)
    }
}

/// What one part found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which part.
    pub part: String,
    /// What replays it.
    pub seed: u64,
    /// What was done and seen, by name, as `audited images`.
    pub figures: BTreeMap<String, u64>,
    /// How many promises were seen broken.
    pub violations: u64,
    /// The first of them.
    pub kept: Vec<Violation>,
    /// How long it took.
    pub took_ms: u64,
}

impl Outcome {
    /// Nothing done yet.
    pub fn new(part: &str, seed: u64) -> Self {
        Self {
            part: part.to_owned(),
            seed,
            figures: BTreeMap::new(),
            violations: 0,
            kept: Vec::new(),
            took_ms: 0,
        }
    }

    /// Adds to a figure.
    pub fn count(&mut self, name: &str, more: u64) {
        let figure = self.figures.entry(name.to_owned()).or_default();
        *figure = figure.saturating_add(more);
    }

    /// Notes a promise that did not hold, and what replays it.
    pub fn violated(&mut self, at: impl Into<String>, mut violation: Violation) {
        self.violations = self.violations.saturating_add(1);
        if self.kept.len() < KEPT_MAX {
            violation.at = at.into();
            self.kept.push(violation);
        }
    }

    /// Takes over what another worker of the same part found.
    pub fn merge(&mut self, other: Self) {
        for (name, more) in &other.figures {
            self.count(name, *more);
        }
        self.violations = self.violations.saturating_add(other.violations);
        let room = KEPT_MAX.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }
}

/// The harness itself failed.
#[derive(Debug, thiserror::Error)]
#[error("the harness could not {doing}: {why}")]
pub struct HarnessError {
    doing: String,
    why: String,
}

impl HarnessError {
    /// What could not be done, and why.
    pub fn new(doing: impl Into<String>, why: impl fmt::Display) -> Self {
        Self {
            doing: doing.into(),
            why: why.to_string(),
        }
    }
}

/// Says what could not be done, at the place where it failed.
pub trait Doing<T> {
    /// # Errors
    /// The failure, with what was being done.
    fn doing(self, what: &str) -> Result<T, HarnessError>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, HarnessError> {
        self.map_err(|why| HarnessError::new(what, why))
    }
}
