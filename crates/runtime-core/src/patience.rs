//! Waits that end by time: by the time that this process had, not by the one that passed.
//!
//! A process that was stopped (SIGSTOP, a terminal's Ctrl-Z, a debugger) finds its deadlines passed
//! when it goes on, and what it waited for unread beside them: Linux ends a wait for events that a
//! stop interrupted without saying which events there are, so that the timer is seen first. A wait
//! here is made of ten shorter ones, and a stop uses up at most one of them: only
//! one that comes in the last tenth still ends the wait.
//!
//! For backends, and for who drives a Runtime; also where the Runtime itself gives something up.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

/// Of how many waits a wait is made.
const LOOKS: u32 = 10;

/// What a future comes to; `None` when it took longer than the limit.
///
/// The future is dropped then. Needs a tokio runtime with time.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..LOOKS {
        if let Ok(output) = tokio::time::timeout(limit / LOOKS, &mut future).await {
            return Some(output);
        }
    }
    None
}

/// The same for a thread that looks again and again, by itself.
#[derive(Debug, Clone)]
pub struct Patience {
    left: Duration,
    look_max: Duration,
    looked: Instant,
}

impl Patience {
    /// That much time from now on.
    pub fn new(limit: Duration) -> Self {
        Self {
            left: limit,
            look_max: limit / LOOKS,
            looked: Instant::now(),
        }
    }

    /// What is left of it. The time since this was asked last counts as at most a tenth of the whole.
    pub fn left(&mut self) -> Duration {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        self.left = self.left.saturating_sub(passed.min(self.look_max));
        self.left
    }
}

#[cfg(test)]
mod tests;
