//! Open streams, over SSE and WebSockets: where they begin, what they hold, gaps, filters. One suite for both
//! transports, each test on both.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use hyper::StatusCode;
use serde_json::{Value, json};
use worker_runtime_core::{Cursor, Position, RuntimeId, Stream};
use worker_runtime_http::server::HttpLimits;

use crate::{
    host::{Host, text},
    watch::{Asking, BOTH, Frame, Transport, Watch},
};

pub(crate) async fn open(host: &Host, path: &str, transport: Transport) -> Watch {
    let opened = Asking::of(host, path).open(transport).await;
    opened.unwrap_or_else(|reply| panic!("{}: {}", reply.status, reply.text()))
}

/// A Worker that was sent one input, and has done it.
pub(crate) async fn done(host: &Host, said: &str) -> String {
    let worker = host.worker().await;
    say(host, &worker, said).await;
    worker
}

/// Sends an input and waits for its run's end.
pub(crate) async fn say(host: &Host, worker: &str, said: &str) {
    let from = host
        .get(&format!("/v1/workers/{worker}/events?from=now"))
        .await;
    let from = from.json()["next"].as_str().unwrap().to_owned();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = format!("input {}", NEXT.fetch_add(1, Ordering::Relaxed));
    host.post(&format!("/v1/workers/{worker}/input"), text(&id, said))
        .await;
    let path = format!("/v1/workers/{worker}/events?cursor={from}&type=run.finished&wait=20");
    let page = host.get(&path).await.json();
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "{page}");
}

/// What a poll says a stream holds.
async fn polled(host: &Host, path: &str) -> Vec<Value> {
    let sign = if path.contains('?') { '&' } else { '?' };
    let page = host.get(&format!("{path}{sign}limit=1000")).await.json();
    assert_eq!(page["up_to_date"], json!(true));
    page["events"].as_array().unwrap().clone()
}

fn events(frames: &[Frame]) -> Vec<Value> {
    let events = frames.iter().filter(|frame| frame.name == "event");
    events.map(|frame| frame.data.clone()).collect()
}

pub(crate) fn check_ids(frames: &[Frame], transport: Transport) {
    for frame in frames {
        let has_cursor = !["delta", "busy", "end", "(closed)"].contains(&&*frame.name);
        let id = (has_cursor && transport == Transport::Sse).then(|| frame.cursor());
        assert_eq!(frame.id, id, "{frame:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_what_polls_say_and_goes_on_with_the_news() {
    let host = Host::start().await;
    let worker = done(&host, "hello").await;
    for transport in BOTH {
        for path in [
            format!("/v1/workers/{worker}/events"),
            "/v1/events".to_owned(),
        ] {
            let mut watch = open(&host, &path, transport).await;
            let mut frames = watch.until("up_to_date").await;
            assert_eq!(frames[0].name, "started");
            assert_eq!(frames[0].retry_ms.is_some(), transport == Transport::Sse);
            assert_eq!(
                events(&frames),
                polled(&host, &path).await,
                "{transport:?} {path}"
            );
            let tail = frames.last().unwrap();
            assert_eq!(tail.data["cursor"], tail.data["tail"]);
            say(&host, &worker, &format!("{transport:?} {}", path.len())).await;
            let is_end = |frame: &Frame| frame.data["type"] == "run.finished";
            frames.extend(watch.until_that(is_end).await);
            let known = polled(&host, &path).await;
            let seen = events(&frames);
            assert_eq!(seen, known[..seen.len()]);
            check_ids(&frames, transport);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_goes_on_at_the_cursor_and_the_header_wins() {
    let host = Host::start().await;
    let worker = done(&host, "hello").await;
    let path = format!("/v1/workers/{worker}/events");
    let known = polled(&host, &path).await;
    let cursor_of = |index: usize| known[index]["cursor"].as_str().unwrap().to_owned();
    for transport in BOTH {
        for (query, header, first) in [
            (format!("?cursor={}", cursor_of(1)), None, 2),
            (format!("?cursor={}", cursor_of(0)), Some(cursor_of(2)), 3),
            ("?from=now".to_owned(), Some(cursor_of(0)), 1),
        ] {
            let mut asking = Asking::of(&host, format!("{path}{query}"));
            asking.last_event_id = header;
            let mut watch = asking.open(transport).await.ok().unwrap();
            let frames = watch.until("up_to_date").await;
            assert_eq!(frames[0].cursor(), cursor_of(first - 1));
            assert_eq!(events(&frames), known[first..]);
        }
        let mut watch = open(&host, &format!("{path}?from=now"), transport).await;
        let frames = watch.until("up_to_date").await;
        assert_eq!(events(&frames), Vec::<Value>::new());
        assert_eq!(frames[0].data["cursor"], frames[0].data["tail"]);
    }
}

/// Cursors that can't be followed, each with the code of its gap, and how far the stream then begins: all of
/// it, or only what is new.
fn lost_cursors(host: &Host, own: Stream, good: Cursor) -> Vec<(Cursor, &'static str, bool)> {
    let runtime_id = host.runtime.observation().runtime_id();
    let (position, incarnation) = (good.position(), good.incarnation_id());
    let foreign = RuntimeId::from_bytes([9; 16]);
    let other = Stream::Worker("01890000-0000-7000-8000-000000000000".parse().unwrap());
    let ahead = Position(position.0 + 1_000);
    vec![
        (
            Cursor::new(runtime_id, own, ahead, incarnation),
            "WR-CURSOR-AHEAD",
            false,
        ),
        (
            Cursor::new(foreign, own, position, incarnation),
            "WR-CURSOR-FOREIGN",
            true,
        ),
        (
            Cursor::new(runtime_id, other, position, incarnation),
            "WR-CURSOR-FOREIGN",
            true,
        ),
        (
            Cursor::new(runtime_id, own, position, !incarnation),
            "WR-CURSOR-FORKED",
            true,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_can_not_be_followed_is_one_gap_and_the_stream_goes_on() {
    let host = Host::start().await;
    let worker = done(&host, "hello").await;
    for transport in BOTH {
        for (path, own) in [
            (
                format!("/v1/workers/{worker}/events"),
                Stream::Worker(worker.parse().unwrap()),
            ),
            ("/v1/events".to_owned(), Stream::Runtime),
        ] {
            let known = polled(&host, &path).await;
            let good: Cursor = known.last().unwrap()["cursor"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            for (cursor, code, is_all) in lost_cursors(&host, own, good) {
                for in_header in [false, true] {
                    let query = format!("{path}?cursor={}", if in_header { good } else { cursor });
                    let mut asking = Asking::of(&host, query);
                    asking.last_event_id = in_header.then(|| cursor.to_string());
                    let mut watch = asking.open(transport).await.ok().unwrap();
                    let frames = watch.until("up_to_date").await;
                    let gaps: Vec<&Frame> =
                        frames.iter().filter(|frame| frame.name == "gap").collect();
                    assert_eq!(gaps.len(), 1, "{transport:?} {path} {code} {frames:?}");
                    // Who is cut off before the gap comes back with this, and is told again.
                    assert_eq!(frames[0].cursor(), cursor.to_string());
                    assert_eq!(frames[1].name, "gap");
                    assert_eq!(gaps[0].data["code"], code);
                    assert_eq!(gaps[0].data["cause"], "cursor");
                    let expected: &[Value] = if is_all { &known } else { &[] };
                    assert_eq!(events(&frames), expected, "{transport:?} {path} {code}");
                    check_ids(&frames, transport);
                }
            }
        }
    }
}

/// Has a Worker say so much, so often, until what is after its first cursor in this stream is trimmed: that
/// cursor.
pub(crate) async fn trim(host: &Host, path: &str, worker: &str, each_bytes: usize) -> String {
    let first = host.get(&format!("{path}?limit=1")).await.json()["next"]
        .as_str()
        .unwrap()
        .to_owned();
    // What can be packed smaller would be kept.
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..1_000 {
        let said: String = (0..each_bytes).map(|_| random.alphanumeric()).collect();
        say(host, worker, &said).await;
        let asked = host.get(&format!("{path}?cursor={first}&limit=1")).await;
        if asked.status == StatusCode::GONE {
            return first;
        }
    }
    panic!("nothing of {path} is trimmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_trimmed_is_one_gap_and_the_rest_follows() {
    let host = Host::small().await;
    let worker = host.worker().await;
    // What is larger than 2 KiB is kept with its Worker, also for the Runtime's stream: nothing is, here.
    for (path, each_bytes) in [
        (format!("/v1/workers/{worker}/events"), 8 << 10),
        ("/v1/events".to_owned(), 1 << 10),
    ] {
        let first = trim(&host, &path, &worker, each_bytes).await;
        let expired = host.get(&format!("{path}?cursor={first}")).await;
        let earliest = expired.refused(410, "WR-CURSOR-EXPIRED").earliest.unwrap();
        let known = polled(&host, &format!("{path}?cursor={earliest}")).await;
        for transport in BOTH {
            let mut watch = open(&host, &format!("{path}?cursor={first}"), transport).await;
            let frames = watch.until("up_to_date").await;
            let names: Vec<&str> = frames.iter().take(3).map(|frame| &*frame.name).collect();
            assert_eq!(names, ["started", "gap", "event"], "{path}");
            // Who is cut off before the gap comes back with this, and is told again.
            assert_eq!(frames[0].cursor(), first);
            assert_eq!(frames[1].data["cause"], "retention");
            assert_eq!(frames[1].cursor(), earliest.to_string());
            assert_eq!(events(&frames), known, "{path}");
            check_ids(&frames, transport);
        }
    }
}

/// The log of all keeps what is small longer than a Worker keeps what is large.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_runtimes_stream_a_large_event_that_its_worker_trimmed_is_a_gap_between_the_others()
{
    let host = Host::small_workers().await;
    let worker = host.worker().await;
    let beginning = host.get("/v1/events?limit=1").await.json();
    let first = beginning["next"].as_str().unwrap().to_owned();
    let own = format!("/v1/workers/{worker}/events");
    // Until some of them are trimmed.
    for _ in 0..4 {
        trim(&host, &own, &worker, 8 << 10).await;
    }
    /// What a stream told: events by position, and what is missing in between.
    #[derive(Debug, Default, PartialEq)]
    struct Told {
        events: Vec<u64>,
        missing: Vec<(u64, u64)>,
    }
    impl Told {
        fn gap(&mut self, gap: &Value) {
            assert_eq!(gap["cause"], "retention");
            let of = |name: &str| gap[name].as_u64().unwrap();
            self.missing.push((of("from"), of("to")));
        }
        fn event(&mut self, event: &Value) {
            self.events.push(event["position"].as_u64().unwrap());
        }
    }
    let mut polled = Told::default();
    let mut cursor = first.clone();
    loop {
        let page = host
            .get(&format!("/v1/events?cursor={cursor}&limit=1000"))
            .await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let page = page.json();
        if !page["gap"].is_null() {
            polled.gap(&page["gap"]);
        }
        for event in page["events"].as_array().unwrap() {
            polled.event(event);
        }
        cursor = page["next"].as_str().unwrap().to_owned();
        if page["up_to_date"] == json!(true) {
            break;
        }
    }
    let tail = cursor.parse::<Cursor>().unwrap().position().0;
    // Each is one of the large ones alone, and nothing is missing but what is told.
    let mut all = polled.events.clone();
    for (from, to) in &polled.missing {
        assert_eq!(from, to, "{polled:?}");
        all.push(*from);
    }
    all.sort_unstable();
    assert_eq!(all, (2..=tail).collect::<Vec<_>>());
    assert!(polled.missing.len() > 1 && polled.events.len() > 10);
    for transport in BOTH {
        let path = format!("/v1/events?cursor={first}");
        let mut watch = open(&host, &path, transport).await;
        let mut streamed = Told::default();
        for frame in watch.until("up_to_date").await {
            match &*frame.name {
                "event" => streamed.event(&frame.data),
                "gap" => streamed.gap(&frame.data),
                _ => {}
            }
        }
        assert_eq!(streamed, polled, "{transport:?}");
    }
}

/// One that was larger than what may wait for a slow reader ended each WebSocket that came to it.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_event_is_sent_over_every_transport() {
    let host = Host::start().await;
    // With what JSON adds it is just below the limit of an input.
    let worker = done(&host, &"x".repeat(1_000_000)).await;
    let path = format!("/v1/workers/{worker}/events");
    // More than one page takes.
    let first = host.get(&format!("{path}?limit=2")).await.json();
    let mut known = first["events"].as_array().unwrap().clone();
    let next = first["next"].as_str().unwrap();
    known.extend(polled(&host, &format!("{path}?cursor={next}")).await);
    for transport in BOTH {
        let mut watch = open(&host, &path, transport).await;
        let frames = watch.until("up_to_date").await;
        assert!(events(&frames) == known, "{transport:?}");
    }
}

/// Between the two looks of a page, which began with where the beginning is, a trim could come.
#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_is_never_expired() {
    let host = Host::small().await;
    let worker = host.worker().await;
    let path = format!("/v1/workers/{worker}/events?from=beginning&limit=1");
    let is_over = AtomicBool::new(false);
    let write = async {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let said: String = (0..8 << 10).map(|_| random.alphanumeric()).collect();
            say(&host, &worker, &said).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let ask = async || {
        while !is_over.load(Ordering::Relaxed) {
            let page = host.get(&path).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        }
    };
    tokio::join!(write, ask(), ask(), ask());
    // It was trimmed meanwhile.
    assert_ne!(host.get(&path).await.json()["events"][0]["seq"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_before_a_stream_begins() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let path = format!("/v1/workers/{worker}/events");
    let unknown = "/v1/workers/01890000-0000-7000-8000-000000000000/events";
    let good = polled(&host, &path).await[0]["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    for transport in BOTH {
        let refused = async |path: String, status, code| {
            let reply = Asking::of(&host, path).open(transport).await.err().unwrap();
            reply.refused(status, code)
        };
        for query in ["?cursor=", "?cursor=x", &format!("?cursor={good}0")] {
            let problem = refused(format!("{path}{query}"), 400, "WR-CURSOR-MALFORMED").await;
            assert_eq!(problem.field.as_deref(), Some("cursor"));
        }
        let mut asking = Asking::of(&host, &path);
        asking.last_event_id = Some("x".to_owned());
        let reply = asking.open(transport).await.err().unwrap();
        let problem = reply.refused(400, "WR-CURSOR-MALFORMED");
        assert_eq!(problem.field.as_deref(), Some("last-event-id"));
        for (query, field) in [
            (format!("?cursor={good}&from=now"), "from"),
            ("?type=*".to_owned(), "type"),
            ("?type=".to_owned(), "type"),
            ("?limit=5".to_owned(), "limit"),
            ("?wait=5".to_owned(), "wait"),
        ] {
            let problem = refused(format!("{path}{query}"), 400, "WR-QUERY-INVALID").await;
            // Of a WebSocket these are no parameters at all.
            let is_unknown =
                transport == Transport::WebSocket && ["limit", "wait"].contains(&field);
            assert!(
                is_unknown || problem.field.as_deref() == Some(field),
                "{problem:?}"
            );
        }
        let problem = refused("/v1/events?deltas=true".to_owned(), 400, "WR-QUERY-INVALID").await;
        assert_eq!(problem.field.as_deref(), Some("deltas"));
        refused(unknown.to_owned(), 404, "WR-WORKER-UNKNOWN").await;
        let mut asking = Asking::of(&host, &path);
        asking.token = "wr_no_token";
        let reply = asking.open(transport).await.err().unwrap();
        reply.refused(401, "WR-TOKEN-INVALID");
    }
    // A page has no previews, and a WebSocket is only one.
    let page = host.get(&format!("{path}?deltas=true")).await;
    page.refused(400, "WR-QUERY-INVALID");
    let plain = host.get(&format!("{path}/ws")).await;
    plain.refused(426, "WR-UPGRADE-REQUIRED");
    assert_eq!(plain.header("upgrade"), "websocket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_leaves_out_and_the_cursor_advances_over_it() {
    let limits = HttpLimits {
        heartbeat_every: Duration::from_millis(100),
        ..HttpLimits::default()
    };
    let host = Host::with(limits).await;
    let worker = done(&host, "hello").await;
    let path = format!("/v1/workers/{worker}/events");
    let first = polled(&host, &path).await;
    let run_id = first
        .iter()
        .find_map(|event| event["run_id"].as_str())
        .unwrap();
    type Takes<'a> = Box<dyn Fn(&Value) -> bool + 'a>;
    let filters: [(String, Takes); 4] = [
        (
            "?type=run.*".to_owned(),
            Box::new(|event| event["type"].as_str().unwrap().starts_with("run.")),
        ),
        (
            "?type=worker.created&type=block.finished".to_owned(),
            Box::new(|event| {
                ["worker.created", "block.finished"].contains(&event["type"].as_str().unwrap())
            }),
        ),
        (
            format!("?run_id={run_id}"),
            Box::new(|event| event["run_id"] == run_id),
        ),
        ("?type=no.such".to_owned(), Box::new(|_| false)),
    ];
    for (query, takes) in &filters {
        let all = polled(&host, &path).await;
        let tail = all.last().unwrap()["cursor"].as_str().unwrap().to_owned();
        let expected: Vec<Value> = all.iter().filter(|event| takes(event)).cloned().collect();
        let page = host.get(&format!("{path}{query}")).await.json();
        assert_eq!(page["events"], json!(expected), "{query}");
        assert_eq!(page["next"], json!(tail), "{query}");
        let mut watches = Vec::new();
        for transport in BOTH {
            let mut watch = open(&host, &format!("{path}{query}"), transport).await;
            let frames = watch.until("heartbeat").await;
            assert_eq!(events(&frames), expected, "{query}");
            assert_eq!(frames.last().unwrap().cursor(), tail, "{query}");
            check_ids(&frames, transport);
            watches.push(watch);
        }
        for mut watch in watches {
            // What is left out is no news, and the heartbeat is behind it all the same.
            say(&host, &worker, &format!("again {query}")).await;
            let newest = polled(&host, &path).await.last().unwrap()["cursor"].clone();
            let reached =
                |frame: &Frame| frame.name == "heartbeat" && frame.data["cursor"] == newest;
            watch.until_that(reached).await;
        }
    }
}
