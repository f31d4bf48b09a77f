//! Poll and long-poll: each cursor answered as the contract says, and nothing missed while waiting.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use serde_json::{Value, json};

use worker_runtime_core::{
    Code, Cursor, PageSize, Position, RuntimeId, Stream, cursor::From as Start,
};

use crate::{
    host::{Host, text},
    streams::trim,
};

async fn page(host: &Host, path: &str) -> Value {
    let reply = host.get(path).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_join_to_the_stream_and_an_empty_one_has_the_same_shape() {
    let host = Host::start().await;
    let worker = host.worker().await;
    host.post(&format!("/v1/workers/{worker}/input"), text("one", "hello"))
        .await;
    let (mut seqs, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let from = cursor
            .as_ref()
            .map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let page = page(
            &host,
            &format!("/v1/workers/{worker}/events?limit=2&wait=5{from}"),
        )
        .await;
        for event in page["events"].as_array().unwrap() {
            seqs.push(event["seq"].as_u64().unwrap());
            if event["type"] == "run.finished" {
                let cursor = event["cursor"].as_str().unwrap();
                let empty = self::page(
                    &host,
                    &format!("/v1/workers/{worker}/events?cursor={cursor}"),
                )
                .await;
                assert_eq!(empty["events"], json!([]));
                assert_eq!(
                    (&empty["up_to_date"], &empty["gap"]),
                    (&json!(true), &Value::Null)
                );
                assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
                return;
            }
        }
        cursor = Some(page["next"].as_str().unwrap().to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_news_of_its_own_stream_only() {
    let host = Host::start().await;
    let (mine, other) = (host.worker().await, host.worker().await);
    let path = format!("/v1/workers/{mine}/events?from=now&wait=30");
    let waiting = page(&host, &path);
    let rename = async {
        for (worker, name) in [(&other, "other"), (&mine, "mine")] {
            let ask = host.ask(hyper::Method::PATCH, &format!("/v1/workers/{worker}"));
            // The wait may begin late; then there is news again.
            for round in 0..200 {
                let ask = host.ask(hyper::Method::PATCH, &format!("/v1/workers/{worker}"));
                ask.token(&host.operate)
                    .json(&json!({ "display_name": format!("{name} {round}") }))
                    .send()
                    .await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                if name == "other" && round > 5 {
                    break;
                }
            }
            drop(ask);
        }
    };
    let page = tokio::select! {
        page = waiting => page,
        () = rename => panic!("the wait did not end"),
    };
    let events = page["events"].as_array().unwrap();
    assert!(!events.is_empty());
    assert!(
        events.iter().all(|event| event["worker_id"] == json!(mine)),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_without_news_ends_in_time_with_an_empty_page() {
    let host = Host::start().await;
    let before = Instant::now();
    let page = page(&host, "/v1/events?from=now&wait=1").await;
    assert_eq!(
        (&page["events"], &page["up_to_date"]),
        (&json!([]), &json!(true))
    );
    assert!(before.elapsed() >= Duration::from_millis(900));
    assert!(page["next"].as_str().unwrap().starts_with("c1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cursor_is_answered_as_the_contract_says() {
    let host = Host::start().await;
    let (mine, other) = (host.worker().await, host.worker().await);
    let own = format!("/v1/workers/{mine}/events");
    let good = page(&host, &own).await["next"].as_str().unwrap().to_owned();
    for wrong in [
        "x".to_owned(),
        String::new(),
        good.to_uppercase(),
        format!("{good}0"),
        good.replacen('c', "d", 1),
    ] {
        for wait in ["", "&wait=30"] {
            let problem = host.get(&format!("{own}?cursor={wrong}{wait}")).await;
            let problem = problem.refused(400, "WR-CURSOR-MALFORMED");
            assert_eq!(problem.field.as_deref(), Some("cursor"));
        }
    }
    for (path, cursor) in [
        (format!("/v1/workers/{other}/events"), &good),
        ("/v1/events".to_owned(), &good),
    ] {
        for wait in ["", "&wait=30"] {
            let problem = host.get(&format!("{path}?cursor={cursor}{wait}")).await;
            let problem = problem.refused(409, "WR-CURSOR-FOREIGN");
            let tail = problem.tail.unwrap();
            assert_eq!(
                page(&host, &format!("{path}?cursor={tail}")).await["events"],
                json!([])
            );
        }
    }
    // Those of another Runtime, beyond the end and of another history can only be made here.
    let cursor: Cursor = good.parse().unwrap();
    let runtime_id = host.runtime.observation().runtime_id();
    let (position, incarnation) = (cursor.position(), cursor.incarnation_id());
    let beyond = Position(position.0 + 1_000);
    let elsewhere = RuntimeId::from_bytes([9; 16]);
    let streams = [
        (own, Stream::Worker(mine.parse().unwrap())),
        ("/v1/events".to_owned(), Stream::Runtime),
    ];
    for ((path, stream), wait) in streams
        .iter()
        .flat_map(|stream| [(stream, ""), (stream, "&wait=30")])
    {
        let ask = async |cursor: &str| host.get(&format!("{path}?cursor={cursor}{wait}")).await;
        let made = async |runtime_id, position, incarnation| {
            ask(&Cursor::new(runtime_id, *stream, position, incarnation).to_string()).await
        };
        ask("x").await.refused(400, "WR-CURSOR-MALFORMED");
        let foreign = made(elsewhere, position, incarnation).await;
        assert!(foreign.refused(409, "WR-CURSOR-FOREIGN").tail.is_some());
        let ahead = made(runtime_id, beyond, incarnation).await;
        assert!(ahead.refused(416, "WR-CURSOR-AHEAD").tail.is_some());
        let forked = made(runtime_id, position, !incarnation).await;
        let problem = forked.refused(409, "WR-CURSOR-FORKED");
        assert!(problem.fork_at.is_some() && problem.tail.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_was_trimmed_is_expired_and_says_where_to_go_on() {
    let host = Host::small().await;
    let worker = host.worker().await;
    let own = Stream::Worker(worker.parse().unwrap());
    for (path, stream, each_bytes) in [
        (format!("/v1/workers/{worker}/events"), own, 8 << 10),
        ("/v1/events".to_owned(), Stream::Runtime, 1 << 10),
    ] {
        let first = trim(&host, &path, &worker, each_bytes).await;
        for wait in ["", "&wait=30"] {
            let gone = host.get(&format!("{path}?cursor={first}{wait}")).await;
            let problem = gone.refused(410, "WR-CURSOR-EXPIRED");
            let (earliest, tail) = (problem.earliest.unwrap(), problem.tail.unwrap());
            assert!(earliest.position() < tail.position());
            let rest = page(&host, &format!("{path}?cursor={earliest}{wait}")).await;
            assert!(!rest["events"].as_array().unwrap().is_empty());
        }
        // A host's own pages say the same; its stream tells a gap, as an open stream does.
        let start = Start::After(first.parse().unwrap());
        let observation = host.runtime.observation();
        let page = observation.events(stream, start, PageSize::default());
        assert_eq!(page.unwrap_err().code(), Code::CursorExpired);
    }
}
