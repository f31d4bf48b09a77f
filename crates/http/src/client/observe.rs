//! A stream of events over any number of connections: it reconnects with growing pauses, goes on at
//! its cursor, and tells gaps as items (I2, I10). What it yields is what a host's own
//! [`observe`](worker_runtime_core::Observation::observe) yields, without previews.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_core::Stream as FutureStream;
use tokio::sync::mpsc;
use worker_runtime_core::{
    Code, Cursor, EventFilter, Observed, Position, Stream,
    cursor::From as Start,
    store::{Gap, GapCause},
};

use super::{Client, ClientError, EventsPage};
use crate::wire::Problem;

/// How long a poll waits for news; then it asks again, so that a dead connection is noticed.
const WAIT: Duration = Duration::from_secs(30);
/// The same where a filter leaves out what comes: how long its reader may not know how far it is.
const FILTERED_WAIT: Duration = Duration::from_secs(5);

/// How a client comes back after a connection broke or the server was busy.
#[derive(Debug, Clone, Copy)]
pub struct Reconnect {
    /// The first pause; each next one is twice as long, and all are jittered.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How many attempts in a row may fail before the stream ends with their error; any number when
    /// absent.
    pub attempts_max: Option<usize>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            attempts_max: None,
        }
    }
}

impl Reconnect {
    fn pauses(self) -> ExponentialBackoff {
        let builder = ExponentialBuilder::default()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_jitter();
        match self.attempts_max {
            Some(attempts) => builder.with_max_times(attempts),
            None => builder.without_max_times(),
        }
        .build()
    }
}

/// How to observe.
#[derive(Debug, Clone)]
pub struct ObserveOptions {
    /// How many events are read at once; what bounds the memory of an observer.
    pub events_max: usize,
    /// End when everything there was is delivered.
    pub until_up_to_date: bool,
    /// How to come back.
    pub reconnect: Reconnect,
    /// Which events are delivered.
    pub filter: EventFilter,
}

impl Default for ObserveOptions {
    fn default() -> Self {
        Self {
            events_max: 100,
            until_up_to_date: false,
            reconnect: Reconnect::default(),
            filter: EventFilter::ALL,
        }
    }
}

/// A stream of [`Observed`]; it ends when its Worker was deleted, or with an error that no
/// reconnection mends.
pub struct ObserveStream {
    pages: mpsc::Receiver<Result<Vec<Observed>, ClientError>>,
    page: std::vec::IntoIter<Observed>,
}

impl std::fmt::Debug for ObserveStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObserveStream").finish_non_exhaustive()
    }
}

impl FutureStream for ObserveStream {
    type Item = Result<Observed, ClientError>;

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

impl Client {
    /// Observes a stream from `start` on, for as long as the result is kept. Needs a tokio runtime.
    ///
    /// A cursor that was trimmed begins with a gap and goes on from the earliest event left. Where a filter leaves
    /// events out, [`Observed::Reached`] comes with a cursor that is behind them.
    ///
    /// # Errors
    /// [`ClientError`] when the Worker is unknown, or the cursor is ahead, foreign or forked.
    pub async fn observe(
        &self,
        stream: Stream,
        start: Start,
        options: ObserveOptions,
    ) -> Result<ObserveStream, ClientError> {
        // Who is refused is told at once; who can't reach the server now may wait for it.
        let mut pauses = options.reconnect.pauses();
        let mut observer = Observer {
            client: self.clone(),
            stream,
            start,
            options,
            told_up_to_date: false,
        };
        let first = loop {
            match observer.step(Duration::ZERO).await {
                Err(error) if error.is_transient() => match pauses.next() {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
                step => break step?,
            }
        };
        let (sender, pages) = mpsc::channel(1);
        let mut page = vec![Observed::Started(first.start)];
        page.extend(first.observed);
        if !first.is_last {
            tokio::spawn(observer.run(sender));
        }
        Ok(ObserveStream {
            pages,
            page: page.into_iter(),
        })
    }
}

struct Observer {
    client: Client,
    stream: Stream,
    start: Start,
    options: ObserveOptions,
    told_up_to_date: bool,
}

/// What one poll brought.
struct Step {
    start: Cursor,
    observed: Vec<Observed>,
    is_last: bool,
}

impl Observer {
    async fn run(mut self, sender: mpsc::Sender<Result<Vec<Observed>, ClientError>>) {
        let mut pauses = self.options.reconnect.pauses();
        loop {
            let wait = match self.told_up_to_date {
                true if !self.options.filter.is_all() => FILTERED_WAIT,
                true => WAIT,
                false => Duration::ZERO,
            };
            let step = tokio::select! {
                () = sender.closed() => return,
                step = self.step(wait) => step,
            };
            match step {
                Ok(step) => {
                    pauses = self.options.reconnect.pauses();
                    let is_empty = step.observed.is_empty();
                    if (!is_empty && sender.send(Ok(step.observed)).await.is_err()) || step.is_last
                    {
                        return;
                    }
                }
                // Nothing of a deleted Worker will come.
                Err(error) if error.code() == Code::WorkerDeleted => return,
                Err(error) => {
                    let pause = error.is_transient().then(|| pauses.next()).flatten();
                    let Some(pause) = pause else {
                        let _ = sender.send(Err(error)).await;
                        return;
                    };
                    tokio::select! {
                        () = sender.closed() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Polls once, and goes on behind what came.
    async fn step(&mut self, wait: Duration) -> Result<Step, ClientError> {
        let (client, events_max) = (&self.client, self.options.events_max);
        let filter = &self.options.filter;
        let page = client.events_that(self.stream, self.start, events_max, wait, filter);
        match page.await {
            Ok(page) => Ok(self.take(page)),
            Err(ClientError::Refused(problem)) => match self.trimmed(&problem) {
                Some((earliest, gap)) => {
                    self.start = Start::After(earliest);
                    Ok(Step {
                        start: earliest,
                        observed: vec![Observed::Gap(earliest, gap)],
                        is_last: false,
                    })
                }
                None => Err(ClientError::Refused(problem)),
            },
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, page: EventsPage) -> Step {
        // What was left out is behind the reader too, who would come back for it otherwise.
        let is_passed = page.events.is_empty()
            && !self.options.filter.is_all()
            && self.start != Start::After(page.next);
        self.start = Start::After(page.next);
        let mut observed = Vec::with_capacity(page.events.len().saturating_add(2));
        if let Some(missing) = page.gap {
            observed.push(Observed::Gap(missing.cursor, missing.gap));
        }
        let events = page.events.into_iter();
        observed.extend(events.map(|event| Observed::Event(event.cursor, event.event)));
        if page.up_to_date && !self.told_up_to_date {
            self.told_up_to_date = true;
            observed.push(Observed::UpToDate(page.next));
        } else if is_passed {
            observed.push(Observed::Reached(page.next));
        }
        Step {
            start: page.start,
            observed,
            is_last: self.told_up_to_date && self.options.until_up_to_date,
        }
    }

    /// What retention took, and the cursor to go on from.
    fn trimmed(&self, problem: &Problem) -> Option<(Cursor, Gap)> {
        let earliest = problem
            .earliest
            .filter(|_| problem.code == Code::CursorExpired)?;
        let from = match self.start {
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
        Some((earliest, gap))
    }
}
