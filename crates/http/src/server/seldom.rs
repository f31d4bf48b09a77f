//! What may happen many times a second, and is told once in a while. Called by the accepting of
//! connections.

use std::time::{Duration, Instant};

pub(super) struct Seldom {
    every: Duration,
    told_at: Option<Instant>,
    untold: u64,
}

impl Seldom {
    pub(super) const fn new(every: Duration) -> Self {
        Self {
            every,
            told_at: None,
            untold: 0,
        }
    }

    /// It happened once more: how often since it was last told, if it is to be told now.
    pub(super) fn happened(&mut self, now: Instant) -> Option<u64> {
        self.untold = self.untold.saturating_add(1);
        let told_lately = |at| now.saturating_duration_since(at) < self.every;
        if self.told_at.is_some_and(told_lately) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests;
