//! A subscriber that is attached while something is measured, and keeps what it received.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle};
use tokio_stream::StreamExt;
use worker_runtime_core::{
    ObserveOptions, Observed, PageSize, Runtime, Stream, cursor::From as Start,
};

use crate::{Failure, ledger::Seen};

/// How a subscriber of the benches reads.
pub const PAGE: PageSize = PageSize {
    events_max: 1_000,
    bytes_max: 1 << 20,
};

/// A bench that hangs is worse than one that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A subscriber to the Runtime's stream, from the beginning on.
pub struct Subscriber {
    progress: Arc<Progress>,
    task: JoinHandle<Result<Vec<Seen>, Failure>>,
}

#[derive(Default)]
struct Progress {
    /// The position that somebody waits for.
    wanted: AtomicU64,
    reached: AtomicU64,
    /// Told when `wanted` is reached, and when the subscriber ends.
    news: Notify,
}

impl Subscriber {
    /// Attaches one. `keep_data` keeps every event's data, to look at it afterwards.
    ///
    /// # Errors
    /// When the Runtime refuses.
    pub fn attach(runtime: &Runtime, keep_data: bool) -> Result<Self, Failure> {
        let options = ObserveOptions {
            page: PAGE,
            ..ObserveOptions::default()
        };
        let mut stream =
            runtime
                .observation()
                .observe(Stream::Runtime, Start::Beginning, options)?;
        let progress = Arc::new(Progress::default());
        progress.wanted.store(u64::MAX, Ordering::SeqCst);
        let shared = progress.clone();
        let task = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(observed) = stream.next().await {
                match observed {
                    Ok(Observed::Event(_, event)) => {
                        let position = event.position.0;
                        seen.push(Seen::of(event, keep_data));
                        shared.reach(position);
                    }
                    Ok(Observed::Gap(_, gap)) => {
                        shared.reach(u64::MAX);
                        return Err(Failure::new(format!("the subscriber was told of {gap:?}")));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        shared.reach(u64::MAX);
                        return Err(error.into());
                    }
                }
            }
            shared.reach(u64::MAX);
            Ok(seen)
        });
        Ok(Self { progress, task })
    }

    /// Waits until everything up to this position was received, or the subscriber has ended.
    ///
    /// # Errors
    /// When it takes longer than a minute.
    pub async fn reach(&self, position: u64) -> Result<(), Failure> {
        let progress = &self.progress;
        progress.wanted.store(position, Ordering::SeqCst);
        while progress.reached.load(Ordering::SeqCst) < position {
            let late = || Failure::new(format!("the subscriber did not reach {position}"));
            let news = tokio::time::timeout(PATIENCE, progress.news.notified());
            news.await.map_err(|_| late())?;
        }
        progress.wanted.store(u64::MAX, Ordering::SeqCst);
        Ok(())
    }

    /// What it received, once the Runtime is closed: that ends its stream.
    ///
    /// # Errors
    /// When a gap was told, reading failed, or the stream does not end.
    pub async fn finish(self) -> Result<Vec<Seen>, Failure> {
        let late = || Failure::new("the subscriber's stream did not end with the Runtime");
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.map_err(|_| late())??
    }
}

impl Progress {
    fn reach(&self, position: u64) {
        self.reached.store(position, Ordering::SeqCst);
        if position >= self.wanted.load(Ordering::SeqCst) {
            // Keeps one notice for a waiter that has looked and not begun to wait yet.
            self.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
