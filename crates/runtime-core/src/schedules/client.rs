//! Clients: one that observes and checks each item as it comes, and one that asks for changes.

use std::{future::poll_fn, pin::Pin};

use futures_core::Stream as _;

use super::spied::Committed;
use crate::{
    Cursor, Event, EventFilter, EventType, Observation, ObserveOptions, ObserveStream, Observed,
    PageSize, Position, Runtime, Seq, Stream, WorkerId,
    cursor::From as Start,
    error::{LifecycleError, ReadError, Unavailable},
};

/// One event a page, so that an observer goes to the store as often as it can.
pub const SMALL_PAGES: ObserveOptions = ObserveOptions {
    page: PageSize {
        events_max: 1,
        bytes_max: 1 << 20,
    },
    deltas: false,
    until_up_to_date: false,
    filter: EventFilter::ALL,
};

/// Who observes a stream.
pub struct Watcher {
    observation: Observation,
    committed: Committed,
    of: Stream,
    items: ObserveStream,
    after: Position,
    seq: Option<Seq>,
    is_up_to_date: bool,
    /// The Runtime was closed before it came to the end.
    pub was_closed: bool,
    /// What it saw.
    pub events: Vec<Event>,
}

impl Watcher {
    /// Observes from `start` on.
    pub async fn start(
        observation: Observation,
        committed: &Committed,
        of: Stream,
        start: Start,
    ) -> Self {
        let begun = Self::try_start(observation, committed, of, start).await;
        begun.unwrap()
    }

    /// The same at a Runtime that may be closed.
    ///
    /// # Errors
    /// What it was refused with.
    pub async fn try_start(
        observation: Observation,
        committed: &Committed,
        of: Stream,
        start: Start,
    ) -> Result<Self, ReadError> {
        let items = observation.observe(of, start, SMALL_PAGES)?;
        let mut watcher = Self {
            observation,
            committed: committed.clone(),
            of,
            items,
            after: Position(0),
            seq: None,
            is_up_to_date: false,
            was_closed: false,
            events: Vec::new(),
        };
        match watcher.item().await {
            Some(Observed::Started(cursor)) => watcher.after = cursor.position(),
            other => panic(&format!("a stream began with {other:?}")),
        }
        if let Start::After(cursor) = start {
            assert_eq!(
                watcher.after,
                cursor.position(),
                "where it was told to start"
            );
        }
        Ok(watcher)
    }

    async fn item(&mut self) -> Option<Observed> {
        let items = &mut self.items;
        let item = poll_fn(|context| Pin::new(&mut *items).poll_next(context)).await;
        match item? {
            Ok(item) => Some(item),
            Err(ReadError::Unavailable(Unavailable::Closed)) => {
                self.was_closed = true;
                None
            }
            Err(error) => panic(&format!("nothing fails here: {error}")),
        }
    }

    /// The next event, when it is what must come next; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.item().await? {
                Observed::Event(cursor, event) => {
                    self.check(cursor, &event);
                    self.events.push(event.clone());
                    return Some(event);
                }
                Observed::UpToDate(cursor) => {
                    assert!(!self.is_up_to_date, "told once");
                    self.is_up_to_date = true;
                    assert!(cursor.position() >= self.after);
                }
                other => panic(&format!("nobody asked for {other:?}")),
            }
        }
    }

    fn check(&mut self, cursor: Cursor, event: &Event) {
        let position = event.position;
        assert_eq!(cursor.position(), position);
        let committed = self.committed.position();
        assert!(
            position <= committed,
            "{position} was seen, {committed} is committed"
        );
        let published = self.observation.runtime().position;
        assert!(
            position <= published,
            "{position} was seen, {published} is published"
        );
        match (self.of, event.worker) {
            (Stream::Runtime, _) => assert_eq!(position, self.after.next(), "each once, in order"),
            (Stream::Worker(worker_id), Some(place)) => {
                assert_eq!(place.worker_id, worker_id);
                assert!(
                    position > self.after,
                    "{position} came after {}",
                    self.after
                );
                if let Some(seq) = self.seq.replace(place.seq) {
                    assert_eq!(place.seq, seq.next(), "each once, in order");
                }
            }
            (Stream::Worker(_), None) => panic("an event of the Runtime in a Worker's stream"),
        }
        self.after = position;
    }

    /// Everything up to the end.
    pub async fn to_end(mut self) -> Vec<Event> {
        while self.next().await.is_some() {}
        assert!(!self.was_closed, "a close waits for whoever observes");
        self.events
    }

    /// Everything up to this many changes that [`toggle`] makes, however long it takes. Only news can
    /// tell of the last.
    pub async fn to_changes(mut self, count: usize) -> Self {
        let mut seen = 0;
        while seen < count {
            match self.next().await {
                Some(event) => {
                    let kinds = [EventType::WORKER_PAUSED, EventType::WORKER_RESUMED];
                    seen += usize::from(kinds.contains(&event.kind));
                }
                None => panic(&format!("it ended at {}, after {seen} changes", self.after)),
            }
        }
        self
    }
}

/// Who pauses and resumes a Worker, this many times in all; gives back where each was recorded.
/// After an unknown outcome it asks again, as a client should.
pub async fn toggle(
    runtime: &Runtime,
    committed: &Committed,
    worker_id: WorkerId,
    times: usize,
) -> Vec<Position> {
    let mut acknowledged = Vec::new();
    let mut pauses = true;
    while acknowledged.len() < times {
        let answer = match pauses {
            true => runtime.catalog().pause(worker_id).await,
            false => runtime.catalog().resume(worker_id).await,
        };
        let position = match answer {
            Ok(receipt) => receipt.position,
            Err(LifecycleError::Unavailable(Unavailable::OutcomeUnknown)) => continue,
            Err(LifecycleError::Unavailable(Unavailable::Closed)) => break,
            Err(error) => panic(&format!("refused: {error}")),
        };
        check_answer(runtime, committed, position);
        acknowledged.push(position);
        pauses = !pauses;
    }
    acknowledged
}

/// What was acknowledged is committed, and whoever was answered reads it.
pub fn check_answer(runtime: &Runtime, committed: &Committed, position: Position) {
    let committed = committed.position();
    assert!(
        position <= committed,
        "{position} was acknowledged, {committed} is committed"
    );
    let published = runtime.observation().runtime().position;
    assert!(
        position <= published,
        "{position} was acknowledged, {published} is published"
    );
}

#[allow(clippy::panic, reason = "it is what fails a schedule")]
pub(super) fn panic(what: &str) -> ! {
    panic!("{what}")
}
