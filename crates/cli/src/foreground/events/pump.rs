//! Passes on what comes of a server. One that was lost is looked for, and asked again from where the
//! stream was; what a stopped store has left is read page by page, so that a server that starts meanwhile
//! waits for no slow reader of ours.

use tokio::{
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio_stream::StreamExt;
use worker_runtime_core::{EventFilter, Observed, PageSize, Stream, cursor::From, view::EventPage};
use worker_runtime_http::client::{self, ClientError};

use super::{ANOTHER_WITHIN, Item, News, observe};
use crate::{
    error::CliError,
    target::{Current, Now},
};

/// How long is waited before a server that was lost is asked, or looked for, again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How many events of a stopped store are read at once: each time it is opened anew.
const PAGE_EVENTS: usize = 1_000;

/// Where a stream of a server stands.
pub(super) struct Pump {
    current: Current,
    stream: Stream,
    start: From,
    filter: EventFilter,
    sender: mpsc::Sender<Result<Item, CliError>>,
    /// What was said of the server since it answered last.
    told: Option<News>,
    /// What is to be said once another one answers.
    another: Option<News>,
    /// Since when nobody has its store.
    nobody_since: Option<Instant>,
}

/// Nobody takes what comes any more, or nothing will come.
struct Over;

impl Pump {
    pub(super) const fn new(
        current: Current,
        stream: Stream,
        start: From,
        filter: EventFilter,
        sender: mpsc::Sender<Result<Item, CliError>>,
    ) -> Self {
        Self {
            current,
            stream,
            start,
            filter,
            sender,
            told: None,
            another: None,
            nobody_since: None,
        }
    }

    pub(super) async fn run(mut self, first: Result<client::ObserveStream, ClientError>) {
        // Who let go of the stream, or was told why it ends, is told nothing more.
        let _ = self.run_to_end(first).await;
    }

    async fn run_to_end(
        &mut self,
        first: Result<client::ObserveStream, ClientError>,
    ) -> Result<(), Over> {
        let mut came = first;
        loop {
            let lost = match came {
                Ok(items) => {
                    let was_lost = self.told.take().map(|_| News::Back);
                    if let Some(news) = self.another.take().or(was_lost) {
                        self.send(Item::News(news)).await?;
                    }
                    self.nobody_since = None;
                    self.pass_on(items).await?
                }
                Err(error) => error,
            };
            if !lost.is_transient() {
                let told = self.current.remote().told(&lost);
                return self.end_with(told).await;
            }
            self.until_found(&lost).await?;
            let client = self.current.remote().client;
            came = observe(&client, self.stream, self.start, &self.filter).await;
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
            self.send(Item::Observed(observed)).await?;
        }
    }

    /// Until there is somebody to ask: the server that was lost, after a while, or another one.
    async fn until_found(&mut self, lost: &ClientError) -> Result<(), Over> {
        loop {
            let now = match self.current.look().await {
                Ok(now) => now,
                Err(error) => return self.end_with(error).await,
            };
            let is_gone = matches!(now, Now::Nobody);
            self.nobody_since = is_gone.then(|| self.nobody_since.unwrap_or_else(Instant::now));
            let is_worth_asking = matches!(now, Now::Same);
            self.tell(match now {
                Now::Another => {
                    let address = self.current.remote().client.address().to_owned();
                    self.another = Some(News::Another(address));
                    return Ok(());
                }
                Now::Same => News::Lost(lost.to_string()),
                Now::Ending => News::Ending,
                Now::Held(pid) => News::Held(pid),
                Now::Nobody => News::Ended,
            })
            .await?;
            let waited = self.nobody_since.map(|since| since.elapsed());
            if waited.is_some_and(|waited| waited >= ANOTHER_WITHIN) {
                self.rest().await?;
            }
            tokio::select! {
                () = self.sender.closed() => return Err(Over),
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
            if is_worth_asking {
                return Ok(());
            }
        }
    }

    /// Says what is new of the server, once.
    async fn tell(&mut self, news: News) -> Result<(), Over> {
        let kind = |news: &News| std::mem::discriminant(news);
        if self.told.as_ref().map(kind) == Some(kind(&news)) {
            return Ok(());
        }
        self.told = Some(news.clone());
        self.send(Item::News(news)).await
    }

    /// What is left in the store that nobody runs; comes back when somebody has it again.
    async fn rest(&mut self) -> Result<(), Over> {
        loop {
            let (stream, start) = (self.stream, self.start);
            let size = PageSize {
                events_max: PAGE_EVENTS,
                ..PageSize::default()
            };
            let filter = self.filter.clone();
            let read = self.current.read_stopped(move |store| {
                let observation = &store.observation;
                Ok(observation.events_that(stream, start, size, &filter)?)
            });
            let page = match read.await {
                Ok(Some(page)) => page,
                Ok(None) => {
                    self.nobody_since = None;
                    return Ok(());
                }
                Err(error) => return self.end_with(error).await,
            };
            let is_last = page.up_to_date;
            self.pass_on_page(page).await?;
            if is_last {
                self.send(Item::Stopped).await?;
                return Err(Over);
            }
        }
    }

    async fn pass_on_page(&mut self, page: EventPage) -> Result<(), Over> {
        let after_gap = page.after_gap.unwrap_or(page.next);
        if let Some(gap) = page.gap {
            self.send(Item::Observed(Observed::Gap(after_gap, gap)))
                .await?;
        }
        for (cursor, event) in page.events {
            self.send(Item::Observed(Observed::Event(cursor, event)))
                .await?;
        }
        self.start = From::After(page.next);
        Ok(())
    }

    async fn send(&self, item: Item) -> Result<(), Over> {
        self.sender.send(Ok(item)).await.map_err(|_| Over)
    }

    /// Tells why nothing more comes.
    async fn end_with<T>(&self, error: CliError) -> Result<T, Over> {
        let _ = self.sender.send(Err(error)).await;
        Err(Over)
    }
}
