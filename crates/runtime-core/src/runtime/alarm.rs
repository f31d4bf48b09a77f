//! Wakes the writer when something is due. An idle Runtime sleeps.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, mpsc};

use super::command::Command;
use crate::{
    Clock,
    sync::{self, Mutex, PoisonError},
};

/// The earliest moment at which the writer wants to look again.
#[derive(Default)]
pub(crate) struct Alarm {
    due: Mutex<Option<Duration>>,
    changed: Notify,
}

impl Alarm {
    /// Asks for a look at this moment of monotonic time, or earlier.
    pub(crate) fn wake_at(&self, due: Duration) {
        let mut earliest = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if earliest.is_none_or(|earliest| due < earliest) {
            *earliest = Some(due);
            self.changed.notify_one();
        }
    }

    fn due(&self) -> Option<Duration> {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_if_due(&self, now: Duration) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = due.is_some_and(|due| due <= now);
        if is_due {
            *due = None;
        }
        is_due
    }

    /// Sends a tick whenever the moment has come, until the writer is gone.
    pub(crate) async fn run(self: Arc<Self>, clock: Arc<dyn Clock>, writer: mpsc::Sender<Command>) {
        loop {
            if self.take_if_due(clock.monotonic()) {
                if writer.send(Command::Tick).await.is_err() {
                    return;
                }
                continue;
            }
            let wait = self.due().map(|due| due.saturating_sub(clock.monotonic()));
            sync::select! {
                () = writer.closed() => return,
                () = self.changed.notified() => {}
                () = sleep_or_for_ever(wait) => {}
            }
        }
    }
}

async fn sleep_or_for_ever(wait: Option<Duration>) {
    match wait {
        Some(wait) => sync::sleep(wait.max(Duration::from_millis(1))).await,
        None => std::future::pending().await,
    }
}
