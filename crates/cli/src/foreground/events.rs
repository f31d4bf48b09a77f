//! A stream of events, from a Runtime in this process or from a server. A server that is lost is looked
//! for and asked again from where the stream was, so that nothing is missing (I2, I10); when it has ended
//! and no other takes its place, what is left is read from its store.

mod pump;

use tokio::{sync::mpsc, time::Duration};
use tokio_stream::StreamExt;
use worker_runtime_core::{EventFilter, ObserveStream, Observed, Stream, cursor::From};
use worker_runtime_http::client::{self, Client, ClientError, Reconnect};

use crate::{
    error::CliError,
    output::Printer,
    target::{About, Current},
};
use pump::Pump;

/// How long is waited for another server when one has ended: whoever restarts servers does it within
/// moments, and nobody else does it at all.
pub(super) const ANOTHER_WITHIN: Duration = Duration::from_secs(5);
/// How many items wait for a slow reader.
const ITEMS_MAX: usize = 64;

/// What comes of a stream.
pub(crate) enum Item {
    Observed(Observed),
    /// Something about the server itself.
    News(News),
    /// The server has ended, nobody runs its store, and everything in there was given.
    Stopped,
}

/// What is known of a server that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// It does not answer any more, and is asked again.
    Lost(String),
    /// It takes no requests any more, and has not ended.
    Ending,
    /// Somebody has its store who serves nobody.
    Held(Option<u32>),
    /// It has ended; another one is waited for.
    Ended,
    /// It answers again; nothing is missing.
    Back,
    /// Another one has the store, at this address, and answers; nothing is missing.
    Another(String),
}

impl News {
    /// Whether a server answers.
    pub(super) const fn is_good(&self) -> bool {
        matches!(self, Self::Back | Self::Another(_))
    }

    /// Says it; that nothing is known now also to a program that reads JSON.
    pub(super) fn tell(&self, printer: &Printer) {
        match self {
            Self::Lost(why) => printer.warn(format_args!(
                "{why}; it is asked again, from where it was, until it answers"
            )),
            Self::Ending => printer.warn("the server is ending; its end is waited for"),
            Self::Held(pid) => {
                let holder =
                    pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
                printer.warn(format_args!(
                    "the server has ended, and {holder} has its store and serves nobody; that is waited for"
                ));
            }
            Self::Ended => printer.warn(format_args!(
                "the server has ended; waiting {} s for another",
                ANOTHER_WITHIN.as_secs()
            )),
            Self::Back => printer.words("the server answers again, and nothing is missing"),
            Self::Another(address) => printer.words(format_args!(
                "another server has the store, at {address}; it is followed from there, and nothing is missing"
            )),
        }
    }
}

/// A stream, wherever it comes from. Taking the next item can be given up at any time.
pub(crate) enum Events {
    Here(ObserveStream),
    Server(mpsc::Receiver<Result<Item, CliError>>),
}

impl Events {
    /// A stream of a server. Who can't be reached now is an error; who is lost later is asked again.
    ///
    /// # Errors
    /// When the server can't be asked, or the stream can't be followed.
    pub(crate) async fn of_server(
        current: &Current,
        stream: Stream,
        start: From,
        filter: EventFilter,
    ) -> Result<Self, CliError> {
        let remote = current.remote();
        let first = observe(&remote.client, stream, start, &filter);
        let first = remote.or_told(about(stream), first).await?;
        Ok(Self::pumped(current, stream, start, filter, Ok(first)))
    }

    /// The same of a server that has acknowledged what is followed: who can't be reached now is lost,
    /// and asked again.
    pub(super) async fn of_server_that_knows(
        current: &Current,
        stream: Stream,
        start: From,
    ) -> Result<Self, CliError> {
        let remote = current.remote();
        let filter = EventFilter::ALL;
        match observe(&remote.client, stream, start, &filter).await {
            Err(error) if !error.is_transient() => {
                remote.or_told(about(stream), async { Err(error) }).await
            }
            first => Ok(Self::pumped(current, stream, start, filter, first)),
        }
    }

    fn pumped(
        current: &Current,
        stream: Stream,
        start: From,
        filter: EventFilter,
        first: Result<client::ObserveStream, ClientError>,
    ) -> Self {
        let (sender, items) = mpsc::channel(ITEMS_MAX);
        let pump = Pump::new(current.clone(), stream, start, filter, sender);
        tokio::spawn(pump.run(first));
        Self::Server(items)
    }

    /// The next item; `None` when nothing will come any more.
    pub(crate) async fn next(&mut self) -> Option<Result<Item, CliError>> {
        match self {
            Self::Here(stream) => {
                let observed = stream.next().await?;
                Some(observed.map(Item::Observed).map_err(CliError::from))
            }
            Self::Server(items) => items.recv().await,
        }
    }
}

const fn about(stream: Stream) -> About {
    match stream {
        Stream::Runtime => About::RUNTIME,
        Stream::Worker(worker_id) => About::worker(worker_id),
    }
}

async fn observe(
    client: &Client,
    stream: Stream,
    start: From,
    filter: &EventFilter,
) -> Result<client::ObserveStream, ClientError> {
    let options = client::ObserveOptions {
        filter: filter.clone(),
        reconnect: Reconnect {
            attempts_max: Some(0),
            ..Reconnect::default()
        },
        ..client::ObserveOptions::default()
    };
    client.observe(stream, start, options).await
}
