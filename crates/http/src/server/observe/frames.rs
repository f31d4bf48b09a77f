//! What an open stream sends, in order: batches of frames, each as large as one write.
//!
//! Events are read from the store page by page as they are taken, so a reader that pauses holds two small
//! pages here and misses nothing.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream as FutureStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use worker_runtime_core::{
    Code, Cursor, CursorError, DeltaOp, EventFilter, ObserveOptions, ObserveStream, Observed,
    PageSize, Stream,
    cursor::From as Start,
    error::ReadError,
    store::{Gap, GapCause},
};

use super::{Over, over};
use crate::{
    server::{
        app::App,
        auth::Access,
        metrics::{Counted, Transport},
        refusal::Refusal,
        waits::Waiting,
    },
    wire::{BusyBody, EndBody, EndReason, EventFrame, Frame, GapBody, ReachedBody, StartedBody},
};

/// How much is read at once for one stream, and about how much is sent at once.
const PAGE: PageSize = PageSize {
    events_max: 32,
    bytes_max: 16 << 10,
};
/// Whatever is asked for, a heartbeat is no busy loop.
const HEARTBEAT_EVERY_MIN: Duration = Duration::from_millis(10);
/// How long whoever finds the server busy is to stay away, and as much again by chance.
const BUSY_RETRY: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Debug)]
pub(in crate::server) struct Asked {
    pub(in crate::server) stream: Stream,
    pub(in crate::server) start: Start,
    pub(in crate::server) filter: EventFilter,
    pub(in crate::server) deltas: bool,
}

/// A stream of batches of frames.
pub(in crate::server) struct Frames(State);

enum State {
    Open(Box<Open>),
    /// This is all there is.
    Last(Frame),
    Ended,
}

struct Open {
    app: App,
    asked: Asked,
    observed: ObserveStream,
    /// Why the cursor could not be followed, until it is told.
    lost: Option<Code>,
    heartbeat: Interval,
    over: Pin<Box<dyn Future<Output = Over> + Send>>,
    /// What came of that.
    ended: Option<Over>,
    _place: Waiting,
    _counted: Counted,
}

impl Frames {
    /// Begins to observe. A cursor that can't be followed is told as a gap, and what can't be served now as
    /// busy.
    ///
    /// # Errors
    /// When the Worker is unknown or deleted.
    pub(in crate::server) fn begin(
        app: &App,
        access: &Access,
        asked: Asked,
        transport: Transport,
    ) -> Result<Self, Refusal> {
        if app.is_draining() {
            return Ok(Self::busy(app, Code::ServerBusy, "the server ends"));
        }
        let Ok(place) = app.0.waits.begin(access.token_id()) else {
            let detail = "as many streams and long-polls are open as may";
            return Ok(Self::busy(app, Code::ServerBusy, detail));
        };
        let observed = match observe(app, &asked) {
            Ok(observed) => observed,
            Err(ReadError::Unavailable(error)) => {
                let code = error.code();
                tracing::warn!(%error, "a stream could not begin");
                return Ok(Self::busy(app, code, "the store can't be read now"));
            }
            Err(error) => return Err(error.into()),
        };
        let (observed, lost) = observed;
        let every = app.0.limits.heartbeat_every.max(HEARTBEAT_EVERY_MIN);
        // Thousands of streams that came at once don't beat at once.
        let first_beat = Instant::now() + every.mul_f64(app.chance());
        let mut heartbeat = interval_at(first_beat, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (watched, token) = (app.clone(), access.clone());
        Ok(Self(State::Open(Box::new(Open {
            asked,
            observed,
            lost,
            heartbeat,
            over: Box::pin(async move { over(&watched, &token).await }),
            ended: None,
            _place: place,
            _counted: app.0.metrics.stream(transport),
            app: app.clone(),
        }))))
    }

    /// Ready when nothing more will come but the end, for one whose reader does not read so far.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            State::Open(open) => open.poll_over(context).map(drop),
            State::Last(_) | State::Ended => Poll::Ready(()),
        }
    }

    /// The next batch; `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Vec<Frame>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    pub(super) fn busy(app: &App, code: Code, detail: &str) -> Self {
        let retry = BUSY_RETRY + BUSY_RETRY.mul_f64(app.chance());
        Self(State::Last(Frame::Busy(BusyBody {
            code,
            detail: detail.to_owned(),
            retry_ms: u64::try_from(retry.as_millis()).unwrap_or(u64::MAX),
        })))
    }
}

/// What is observed, and why not from the cursor that was asked for, if it can't be followed.
fn observe(app: &App, asked: &Asked) -> Result<(ObserveStream, Option<Code>), ReadError> {
    let observation = app.0.runtime.observation();
    let options = ObserveOptions {
        page: PAGE,
        deltas: asked.deltas,
        filter: asked.filter.clone(),
        ..ObserveOptions::default()
    };
    match observation.observe(asked.stream, asked.start, options.clone()) {
        Err(ReadError::Cursor(error)) => {
            let start = match error {
                CursorError::Ahead { tail } => Start::After(tail),
                CursorError::Foreign { .. } => Start::Beginning,
                CursorError::Forked { fork_at, .. } => Start::After(fork_at),
                // Told by the core as a gap already.
                other => return Err(other.into()),
            };
            let observed = observation.observe(asked.stream, start, options)?;
            Ok((observed, Some(ReadError::from(error).code())))
        }
        observed => Ok((observed?, None)),
    }
}

impl FutureStream for Frames {
    type Item = Vec<Frame>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<Frame>>> {
        match std::mem::replace(&mut self.0, State::Ended) {
            State::Ended => Poll::Ready(None),
            State::Last(frame) => Poll::Ready(Some(vec![frame])),
            State::Open(mut open) => {
                let mut batch = Batch::default();
                let end = open.poll_batch(&mut batch, context);
                match end {
                    Some(end) => batch.frames.push(Frame::End(end)),
                    None => self.0 = State::Open(open),
                }
                match batch.frames.is_empty() {
                    true => Poll::Pending,
                    false => Poll::Ready(Some(batch.frames)),
                }
            }
        }
    }
}

/// What is sent at once.
#[derive(Default)]
struct Batch {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.bytes >= PAGE.bytes_max || self.frames.len() >= PAGE.events_max
    }
}

impl Open {
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<Over> {
        if self.ended.is_none()
            && let Poll::Ready(over) = self.over.as_mut().poll(context)
        {
            self.ended = Some(over);
        }
        self.ended.map_or(Poll::Pending, Poll::Ready)
    }

    /// Takes what is there; the end of the stream, when it is over.
    fn poll_batch(&mut self, batch: &mut Batch, context: &mut Context<'_>) -> Option<EndBody> {
        if let Poll::Ready(over) = self.poll_over(context) {
            return Some(end(over.reason()));
        }
        if self.heartbeat.poll_tick(context).is_ready() {
            self.observed.ask();
            // Registers for the next one.
            let _ = self.heartbeat.poll_tick(context);
        }
        while !batch.is_full() {
            match Pin::new(&mut self.observed).poll_next(context) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(observed))) => match self.frames_of(observed, batch) {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::error!(%error, "an event could not be written as JSON");
                        return Some(end(EndReason::Store));
                    }
                },
                Poll::Ready(Some(Err(error))) => return Some(self.failed(&error)),
                Poll::Ready(None) => return Some(self.ended()),
            }
        }
        // There may be more at once.
        context.waker().wake_by_ref();
        None
    }

    fn frames_of(&mut self, observed: Observed, batch: &mut Batch) -> serde_json::Result<()> {
        let frame = match observed {
            Observed::Started(cursor) => {
                let runtime_id = self.app.0.runtime.observation().runtime_id();
                let tail = self.tail(cursor);
                // Who is cut off between this and a gap must come back with what the gap is told for.
                let begins_after = match self.asked.start {
                    Start::After(asked) => asked,
                    Start::Beginning | Start::Now => cursor,
                };
                batch.frames.push(Frame::Started(StartedBody {
                    runtime_id,
                    cursor: begins_after,
                    tail,
                }));
                match self.lost.take() {
                    Some(code) => Frame::Gap(lost(cursor, code)),
                    None => return Ok(()),
                }
            }
            Observed::Event(cursor, event) => {
                let runtime_id = self.app.0.runtime.observation().runtime_id();
                let json = self.app.0.encoded.json(&event, runtime_id, cursor)?;
                batch.bytes = batch.bytes.saturating_add(json.get().len());
                Frame::Event(EventFrame { cursor, json })
            }
            Observed::Gap(cursor, gap) => Frame::Gap(GapBody { gap, cursor }),
            Observed::Delta(delta) => {
                let (DeltaOp::Append { text, .. } | DeltaOp::Replace { text }) = &delta.op;
                batch.bytes = batch.bytes.saturating_add(text.len());
                Frame::Delta(delta)
            }
            Observed::UpToDate(cursor) => Frame::UpToDate(self.reached(cursor)),
            Observed::Reached(cursor) => Frame::Heartbeat(self.reached(cursor)),
        };
        batch.frames.push(frame);
        Ok(())
    }

    fn reached(&self, cursor: Cursor) -> ReachedBody {
        ReachedBody {
            cursor,
            tail: self.tail(cursor),
            at: self.app.0.clock.now(),
        }
    }

    /// The newest cursor; where the stream is, when nothing will follow.
    fn tail(&self, reached: Cursor) -> Cursor {
        let observation = self.app.0.runtime.observation();
        let newest = observation.resolve(self.asked.stream, Start::Now);
        newest.unwrap_or(reached)
    }

    fn failed(&self, error: &ReadError) -> EndBody {
        tracing::error!(%error, "a stream ended early");
        EndBody {
            code: Some(error.code()),
            ..end(EndReason::Store)
        }
    }

    /// The core ends a stream when its Worker was deleted, or the Runtime is closed.
    fn ended(&self) -> EndBody {
        let observation = self.app.0.runtime.observation();
        match observation.resolve(self.asked.stream, Start::Now) {
            Err(ReadError::Worker(_)) => end(EndReason::Deleted),
            _ => end(EndReason::Draining),
        }
    }
}

/// The cursor that was asked for is none of this stream: nothing is known to be missing, and nothing is
/// known of what the reader has.
fn lost(cursor: Cursor, code: Code) -> GapBody {
    let gap = Gap {
        cause: GapCause::Cursor,
        from: cursor.position().next(),
        to: cursor.position(),
        seqs: None,
        code: Some(code),
    };
    GapBody { gap, cursor }
}

pub(super) fn end(reason: EndReason) -> EndBody {
    let (detail, code) = match reason {
        EndReason::Deleted => ("the Worker was deleted", Some(Code::WorkerDeleted)),
        EndReason::Draining => ("the server ends; go on at the cursor later", None),
        EndReason::Token => ("the access token is good no more", Some(Code::TokenInvalid)),
        EndReason::Store => ("it failed inside; the server's log tells why", None),
        EndReason::Refused => ("a stream only observes; it takes no messages", None),
    };
    EndBody {
        reason,
        detail: detail.to_owned(),
        code,
    }
}
