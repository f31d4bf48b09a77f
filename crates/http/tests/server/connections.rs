//! Slow and many clients, and the end in order.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use worker_runtime_http::server::HttpLimits;

use crate::host::{DEADLINE, Host, text};

pub(crate) async fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    read.expect("the server ends the connection").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_do_not_come_end_the_connection() {
    let host = Host::with(HttpLimits {
        header_read_max: Duration::from_millis(200),
        ..HttpLimits::default()
    })
    .await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream
        .write_all(b"GET /v1/runtime HTTP/1.1\r\nHost: local")
        .await
        .unwrap();
    let answer = read_all(stream).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_refused() {
    let host = Host::with(HttpLimits {
        body_read_max: Duration::from_millis(200),
        ..HttpLimits::default()
    })
    .await;
    let worker = host.worker().await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let head = format!(
        "POST /v1/workers/{worker}/input HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        host.operate
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("WR-BODY-INVALID"), "{answer}");
}

/// It was waited for, as long as any body may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_said_to_be_too_large_is_refused_before_it_comes() {
    let host = Host::with(HttpLimits {
        body_read_max: DEADLINE * 3,
        body_bytes_max: 1_000,
        ..HttpLimits::default()
    })
    .await;
    let worker = host.worker().await;
    for path in [
        format!("/v1/workers/{worker}/input"),
        // One that takes no body.
        format!("/v1/workers/{worker}/pause"),
    ] {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 1001\r\n\r\n",
            host.operate
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_all(stream).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("WR-BODY-TOO-LARGE"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_long_polls_than_may_wait_are_told_so_and_polls_go_on() {
    let host = Host::with(HttpLimits {
        waiting_max: 0,
        ..HttpLimits::default()
    })
    .await;
    let reply = host.get("/v1/events?from=now&wait=10").await;
    reply.refused(503, "WR-SERVER-BUSY");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(host.get("/v1/events?from=now").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_does_not_take_all_waits_from_the_others() {
    let host = Host::with(HttpLimits {
        waiting_max: 2,
        waiting_per_token_max: 1,
        ..HttpLimits::default()
    })
    .await;
    let wait = |token: &str| {
        let ask = host.ask(Method::GET, "/v1/events?from=now&wait=60");
        ask.token(token).send()
    };
    let look = async {
        host.waiting_are(1).await;
        let refused = wait(&host.observe).await;
        let problem = refused.refused(503, "WR-SERVER-BUSY");
        assert!(problem.detail.contains("of this access token"));
        assert_eq!(refused.header("retry-after"), "1");
        let another = async {
            host.waiting_are(2).await;
            let problem = wait(&host.admin).await.refused(503, "WR-SERVER-BUSY");
            assert!(problem.detail.contains("of all clients"));
            // News end the waits.
            host.worker().await;
        };
        let (reply, ()) = tokio::join!(wait(&host.operate), another);
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    };
    let (reply, ()) = tokio::join!(wait(&host.observe), look);
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    // What has ended leaves its place.
    host.waiting_are(0).await;
    let reply = host.get("/v1/events?from=now&wait=1").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_connections_and_waits_are_all_taken_says_that_it_lives() {
    let host = Host::with(HttpLimits {
        connections_max: 2,
        connections_reserved: 1,
        // Not what frees a place of the reserve.
        header_read_max: DEADLINE * 3,
        waiting_max: 2,
        ..HttpLimits::default()
    })
    .await;
    let mut taken = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        let wait = format!(
            "GET /v1/events?from=now&wait=60 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            host.observe
        );
        stream.write_all(wait.as_bytes()).await.unwrap();
        taken.push(stream);
    }
    // Connections are taken in the order in which they came.
    for _ in 0..3 {
        for path in ["/healthz", "/readyz"] {
            let reply = host.ask(Method::GET, path).send().await;
            assert_eq!(reply.status, StatusCode::OK, "{path}");
            assert_eq!(reply.header("connection"), "close");
        }
        for path in ["/v1/runtime", "/openapi.json", "/healthz/"] {
            let refused = host.get(path).await;
            refused.refused(503, "WR-SERVER-BUSY");
            assert_eq!(refused.header("retry-after"), "1");
        }
        // A browser that is refused does not come back.
        let busy = host
            .ask(Method::GET, "/v1/events")
            .header("Accept", "text/event-stream");
        let busy = busy.send().await;
        assert_eq!(busy.status, StatusCode::OK, "{}", busy.text());
        assert_eq!(busy.header("content-type"), "text/event-stream");
        assert!(
            busy.text()
                .contains("\nevent: busy\ndata: {\"code\":\"WR-SERVER-BUSY\""),
            "{}",
            busy.text()
        );
        assert!(busy.text().starts_with("retry: "), "{}", busy.text());
    }
    // One that says nothing keeps the place of the reserve for a moment only.
    let silent = TcpStream::connect(host.address).await.unwrap();
    let reply = host.ask(Method::GET, "/healthz").send().await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(read_all(silent).await, "");
    drop(taken);
    let deadline = std::time::Instant::now() + DEADLINE;
    while host.get("/v1/runtime").await.status != StatusCode::OK {
        assert!(
            std::time::Instant::now() < deadline,
            "no place becomes free"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_in_order_answers_who_waits_and_takes_nobody_new() {
    let mut host = Host::start().await;
    let worker = host.worker().await;
    host.post(&format!("/v1/workers/{worker}/input"), text("one", "wait"))
        .await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let head = format!(
        "GET /v1/events?from=now&wait=60 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        host.observe
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    host.waiting_are(1).await;
    let (answer, ()) = tokio::join!(read_all(stream), host.end());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains(&json!("up_to_date").to_string()),
        "{answer}"
    );
    assert!(TcpStream::connect(host.address).await.is_err());
    host.runtime.close().await.unwrap();
}
