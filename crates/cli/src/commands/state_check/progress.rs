//! How far a check is: one line at a terminal, once it takes long.

use std::{
    fmt,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use crate::output::write_words;

/// Below this nobody waits.
const LONG: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);
const CLEAR_LINE: &str = "\r\u{1b}[K";

/// The line, where somebody sees it.
#[derive(Debug)]
pub(super) struct Progress {
    is_seen: bool,
    started: Instant,
    shown: Option<Instant>,
}

impl Progress {
    pub(super) fn new(is_for_people: bool) -> Self {
        Self {
            is_seen: is_for_people && io::stderr().is_terminal(),
            started: Instant::now(),
            shown: None,
        }
    }

    pub(super) fn show(&mut self, done_bytes: u64, all_bytes: u64) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.started);
        let is_new = self
            .shown
            .is_none_or(|shown| now.duration_since(shown) >= EVERY);
        if self.is_seen && elapsed >= LONG && is_new {
            self.shown = Some(now);
            let text = Text {
                done_bytes,
                all_bytes,
                elapsed,
            };
            write_words(&format!("{CLEAR_LINE}{text}"));
        }
    }

    /// Takes the line away, before something else is written.
    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            write_words(CLEAR_LINE);
        }
    }
}

struct Text {
    done_bytes: u64,
    all_bytes: u64,
    elapsed: Duration,
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            done_bytes,
            all_bytes,
            elapsed,
        } = self;
        let elapsed_ms = u64::try_from(elapsed.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = done_bytes.saturating_mul(1000) / elapsed_ms;
        let left_s = all_bytes.saturating_sub(*done_bytes) / rate.max(1);
        let percent = done_bytes.saturating_mul(100) / (*all_bytes).max(1);
        let mib = 1 << 20;
        write!(
            f,
            "checked {percent} % of {} MiB, {} MiB/s, {left_s} s left",
            all_bytes / mib,
            rate / mib
        )
    }
}

#[cfg(test)]
mod tests;
