//! Times as people read them.

use std::time::Duration;

use worker_runtime_core::Timestamp;

use crate::args::TimeStyle;

/// Prints times in one style.
pub(crate) struct TimePrinter {
    style: TimeStyle,
    now: Timestamp,
}

impl TimePrinter {
    pub(crate) const fn new(style: TimeStyle, now: Timestamp) -> Self {
        Self { style, now }
    }

    /// The time, in the style that was asked for.
    pub(crate) fn text(&self, at: Timestamp) -> String {
        match self.style {
            TimeStyle::Iso => at.to_string(),
            TimeStyle::Ms => at.unix_ms().to_string(),
            TimeStyle::Relative if at > self.now => {
                format!("in {}", coarse(at.since(self.now)))
            }
            TimeStyle::Relative => format!("{} ago", coarse(self.now.since(at))),
        }
    }
}

/// A length of time, exact enough for a run.
pub(crate) fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => coarse(duration),
    }
}

/// A length of time in its two largest units at most.
fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests;
