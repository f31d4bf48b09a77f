//! Observers that live across steps and restarts: each is told exactly the log, gaps included, up to
//! its end (I2, I10).
//!
//! An observer reads when a step says so, so that most are behind: what they get then comes from the
//! store, and is waited for, so that a wake-up that is missed shows as a stream that hangs.

use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Cursor, Event, EventFilter, EventType, ObserveOptions, ObserveStream, Observed, PageSize,
    Position, Stream,
    cursor::From as Start,
    store::{Gap, GapCause},
};

use super::{
    expect::tell,
    plain::{Life, Plain},
    stop::{Played, broken, ensure},
    watchdog::Watchdog,
    world::World,
};
use crate::report::{Doing, Outcome};

const OBSERVERS_MAX: usize = 6;

/// Events of an observer that may have been read before they were asked for: pages that wait, and
/// what is left of the one that is taken from.
const READ_AHEAD_MAX: usize = 4;

type Told = Vec<Result<Observed, worker_runtime_core::error::ReadError>>;

/// One observer.
struct Observer {
    stream: Stream,
    deltas: bool,
    /// What it has been told of, up to here.
    cursor: Cursor,
    live: Option<ObserveStream>,
    /// Reads to the end of its stream while the Runtime closes.
    reading: Option<JoinHandle<Told>>,
    /// What it was told before its stream ended.
    last: Told,
    /// How many events of a Worker that was deleted it may still be told.
    may_tell: Option<usize>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Observers {
    all: Vec<Observer>,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    events: u64,
    gaps: u64,
    deltas: u64,
    resumed: u64,
}

impl Observers {
    pub(super) fn figures(&self, outcome: &mut Outcome) {
        outcome.count("events told to observers", self.figures.events);
        outcome.count("gaps told to observers", self.figures.gaps);
        outcome.count("deltas told to observers", self.figures.deltas);
        outcome.count(
            "observers that went on after a restart",
            self.figures.resumed,
        );
    }

    /// Another one begins, here; the oldest leaves when there are too many.
    pub(super) fn add(
        &mut self,
        stream: Stream,
        cursor: Cursor,
        deltas: bool,
        live: ObserveStream,
    ) {
        if self.all.len() >= OBSERVERS_MAX {
            self.all.remove(0);
        }
        self.all.push(Observer {
            stream,
            deltas,
            cursor,
            live: Some(live),
            reading: None,
            last: Vec::new(),
            may_tell: None,
        });
    }

    pub(super) fn let_go(&mut self, nth: usize) {
        if !self.all.is_empty() {
            let nth = nth % self.all.len();
            self.all.remove(nth);
        }
    }

    /// A Worker is deleted now: who reads its stream may be told what was read for it already, and
    /// then of the gap.
    pub(super) fn deleted(&mut self, stream: Stream) {
        let of_stream = self
            .all
            .iter_mut()
            .filter(|observer| observer.stream == stream);
        of_stream.for_each(|observer| observer.may_tell = Some(READ_AHEAD_MAX));
    }

    /// Who came last reads everything there is for it.
    pub(super) async fn drain_newest(&mut self, plain: &Plain, watchdog: &Watchdog) -> Played<()> {
        let newest = self.all.len().saturating_sub(1);
        self.drain(newest, plain, watchdog).await
    }

    /// One reads everything there is for it.
    pub(super) async fn drain(
        &mut self,
        nth: usize,
        plain: &Plain,
        watchdog: &Watchdog,
    ) -> Played<()> {
        let known = self.all.len().max(1);
        let Some(observer) = self.all.get_mut(nth % known) else {
            return Ok(());
        };
        while observer.lacks(plain) {
            let Some(live) = observer.live.as_mut() else {
                return Ok(());
            };
            let next = watchdog
                .within("what an observer lacks", live.next())
                .await?;
            match next {
                Some(Ok(observed)) => observer.told(observed, plain, &mut self.figures)?,
                // A stream ends after its Worker was deleted.
                None if observer.may_tell.is_some() => {
                    observer.live = None;
                    return Ok(());
                }
                other => {
                    return broken(
                        "I10 a stream goes on",
                        format!(
                            "an observer of {:?} that lacks events was told {other:?}",
                            observer.stream
                        ),
                    );
                }
            }
        }
        Ok(())
    }

    /// Everybody reads while the Runtime closes, which waits for that.
    pub(super) fn read_to_the_end(&mut self) {
        for observer in &mut self.all {
            if let Some(live) = observer.live.take() {
                observer.reading = Some(tokio::spawn(live.collect::<Told>()));
            }
        }
    }

    /// The process has ended: what each was told by then.
    pub(super) async fn ended(&mut self, watchdog: &Watchdog) -> Played<()> {
        self.read_to_the_end();
        for observer in &mut self.all {
            let Some(reading) = observer.reading.take() else {
                continue;
            };
            let told = watchdog.within("the end of a stream", reading).await?;
            observer.last = told.doing("read a stream")?;
        }
        Ok(())
    }

    /// A close told everything up to `end`, any other end of the process a part of it. Looked at after
    /// the next opening, when it is known what was trimmed meanwhile.
    pub(super) fn check_ended(
        &mut self,
        plain: &Plain,
        end: Position,
        was_closed: bool,
    ) -> Played<()> {
        for observer in &mut self.all {
            for observed in std::mem::take(&mut observer.last) {
                match observed {
                    Ok(observed) => observer.told(observed, plain, &mut self.figures)?,
                    // What is read while the store goes away may not be there.
                    Err(_) if !was_closed => {}
                    Err(error) => return broken("I10 a stream goes on", error.to_string()),
                }
            }
            let missing = plain
                .after(observer.stream, observer.cursor.position())
                .find(|event| event.position <= end);
            ensure(
                !was_closed || missing.is_none(),
                "I10 a close tells everything",
                || {
                    format!(
                        "an observer of {:?} ended at {}",
                        observer.stream,
                        observer.cursor.position()
                    )
                },
            )?;
        }
        Ok(())
    }

    /// Each goes on where its last cursor stands.
    pub(super) fn again(&mut self, plain: &Plain, world: &World) -> Played<()> {
        let is_there = |observer: &Observer| match observer.stream {
            Stream::Runtime => true,
            Stream::Worker(id) => plain
                .worker(id)
                .is_some_and(|worker| worker.life != Life::Deleted),
        };
        self.all.retain(is_there);
        for observer in &mut self.all {
            let options = options(observer.deltas);
            let observed =
                world
                    .observation
                    .observe(observer.stream, Start::After(observer.cursor), options);
            match observed {
                Ok(live) => observer.live = Some(live),
                Err(error) => {
                    let detail = format!(
                        "the cursor {} of before the restart: {error}",
                        observer.cursor
                    );
                    return broken("I2 a cursor is followed after a restart", detail);
                }
            }
            self.figures.resumed += 1;
        }
        Ok(())
    }
}

/// Small pages, so that they end everywhere.
pub(super) fn options(deltas: bool) -> ObserveOptions {
    ObserveOptions {
        page: PageSize {
            events_max: 2,
            bytes_max: 1 << 20,
        },
        deltas,
        until_up_to_date: false,
        filter: EventFilter::ALL,
    }
}

impl Observer {
    /// Whether there is an event of its stream that it was not told of.
    fn lacks(&self, plain: &Plain) -> bool {
        plain
            .after(self.stream, self.cursor.position())
            .next()
            .is_some()
    }

    fn told(&mut self, observed: Observed, plain: &Plain, figures: &mut Figures) -> Played<()> {
        match observed {
            Observed::Started(cursor) | Observed::UpToDate(cursor) | Observed::Reached(cursor) => {
                self.moved(cursor, plain)
            }
            Observed::Delta(delta) => {
                figures.deltas += 1;
                ensure(
                    delta.after <= self.cursor.position(),
                    "I1 a delta comes after its run's events",
                    || format!("{delta:?} came at {}", self.cursor.position()),
                )
            }
            Observed::Event(cursor, event) => {
                figures.events += 1;
                self.event(&event, plain)?;
                self.still_told(&event)?;
                ensure(
                    cursor.position() == event.position,
                    "I2 an event comes with the cursor after it",
                    || format!("{cursor} with {}", tell(&event)),
                )?;
                self.cursor = cursor;
                Ok(())
            }
            Observed::Gap(cursor, gap) => {
                figures.gaps += 1;
                self.gap(&gap, plain)?;
                self.cursor = cursor;
                Ok(())
            }
        }
    }

    /// Nothing of a deleted Worker is read any more but that it was.
    fn still_told(&mut self, event: &Event) -> Played<()> {
        let Some(left) = self.may_tell.as_mut() else {
            return Ok(());
        };
        if event.kind == EventType::WORKER_DELETED {
            return Ok(());
        }
        let Some(less) = left.checked_sub(1) else {
            return broken(
                "I2 what a deleted Worker said is not kept",
                format!(
                    "an observer of {:?} is still told {}",
                    self.stream,
                    tell(event)
                ),
            );
        };
        *left = less;
        Ok(())
    }

    /// It is said to be at another cursor, with nothing between.
    fn moved(&mut self, cursor: Cursor, plain: &Plain) -> Played<()> {
        let skipped = plain
            .after(self.stream, self.cursor.position())
            .find(|event| event.position <= cursor.position());
        if let Some(skipped) = skipped {
            // A trimmed start is told as a gap right after it.
            let trimmed = plain.trimmed.get(&self.stream).copied().unwrap_or_default();
            ensure(
                skipped.position <= trimmed,
                "I10 slow never means skipped",
                || {
                    format!(
                        "an observer of {:?} was taken past {}",
                        self.stream,
                        tell(skipped)
                    )
                },
            )?;
            return Ok(());
        }
        if cursor.position() > self.cursor.position() {
            self.cursor = cursor;
        }
        Ok(())
    }

    fn event(&self, event: &Event, plain: &Plain) -> Played<()> {
        let mut missing = plain.after(self.stream, self.cursor.position());
        if event.kind == EventType::REDACTED {
            return is_redaction(event, self.cursor.position(), plain);
        }
        let next = missing.next();
        ensure(
            next == Some(event),
            "I2 an observer is told the log",
            || {
                format!(
                    "an observer of {:?} at {} was told {}; next is {}",
                    self.stream,
                    self.cursor.position(),
                    tell(event),
                    next.map_or("nothing".to_owned(), tell),
                )
            },
        )
    }

    fn gap(&self, gap: &Gap, plain: &Plain) -> Played<()> {
        let trimmed = plain.trimmed.get(&self.stream).copied().unwrap_or_default();
        let is_runtime = self.stream == Stream::Runtime;
        let may_miss = is_runtime && plain.may_have_missed(gap.from, gap.to);
        let fits = gap.cause == GapCause::Retention
            && gap.from == self.cursor.position().next()
            && (gap.to <= trimmed || may_miss);
        ensure(fits, "I10 a gap is what was trimmed", || {
            format!(
                "an observer of {:?} at {} was told {gap:?}; up to {trimmed} is trimmed",
                self.stream,
                self.cursor.position(),
            )
        })
    }
}

/// A stretch of a deleted Worker's events, which nobody is told any more.
pub(super) fn is_redaction(event: &Event, after: Position, plain: &Plain) -> Played<()> {
    let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap_or_default();
    let number = |name: &str| data.get(name).and_then(serde_json::Value::as_u64);
    let id = data
        .get("worker_id")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let (from, to) = (
        number("from").unwrap_or_default(),
        number("to").unwrap_or_default(),
    );
    let worker = plain
        .workers
        .iter()
        .find(|worker| worker.id.to_string() == id);
    let is_deleted = worker.is_some_and(|worker| worker.life == Life::Deleted);
    let stretch = plain
        .log
        .iter()
        .filter(|event| (from..=to).contains(&event.position.0));
    let is_own = stretch.into_iter().all(|event| {
        event.worker.map(|place| place.worker_id) == worker.map(|worker| worker.id)
            && event.kind != EventType::WORKER_DELETED
    });
    let is_dense = Position(from) == after.next() && event.position == Position(to) && from <= to;
    ensure(
        is_deleted && is_own && is_dense,
        "I2 only a deleted Worker's events are redacted",
        || format!("{} after {after}", tell(event)),
    )
}
