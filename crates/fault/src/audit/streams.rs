//! Streams as a reader pages them: the Runtime's, each Worker's, transcripts, and cursors that were
//! handed out before (I2, I10).

use fastrand::Rng;
use worker_runtime_core::{
    CursorError, Event, EventType, Observation, PageSize, Position, Stream, TranscriptFrom,
    WorkerId,
    cursor::From as Start,
    error::{ReadError, WorkerError},
    store::GapCause,
    view::TranscriptItem,
};

use super::{expected::Expected, items::item_of, world::World};
use crate::{report::Violation, workload::limits::RETENTION};

const DENSE: &str = "I2 streams are dense";
const SAME: &str = "I2 a Worker's stream and the Runtime's tell the same";
const CURSORS: &str = "I2 cursors stay valid";
const TRIMMED: &str = "I9 what is over a limit is trimmed";

pub(super) const PAGE: PageSize = PageSize {
    events_max: 512,
    bytes_max: 256 << 10,
};

/// What may be left beyond a limit: packs go whole, and what an opening must read stays.
const SPARE_BYTES: u64 = 40 << 10;

/// Data above this is kept beside its event, and goes with its Worker's history.
pub(super) const LARGE_BYTES: usize = 2048;

/// What an event takes beside its data, about.
const EVENT_BYTES: u64 = 100;

/// A stream, as far as it is left.
pub(super) struct Seen {
    /// The position before the earliest event.
    pub(super) trimmed_to: Position,
    /// The events.
    pub(super) events: Vec<Event>,
    /// What was told to be missing between them: the first and the last position.
    pub(super) gaps: Vec<(Position, Position)>,
}

/// Reads a stream from its beginning to its end.
pub(super) fn read(observation: &Observation, stream: Stream) -> Result<Seen, Violation> {
    let broken = |detail: String| Violation::new(DENSE, format!("{stream:?}: {detail}"));
    let beginning = observation.resolve(stream, Start::Beginning);
    let mut cursor = beginning.map_err(|error| broken(error.to_string()))?;
    let mut seen = Seen {
        trimmed_to: cursor.position(),
        events: Vec::new(),
        gaps: Vec::new(),
    };
    loop {
        let page = observation.events(stream, Start::After(cursor), PAGE);
        let page = page.map_err(|error| broken(error.to_string()))?;
        match page.gap {
            Some(gap) if gap.cause == GapCause::Retention && stream == Stream::Runtime => {
                seen.gaps.push((gap.from, gap.to));
            }
            Some(gap) => return Err(broken(format!("a gap: {gap:?}"))),
            None => {}
        }
        let is_at_end = page.up_to_date;
        for (after, event) in page.events {
            if after.position() != event.position {
                return Err(broken(format!(
                    "{after} is the cursor after {}",
                    event.position
                )));
            }
            seen.events.push(event);
        }
        if is_at_end {
            return Ok(seen);
        }
        if page.next.position() <= cursor.position() {
            return Err(broken(format!("the page after {cursor} leads nowhere")));
        }
        cursor = page.next;
    }
}

/// That a stream was trimmed where it is over its limit.
pub(super) fn check_trimmed(what: &str, seen: &Seen, bytes_max: u64, found: &mut Vec<Violation>) {
    let bytes = seen
        .events
        .iter()
        .map(|event| event.data.len() as u64 + EVENT_BYTES);
    let left: u64 = bytes.sum();
    if left > bytes_max + SPARE_BYTES {
        let detail = format!("{what}: {left} bytes are left, and the limit is {bytes_max}");
        found.push(Violation::new(TRIMMED, detail));
    }
}

impl Expected<'_> {
    /// Checks the stream of a Worker: what the Runtime's tells of it, and nothing else. `own` are
    /// the events that should be there, `after` those of the opening.
    pub(super) fn check_worker_stream(
        &self,
        observation: &Observation,
        worker_id: WorkerId,
        (until, after): (Position, &[Event]),
        found: &mut Vec<Violation>,
    ) -> Option<Seen> {
        let stream = Stream::Worker(worker_id);
        let seen = match read(observation, stream) {
            Ok(seen) => seen,
            Err(violation) => {
                found.push(violation);
                return None;
            }
        };
        let places = self.places.get(&worker_id);
        let own = places.into_iter().flatten();
        let own = own.take_while(|position| **position <= until);
        let own = own.filter_map(|position| self.event(*position));
        let all: Vec<&Event> = own
            .chain(after.iter().filter(|event| event.is_in(stream)))
            .collect();
        let first = all.partition_point(|event| event.position <= seen.trimmed_to);
        let left = all.get(first..).unwrap_or_default();
        let is_same = left.len() == seen.events.len()
            && left
                .iter()
                .zip(&seen.events)
                .all(|(wanted, event)| *wanted == event);
        if !is_same {
            let place = left.iter().zip(&seen.events).find(|(a, b)| **a != *b);
            let detail = format!(
                "{worker_id}: {} events after {}, and {} were expected; they part at {:?}",
                seen.events.len(),
                seen.trimmed_to,
                left.len(),
                place.map(|(wanted, event)| (wanted.position, event.position)),
            );
            found.push(Violation::new(SAME, detail));
        }
        let what = format!("the events of {worker_id}");
        check_trimmed(&what, &seen, RETENTION.worker_bytes_max, found);
        Some(seen)
    }

    /// Whether the data of an event in the log went with its Worker's history, so that the log tells
    /// a gap there.
    pub(super) fn may_be_gone(&self, observation: &Observation, position: Position) -> bool {
        let Some(event) = self.event(position) else {
            return false;
        };
        let Some(place) = event.worker.filter(|_| event.data.len() > LARGE_BYTES) else {
            return false;
        };
        match observation.resolve(Stream::Worker(place.worker_id), Start::Beginning) {
            Ok(beginning) => beginning.position() >= position,
            Err(ReadError::Worker(WorkerError::Deleted(_))) => true,
            Err(_) => false,
        }
    }

    /// Checks that cursors which were handed out still lead where they led.
    pub(super) fn check_cursors(
        &self,
        observation: &Observation,
        (until, trimmed_to): (Position, Position),
        rng: &mut Rng,
        found: &mut Vec<Violation>,
    ) {
        let one = PageSize {
            events_max: 1,
            ..PAGE
        };
        let end = self.told_to();
        let of_all = self.journal.told.values().next().map(|told| told.cursor);
        let worker_id = rng.choice(self.places.keys().copied().collect::<Vec<_>>());
        if let (Some(cursor), Some(worker_id)) = (of_all, worker_id) {
            let stream = Stream::Worker(worker_id);
            let read = observation.events(stream, Start::After(cursor), one);
            let is_refused = matches!(
                read,
                Err(ReadError::Cursor(CursorError::Foreign { .. }) | ReadError::Worker(_))
            );
            if !is_refused {
                let detail = format!("{worker_id} follows a cursor of the Runtime's");
                found.push(Violation::new(CURSORS, detail));
            }
        }
        for _ in 0..3 {
            let position = Position(rng.u64(0..=end.0));
            let Some(told) = self.journal.told.get(&position) else {
                continue;
            };
            let read = observation.events(Stream::Runtime, Start::After(told.cursor), one);
            let leads_on = match &read {
                Ok(page) => {
                    let next = page.events.first().map(|(_, event)| event);
                    // A redaction tells of several positions, and so may a gap.
                    let is_next = next.is_some_and(|event| {
                        event.position == position.next() || event.kind == EventType::REDACTED
                    });
                    let is_gap = page.gap.as_ref().is_some_and(|gap| {
                        gap.from == position.next() && self.may_be_gone(observation, gap.from)
                    });
                    position <= until && position >= trimmed_to && (is_next || is_gap)
                }
                Err(ReadError::Cursor(CursorError::Expired { earliest, .. })) => {
                    position < trimmed_to && earliest.position() == trimmed_to
                }
                // Its history is gone: it was told after the crash, so to say.
                Err(ReadError::Cursor(CursorError::Forked { .. })) => position > until,
                Err(_) => false,
            };
            if !leads_on {
                let read = read
                    .map(|page| page.events.len())
                    .map_err(|error| error.to_string());
                let detail = format!(
                    "the cursor after {position}, where the log is from {trimmed_to} to {until}, gives {read:?}"
                );
                found.push(Violation::new(CURSORS, detail));
            }
        }
    }
}

/// Checks a transcript: the events of the Worker that bear it, and nothing else.
pub(super) fn check_transcript(
    observation: &Observation,
    worker_id: WorkerId,
    (world, events): (&World, &[Event]),
    found: &mut Vec<Violation>,
) {
    let promise = "I2 a transcript is what its events bear";
    let mut broken = |detail: String| {
        found.push(Violation::new(promise, format!("{worker_id}: {detail}")));
    };
    let wanted: Vec<TranscriptItem> = events.iter().filter_map(item_of).collect();
    let from = match wanted.first() {
        Some(first) => TranscriptFrom::Item(first.item),
        None => TranscriptFrom::End,
    };
    let page = match observation.transcript(worker_id, from, PAGE.events_max) {
        Ok(page) => page,
        Err(error) => return broken(error.to_string()),
    };
    let items = world.workers.get(&worker_id).map_or(0, |life| life.items);
    if page.items_total != items || !page.items_total_exact {
        broken(format!(
            "{} items in all, and there were {items}",
            page.items_total
        ));
    }
    // One that is trimmed has nothing to show from there on.
    if !wanted.is_empty() && (page.items != wanted || page.gap.is_some()) {
        let (shown, count) = (page.items.len(), wanted.len());
        broken(format!(
            "{shown} items, and {count} were expected; gap: {:?}",
            page.gap
        ));
    }
    if !page.unfinished.is_empty() || page.unfinished_damaged.is_some() {
        broken(format!(
            "something is unfinished, and nothing runs: {:?}",
            page.unfinished
        ));
    }
}

/// The positions that a redaction stands for, when it is one.
pub(crate) fn redacted(event: &Event) -> Option<(Position, WorkerId)> {
    let data = super::apply::Data::of(event);
    let from = data.number("from").map(Position)?;
    Some((from, data.read("worker_id")?)).filter(|_| event.kind == EventType::REDACTED)
}
