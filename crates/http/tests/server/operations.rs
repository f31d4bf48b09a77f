//! Operations over HTTP: whoever changes something is named by the access token, says why in the same place
//! of each request, and is found by whoever may change something.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use worker_runtime_core::{
    OperationId, RunId, WorkerId,
    operation::{OperationOrder, OperationsRequest, Operator},
    worker::{CreateWorker, Intent, UpdateWorker},
};
use worker_runtime_http::{
    client::{Client, ClientOptions},
    wire::{AccessScope, CreateToken, EndWorker},
};

use crate::host::{Host, shouting, text};

/// A token of this scope and a name of its own.
fn token(host: &Host, name: &str, scope: AccessScope) -> String {
    let request = CreateToken {
        name: name.to_owned(),
        scope,
        expires_in_seconds: None,
    };
    let made = host
        .tokens
        .create(&request, &mut worker_runtime_core::SystemEntropy);
    made.unwrap().token
}

async fn listed(host: &Host, query: &str) -> Vec<Value> {
    let path = format!("/v1/operations?order=oldest{query}");
    let ask = host.ask(Method::GET, &path).token(&host.operate);
    let reply = ask.send().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["operations"].as_array().unwrap().clone()
}

/// Every route that changes something, with its reason `why N` where that is asked for.
async fn change_all(host: &Host, token: &str) -> Vec<String> {
    let mut reasons = 0;
    let mut why = || {
        reasons += 1;
        format!("why {reasons}")
    };
    let send = async |method: Method, path: &str, body: Value| {
        let ask = host.ask(method, path).token(token);
        let ask = match &body {
            Value::Null => ask,
            body => ask.json(body),
        };
        let reply = ask.send().await;
        assert!(reply.status.is_success(), "{path}: {}", reply.text());
        match reply.bytes.is_empty() {
            true => Value::Null,
            false => reply.json(),
        }
    };
    let mut create = shouting();
    create["reason"] = json!(why());
    let made = send(Method::POST, "/v1/workers", create).await;
    let own = format!("/v1/workers/{}", made["worker_id"].as_str().unwrap());
    let held = own.replace("workers", "allocations");
    let scope = json!({ "allow": [{ "mount": "repo", "path": "src", "permission": "write" }] });
    send(
        Method::PATCH,
        &own,
        json!({ "display_name": "ada", "reason": why() }),
    )
    .await;
    let input = format!("{own}/input");
    send(Method::POST, &input, text("one", "wait")).await;
    let running = format!("{own}/events?type=run.started&wait=10");
    let running = send(Method::GET, &running, Value::Null).await;
    let run = running["events"][0]["run_id"].as_str().unwrap().to_owned();
    let cancel = format!("{own}/runs/{run}/cancel");
    send(Method::POST, &cancel, json!({ "reason": why() })).await;
    let finished = format!("{own}/events?type=run.finished&wait=10");
    send(Method::GET, &finished, Value::Null).await;
    for verb in ["pause", "resume"] {
        send(
            Method::POST,
            &format!("{own}/{verb}"),
            json!({ "reason": why() }),
        )
        .await;
    }
    send(
        Method::PUT,
        &held,
        json!({ "scope": scope, "reason": why() }),
    )
    .await;
    for verb in ["reclaim", "release"] {
        let path = format!("{held}/{verb}");
        send(Method::POST, &path, json!({ "reason": why() })).await;
    }
    let lease = json!({ "holder": "tool", "scope": scope, "ttl_ms": 60_000, "reason": why() });
    let lease = send(Method::POST, "/v1/leases", lease).await;
    let end = format!("/v1/leases/{}/release", lease["lease_id"].as_str().unwrap());
    send(
        Method::POST,
        &end,
        json!({ "fence": lease["fence"], "reason": why() }),
    )
    .await;
    for verb in ["stop", "archive", "restore", "cancel"] {
        send(
            Method::POST,
            &format!("{own}/{verb}"),
            json!({ "reason": why() }),
        )
        .await;
        let ended = format!("{own}/events?type=worker.stopped&wait=10");
        send(Method::GET, &ended, Value::Null).await;
    }
    let ended = format!("{own}/events?type=worker.cancelled&wait=10");
    send(Method::GET, &ended, Value::Null).await;
    let delete = format!("{own}?reason={}", why().replace(' ', "%20"));
    send(Method::DELETE, &delete, Value::Null).await;
    for verb in ["stop", "start", "drain"] {
        let path = format!("/v1/runtime/{verb}");
        send(Method::POST, &path, json!({ "reason": why() })).await;
    }
    (1..=reasons)
        .map(|number| format!("why {number}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_kept_with_the_token_that_asked_for_it_and_why() {
    let host = Host::start().await;
    let token = token(&host, "ci at night", AccessScope::Admin);
    let reasons = change_all(&host, &token).await;
    let told = listed(&host, "").await;
    let by = json!({ "kind": "token", "name": "ci at night", "scope": "admin" });
    assert!(told.iter().all(|one| one["by"] == by), "{told:?}");
    let kinds: Vec<_> = told
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "worker.create",
            "worker.update",
            "run.cancel",
            "worker.pause",
            "worker.resume",
            "scope.change",
            "scope.reclaim",
            "scope.release",
            "lease.acquire",
            "lease.release",
            "worker.stop",
            "worker.archive",
            "worker.restore",
            "worker.cancel",
            "worker.delete",
            "runtime.stop",
            "runtime.start",
            "runtime.drain",
        ]
    );
    let said: Vec<_> = told
        .iter()
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    assert_eq!(said, reasons, "each route takes one");
    let text = format!("{told:?}");
    assert!(!text.contains("/nonexistent"), "an absolute path: {text}");
    let one = host
        .ask(Method::GET, "/v1/operations/3")
        .token(&host.operate);
    assert_eq!(one.send().await.json(), told[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_watches_is_not_told_and_what_is_tried_leaves_none() {
    let host = Host::start().await;
    host.get("/v1/operations")
        .await
        .refused(403, "WR-TOKEN-SCOPE");
    host.get("/v1/operations/1")
        .await
        .refused(403, "WR-TOKEN-SCOPE");
    host.post("/v1/workers?dry_run=true", shouting()).await;
    let nobody = "/v1/workers/019c0000-0000-7000-8000-000000000001/pause";
    host.post(nobody, json!({ "reason": "x" }))
        .await
        .refused(404, "WR-WORKER-UNKNOWN");
    assert_eq!(listed(&host, "").await, [Value::Null; 0]);
    let absent = host
        .ask(Method::GET, "/v1/operations/1")
        .token(&host.operate);
    absent.send().await.refused(404, "WR-OPERATION-UNKNOWN");
    for (query, field) in [
        ("since=yesterday", "since"),
        ("worker_id=x", "worker_id"),
        ("order=up", "order"),
        ("after=-1", "after"),
        ("limit=0", "limit"),
    ] {
        let path = format!("/v1/operations?{query}");
        let ask = host.ask(Method::GET, &path).token(&host.operate);
        let problem = ask.send().await.refused(400, "WR-QUERY-INVALID");
        assert_eq!(problem.field.as_deref(), Some(field));
    }
    let long = json!({ "reason": "x".repeat(5_000) });
    let worker = host.worker().await;
    let refused = host
        .post(&format!("/v1/workers/{worker}/pause"), long)
        .await;
    let problem = refused.refused(400, "WR-FIELD-INVALID");
    assert_eq!(problem.field.as_deref(), Some("reason"));
    assert_eq!(listed(&host, "").await.len(), 1, "the creation");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typed_client_says_why_and_pages_through() {
    let host = Host::start().await;
    let url = format!("http://{}", host.address);
    let client = Client::new(&ClientOptions::new(url, Some(host.operate.clone()))).unwrap();
    let assistant = CreateWorker::new(Intent::Assistant { purpose: None });
    let worker_id = client.create_worker(&assistant).await.unwrap().worker_id;
    let other = client.create_worker(&assistant).await.unwrap().worker_id;
    let because = client.because(Some("ß & more?".to_owned()));
    because.pause_worker(worker_id).await.unwrap();
    because.resume_worker(worker_id).await.unwrap();
    let update = UpdateWorker {
        display_name: Some("ada".to_owned()),
        ..UpdateWorker::default()
    };
    because.update_worker(worker_id, &update).await.unwrap();
    let run_id = RunId::from_bytes([1; 16]);
    because.cancel_run(worker_id, run_id).await.unwrap_err();
    because
        .stop_worker(worker_id, &EndWorker::default())
        .await
        .unwrap();
    because.archive_worker(worker_id).await.unwrap();
    because.restore_worker(worker_id).await.unwrap();
    because
        .cancel_worker(worker_id, &EndWorker::default())
        .await
        .unwrap();
    because.delete_worker(worker_id, false).await.unwrap();
    let read = async |worker_id: Option<WorkerId>, order| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let request = OperationsRequest {
                worker_id,
                order,
                after,
                count_max: 2,
                ..OperationsRequest::default()
            };
            let page = client.operations(&request).await.unwrap();
            found.extend(page.operations);
            match page.next {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    };
    let mut newest = read(None, OperationOrder::Newest).await;
    newest.reverse();
    let oldest = read(None, OperationOrder::Oldest).await;
    assert_eq!((newest.len(), &newest), (10, &oldest));
    assert_eq!(read(Some(other), OperationOrder::Newest).await.len(), 1);
    let with_reason = oldest.iter().filter(|one| one.reason.is_some());
    let kinds: Vec<_> = with_reason.map(|one| one.kind.as_str()).collect();
    // The others have a field of their own for it.
    let expected = ["pause", "resume", "archive", "restore", "delete"];
    assert_eq!(kinds, expected.map(|verb| format!("worker.{verb}")));
    let last = client.operation(OperationId(10)).await.unwrap();
    assert_eq!(last.reason.as_deref(), Some("ß & more?"));
    assert!(matches!(last.by, Operator::Token { scope, .. } if scope == "operate"));
    let since = OperationsRequest {
        since: Some(last.at),
        count_max: 100,
        ..OperationsRequest::default()
    };
    let since = client.operations(&since).await.unwrap().operations;
    assert!(since.contains(&client.operation(OperationId(10)).await.unwrap()));
}

/// What changes something and is no operation: what Workers live by, questions, and tokens.
const NO_OPERATIONS: [&str; 6] = [
    "sendInput",
    "answerAction",
    "checkAllocation",
    "renewLease",
    "createToken",
    "revokeToken",
];

#[test]
fn every_route_that_changes_something_takes_a_reason() {
    let document = worker_runtime_http::server::openapi();
    let mut taking = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let name = route["operationId"].as_str().unwrap_or_default();
            if method == "get" || name.is_empty() || NO_OPERATIONS.contains(&name) {
                continue;
            }
            let body = &route["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let schema = body.as_str().unwrap_or("#").trim_start_matches('#');
            let in_body = document.pointer(schema).unwrap()["properties"].get("reason");
            let parameters = route["parameters"].as_array().unwrap().iter();
            let mut in_query = parameters.filter(|one| one["in"] == "query");
            let in_query = in_query.any(|one| one["name"] == "reason");
            assert_eq!(in_query, method == "delete", "{method} {path}");
            assert!(
                in_body.is_some() || in_query,
                "{method} {path} takes no reason"
            );
            taking += 1;
        }
    }
    assert_eq!(
        taking, 18,
        "as many as there are kinds but for the offline one"
    );
}
