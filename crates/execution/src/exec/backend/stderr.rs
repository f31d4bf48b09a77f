//! A command's standard error: always read, so that it never blocks the command, and kept by its end.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tracing::debug;
use worker_runtime_core::{EventType, RunSink};

use super::{
    output::{Output, READ_BYTES},
    text::persistently,
};

/// How long the end of a run waits for its standard error to be taken.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// The last bytes that a command wrote to its standard error.
#[derive(Debug, Clone)]
pub(super) struct StderrTail {
    bytes_max: usize,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    truncated_bytes: u64,
}

/// What a run's standard error is told as.
#[derive(Debug, Serialize)]
struct Told {
    stream: &'static str,
    text: String,
    truncated_bytes: u64,
}

impl StderrTail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Arc::default(),
        }
    }

    /// Reads to the end.
    pub(super) async fn collect(self, mut stderr: Output) {
        let mut buffer = vec![0; READ_BYTES];
        while let Some(bytes) = stderr.read(&mut buffer).await {
            self.push(buffer.get(..bytes).unwrap_or_default());
        }
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.locked();
        kept.bytes.extend(bytes);
        let excess = kept.bytes.len().saturating_sub(self.bytes_max);
        kept.bytes.drain(..excess);
        kept.truncated_bytes = kept.truncated_bytes.saturating_add(excess as u64);
    }

    /// Tells what came since it was last told, if anything did.
    pub(super) async fn tell(&self, sink: &RunSink) {
        let Kept {
            bytes,
            truncated_bytes,
        } = std::mem::take(&mut *self.locked());
        if bytes.is_empty() {
            return;
        }
        let told = Told {
            stream: "stderr",
            text: String::from_utf8_lossy(&Vec::from(bytes)).into_owned(),
            truncated_bytes,
        };
        // The run's end must not wait for it: on a full disk it is left out.
        let event = persistently(|| sink.event(EventType::BACKEND_MESSAGE, &told));
        match tokio::time::timeout(TELL_WITHIN, event).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(%error, "a command's standard error was not taken"),
            Err(_) => debug!("a command's standard error was not taken in time"),
        }
    }

    // Bytes and count are changed without anything that panics between.
    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
