//! Addresses and headers that are too large, and what is no request at all: over raw sockets, as no client
//! sends that.

use hyper::{Method, StatusCode};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use worker_runtime_http::server::HttpLimits;

use crate::{connections::read_all, host::Host};

/// What the server says to this, until it ends the connection.
async fn say(host: &Host, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_all(stream).await
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
        .into_bytes()
}

#[track_caller]
fn is_a_problem(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(head.contains("application/problem+json"), "{answer}");
    assert!(body.contains(&format!("\"code\":\"{code}\"")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_told_so_and_the_largest_is_taken() {
    let host = Host::start().await;
    let limits = HttpLimits::default();
    let target = |bytes: usize| format!("/healthz?{}", "x".repeat(bytes - "/healthz?".len()));
    let max = limits.target_bytes_max;
    let answer = say(&host, &get(&target(max), "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for bytes in [max + 1, 4 * max, 65_000] {
        let answer = say(&host, &get(&target(bytes), "")).await;
        is_a_problem(&answer, 414, "WR-HEAD-TOO-LARGE");
    }
    // Two are there already.
    let headers =
        |count: usize| -> String { (2..count).map(|i| format!("X-{i}: y\r\n")).collect() };
    let max = limits.headers_max;
    let answer = say(&host, &get("/healthz", &headers(max))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for count in [max + 1, 4 * max] {
        let answer = say(&host, &get("/healthz", &headers(count))).await;
        is_a_problem(&answer, 431, "WR-HEAD-TOO-LARGE");
    }
    let there = "Host: localhost\r\nConnection: close\r\nX: \r\n".len();
    let header = |bytes: usize| format!("X: {}\r\n", "y".repeat(bytes - there));
    let max = limits.headers_bytes_max;
    let answer = say(&host, &get("/healthz", &header(max))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for bytes in [max + 1, 4 * max] {
        let answer = say(&host, &get("/healthz", &header(bytes))).await;
        is_a_problem(&answer, 431, "WR-HEAD-TOO-LARGE");
    }
}

/// hyper answers these before any of them is a request that could be answered here, with the status alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_answered_with_the_bare_status_and_the_connection_ends() {
    let host = Host::start().await;
    let many: String = (0..1_000).map(|i| format!("X-{i}: y\r\n")).collect();
    let large = format!("X: {}\r\n", "y".repeat(1 << 20));
    let long = "x".repeat(66_000);
    for (bytes, status) in [
        (b"GET\r\n\r\n".to_vec(), 400),
        (b"\0\0\0\0\r\n\r\n".to_vec(), 400),
        (b"\x16\x03\x01\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/9.9\r\n\r\n".to_vec(), 400),
        (get("/a b", ""), 400),
        (get("/a\0b", ""), 400),
        (get("/", "X y\r\n"), 400),
        (get("/", "X: \0\r\n"), 400),
        (get("/", "Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
        (get("/", "Content-Length: x\r\n"), 400),
        (get(&format!("/{long}"), ""), 414),
        (get("/", &many), 431),
    ] {
        let answer = say(&host, &bytes).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(body, "", "{answer}");
    }
    // What is left unread may have the system cut the answer off.
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let _ = stream.write_all(&get("/", &large)).await;
    drop(stream);
    let reply = host.ask(Method::GET, "/healthz").send().await;
    assert_eq!(reply.status, StatusCode::OK);
}
