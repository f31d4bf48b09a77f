//! A stream of events, from a Runtime in this process or from a server. A server that is lost is asked
//! again from where the stream was, so that nothing is missing (I2, I10).

use tokio::{sync::mpsc, time::Duration};
use tokio_stream::StreamExt;
use worker_runtime_core::{ObserveStream, Observed, Stream, cursor::From};
use worker_runtime_http::client::{self, Client, ClientError, Reconnect};

use crate::{
    error::CliError,
    target::{About, Remote},
};

/// How long is waited before a server that was lost is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How many items wait for a slow reader.
const ITEMS_MAX: usize = 64;

/// What comes of a stream.
pub(crate) enum Item {
    Observed(Observed),
    /// The server does not answer any more, and is asked again.
    Lost(String),
    /// It answers again; nothing is missing.
    Back,
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
        remote: &Remote,
        stream: Stream,
        start: From,
    ) -> Result<Self, CliError> {
        let first = observe(&remote.client, stream, start);
        let first = remote.or_told(about(stream), first).await?;
        Ok(Self::pumped(remote, stream, start, Ok(first)))
    }

    /// The same of a server that has acknowledged what is followed: who can't be reached now is lost,
    /// and asked again.
    pub(super) async fn of_server_that_knows(
        remote: &Remote,
        stream: Stream,
        start: From,
    ) -> Result<Self, CliError> {
        match observe(&remote.client, stream, start).await {
            Err(error) if !error.is_transient() => {
                remote.or_told(about(stream), async { Err(error) }).await
            }
            first => Ok(Self::pumped(remote, stream, start, first)),
        }
    }

    fn pumped(
        remote: &Remote,
        stream: Stream,
        start: From,
        first: Result<client::ObserveStream, ClientError>,
    ) -> Self {
        let (sender, items) = mpsc::channel(ITEMS_MAX);
        let pump = Pump {
            remote: remote.clone(),
            stream,
            start,
            sender,
        };
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
) -> Result<client::ObserveStream, ClientError> {
    let options = client::ObserveOptions {
        reconnect: Reconnect {
            attempts_max: Some(0),
            ..Reconnect::default()
        },
        ..client::ObserveOptions::default()
    };
    client.observe(stream, start, options).await
}

/// Passes on what comes of a server, and asks one that was lost until it is back, from where it was.
struct Pump {
    remote: Remote,
    stream: Stream,
    start: From,
    sender: mpsc::Sender<Result<Item, CliError>>,
}

/// Nobody takes what comes any more, or nothing will come.
struct Over;

impl Pump {
    async fn run(mut self, first: Result<client::ObserveStream, ClientError>) {
        let mut came = first;
        let mut is_lost = false;
        loop {
            let lost = match came {
                Ok(items) => {
                    if is_lost && self.send(Ok(Item::Back)).await.is_err() {
                        return;
                    }
                    is_lost = false;
                    match self.pass_on(items).await {
                        Ok(lost) => lost,
                        Err(Over) => return,
                    }
                }
                Err(error) => error,
            };
            if !lost.is_transient() {
                let _ = self.send(Err(self.remote.told(&lost))).await;
                return;
            }
            if !is_lost && self.send(Ok(Item::Lost(lost.to_string()))).await.is_err() {
                return;
            }
            is_lost = true;
            tokio::select! {
                () = self.sender.closed() => return,
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
            came = observe(&self.remote.client, self.stream, self.start).await;
        }
    }

    /// Until the server is lost.
    async fn pass_on(&mut self, mut items: client::ObserveStream) -> Result<ClientError, Over> {
        loop {
            let observed = match items.next().await {
                None => return Err(Over),
                Some(Err(error)) => return Ok(error),
                Some(Ok(observed)) => observed,
            };
            self.start = observed.cursor().map_or(self.start, From::After);
            self.send(Ok(Item::Observed(observed))).await?;
        }
    }

    async fn send(&self, item: Result<Item, CliError>) -> Result<(), Over> {
        self.sender.send(item).await.map_err(|_| Over)
    }
}
