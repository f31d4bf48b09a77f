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

async fn read_all(mut stream: TcpStream) -> String {
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

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_and_the_server_goes_on() {
    let host = Host::start().await;
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(garbage.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_all(stream).await;
        assert!(!answer.contains(" 500 "), "{answer}");
    }
    assert_eq!(host.get("/v1/runtime").await.status, StatusCode::OK);
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
    // Once another request is answered, this one has been read.
    assert_eq!(
        host.ask(Method::GET, "/healthz").send().await.status,
        StatusCode::OK
    );
    let (answer, ()) = tokio::join!(read_all(stream), host.end());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains(&json!("up_to_date").to_string()),
        "{answer}"
    );
    assert!(TcpStream::connect(host.address).await.is_err());
    host.runtime.close().await.unwrap();
}
