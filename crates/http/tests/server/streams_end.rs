//! How open streams end, and what they cost while they are open; each test on both transports.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;
use worker_runtime_core::SystemEntropy;
use worker_runtime_http::{
    server::HttpLimits,
    wire::{AccessScope, CreateToken},
};

use crate::{
    host::Host,
    streams::{check_ids, done, open, say},
    watch::{Asking, BOTH, Frame, Transport},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_gone_ends_its_streams_and_no_browser_comes_back_for_ever() {
    for transport in BOTH {
        let host = Host::start().await;
        let worker = done(&host, "hello").await;
        let path = format!("/v1/workers/{worker}/events");
        let mut watch = open(&host, &path, transport).await;
        let frames = watch.until("up_to_date").await;
        let cursor = frames.last().unwrap().cursor();
        host.post(&format!("/v1/workers/{worker}/stop"), json!({}))
            .await;
        let ended = |frame: &Frame| frame.data["type"] == "worker.stopped";
        watch.until_that(ended).await;
        let deleted = host.ask(Method::DELETE, &format!("/v1/workers/{worker}"));
        let deleted = deleted.token(&host.operate).send().await;
        assert!(deleted.status.is_success(), "{}", deleted.text());
        let rest = watch.rest().await;
        let end = rest.iter().find(|frame| frame.name == "end").unwrap();
        assert_eq!(end.data["reason"], "deleted");
        if transport == Transport::WebSocket {
            assert_eq!(rest.last().unwrap().data["code"], 1000);
        }
        let again = |query: String| {
            let asking = Asking::of(&host, format!("{path}{query}"));
            async move { asking.open(transport).await.err().unwrap() }
        };
        again(String::new()).await.refused(410, "WR-WORKER-DELETED");
        let with_cursor = again(format!("?cursor={cursor}")).await;
        match transport {
            Transport::Sse => {
                assert_eq!(with_cursor.status, StatusCode::NO_CONTENT);
                assert!(with_cursor.bytes.is_empty());
            }
            Transport::WebSocket => {
                with_cursor.refused(410, "WR-WORKER-DELETED");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let host = Host::start().await;
    for transport in BOTH {
        for expires_in_seconds in [None, Some(2)] {
            let request = CreateToken {
                name: "a test".into(),
                scope: AccessScope::Observe,
                expires_in_seconds,
            };
            let made = host.tokens.create(&request, &mut SystemEntropy).unwrap();
            let mut asking = Asking::of(&host, "/v1/events");
            asking.token = &made.token;
            let mut watch = asking.open(transport).await.ok().unwrap();
            watch.until("up_to_date").await;
            if expires_in_seconds.is_none() {
                assert!(host.tokens.revoke(&made.view.token_id).unwrap());
            }
            let rest = watch.rest().await;
            assert_eq!(rest[0].name, "end", "{rest:?}");
            assert_eq!(rest[0].data["reason"], "token");
            if transport == Transport::WebSocket {
                assert_eq!(rest[1].data, json!({ "code": 1008, "reason": "token" }));
            }
            let refused = asking.open(transport).await.err().unwrap();
            refused.refused(401, "WR-TOKEN-INVALID");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_says_so_to_every_stream_and_waits_for_none() {
    let mut host = Host::start().await;
    let mut watches = Vec::new();
    for transport in BOTH {
        let mut watch = open(&host, "/v1/events", transport).await;
        watch.until("up_to_date").await;
        watches.push((transport, watch));
    }
    host.end().await;
    for (transport, watch) in watches {
        let rest = watch.rest().await;
        assert_eq!(rest[0].name, "end", "{rest:?}");
        assert_eq!(rest[0].data["reason"], "draining");
        if transport == Transport::WebSocket {
            assert_eq!(rest[1].data["code"], 1012);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_too_many_is_told_to_come_back_later() {
    let limits = HttpLimits {
        waiting_per_token_max: 1,
        ..HttpLimits::default()
    };
    let host = Host::with(limits).await;
    for transport in BOTH {
        let mut first = open(&host, "/v1/events", transport).await;
        first.until("up_to_date").await;
        let rest = open(&host, "/v1/events", transport).await.rest().await;
        assert_eq!(rest[0].name, "busy");
        assert_eq!(rest[0].data["code"], "WR-SERVER-BUSY");
        let retry_ms = rest[0].data["retry_ms"].as_u64().unwrap();
        assert!((5_000..=10_000).contains(&retry_ms));
        match transport {
            Transport::Sse => assert_eq!(rest[0].retry_ms, Some(retry_ms)),
            Transport::WebSocket => assert_eq!(rest[1].data["code"], 1013),
        }
        check_ids(&rest, transport);
        drop(first);
        // Its place is free once the server has noticed.
        let deadline = Instant::now() + crate::host::DEADLINE;
        while open(&host, "/v1/events", transport)
            .await
            .next()
            .await
            .unwrap()
            .name
            == "busy"
        {
            assert!(Instant::now() < deadline, "the place is never free");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_answers_pings_and_takes_no_commands() {
    let host = Host::start().await;
    let mut watch = open(&host, "/v1/events", Transport::WebSocket).await;
    watch.until("up_to_date").await;
    watch.send(Message::Ping(b"there?".as_slice().into())).await;
    watch.send(Message::text(r#"{"stop":true}"#)).await;
    let rest = watch.rest().await;
    assert_eq!(rest[0].data["reason"], "refused");
    assert_eq!(rest[1].data["code"], 1008);
    assert!(
        host.get("/v1/runtime").await.json()["live"]
            .as_bool()
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_counted_while_it_is_open() {
    let host = Host::start().await;
    for transport in BOTH {
        let label = match transport {
            Transport::Sse => "sse",
            Transport::WebSocket => "websocket",
        };
        let counted = async |count: u32| {
            let told = format!("worker_runtime_http_streams{{transport=\"{label}\"}} {count}\n");
            let deadline = Instant::now() + crate::host::DEADLINE;
            while !host.get("/metrics").await.text().contains(&told) {
                assert!(Instant::now() < deadline, "{told} is never told");
            }
        };
        let mut watch = open(&host, "/v1/events", transport).await;
        watch.until("up_to_date").await;
        counted(1).await;
        drop(watch);
        counted(0).await;
    }
}

/// Opens a stream and reads nothing of it.
async fn open_unread(host: &Host, transport: Transport, token: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(host.address).await.unwrap();
    let (path, more) = match transport {
        Transport::Sse => ("/v1/events?from=beginning", "Accept: text/event-stream\r\n"),
        Transport::WebSocket => (
            "/v1/events/ws?from=beginning",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
    };
    let asked = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
    );
    stream.write_all(asked.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_read_holds_up_neither_the_end_nor_its_place() {
    let mut host = Host::start().await;
    let worker = host.worker().await;
    let mut random = fastrand::Rng::with_seed(3);
    // More than the systems at both ends take of it.
    for _ in 0..40 {
        let said: String = (0..200 << 10).map(|_| random.alphanumeric()).collect();
        say(&host, &worker, &said).await;
    }
    let request = CreateToken {
        name: "a test".into(),
        scope: AccessScope::Observe,
        expires_in_seconds: None,
    };
    let made = host.tokens.create(&request, &mut SystemEntropy).unwrap();
    let streams = async |host: &Host, count: u32| {
        let deadline = Instant::now() + crate::host::DEADLINE;
        for transport in ["sse", "websocket"] {
            let told =
                format!("worker_runtime_http_streams{{transport=\"{transport}\"}} {count}\n");
            while !host.get("/metrics").await.text().contains(&told) {
                assert!(Instant::now() < deadline, "{told} is never told");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let mut unread = Vec::new();
    for transport in BOTH {
        unread.push(open_unread(&host, transport, &made.token).await);
    }
    // Until all that the system takes is sent: nothing tells from outside when.
    let stuck = async || tokio::time::sleep(Duration::from_secs(1)).await;
    streams(&host, 1).await;
    stuck().await;
    assert!(host.tokens.revoke(&made.view.token_id).unwrap());
    streams(&host, 0).await;
    for transport in BOTH {
        unread.push(open_unread(&host, transport, &host.observe).await);
    }
    streams(&host, 1).await;
    stuck().await;
    let began = Instant::now();
    host.end().await;
    let limits = HttpLimits::default();
    assert!(
        began.elapsed() < limits.drain_max / 2,
        "{:?}",
        began.elapsed()
    );
}
