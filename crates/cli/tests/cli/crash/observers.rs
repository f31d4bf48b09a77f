//! Observers over HTTP that note each event together with where to go on: by long-polls that they ask
//! again themselves, and by the client's stream, which comes back by itself.

use std::{path::Path, time::Duration};

use tokio::sync::watch;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Cursor, Event, Observed, RuntimeId, Stream, WireEvent, cursor::From as Start,
};
use worker_runtime_http::client::{Client, ObserveOptions};

use super::{
    clients::RECONNECT,
    journal::Journal,
    order::{Seen, worker_id},
};

/// Long enough that a poll waits when a server is killed.
const WAIT: Duration = Duration::from_secs(5);
/// How long a slow one takes for an event.
const SLOW: Duration = Duration::from_millis(2);

#[derive(Debug, Clone, Copy)]
enum Way {
    Polls,
    Stream,
}

pub(super) struct Observer {
    client: Client,
    runtime_id: RuntimeId,
    stream: Stream,
    way: Way,
    pause: Option<Duration>,
    journal: Journal<Seen>,
    after: Start,
}

/// Of the Runtime and of these Workers, both ways; one of the Runtime's is slow.
pub(super) fn observers(
    client: &Client,
    runtime_id: RuntimeId,
    journals: &Path,
    workers: &[u64],
) -> Vec<Observer> {
    let mut streams = vec![Stream::Runtime];
    streams.extend(
        workers
            .iter()
            .map(|worker| Stream::Worker(worker_id(*worker))),
    );
    let mut all = Vec::new();
    for stream in streams {
        let name = match stream {
            Stream::Runtime => "runtime".to_owned(),
            Stream::Worker(worker_id) => worker_id.to_string(),
        };
        for way in [Way::Polls, Way::Stream] {
            let path = journals.join(format!("observer-{name}+{way:?}.jsonl"));
            let is_slow = matches!((stream, way), (Stream::Runtime, Way::Stream));
            all.push(Observer {
                client: client.clone(),
                runtime_id,
                stream,
                way,
                pause: is_slow.then_some(SLOW),
                journal: Journal::open(&path).unwrap().0,
                after: Start::Beginning,
            });
        }
    }
    all
}

impl Observer {
    /// Until it has seen everything once it is told that no more comes.
    pub(super) async fn run(mut self, mut finish: watch::Receiver<bool>) {
        // There may be no such Worker yet.
        while let Err(error) = self
            .client
            .events(self.stream, self.after, 1, Duration::ZERO)
            .await
        {
            assert!(
                error.is_transient() || error.code().as_str() == "WR-WORKER-UNKNOWN",
                "{error}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        match self.way {
            Way::Polls => self.poll(&mut finish).await,
            Way::Stream => self.follow(&mut finish).await,
        }
    }

    async fn poll(&mut self, finish: &mut watch::Receiver<bool>) {
        loop {
            let is_last = *finish.borrow();
            let wait = if is_last { Duration::ZERO } else { WAIT };
            let page = tokio::select! {
                page = self.client.events(self.stream, self.after, 50, wait) => page,
                // A poll that waits in vain is given up: nothing is lost with it.
                _ = finish.changed() => continue,
            };
            match page {
                Ok(page) => {
                    assert_eq!(page.gap, None);
                    for received in &page.events {
                        self.saw(received.cursor, &received.event).await;
                    }
                    self.after = Start::After(page.next);
                    if is_last && page.up_to_date {
                        return;
                    }
                }
                Err(error) if error.is_transient() => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => return self.note(&Seen::Failed(error.to_string())),
            }
        }
    }

    async fn follow(&mut self, finish: &mut watch::Receiver<bool>) {
        let options = ObserveOptions {
            reconnect: RECONNECT,
            events_max: 7,
            ..ObserveOptions::default()
        };
        let items = self.client.observe(self.stream, self.after, options).await;
        let mut items = items.unwrap();
        loop {
            if *finish.borrow() && self.has_seen_all().await {
                return;
            }
            let item = tokio::select! {
                item = items.next() => item,
                _ = finish.changed() => continue,
            };
            match item {
                Some(Ok(Observed::Event(cursor, event))) => self.saw(cursor, &event).await,
                Some(Ok(Observed::Gap(cursor, gap))) => {
                    self.note(&Seen::Gap(cursor, format!("{gap:?}")));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return self.note(&Seen::Failed(error.to_string())),
                None => return self.note(&Seen::Failed("it ended".to_owned())),
            }
        }
    }

    async fn has_seen_all(&self) -> bool {
        let page = self
            .client
            .events(self.stream, self.after, 1, Duration::ZERO)
            .await;
        page.unwrap().events.is_empty()
    }

    async fn saw(&mut self, cursor: Cursor, event: &Event) {
        let wire = WireEvent {
            event,
            runtime_id: self.runtime_id,
            cursor,
        };
        self.note(&Seen::Event(cursor, serde_json::to_value(&wire).unwrap()));
        self.after = Start::After(cursor);
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
        }
    }

    fn note(&mut self, seen: &Seen) {
        tokio::task::block_in_place(|| self.journal.note(seen)).unwrap();
    }
}
