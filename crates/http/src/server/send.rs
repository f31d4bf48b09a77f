//! How long an answer may take to be sent (I9).
//!
//! Who asks and does not read would hold an answer in memory, and a place among the connections, for
//! as long as it likes; hyper has no limit for that. What has been taken by the system does not count:
//! that is the system's memory, and bounded.
//!
//! An open stream may be paused by its reader for longer: what it did not read is in the store, and no more
//! of it is taken from there than the connection sends.
//!
//! Called by `serve`, around every connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How many bytes of a stream wait in a connection before it is given no more.
const AHEAD_BYTES_MAX: usize = 16 << 10;
/// How long what was given to a connection may wait once its stream has ended: who does not read would hold
/// up the end of the server. What it has not read is read from its cursor on.
pub(super) const END_SENT_MAX: Duration = Duration::from_secs(2);

/// How long what is written to a connection may wait to be taken. Clones are of one connection.
#[derive(Debug, Clone)]
pub(super) struct Hurry {
    answer_max: Duration,
    stream_max: Duration,
    streams: Arc<Streams>,
}

/// What is known of the stream that a connection sends.
#[derive(Debug, Default)]
struct Streams {
    is_open: AtomicBool,
    /// One has ended, and some of it may not be sent yet.
    is_over: AtomicBool,
    /// Given to the connection since it last had sent all that it held.
    ahead_bytes: AtomicUsize,
    waits: AtomicWaker,
}

/// While it is held, its connection sends an open stream.
pub(super) struct Unhurried(Hurry);

impl Hurry {
    pub(super) fn new(answer_max: Duration, stream_max: Duration) -> Self {
        Self {
            answer_max,
            stream_max,
            streams: Arc::default(),
        }
    }

    pub(super) fn unhurried(&self) -> Unhurried {
        self.streams.is_open.store(true, Ordering::Relaxed);
        Unhurried(self.clone())
    }

    fn send_max(&self) -> Duration {
        match self.streams.is_open.load(Ordering::Relaxed) {
            true => self.stream_max,
            false if self.is_over() => END_SENT_MAX,
            false => self.answer_max,
        }
    }

    fn is_over(&self) -> bool {
        self.streams.is_over.load(Ordering::Relaxed)
    }

    /// All that was written is sent.
    fn sent(&self) {
        self.streams.is_over.store(false, Ordering::Relaxed);
        if self.streams.ahead_bytes.swap(0, Ordering::AcqRel) >= AHEAD_BYTES_MAX {
            self.streams.waits.wake();
        }
    }
}

impl Unhurried {
    /// Ready when the connection has sent most of what it was given.
    pub(super) fn poll_sent(&self, context: &Context<'_>) -> Poll<()> {
        let streams = &self.0.streams;
        let is_ahead = || streams.ahead_bytes.load(Ordering::Acquire) >= AHEAD_BYTES_MAX;
        if is_ahead() {
            streams.waits.register(context.waker());
            // It may have been sent before there was anybody to tell.
            if is_ahead() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// The connection is given so much.
    pub(super) fn give(&self, bytes: usize) {
        self.0
            .streams
            .ahead_bytes
            .fetch_add(bytes, Ordering::AcqRel);
    }
}

impl Drop for Unhurried {
    fn drop(&mut self) {
        self.0.streams.is_open.store(false, Ordering::Relaxed);
        self.0.streams.is_over.store(true, Ordering::Relaxed);
    }
}

/// A connection that fails when what was written to it is not taken within a time.
pub(super) struct SendWithin<S> {
    stream: S,
    hurry: Hurry,
    /// Runs from the first moment in which the system takes no more until it has taken all: an answer
    /// that goes out in drops has no more time than one that does not go out.
    late: Option<Pin<Box<Sleep>>>,
    /// That time is the one of a stream that has ended.
    is_last: bool,
}

impl<S> SendWithin<S> {
    pub(super) const fn new(stream: S, hurry: Hurry) -> Self {
        Self {
            stream,
            hurry,
            late: None,
            is_last: false,
        }
    }

    /// What a write came to, unless it has been too late for one since.
    fn unless_late(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() && self.late.is_none() {
            self.late = Some(Box::pin(sleep(self.hurry.send_max())));
            self.is_last = self.hurry.is_over();
        }
        if let Some(late) = &mut self.late
            && self.hurry.is_over()
            && !self.is_last
        {
            late.as_mut().reset(Instant::now() + END_SENT_MAX);
            self.is_last = true;
        }
        let Some(late) = &mut self.late else {
            return written;
        };
        match late.as_mut().poll(context) {
            Poll::Ready(()) => {
                let reason = "an answer was not read in time";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
            }
            Poll::Pending => written,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SendWithin<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SendWithin<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_late(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_late(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once it has written all that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.late = None;
        self.hurry.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
