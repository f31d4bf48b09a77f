//! Every route against every kind of token, name and origin: the list says what each needs, and no
//! route can be forgotten, as the suite walks the very list.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use worker_runtime_core::SystemEntropy;
use worker_runtime_http::{
    server::route_table,
    wire::{AccessScope, CreateToken},
};

use crate::host::{Host, Reply};

/// Method, path with its ids filled in, and the scope that it needs.
fn routes() -> Vec<(Method, String, Option<AccessScope>)> {
    let table = route_table();
    let rows = table.lines().skip(2).map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let path = cells[2].trim_matches('`');
        let filled = path
            .replace("{worker_id}", "019c0000-0000-7000-8000-000000000001")
            .replace("{run_id}", "019c0000-0000-7000-8000-000000000002")
            .replace("{action_id}", "which")
            .replace("{token_id}", "none")
            .replace("{code}", "WR-BUG");
        assert!(
            !filled.contains('{'),
            "{path} has an id that this suite does not know"
        );
        let scope = match cells[3] {
            "-" => None,
            "observe" => Some(AccessScope::Observe),
            "operate" => Some(AccessScope::Operate),
            "admin" => Some(AccessScope::Admin),
            other => panic!("{other}"),
        };
        (cells[1].parse().unwrap(), filled, scope)
    });
    let routes: Vec<_> = rows.collect();
    assert!(routes.len() > 25, "{table}");
    routes
}

/// Whether the checks before the handler let it through.
fn is_let_through(reply: &Reply) -> bool {
    !matches!(reply.status.as_u16(), 401 | 403 | 421)
}

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
    for (method, path, needs) in routes() {
        let ask = || host.ask(method.clone(), &path);
        let what = format!("{method} {path}");
        let Some(needs) = needs else {
            assert!(is_let_through(&ask().send().await), "{what}");
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
                reply.refused(403, "WR-TOKEN-SCOPE");
            } else {
                assert!(
                    is_let_through(&reply),
                    "{what} with {scope}: {}",
                    reply.text()
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_overlooks_what_it_does_not_take() {
    let host = Host::start().await;
    for (method, path, needs) in routes() {
        if needs.is_none() {
            continue;
        }
        let odd = format!("{path}?nobody=knows");
        let reply = host.ask(method.clone(), &odd).token(&host.admin);
        reply.send().await.refused(400, "WR-QUERY-INVALID");
        let reply = host.ask(method.clone(), &path).token(&host.admin);
        let reply = reply.json(&json!({ "nobody": "knows" }));
        reply.send().await.refused(400, "WR-BODY-INVALID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_answers_to_a_name_or_an_origin_of_somebody_else() {
    let host = Host::start().await;
    let port = host.address.port();
    for (method, path, _) in routes() {
        let ask = || host.ask(method.clone(), &path).token(&host.admin).body("{");
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
        // The wait may not have begun; then its token is refused, which is an end as well.
        tokio::task::yield_now().await;
        host.tokens.revoke(&made.view.token_id).unwrap();
    };
    let (reply, ()) = tokio::join!(waiting.send(), revoke);
    let events: Value = reply.json();
    assert!(reply.status == StatusCode::UNAUTHORIZED || events["events"] == json!([]));
}
