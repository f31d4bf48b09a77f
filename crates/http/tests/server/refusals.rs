//! What is wrong is refused with a code, and changes nothing: never a 500, a hang, or an absolute path.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::host::{Host, shouting, text};

const UNKNOWN: &str = "019c0000-0000-7000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_not_there() {
    let host = Host::start().await;
    for path in [
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/workers/",
        "/v1//workers",
        "/v1/workers/../runtime",
        "/v1/%77orkers%2f",
        "/v2/runtime",
        "/v1/runtime;x=1",
        "/v1/runtime/",
        "/.",
        "/..",
        "/v1/workers/%2e%2e/runtime",
        "/etc/passwd",
        "/v1/nothing?x=%00",
        "/%ff",
    ] {
        let reply = host.ask(Method::GET, path).token(&host.admin).send().await;
        reply.refused(404, "WR-ROUTE-UNKNOWN");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
        let method = method.parse().unwrap();
        let reply = host
            .ask(method, "/v1/runtime")
            .token(&host.admin)
            .send()
            .await;
        reply.refused(405, "WR-METHOD-REFUSED");
        assert!(
            reply.header("allow").contains("GET"),
            "{}",
            reply.header("allow")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_none_and_ids_of_nobody() {
    let host = Host::start().await;
    for id in [
        "x",
        "019c0000",
        "%00",
        "%ff",
        "..%2f..",
        "019C0000-0000-7000-8000-00000000000g",
    ] {
        let reply = host.get(&format!("/v1/workers/{id}")).await;
        reply.refused(400, "WR-FIELD-INVALID");
    }
    for path in ["", "/events", "/transcript", "/events?wait=30"] {
        host.get(&format!("/v1/workers/{UNKNOWN}{path}"))
            .await
            .refused(404, "WR-WORKER-UNKNOWN");
    }
    for verb in ["stop", "cancel", "pause", "resume", "archive", "restore"] {
        let path = format!("/v1/workers/{UNKNOWN}/{verb}");
        host.ask(Method::POST, &path)
            .token(&host.operate)
            .send()
            .await
            .refused(404, "WR-WORKER-UNKNOWN");
    }
    let path = format!("/v1/workers/{UNKNOWN}/input");
    host.post(&path, text("one", "hello"))
        .await
        .refused(404, "WR-WORKER-UNKNOWN");
    host.get("/errors/WR-NOTHING")
        .await
        .refused(404, "WR-ROUTE-UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_wrong_are_named() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let own = format!("/v1/workers/{worker}");
    for (path, field) in [
        ("/v1/workers?limit=0".to_owned(), "limit"),
        ("/v1/workers?limit=1001".to_owned(), "limit"),
        ("/v1/workers?limit=-1".to_owned(), "limit"),
        ("/v1/workers?limit=x".to_owned(), "limit"),
        ("/v1/workers?busy=yes".to_owned(), "busy"),
        ("/v1/workers?busy=".to_owned(), "busy"),
        ("/v1/workers?sort=age".to_owned(), "sort"),
        ("/v1/workers?lifecycle=dead".to_owned(), "lifecycle"),
        ("/v1/workers?label=x".to_owned(), "label"),
        (
            "/v1/workers?offset=99999999999999999999".to_owned(),
            "offset",
        ),
        ("/v1/events?wait=61".to_owned(), "wait"),
        ("/v1/events?wait=1.5".to_owned(), "wait"),
        ("/v1/events?from=end".to_owned(), "from"),
        ("/v1/events?from=".to_owned(), "from"),
        ("/v1/events?limit=1&limit=2".to_owned(), "limit"),
        (format!("{own}/transcript?from=1&before=2"), "before"),
        (format!("{own}/transcript?before=x"), "before"),
        (format!("{own}/transcript?before="), "before"),
    ] {
        let problem = host.get(&path).await.refused(400, "WR-QUERY-INVALID");
        let named = problem.field.unwrap_or_default();
        assert!(
            named.starts_with(field) || problem.detail.contains(field),
            "{path}: {named}: {}",
            problem.detail
        );
    }
    let nowhere = host.get("/v1/events?cursor=").await;
    nowhere.refused(400, "WR-CURSOR-MALFORMED");
    for path in [
        "/v1/workers?limits=1",
        "/v1/events?after=1",
        "/v1/workers?=&=",
        "/v1/events?%00=1",
    ] {
        host.get(path).await.refused(400, "WR-QUERY-INVALID");
    }
    let key = "x".repeat(300);
    let ask = host.ask(Method::POST, "/v1/workers").token(&host.operate);
    let reply = ask
        .header("idempotency-key", &key)
        .json(&shouting())
        .send()
        .await;
    reply.refused(400, "WR-HEADER-INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_wrong_change_nothing() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let before = host.get("/v1/runtime").await.json()["position"].clone();
    let input = format!("/v1/workers/{worker}/input");
    let send = |body: &str| {
        let ask = host.ask(Method::POST, &input).token(&host.operate);
        ask.header("content-type", "application/json")
            .body(body.to_owned())
            .send()
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "",
        " ",
        "{",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{}",
        "{\"segments\":1}",
        "{\"segments\":[1]}",
        "{\"segments\":[],\"segments\":[]}",
        "{\"segments\":[]} {}",
        "\u{feff}{\"segments\":[]}",
        "{\"segments\":[],\"what\":1}",
        "{\"segments\":[],\"mode\":\"now\"}",
        "{\"segments\":[],\"input_id\":\"\"}",
        "{\"segments\":[],\"budget\":{\"time_ms\":-1}}",
        &deep,
    ] {
        let problem = send(body).await.refused(400, "WR-BODY-INVALID");
        assert!(problem.detail.len() < 400, "{}", problem.detail);
    }
    let ask = host.ask(Method::POST, &input).token(&host.operate);
    let broken = ask
        .header("content-type", "application/json")
        .body(&b"{\"segments\":[\xff]}"[..]);
    broken.send().await.refused(400, "WR-BODY-INVALID");
    send("{\"segments\":[]}")
        .await
        .refused(400, "WR-INPUT-EMPTY");
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonx",
    ] {
        let ask = host.ask(Method::POST, &input).token(&host.operate);
        let ask = ask
            .header("content-type", kind)
            .body(text("one", "hello").to_string());
        ask.send().await.refused(415, "WR-MEDIA-TYPE");
    }
    let large = text("one", &"x".repeat(2 << 20));
    host.post(&input, large)
        .await
        .refused(413, "WR-INPUT-TOO-LARGE");
    let larger = text("one", &"x".repeat(5 << 20));
    host.post(&input, larger)
        .await
        .refused(413, "WR-BODY-TOO-LARGE");
    let after = host.get("/v1/runtime").await.json()["position"].clone();
    assert_eq!(before, after, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn creations_that_are_wrong_are_refused_with_their_own_codes() {
    let host = Host::start().await;
    let with = |name: &str, value: Value| {
        let mut request = shouting();
        request[name] = value;
        request
    };
    let rule = |mount: &str, path: &str| json!({ "allow": [{ "mount": mount, "path": path, "permission": "write" }] });
    for (request, status, code) in [
        (
            with("intent", json!({ "type": "task", "objective": " " })),
            400,
            "WR-OBJECTIVE-EMPTY",
        ),
        (
            with("display_name", json!("x".repeat(300))),
            400,
            "WR-FIELD-INVALID",
        ),
        (
            with("profile", json!({ "type": "builtin", "name": "nobody" })),
            422,
            "WR-PROFILE-UNKNOWN",
        ),
        (
            with("backend", json!({ "name": "nothing" })),
            422,
            "WR-BACKEND-UNKNOWN",
        ),
        (
            with("bundle", json!({ "id": "b", "digest": "d" })),
            422,
            "WR-BUNDLE-UNKNOWN",
        ),
        (with("parent", json!(UNKNOWN)), 422, "WR-PARENT-UNKNOWN"),
        (with("scope", rule("nowhere", "")), 400, "WR-SCOPE-INVALID"),
        (
            with("scope", rule("repo", "../..")),
            400,
            "WR-SCOPE-INVALID",
        ),
        (with("scope", rule("repo", "/etc")), 400, "WR-SCOPE-INVALID"),
        (
            with("initial_input", json!({ "segments": [] })),
            400,
            "WR-INPUT-EMPTY",
        ),
    ] {
        host.post("/v1/workers", request)
            .await
            .refused(status, code);
    }
    let list = host.get("/v1/workers").await;
    assert_eq!(
        (list.status, &list.json()["total"]),
        (StatusCode::OK, &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_worker_names_the_input_that_is_in_the_way() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let input = format!("/v1/workers/{worker}/input");
    assert_eq!(
        host.post(&input, text("one", "wait")).await.status,
        StatusCode::ACCEPTED
    );
    let problem = host
        .post(&input, text("two", "hello"))
        .await
        .refused(409, "WR-INPUT-BUSY");
    assert_eq!(problem.input_id.unwrap().as_str(), "one");
    assert_eq!(problem.worker_id.unwrap().to_string(), worker);
}
