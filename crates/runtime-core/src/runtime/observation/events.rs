//! Pages of a stream, from a cursor on (I1, I10).

use super::Observation;
use crate::{
    Cursor, EventFilter, Position, Stream,
    cursor::From as Start,
    error::{ReadError, Unavailable},
    runtime::redact::redact,
    sabotage::{self, Sabotage},
    store::{ReplayPage, ReplayRequest},
    sync,
    view::EventPage,
};

/// How many pages are looked through for one that a filter leaves something of.
const FILTERED_PAGES_MAX: usize = 16;

/// How large a page may be; capped by the Runtime's own limits.
#[derive(Debug, Clone, Copy)]
pub struct PageSize {
    /// At most this many events.
    pub events_max: usize,
    /// About this many bytes of data.
    pub bytes_max: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self {
            events_max: 100,
            bytes_max: 1 << 20,
        }
    }
}

impl Observation {
    /// The cursor that a start means, as it is now.
    ///
    /// # Errors
    /// [`ReadError`] when the Worker is unknown or the cursor can't be followed.
    pub fn resolve(&self, stream: Stream, start: Start) -> Result<Cursor, ReadError> {
        let (position, _) = self.start(stream, start)?;
        Ok(self.shared.cursor(stream, position))
    }

    /// The same cursor for another stream of this Runtime: a Worker's for the Runtime's, or back.
    ///
    /// # Errors
    /// [`ReadError`] when the cursor can't be followed in `from`.
    pub fn convert(&self, cursor: Cursor, from: Stream, to: Stream) -> Result<Cursor, ReadError> {
        let position = self
            .shared
            .check_cursor(from, cursor, self.shared.position())?;
        Ok(self.shared.cursor(to, position))
    }

    /// Where a read begins, and the published position that bounds it.
    pub(in crate::runtime) fn start(
        &self,
        stream: Stream,
        start: Start,
    ) -> Result<(Position, Position), ReadError> {
        let until = {
            let (snapshot, position) = self.shared.read();
            if let Stream::Worker(worker_id) = stream {
                self.shared.check_readable(&snapshot, worker_id)?;
            }
            position
        };
        let bounds = self
            .shared
            .reader
            .bounds(stream)
            .map_err(Unavailable::from)?;
        let position = match start {
            Start::Beginning => bounds.trimmed_to,
            Start::Now => until,
            Start::After(cursor) => {
                let position = self.shared.check_cursor(stream, cursor, until)?;
                if position < bounds.trimmed_to {
                    let earliest = self.shared.cursor(stream, bounds.trimmed_to);
                    let tail = self.shared.cursor(stream, until);
                    return Err(crate::CursorError::Expired { earliest, tail }.into());
                }
                position
            }
        };
        Ok((position, until))
    }

    /// A page of a stream. What is damaged is told as a gap, and the next page goes on after it.
    ///
    /// # Errors
    /// [`ReadError`] when the Worker is unknown, the cursor can't be followed, or the store can't
    /// be read.
    pub fn events(
        &self,
        stream: Stream,
        start: Start,
        size: PageSize,
    ) -> Result<EventPage, ReadError> {
        self.events_that(stream, start, size, &EventFilter::ALL)
    }

    /// As [`events`](Self::events), with those that a filter takes. Only so much is looked through at once:
    /// a page may be empty and not up to date, and its `next` is behind what was looked through.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    pub fn events_that(
        &self,
        stream: Stream,
        start: Start,
        size: PageSize,
        filter: &EventFilter,
    ) -> Result<EventPage, ReadError> {
        let (after, until) = self.start(stream, start)?;
        self.page(self.request(stream, after, until, size), filter)
    }

    /// As [`events_that`](Self::events_that), but a page without anything is given only when `until`
    /// resolves or the Runtime is closed. Who waits costs nothing until there is news of the stream.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    pub async fn events_when_any(
        &self,
        stream: Stream,
        start: Start,
        size: PageSize,
        filter: &EventFilter,
        until: impl Future<Output = ()>,
    ) -> Result<EventPage, ReadError> {
        tokio::pin!(until);
        // Listen before the first look, so that nothing falls between; but who is refused leaves
        // nothing behind.
        self.start(stream, start)?;
        let mut news = self.shared.watch(stream);
        let mut start = start;
        loop {
            news.receiver.mark_unchanged();
            let page = self.events_that(stream, start, size, filter)?;
            if !page.events.is_empty() || page.gap.is_some() {
                return Ok(page);
            }
            // What was looked through is not looked at again.
            start = Start::After(page.next);
            if !page.up_to_date {
                // Others have their turn, and the wait its end, between two looks at a long log.
                tokio::task::yield_now().await;
                news.receiver.mark_changed();
            }
            sync::select! {
                () = &mut until => return Ok(page),
                changed = news.receiver.changed() => {
                    if changed.is_err() {
                        return self.events_that(stream, start, size, filter);
                    }
                }
            }
        }
    }

    /// A page of the store's, or of what memory holds of it. As long as a filter leaves nothing of what was read,
    /// more is read.
    pub(in crate::runtime) fn page(
        &self,
        mut request: ReplayRequest,
        filter: &EventFilter,
    ) -> Result<EventPage, ReadError> {
        let mut looks_left = FILTERED_PAGES_MAX;
        loop {
            looks_left = looks_left.saturating_sub(1);
            let page = self.shared.replay(&request).map_err(Unavailable::from)?;
            let page = self.page_of(&request, page, filter);
            let has_any = !page.events.is_empty() || page.gap.is_some();
            if has_any || page.up_to_date || looks_left == 0 {
                return Ok(page);
            }
            request.after = page.next.position();
        }
    }

    /// A page of what memory holds; `None` when the store is to be read.
    pub(in crate::runtime) fn recent_page(
        &self,
        request: &ReplayRequest,
        filter: &EventFilter,
    ) -> Option<EventPage> {
        let page = self.shared.replay_recent(request)?;
        Some(self.page_of(request, page, filter))
    }

    /// What is asked of a stream, within the Runtime's limits.
    pub(in crate::runtime) fn request(
        &self,
        stream: Stream,
        after: Position,
        until: Position,
        size: PageSize,
    ) -> ReplayRequest {
        let limits = &self.shared.limits;
        let until = match sabotage::is(Sabotage::ServeBeyondPublished) {
            true => Position(u64::MAX),
            false => until,
        };
        ReplayRequest {
            stream,
            after,
            until,
            events_max: size.events_max.clamp(1, limits.page_events_max),
            bytes_max: size.bytes_max.clamp(1, limits.page_bytes_max),
        }
    }

    fn page_of(
        &self,
        request: &ReplayRequest,
        page: ReplayPage,
        filter: &EventFilter,
    ) -> EventPage {
        let stream = request.stream;
        let next = self.shared.cursor(stream, page.scanned_to);
        let events = match stream {
            Stream::Worker(_) => page.events,
            Stream::Runtime => redact(page.events, &self.shared.read().0.deleted),
        };
        let events = events
            .into_iter()
            .filter(|event| filter.takes(event))
            .map(|event| (self.shared.cursor(stream, event.position), event));
        EventPage {
            runtime_id: self.shared.runtime_id,
            after_gap: page
                .gap
                .as_ref()
                .map(|gap| self.shared.cursor(stream, gap.to.max(request.after))),
            gap: page.gap,
            events: events.collect(),
            next,
            up_to_date: page.up_to_date,
        }
    }
}
