//! What each command does, and what it says when it is repeated (I5).

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::host::{Host, Reply, shouting, text};

fn is(reply: &Reply, status: u16) -> Value {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    reply.json()
}

/// Follows a Worker by long-poll until an event of this type.
async fn until(host: &Host, worker: &str, kind: &str) -> Value {
    let mut cursor = None::<String>;
    loop {
        let from = cursor.map_or("from=beginning".to_owned(), |cursor| {
            format!("cursor={cursor}")
        });
        let path = format!("/v1/workers/{worker}/events?{from}&wait=10");
        let page = is(&host.get(&path).await, 200);
        let events = page["events"].as_array().unwrap();
        assert!(!events.is_empty(), "{kind} did not come");
        if let Some(event) = events.iter().find(|event| event["type"] == kind) {
            return event.clone();
        }
        cursor = Some(page["next"].as_str().unwrap().to_owned());
    }
}

/// The route's answers are compared with its description by every test that asks; here, with the world.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_a_creation_would_do_and_makes_nothing() {
    let host = Host::start().await;
    let mut request = shouting();
    request["worker_id"] = json!("01890a5d-ac96-774b-bcce-b302099a8057");
    for (body, would) in [(&request, true), (&request, true)] {
        let reply = host.post("/v1/workers?dry_run=true", body.clone()).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.json(), json!({ "would_create": would }));
    }
    let none = host.get("/v1/workers").await.json();
    assert_eq!(none["total"], 0, "{none}");
    let made = host
        .post("/v1/workers?dry_run=false", request.clone())
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let again = host.post("/v1/workers?dry_run=true", request.clone()).await;
    assert_eq!(again.json(), json!({ "would_create": false }));
    request["display_name"] = json!("another");
    let other = host.post("/v1/workers?dry_run=true", request.clone()).await;
    other.refused(409, "WR-WORKER-EXISTS");
    // Whoever may not make it may not try it out.
    request["backend"]["name"] = json!("exec");
    let free = host.post("/v1/workers?dry_run=true", request).await;
    free.refused(403, "WR-TOKEN-SCOPE");
    for wrong in ["dry_run=yes", "dry-run=true"] {
        let reply = host.post(&format!("/v1/workers?{wrong}"), shouting()).await;
        reply.refused(400, "WR-QUERY-INVALID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_from_creation_to_transcript() {
    let host = Host::start().await;
    let created = host.post("/v1/workers", shouting()).await;
    let worker = is(&created, 201)["worker_id"].as_str().unwrap().to_owned();
    assert_eq!(created.header("location"), format!("/v1/workers/{worker}"));
    let path = format!("/v1/workers/{worker}/input");
    let receipt = is(&host.post(&path, text("one", "hello")).await, 202);
    assert_eq!(
        (&receipt["input_id"], &receipt["repeated"]),
        (&json!("one"), &json!(false))
    );
    let finished = until(&host, &worker, "run.finished").await;
    assert_eq!(finished["data"]["outcome"]["kind"], "completed");
    let page = is(
        &host.get(&format!("/v1/workers/{worker}/transcript")).await,
        200,
    );
    let said: Vec<&str> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["text"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["hello", "HELLO"]);
    let again = is(&host.post(&path, text("one", "hello")).await, 200);
    assert_eq!(again["repeated"], true);
    assert_eq!(again["accepted"], receipt["accepted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_stands_for_the_id_that_a_body_leaves_out() {
    let host = Host::start().await;
    let create = || {
        let ask = host.ask(Method::POST, "/v1/workers").token(&host.operate);
        ask.header("idempotency-key", "\"make one\"")
            .json(&shouting())
    };
    let first = is(&create().send().await, 201);
    let second = is(&create().send().await, 200);
    assert_eq!(first["worker_id"], second["worker_id"]);
    assert_eq!(is(&host.get("/v1/workers").await, 200)["total"], 1);
    let path = format!("/v1/workers/{}/input", first["worker_id"].as_str().unwrap());
    let mut input = text("", "hello");
    input.as_object_mut().unwrap().remove("input_id");
    let send = || {
        let ask = host.ask(Method::POST, &path).token(&host.operate);
        ask.header("idempotency-key", "say it").json(&input)
    };
    assert_eq!(is(&send().send().await, 202)["input_id"], "say it");
    assert_eq!(is(&send().send().await, 200)["repeated"], true);
    let other = host.ask(Method::POST, "/v1/workers").token(&host.operate);
    let other = other.header("idempotency-key", "make one");
    let other = other
        .json(&json!({ "intent": { "type": "assistant" } }))
        .send()
        .await;
    other.refused(409, "WR-WORKER-EXISTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_answered_and_a_run_is_cancelled() {
    let host = Host::start().await;
    let worker = host.worker().await;
    is(
        &host
            .post(&format!("/v1/workers/{worker}/input"), text("one", "ask"))
            .await,
        202,
    );
    let asked = until(&host, &worker, "run.requires_action").await;
    let run = asked["run_id"].as_str().unwrap();
    let action = format!("/v1/workers/{worker}/runs/{run}/actions/which");
    let wrong = host.post(&action, json!({ "option": "up" })).await;
    wrong.refused(422, "WR-ACTION-OPTION");
    is(&host.post(&action, json!({ "option": "left" })).await, 200);
    host.post(&action, json!({ "option": "left" }))
        .await
        .refused(404, "WR-ACTION-UNKNOWN");
    let cancel = format!("/v1/workers/{worker}/runs/{run}/cancel");
    let cancel = host
        .ask(Method::POST, &cancel)
        .token(&host.operate)
        .send()
        .await;
    assert_eq!(is(&cancel, 202)["repeated"], false);
    let finished = until(&host, &worker, "run.finished").await;
    assert_eq!(finished["data"]["outcome"]["kind"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_from_pause_to_delete() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let path = format!("/v1/workers/{worker}");
    for (verb, field, value) in [
        ("pause", "lifecycle", json!("active")),
        ("resume", "repeated", json!(false)),
        ("stop", "ending_kind", json!("stop")),
    ] {
        let reply = host
            .ask(Method::POST, &format!("{path}/{verb}"))
            .token(&host.operate);
        assert_eq!(is(&reply.send().await, 200)[field], value, "{verb}");
    }
    until(&host, &worker, "worker.stopped").await;
    for verb in ["archive", "restore", "cancel"] {
        let reply = host.post(&format!("{path}/{verb}"), json!({})).await;
        is(&reply, 200);
    }
    until(&host, &worker, "worker.cancelled").await;
    let delete = |query: &str, token: &str| {
        host.ask(Method::DELETE, &format!("{path}{query}"))
            .token(token)
            .send()
    };
    delete("?purge=true", &host.operate)
        .await
        .refused(403, "WR-TOKEN-SCOPE");
    is(&delete("?purge=true", &host.admin).await, 200);
    host.get(&path).await.refused(410, "WR-WORKER-DELETED");
    let update = host.ask(Method::PATCH, &path).token(&host.operate);
    let update = update.json(&json!({ "display_name": "ada" })).send().await;
    update.refused(410, "WR-WORKER-DELETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_every_owner() {
    let host = Host::start().await;
    let write = json!({ "allow": [{ "mount": "repo", "path": "src", "permission": "write" }] });
    let mut request = shouting();
    request["scope"] = write;
    let first = is(&host.post("/v1/workers", request.clone()).await, 201);
    let problem = host
        .post("/v1/workers", request)
        .await
        .refused(409, "WR-SCOPE-CONFLICT");
    let owners: Vec<String> = problem
        .owners
        .iter()
        .map(|owner| owner.holder.worker_id().unwrap().to_string())
        .collect();
    assert_eq!(owners, [first["worker_id"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_good_until_the_worker_changes_and_says_where_the_stream_is() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let path = format!("/v1/workers/{worker}");
    let first = host.get(&path).await;
    let tag = first.header("etag").to_owned();
    // Another Worker moves the Runtime on, and this one's representation stays.
    host.worker().await;
    let ask = || {
        host.ask(Method::GET, &path)
            .token(&host.observe)
            .header("if-none-match", &tag)
    };
    let same = ask().send().await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    assert!(same.bytes.is_empty());
    assert_eq!(same.header("etag"), tag);
    assert!(same.header("x-cursor") > first.header("x-cursor"));
    let update = host.ask(Method::PATCH, &path).token(&host.operate);
    is(
        &update.json(&json!({ "display_name": "ada" })).send().await,
        200,
    );
    let changed = ask().send().await;
    assert_eq!(is(&changed, 200)["display_name"], "ada");
    assert_ne!(changed.header("etag"), tag);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runtime_is_stopped_and_started_by_an_admin() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let admin = |path: &str| host.ask(Method::POST, path).token(&host.admin);
    is(
        &admin("/v1/runtime/stop")
            .json(&json!({ "reason": "night" }))
            .send()
            .await,
        200,
    );
    let ready = host.ask(Method::GET, "/readyz").send().await;
    assert_eq!(is(&ready, 503)["reason"], "a user stopped the Runtime");
    let input = format!("/v1/workers/{worker}/input");
    host.post(&input, text("one", "hello"))
        .await
        .refused(409, "WR-RUNTIME-STOPPED");
    is(&admin("/v1/runtime/start").send().await, 200);
    is(&host.ask(Method::GET, "/readyz").send().await, 200);
    is(&host.post(&input, text("one", "hello")).await, 202);
    is(&admin("/v1/runtime/drain").send().await, 200);
    assert_eq!(is(&host.get("/v1/runtime").await, 200)["stopped"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_runtime_is_closed_is_not_ready_and_refuses_what_changes() {
    let host = Host::start().await;
    let worker = host.worker().await;
    host.runtime.close().await.unwrap();
    let ready = host.ask(Method::GET, "/readyz").send().await;
    assert_eq!(is(&ready, 503)["reason"], "the Runtime is closed");
    is(&host.ask(Method::GET, "/healthz").send().await, 200);
    let input = format!("/v1/workers/{worker}/input");
    let refused = host.post(&input, text("one", "hello")).await;
    refused.refused(503, "WR-RUNTIME-CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_filtered_sorted_and_paged() {
    let host = Host::start().await;
    for (name, labels) in [
        ("b", json!({ "team": "x" })),
        ("a", json!({ "team": "y" })),
        ("c", json!({ "team": "x" })),
    ] {
        let mut request = shouting();
        request["display_name"] = json!(name);
        request["labels"] = labels;
        is(&host.post("/v1/workers", request).await, 201);
    }
    let names = |page: &Value| -> Vec<String> {
        let workers = page["workers"].as_array().unwrap().iter();
        workers
            .map(|worker| worker["display_name"].as_str().unwrap().to_owned())
            .collect()
    };
    let page = is(&host.get("/v1/workers?sort=name&limit=2").await, 200);
    assert_eq!(
        (names(&page), &page["next"], &page["total"]),
        (vec!["a".into(), "b".into()], &json!(2), &json!(3))
    );
    let page = is(
        &host.get("/v1/workers?sort=name&limit=2&offset=2").await,
        200,
    );
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["c".into()], &Value::Null)
    );
    let page = is(
        &host
            .get("/v1/workers?label=team%3Dx&lifecycle=active&lifecycle=stopped")
            .await,
        200,
    );
    assert_eq!(names(&page), ["b", "c"]);
    assert_eq!(
        is(&host.get("/v1/workers?busy=true").await, 200)["total"],
        0
    );
}
