//! A stream of events that goes on where a cursor stands, live deltas included when asked for.
//!
//! Who keeps up is given the newest events from memory, and who lags reads the store, so a slow reader
//! costs memory for two pages and misses nothing (I10). Between pages it waits for news of its own stream
//! and costs nothing.

#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream as FutureStream;
use tokio::sync::{Notify, mpsc};

use super::{
    Delta,
    live::Listening,
    observation::{Observation, PageSize},
    shared::NewsOf,
};
use crate::{
    Cursor, CursorError, Event, EventFilter, Position, Stream, WorkerId,
    cursor::From as Start,
    error::{ReadError, Unavailable},
    sabotage::{self, Sabotage},
    store::{Gap, GapCause},
    sync,
};

/// What an observer sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// Where the stream begins: a relative start, resolved. Always the first item.
    Started(Cursor),
    /// A durable event, and the cursor after it.
    Event(Cursor, Event),
    /// A stretch is missing; the stream goes on after this cursor.
    Gap(Cursor, Gap),
    /// Everything there was is delivered; what follows is news. Told once.
    UpToDate(Cursor),
    /// How far was looked, also where nothing was delivered of it: told when it is
    /// [asked for](ObserveStream::ask).
    Reached(Cursor),
    /// A preview of a block that has not ended.
    Delta(Arc<Delta>),
}

impl Observed {
    /// The cursor to go on from; a preview has none.
    pub const fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Started(cursor)
            | Self::Event(cursor, _)
            | Self::Gap(cursor, _)
            | Self::UpToDate(cursor)
            | Self::Reached(cursor) => Some(*cursor),
            Self::Delta(_) => None,
        }
    }
}

/// How to observe.
#[derive(Debug, Clone, Default)]
pub struct ObserveOptions {
    /// How much is read at once; what bounds the memory of an observer.
    pub page: PageSize,
    /// Previews of blocks that have not ended too. Only one Worker's stream has them: in the Runtime's
    /// this changes nothing.
    pub deltas: bool,
    /// End when everything there was is delivered.
    pub until_up_to_date: bool,
    /// Which events are delivered; deltas are left alone by it.
    pub filter: EventFilter,
}

/// An endless stream of [`Observed`]; it ends when the Runtime is closed or the store can't be read,
/// and a Worker's also after the Worker was deleted.
pub struct ObserveStream {
    pages: mpsc::Receiver<Page>,
    /// What was not taken yet of the last page.
    page: std::vec::IntoIter<Observed>,
    asked: Arc<Notify>,
}

impl ObserveStream {
    /// Has [`Observed::Reached`] follow soon, also while a long stretch is looked through of which nothing is
    /// delivered: its cursor is behind what was looked through so far.
    pub fn ask(&self) {
        self.asked.notify_one();
    }
}

/// What goes from the observer to its stream at once: an event at a time would cost more than
/// reading it.
type Page = Result<Vec<Observed>, ReadError>;

impl FutureStream for ObserveStream {
    type Item = Result<Observed, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(observed) = self.page.next() {
                return Poll::Ready(Some(Ok(observed)));
            }
            match ready!(self.pages.poll_recv(context)) {
                Some(Ok(page)) => self.page = page.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Observation {
    /// Observes a stream from `start` on, for as long as the result is kept. Needs a tokio runtime.
    ///
    /// A cursor that was trimmed begins with a gap and goes on from the earliest event left.
    ///
    /// # Errors
    /// [`ReadError`] when the Worker is unknown, the cursor is ahead, foreign or forked, or the Runtime
    /// is closed.
    pub fn observe(
        &self,
        stream: Stream,
        start: Start,
        options: ObserveOptions,
    ) -> Result<ObserveStream, ReadError> {
        // Who is refused leaves nothing behind.
        self.start_or_gap(stream, start)?;
        // A close waits for whoever it told the end to.
        let presence = self.shared.presence();
        // Listen before the first look, so that nothing falls between.
        let news = self.shared.watch(stream);
        let deltas = match stream {
            Stream::Worker(worker_id) if options.deltas => Some(DeltaSource::new(self, worker_id)),
            _ => None,
        };
        let (after, gap) = self.start_or_gap(stream, start)?;
        let pages_ahead_max = match sabotage::is(Sabotage::ReadAhead) {
            true => usize::from(u16::MAX),
            false => PAGES_AHEAD_MAX,
        };
        let (sender, receiver) = mpsc::channel(pages_ahead_max);
        let asked = Arc::new(Notify::new());
        let observer = Observer {
            asked: Arc::clone(&asked),
            observation: self.clone(),
            stream,
            after,
            news,
            deltas,
            sender,
            options,
            over: false,
            _presence: presence,
        };
        sync::spawn(observer.run(gap));
        Ok(ObserveStream {
            pages: receiver,
            page: Vec::new().into_iter(),
            asked,
        })
    }

    /// A store that the Runtime has closed does not fail.
    fn or_closed(&self, error: ReadError) -> ReadError {
        match error {
            ReadError::Unavailable(Unavailable::Store { .. }) if self.shared.is_closed() => {
                Unavailable::Closed.into()
            }
            error => error,
        }
    }

    /// Where to begin; a cursor that was trimmed is told as a gap.
    fn start_or_gap(
        &self,
        stream: Stream,
        start: Start,
    ) -> Result<(Position, Option<Gap>), ReadError> {
        match self
            .start(stream, start)
            .map_err(|error| self.or_closed(error))
        {
            Ok((after, _)) => Ok((after, None)),
            Err(ReadError::Cursor(CursorError::Expired { earliest, .. })) => {
                let from = match start {
                    Start::After(cursor) => cursor.position().next(),
                    Start::Beginning | Start::Now => Position(1),
                };
                let gap = Gap {
                    cause: GapCause::Retention,
                    from,
                    to: earliest.position(),
                    seqs: None,
                    code: None,
                };
                Ok((earliest.position(), Some(gap)))
            }
            Err(error) => Err(error),
        }
    }
}

/// How many pages wait for a slow reader, beside the one that it takes from.
const PAGES_AHEAD_MAX: usize = 1;

/// A Worker's deltas, and what to begin with after the start or a lag.
struct DeltaSource {
    observation: Observation,
    worker_id: WorkerId,
    listening: Listening,
    waiting: std::collections::VecDeque<Arc<Delta>>,
}

impl DeltaSource {
    fn new(observation: &Observation, worker_id: WorkerId) -> Self {
        let (listening, picture) = observation.shared.live.listen(worker_id);
        let waiting = picture.into_iter().map(Arc::new).collect();
        Self {
            observation: observation.clone(),
            worker_id,
            listening,
            waiting,
        }
    }

    /// The next delta. A reader that lagged gets every open block whole instead.
    async fn next(&mut self) -> Arc<Delta> {
        loop {
            if let Some(delta) = self.waiting.pop_front() {
                return delta;
            }
            match self.listening.receiver.recv().await {
                Ok(delta) => return delta,
                Err(_lagged_or_replaced) => {
                    *self = Self::new(&self.observation.clone(), self.worker_id)
                }
            }
        }
    }
}

struct Observer {
    observation: Observation,
    stream: Stream,
    after: Position,
    news: NewsOf,
    deltas: Option<DeltaSource>,
    sender: mpsc::Sender<Page>,
    options: ObserveOptions,
    asked: Arc<Notify>,
    /// Nothing will follow what was delivered.
    over: bool,
    /// While it is held, a close waits for this observer.
    _presence: Option<sync::mpsc::Sender<()>>,
}

/// The reader is gone.
struct Gone;

impl Observer {
    async fn run(mut self, gap: Option<Gap>) {
        // Ends when the reader lets go or the store can't be read; both were told.
        let _ = self.run_to_end(gap).await;
    }

    async fn run_to_end(&mut self, gap: Option<Gap>) -> Result<(), Gone> {
        self.send(Observed::Started(self.cursor(self.after)))
            .await?;
        if let Some(gap) = gap {
            self.send(Observed::Gap(self.cursor(self.after), gap))
                .await?;
        }
        self.catch_up().await?;
        self.send(Observed::UpToDate(self.cursor(self.after)))
            .await?;
        while !self.options.until_up_to_date && !self.over {
            let (delta, is_asked) = sync::select! {
                () = self.sender.closed() => return Err(Gone),
                changed = self.news.receiver.changed() => match changed {
                    Ok(()) => (None, false),
                    // The Runtime is closed: what it wrote last, and the end.
                    Err(_) => return self.catch_up().await,
                },
                delta = next_delta(&mut self.deltas) => (Some(delta), false),
                () = self.asked.notified() => (None, true),
            };
            // A delta comes after its run's earlier events.
            if delta.as_ref().is_none_or(|delta| delta.after > self.after) {
                self.catch_up().await?;
            }
            // What has ended is told by its event, before or after this.
            if let Some(delta) = delta.filter(|delta| self.observation.shared.live.is_open(delta)) {
                self.send(Observed::Delta(delta)).await?;
            }
            if is_asked {
                self.send(Observed::Reached(self.cursor(self.after)))
                    .await?;
            }
        }
        Ok(())
    }

    /// Delivers everything up to what is published.
    async fn catch_up(&mut self) -> Result<(), Gone> {
        // Before the position is taken, so that the last event is delivered when this is noticed.
        let over = self.is_deleted();
        loop {
            let until = self.observation.shared.position();
            self.after = self.news.pass_quiet(self.after).min(until);
            if self.after >= until {
                self.over = over;
                return Ok(());
            }
            // Room first, so that what is read does not wait beside what waits already.
            let room = self.sender.reserve().await.map_err(|_| Gone)?;
            match self.read(until).await {
                Ok((mut observed, after)) => {
                    self.after = after;
                    if self.is_asked().await {
                        observed.push(Observed::Reached(self.cursor(after)));
                    }
                    if !observed.is_empty() {
                        room.send(Ok(observed));
                    }
                }
                Err(error) => {
                    room.send(Err(self.observation.or_closed(error)));
                    return Err(Gone);
                }
            }
        }
    }

    /// Whether it was asked how far this is; that is then answered.
    async fn is_asked(&self) -> bool {
        tokio::select! {
            biased;
            () = self.asked.notified() => true,
            () = std::future::ready(()) => false,
        }
    }

    /// Reads the next page: what it holds, and where to go on after it.
    async fn read(&self, until: Position) -> Result<(Vec<Observed>, Position), ReadError> {
        let (observation, stream, mut after) = (self.observation.clone(), self.stream, self.after);
        let mut request = observation.request(stream, after, until, self.options.page);
        if let Some(page) = observation.recent_page(&request, &self.options.filter) {
            let next = page.next.position();
            let events = page.events.into_iter();
            let observed = events.map(|(cursor, event)| Observed::Event(cursor, event));
            return Ok((observed.collect(), next));
        }
        let filter = self.options.filter.clone();
        let read = move || {
            let bounds = observation
                .shared
                .reader
                .bounds(stream)
                .map_err(Unavailable::from)?;
            request.after = after.max(bounds.trimmed_to);
            let page = observation.page(request, &filter)?;
            Ok::<_, ReadError>((page, bounds.trimmed_to))
        };
        let read = sync::spawn_blocking(read).await;
        let (page, trimmed_to) = read.map_err(|error| Unavailable::Bug {
            invariant: format!("reading a page panicked: {error}"),
        })??;
        let mut observed = Vec::with_capacity(page.events.len());
        if trimmed_to > after {
            let gap = Gap {
                cause: GapCause::Retention,
                from: after.next(),
                to: trimmed_to,
                seqs: None,
                code: None,
            };
            after = trimmed_to;
            observed.push(Observed::Gap(self.cursor(after), gap));
        }
        if let Some(gap) = page.gap {
            after = after.max(gap.to);
            observed.push(Observed::Gap(self.cursor(after), gap));
        }
        let events = page.events.into_iter();
        observed.extend(events.map(|(cursor, event)| Observed::Event(cursor, event)));
        Ok((observed, after.max(page.next.position())))
    }

    /// Whether the Worker was deleted: nothing follows that.
    fn is_deleted(&self) -> bool {
        match self.stream {
            Stream::Runtime => false,
            Stream::Worker(worker_id) => {
                let (snapshot, _) = self.observation.shared.read();
                snapshot.deleted.contains(&worker_id)
            }
        }
    }

    fn cursor(&self, after: Position) -> Cursor {
        self.observation.shared.cursor(self.stream, after)
    }

    async fn send(&self, observed: Observed) -> Result<(), Gone> {
        let sent = self.sender.send(Ok(vec![observed])).await;
        sent.map_err(|_| Gone)
    }
}

async fn next_delta(deltas: &mut Option<DeltaSource>) -> Arc<Delta> {
    match deltas {
        Some(deltas) => deltas.next().await,
        None => std::future::pending().await,
    }
}
