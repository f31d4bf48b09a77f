//! Every route against every kind of token, name and origin: the list says what each needs, and no
//! route can be forgotten, as the suite walks the very list.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use worker_runtime_core::SystemEntropy;
use worker_runtime_http::wire::{AccessScope, CreateToken};

use crate::{
    connections::read_all,
    host::{DEADLINE, Host, clock_that_stands},
    routes::routes,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_open_to_the_scopes_that_the_list_says_and_to_nobody_else() {
    let host = Host::start().await;
    let made = |scope, expires_in_seconds| {
        let request = CreateToken {
            name: "a test".into(),
            scope,
            expires_in_seconds,
        };
        host.tokens.create(&request, &mut SystemEntropy).unwrap()
    };
    let expired = made(AccessScope::Admin, Some(1)).token;
    let revoked = made(AccessScope::Admin, None);
    assert!(host.tokens.revoke(&revoked.view.token_id).unwrap());
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let almost = &host.admin[..host.admin.len() - 1];
    for route in routes() {
        let ask = || host.ask(route.method.clone(), &route.path);
        let what = route.what();
        let Some(needs) = route.needs else {
            assert_eq!(ask().send().await.status, StatusCode::OK, "{what}");
            continue;
        };
        ask().send().await.refused(401, "WR-TOKEN-MISSING");
        for wrong in [almost, "", "wr_", &expired, &revoked.token] {
            let reply = ask().token(wrong).send().await;
            reply.refused(401, "WR-TOKEN-INVALID");
            assert!(
                reply.header("www-authenticate").starts_with("Bearer"),
                "{what}"
            );
        }
        let basic = ask().header("authorization", "Basic YTpi").send().await;
        basic.refused(401, "WR-TOKEN-INVALID");
        for (scope, token) in [
            (AccessScope::Observe, &host.observe),
            (AccessScope::Operate, &host.operate),
            (AccessScope::Admin, &host.admin),
        ] {
            // The Runtime must not be stopped while others are asked.
            let reply = ask().token(token).body("{").send().await;
            if scope < needs {
                let problem = reply.refused(403, "WR-TOKEN-SCOPE");
                assert_eq!(problem.scope, Some(needs), "{what}");
            } else {
                let (status, code) = route.answer_to_brace();
                reply.refused(status, code);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_overlooks_what_it_does_not_take() {
    let host = Host::start().await;
    for route in routes() {
        let ask = |path: &str| host.ask(route.method.clone(), path).token(&host.admin);
        let odd = format!("{}?nobody=knows", route.path);
        if route.needs.is_none() {
            // Whoever looks whether a server lives may say what it likes.
            let reply = ask(&odd).json(&json!({ "nobody": "knows" }));
            assert_eq!(reply.send().await.status, StatusCode::OK, "{odd}");
            continue;
        }
        let body = match (route.takes_query, route.takes_body) {
            (true, true) => "{\"intent\":{\"type\":\"assistant\"}}",
            _ => "",
        };
        let reply = ask(&odd).header("content-type", "application/json");
        reply
            .body(body)
            .send()
            .await
            .refused(400, "WR-QUERY-INVALID");
        let reply = ask(&route.path).json(&json!({ "nobody": "knows" }));
        reply.send().await.refused(400, "WR-BODY-INVALID");
        for name in ["if-match", "if-none-match", "idempotency-key"] {
            let sent = |value: &str| ask(&route.path).header(name, value).body("{").send();
            match route.headers.iter().any(|taken| taken == name) {
                true => {
                    let (status, code) = route.answer_to_brace();
                    sent("\"x\"").await.refused(status, code);
                }
                false => {
                    let problem = sent("\"x\"").await.refused(400, "WR-HEADER-INVALID");
                    assert_eq!(problem.field.as_deref(), Some(name));
                }
            }
            for wrong in ["", "\"x", "x\""] {
                let problem = sent(wrong).await.refused(400, "WR-HEADER-INVALID");
                assert_eq!(problem.field.as_deref(), Some(name), "{wrong:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_answers_to_a_name_or_an_origin_of_somebody_else() {
    let host = Host::start().await;
    let port = host.address.port();
    for route in routes() {
        let ask = || host.ask(route.method.clone(), &route.path);
        let ask = || ask().token(&host.admin).body("{");
        for name in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil",
            "a@localhost",
            "[::1",
            "",
        ] {
            ask()
                .header("host", name)
                .send()
                .await
                .refused(421, "WR-HOST-REFUSED");
        }
        // What a request is sent to in its first line comes before its `Host`.
        let elsewhere = format!("http://evil.example{}", route.path);
        let reply = host.ask(route.method.clone(), &elsewhere);
        let reply = reply.token(&host.admin).body("{");
        reply.send().await.refused(421, "WR-HOST-REFUSED");
        ask()
            .without("host")
            .send()
            .await
            .refused(421, "WR-HOST-REFUSED");
        for origin in ["https://evil.example", "null", "http://localhost", ""] {
            ask()
                .header("origin", origin)
                .send()
                .await
                .refused(403, "WR-ORIGIN-REFUSED");
        }
    }
    for name in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        format!("LOCALHOST.:{port}"),
        format!("[::1]:{port}"),
        format!("127.0.0.1:{port}"),
    ] {
        let reply = host
            .ask(Method::GET, "/v1/runtime")
            .token(&host.observe)
            .header("host", &name);
        assert_eq!(reply.send().await.status, StatusCode::OK, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_command_line_needs_admin() {
    let host = Host::start().await;
    let request = json!({ "intent": { "type": "assistant" }, "backend": { "name": "exec" } });
    let create = |token: &str| {
        host.ask(Method::POST, "/v1/workers")
            .token(token)
            .json(&request)
            .send()
    };
    create(&host.operate).await.refused(403, "WR-TOKEN-SCOPE");
    assert_eq!(create(&host.admin).await.status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_listed_without_its_secret_and_revoked() {
    let host = Host::start().await;
    let admin = |method, path: &str| host.ask(method, path).token(&host.admin);
    let request = json!({ "name": "the gateway", "scope": "observe", "expires_in_seconds": 60 });
    let made = admin(Method::POST, "/v1/tokens")
        .json(&request)
        .send()
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let (secret, id) = (
        made.json()["token"].clone(),
        made.json()["token_id"].clone(),
    );
    let secret = secret.as_str().unwrap();
    let read = || host.ask(Method::GET, "/v1/runtime").token(secret).send();
    assert_eq!(read().await.status, StatusCode::OK);
    let list = admin(Method::GET, "/v1/tokens").send().await;
    assert!(!list.text().contains(secret) && list.text().contains("the gateway"));
    let path = format!("/v1/tokens/{}", id.as_str().unwrap());
    let revoked = admin(Method::DELETE, &path).send().await;
    assert_eq!(
        (revoked.status, revoked.bytes.len()),
        (StatusCode::NO_CONTENT, 0)
    );
    read().await.refused(401, "WR-TOKEN-INVALID");
    admin(Method::DELETE, &path)
        .send()
        .await
        .refused(404, "WR-TOKEN-UNKNOWN");
    for (field, request) in [
        ("name", json!({ "name": "", "scope": "observe" })),
        (
            "expires_in_seconds",
            json!({ "name": "a", "scope": "observe", "expires_in_seconds": 0 }),
        ),
    ] {
        let reply = admin(Method::POST, "/v1/tokens")
            .json(&request)
            .send()
            .await;
        assert_eq!(
            reply.refused(400, "WR-FIELD-INVALID").field.as_deref(),
            Some(field)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_its_token_is_revoked() {
    let host = Host::start().await;
    let request = CreateToken {
        name: "a test".into(),
        scope: AccessScope::Observe,
        expires_in_seconds: None,
    };
    let made = host.tokens.create(&request, &mut SystemEntropy).unwrap();
    let waiting = host
        .ask(Method::GET, "/v1/events?from=now&wait=60")
        .token(&made.token);
    let revoke = async {
        host.waiting_are(1).await;
        host.tokens.revoke(&made.view.token_id).unwrap();
    };
    let (reply, ()) = tokio::join!(waiting.send(), revoke);
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.json()["events"], json!([]));
    host.waiting_are(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_before_its_wait_begins_does_not_wait() {
    let host = Host::start().await;
    let request = CreateToken {
        name: "a test".into(),
        scope: AccessScope::Observe,
        expires_in_seconds: None,
    };
    let made = host.tokens.create(&request, &mut SystemEntropy).unwrap();
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let head = format!(
        "GET /v1/events?from=now&wait=60 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        made.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The body is asked for once the token was found good.
    let mut line = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut line).await.unwrap();
    assert!(line.starts_with(b"HTTP/1.1 100 "));
    host.tokens.revoke(&made.view.token_id).unwrap();
    stream.write_all(b"{}").await.unwrap();
    let answer = read_all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"events\":[]"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_its_token_expires() {
    // Until the wait begins no time goes by, however late that is.
    let host = Host::by(clock_that_stands()).await;
    let request = CreateToken {
        name: "a test".into(),
        scope: AccessScope::Observe,
        expires_in_seconds: Some(1),
    };
    let made = host.tokens.create(&request, &mut SystemEntropy).unwrap();
    let before = Instant::now();
    let waiting = host
        .ask(Method::GET, "/v1/events?from=now&wait=60")
        .token(&made.token);
    let reply = waiting.send().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.json()["events"], json!([]));
    let took = before.elapsed();
    assert!(
        (Duration::from_secs(1)..DEADLINE).contains(&took),
        "{took:?}"
    );
}
