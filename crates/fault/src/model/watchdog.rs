//! Tells a call that hangs, by the machine's own time: the time of the tasks stands still.
//!
//! Used around everything that is waited for, so that an answer or a wake-up that never comes is a
//! broken promise and not a harness that stands still.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::stop::{Played, broken};

/// What takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// What is broken then.
pub(super) const HANGS: &str = "I9 nothing hangs";

/// Tells a call that hangs by the machine's own time.
pub(super) struct Watchdog {
    armed_ms: Arc<AtomicU64>,
    expired: Arc<Notify>,
    begun: Instant,
    _alive: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        let (alive, ended) = std::sync::mpsc::channel();
        let (armed_ms, expired) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let begun = Instant::now();
        let (armed, notify) = (armed_ms.clone(), expired.clone());
        std::thread::spawn(move || {
            let tick = Duration::from_millis(250);
            while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(tick) {
                let armed = armed.load(Ordering::SeqCst);
                let since = millis(begun.elapsed()).saturating_sub(armed);
                if armed > 0 && since > millis(HANGS_AFTER) {
                    notify.notify_one();
                }
            }
        });
        Self {
            armed_ms,
            expired,
            begun,
            _alive: alive,
        }
    }

    /// The result of a future, which must come.
    pub(super) async fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> Played<T> {
        let now = millis(self.begun.elapsed()).saturating_add(1);
        self.armed_ms.store(now, Ordering::SeqCst);
        let result = tokio::select! {
            biased;
            value = future => Ok(value),
            () = self.expired.notified() => {
                broken(HANGS, format!("waited {HANGS_AFTER:?} for {what}"))
            }
        };
        self.armed_ms.store(0, Ordering::SeqCst);
        result
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
