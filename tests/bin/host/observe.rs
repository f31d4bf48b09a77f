//! Observers of the Runtime and of single Workers. Each notes an event together with where to go
//! on, and goes on there in its next life.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Observation, ObserveOptions, Observed, Runtime, Stream, WireEvent, WorkerId,
    cursor::From as Start,
};

use crate::{
    Result,
    journal::Journal,
    order::{Seen, worker_id},
};

/// How long the slow one of the Runtime's observers takes for an event.
const SLOW: Duration = Duration::from_millis(3);

struct Observer {
    path: PathBuf,
    stream: Stream,
    pause: Option<Duration>,
}

/// Two of the Runtime, one of them slow, and one of every fifth Worker.
fn observers(journals: &Path, workers: u64) -> Vec<Observer> {
    let observer = |name: &str, stream: Stream, pause: Option<Duration>| Observer {
        path: journals.join(format!("observer-{name}.jsonl")),
        stream,
        pause,
    };
    let mut all = vec![
        observer("runtime", Stream::Runtime, None),
        observer("runtime-slow", Stream::Runtime, Some(SLOW)),
    ];
    for worker_id in (0..workers).filter(|worker| worker % 5 == 3).map(worker_id) {
        let stream = Stream::Worker(worker_id);
        all.push(observer(&worker_id.to_string(), stream, None));
    }
    all
}

/// Begins to observe; observers end with the process.
pub(crate) fn observe_all(runtime: &Runtime, journals: &Path, workers: u64) -> Result<()> {
    for observer in observers(journals, workers) {
        let observation = runtime.observation();
        tokio::spawn(observer.run(observation, false));
    }
    Ok(())
}

/// Observes what there is to its end.
pub(crate) async fn catch_up(runtime: &Runtime, journals: &Path, workers: u64) -> Result<()> {
    let mut tasks = JoinSet::new();
    for observer in observers(journals, workers) {
        tasks.spawn(observer.run(runtime.observation(), true));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

impl Observer {
    async fn run(self, observation: Observation, to_the_end: bool) -> Result<()> {
        let (mut journal, seen) = Journal::open(&self.path)?;
        if let Stream::Worker(worker_id) = self.stream {
            exists(&observation, worker_id).await;
        }
        let last = seen.iter().rev().find_map(|seen| match seen {
            Seen::Event(cursor, _) | Seen::Gap(cursor, _) => Some(*cursor),
            Seen::Failed(_) => None,
        });
        let start = last.map_or(Start::Beginning, Start::After);
        let options = ObserveOptions {
            until_up_to_date: to_the_end,
            ..ObserveOptions::default()
        };
        let mut stream = match observation.observe(self.stream, start, options) {
            Ok(stream) => stream,
            Err(error) => return Ok(journal.note(&Seen::Failed(error.to_string()))?),
        };
        while let Some(item) = stream.next().await {
            let seen = match item {
                Ok(Observed::Event(cursor, event)) => {
                    let wire = WireEvent {
                        event: &event,
                        runtime_id: observation.runtime_id(),
                        cursor,
                    };
                    Seen::Event(cursor, serde_json::to_value(&wire)?)
                }
                Ok(Observed::Gap(cursor, gap)) => Seen::Gap(cursor, format!("{gap:?}")),
                Ok(_) => continue,
                Err(error) => Seen::Failed(error.to_string()),
            };
            tokio::task::block_in_place(|| journal.note(&seen))?;
            if let (Some(pause), false) = (self.pause, to_the_end) {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }
}

/// Waits until there is this Worker.
async fn exists(observation: &Observation, worker_id: WorkerId) {
    while observation.worker(worker_id).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
