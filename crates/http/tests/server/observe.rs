//! One suite for a host's own `observe` and the client's: what one yields, the other does.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{io::copy_bidirectional, net::TcpListener, task::JoinHandle};
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Code, Cursor, EndOptions, Event, EventFilter, EventType, InputId, Observed, Stream, WorkerId,
    cursor::From as Start,
    input::SubmitInput,
    store::{Gap, GapCause},
    worker::{BackendSelection, CreateWorker, Intent, UpdateWorker},
};
use worker_runtime_http::client::{Client, ClientOptions, ObserveOptions, Reconnect};

use crate::host::{DEADLINE, Host};

/// The two ways.
#[derive(Clone, Copy, Debug)]
enum Way {
    Embedded,
    Client,
}

type Items = Pin<Box<dyn tokio_stream::Stream<Item = Result<Observed, Code>> + Send>>;

impl Host {
    fn client(&self) -> Client {
        self.client_at(&self.address.to_string())
    }

    fn client_at(&self, address: &str) -> Client {
        let url = format!("http://{address}");
        Client::new(&ClientOptions::new(url, Some(self.admin.clone()))).unwrap()
    }

    async fn observe(
        &self,
        way: Way,
        stream: Stream,
        start: Start,
        until_up_to_date: bool,
    ) -> Result<Items, Code> {
        match way {
            Way::Embedded => {
                let options = worker_runtime_core::ObserveOptions {
                    until_up_to_date,
                    ..Default::default()
                };
                let observed = self.runtime.observation().observe(stream, start, options);
                let observed = observed.map_err(|error| error.code())?;
                Ok(Box::pin(
                    observed.map(|item| item.map_err(|error| error.code())),
                ))
            }
            Way::Client => {
                let options = ObserveOptions {
                    events_max: 3,
                    until_up_to_date,
                    ..ObserveOptions::default()
                };
                let observed = self.client().observe(stream, start, options).await;
                let observed = observed.map_err(|error| error.code())?;
                Ok(Box::pin(
                    observed.map(|item| item.map_err(|error| error.code())),
                ))
            }
        }
    }

    async fn made(&self) -> WorkerId {
        let backend = BackendSelection {
            name: "shout".into(),
            config: Default::default(),
        };
        let request = CreateWorker {
            backend: Some(backend),
            ..CreateWorker::new(Intent::Assistant { purpose: None })
        };
        self.client()
            .create_worker(&request)
            .await
            .unwrap()
            .worker_id
    }

    async fn renamed(&self, worker_id: WorkerId, name: String) {
        let update = UpdateWorker {
            display_name: Some(name),
            ..UpdateWorker::default()
        };
        self.client()
            .update_worker(worker_id, &update)
            .await
            .unwrap();
    }
}

async fn next(items: &mut Items) -> Option<Observed> {
    let item = tokio::time::timeout(DEADLINE, items.next()).await;
    item.expect("an item in time").map(|item| item.unwrap())
}

async fn all(mut items: Items) -> Vec<Observed> {
    let mut found = Vec::new();
    while let Some(item) = next(&mut items).await {
        found.push(item);
    }
    found
}

fn events(items: &[Observed]) -> Vec<(Cursor, Event)> {
    let event = |item: &Observed| match item {
        Observed::Event(cursor, event) => Some((*cursor, event.clone())),
        _ => None,
    };
    items.iter().filter_map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_yield_the_same_items_from_every_start() {
    let host = Host::start().await;
    let (one, other) = (host.made().await, host.made().await);
    for round in 0..7 {
        host.renamed(one, format!("one {round}")).await;
        host.renamed(other, format!("other {round}")).await;
    }
    for stream in [Stream::Runtime, Stream::Worker(one), Stream::Worker(other)] {
        let whole = all(host
            .observe(Way::Embedded, stream, Start::Beginning, true)
            .await
            .unwrap())
        .await;
        assert!(matches!(whole.first(), Some(Observed::Started(_))));
        assert!(matches!(whole.last(), Some(Observed::UpToDate(_))));
        assert!(events(&whole).len() >= 8);
        let middle = events(&whole)[3].0;
        for start in [Start::Beginning, Start::After(middle), Start::Now] {
            let embedded = all(host
                .observe(Way::Embedded, stream, start, true)
                .await
                .unwrap())
            .await;
            let client = all(host
                .observe(Way::Client, stream, start, true)
                .await
                .unwrap())
            .await;
            assert_eq!(embedded, client, "{stream:?} {start:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn news_come_in_order_and_the_stream_of_a_deleted_worker_ends() {
    let host = Host::start().await;
    for way in [Way::Embedded, Way::Client] {
        let worker_id = host.made().await;
        let mut items = host
            .observe(way, Stream::Worker(worker_id), Start::Now, false)
            .await
            .unwrap();
        let begin = [next(&mut items).await, next(&mut items).await];
        assert!(matches!(
            begin,
            [Some(Observed::Started(_)), Some(Observed::UpToDate(_))]
        ));
        for round in 0..20 {
            host.renamed(worker_id, format!("name {round}")).await;
        }
        let catalog = host.runtime.catalog();
        catalog
            .stop(worker_id, EndOptions::default())
            .await
            .unwrap();
        let mut seen = Vec::new();
        while let Some(item) = next(&mut items).await {
            let Observed::Event(_, event) = item else {
                panic!("{way:?}: {item:?}");
            };
            if event.kind == EventType::WORKER_STOPPED {
                catalog.delete(worker_id, false).await.unwrap();
            }
            seen.push(event.worker.unwrap().seq.0);
        }
        let first = seen[0];
        let expected: Vec<u64> = (first..first + seen.len() as u64).collect();
        assert_eq!(seen, expected, "{way:?}");
        assert!(seen.len() >= 22, "{way:?}: {}", seen.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_that_can_not_be_followed_are_refused_at_once() {
    let host = Host::start().await;
    let (one, other) = (host.made().await, host.made().await);
    let client = host.client();
    let cursor = client.worker(one).await.unwrap().cursor;
    let ahead = Cursor::new(
        host.runtime.observation().runtime_id(),
        Stream::Worker(one),
        worker_runtime_core::Position(1_000),
        cursor.incarnation_id(),
    );
    // As after a restore: the incarnation that wrote it is not one of this history.
    let forked = Cursor::new(
        host.runtime.observation().runtime_id(),
        Stream::Worker(one),
        cursor.position(),
        cursor.incarnation_id() ^ 1,
    );
    let nobody: WorkerId = "019c0000-0000-7000-8000-000000000001".parse().unwrap();
    for way in [Way::Embedded, Way::Client] {
        for (stream, cursor, code) in [
            (Stream::Worker(other), cursor, Code::CursorForeign),
            (Stream::Runtime, cursor, Code::CursorForeign),
            (Stream::Worker(one), ahead, Code::CursorAhead),
            (Stream::Worker(one), forked, Code::CursorForked),
            (Stream::Worker(nobody), cursor, Code::WorkerUnknown),
        ] {
            let refused = host.observe(way, stream, Start::After(cursor), false).await;
            assert_eq!(refused.err(), Some(code), "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_is_told_as_one_gap_and_the_stream_goes_on() {
    let host = Host::small().await;
    let worker_id = host.made().await;
    let stream = Stream::Worker(worker_id);
    let early = host.client().worker(worker_id).await.unwrap().cursor;
    // More than the small store keeps.
    for round in 0..400 {
        let text = format!("{round} {}", "x".repeat(500));
        let input = SubmitInput::text(text)
            .queued()
            .with_id(InputId::new(format!("{round}")).unwrap());
        host.client().send_input(worker_id, &input).await.unwrap();
        let mut items = host
            .observe(Way::Embedded, stream, Start::Now, true)
            .await
            .unwrap();
        next(&mut items).await;
        while host
            .runtime
            .observation()
            .worker(worker_id)
            .unwrap()
            .activity
            .phase
            .is_some()
        {
            tokio::task::yield_now().await;
        }
    }
    for way in [Way::Embedded, Way::Client] {
        let items = all(host
            .observe(way, stream, Start::After(early), true)
            .await
            .unwrap())
        .await;
        let [
            Observed::Started(started),
            Observed::Gap(
                after,
                Gap {
                    cause: GapCause::Retention,
                    from,
                    to,
                    ..
                },
            ),
            ..,
        ] = &items[..]
        else {
            panic!("{way:?}: {:?}", &items[..2]);
        };
        assert_eq!(
            (started.position(), after.position()),
            (*to, *to),
            "{way:?}"
        );
        assert_eq!(*from, early.position().next(), "{way:?}");
        let seqs: Vec<u64> = events(&items)
            .iter()
            .map(|(_, event)| event.worker.unwrap().seq.0)
            .collect();
        let expected: Vec<u64> = (seqs[0]..seqs[0] + seqs.len() as u64).collect();
        assert_eq!(seqs, expected, "{way:?}");
    }
}

/// Passes connections on, and cuts all of them when told.
struct Cable {
    address: String,
    cuts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Cable {
    async fn to(address: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = cuts.clone();
        let task = tokio::spawn(async move {
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                let counted = counted.clone();
                tokio::spawn(async move {
                    let before = counted.load(Ordering::Relaxed);
                    let Ok(mut to) = tokio::net::TcpStream::connect(address).await else {
                        return;
                    };
                    let cut = async {
                        while counted.load(Ordering::Relaxed) == before {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        () = cut => {}
                    }
                });
            }
        });
        Self {
            address: format!("localhost:{port}"),
            cuts,
            task,
        }
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_connections_are_cut_goes_on_with_nothing_missing_and_nothing_twice() {
    let host = Host::start().await;
    let worker_id = host.made().await;
    let cable = Cable::to(host.address).await;
    let options = ObserveOptions {
        events_max: 2,
        reconnect: Reconnect {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(20),
            attempts_max: None,
        },
        ..ObserveOptions::default()
    };
    let client = host.client_at(&cable.address);
    let mut items = client
        .observe(Stream::Worker(worker_id), Start::Beginning, options)
        .await
        .unwrap();
    let mut seen = Vec::new();
    for round in 0..60 {
        host.renamed(worker_id, format!("name {round}")).await;
        if round % 3 == 0 {
            cable.cut();
        }
    }
    while seen.len() < 61 {
        let item = tokio::time::timeout(DEADLINE, items.next())
            .await
            .expect("goes on");
        if let Observed::Event(_, event) = item.unwrap().unwrap() {
            seen.push(event.worker.unwrap().seq.0);
            if event.kind == EventType::WORKER_UPDATED && seen.len() % 7 == 0 {
                cable.cut();
            }
        }
    }
    let first = seen[0];
    assert_eq!(seen, (first..first + seen.len() as u64).collect::<Vec<_>>());
    cable.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_ends_the_stream_after_the_attempts_that_were_allowed() {
    let mut host = Host::start().await;
    let options = ObserveOptions {
        reconnect: Reconnect {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(2),
            attempts_max: Some(3),
        },
        ..ObserveOptions::default()
    };
    let mut items = host
        .client()
        .observe(Stream::Runtime, Start::Now, options)
        .await
        .unwrap();
    host.end().await;
    let end = loop {
        match tokio::time::timeout(DEADLINE, items.next())
            .await
            .unwrap()
            .unwrap()
        {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(end.code(), Code::ServerUnreachable, "{end}");
    assert!(
        tokio::time::timeout(DEADLINE, items.next())
            .await
            .unwrap()
            .is_none()
    );
    host.runtime.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_takes_its_reader_past_what_it_leaves_out() {
    let host = Host::start().await;
    let options = ObserveOptions {
        filter: EventFilter {
            types: vec!["usage".parse().unwrap()],
            run_id: None,
        },
        ..ObserveOptions::default()
    };
    let client = host.client();
    let observed = client.observe(Stream::Runtime, Start::Now, options);
    let mut observed = observed.await.unwrap();
    let mut next = async || {
        let item = tokio::time::timeout(DEADLINE, observed.next()).await;
        item.unwrap().unwrap().unwrap()
    };
    assert!(matches!(next().await, Observed::Started(_)));
    assert!(matches!(next().await, Observed::UpToDate(_)));
    host.made().await;
    let tail = host.runtime.observation().runtime().cursor;
    assert_eq!(next().await, Observed::Reached(tail));
}
