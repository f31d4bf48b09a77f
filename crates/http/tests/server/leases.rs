//! Leases over HTTP: taken, renewed, asked about and given back by those who are no Workers.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use worker_runtime_core::{
    Code, Fence, LeaseId, Permission, Scope,
    lease::{AcquireLease, RenewLease},
    view::VerifyFence,
    worker::MountRef,
};
use worker_runtime_http::{
    client::{Client, ClientError, ClientOptions},
    wire::ReleaseLease,
};

use crate::host::{Host, Reply, shouting};

const ID: &str = "019c0000-0000-7000-8000-00000000000a";
const NOBODYS: &str = "/v1/leases/019c0000-0000-7000-8000-0000000000ff";

fn write(path: &str) -> Value {
    json!({ "allow": [{ "mount": "repo", "path": path, "permission": "write" }] })
}

fn lease(path: &str) -> Value {
    json!({ "holder": "formatter", "scope": write(path), "ttl_ms": 60_000 })
}

fn named(path: &str) -> Value {
    let mut request = lease(path);
    request["lease_id"] = json!(ID);
    request
}

async fn acquired(host: &Host, request: Value) -> Value {
    let reply = host.post("/v1/leases", request).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let body = reply.json();
    let location = format!("/v1/leases/{}", body["lease_id"].as_str().unwrap());
    assert_eq!(reply.header("location"), location);
    body
}

async fn observed(host: &Host, path: &str) -> Reply {
    let ask = host.ask(Method::GET, path).token(&host.observe);
    ask.send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_held_told_and_given_back() {
    let host = Host::start().await;
    let held = acquired(&host, lease("src")).await;
    assert_eq!(
        (&held["repeated"], &held["is_current"]),
        (&json!(false), &json!(true))
    );
    let own = format!("/v1/leases/{}", held["lease_id"].as_str().unwrap());
    let shown = observed(&host, &own).await.json();
    for field in [
        "lease_id",
        "holder",
        "scope",
        "fence",
        "ttl_ms",
        "expires_at",
    ] {
        assert_eq!(shown[field], held[field], "{field}");
    }
    assert!(!shown.to_string().contains("/nonexistent"), "{shown}");
    let list = observed(&host, "/v1/leases").await.json();
    assert_eq!(list["leases"], json!([shown]));
    assert_eq!((&list["total"], &list["next"]), (&json!(1), &Value::Null));
    assert_eq!(host.get("/v1/runtime").await.json()["leases"], 1);
    // A Worker that meets it is told so, and so is who asks about the place.
    let mut request = shouting();
    request["scope"] = write("src/a");
    let refused = host.post("/v1/workers", request).await;
    let problem = refused.refused(409, "WR-SCOPE-CONFLICT");
    let owner = serde_json::to_value(&problem.owners[0]).unwrap();
    assert_eq!(owner["lease_id"], held["lease_id"]);
    assert_eq!(owner.get("worker_id"), None);
    assert_eq!(owner["display_name"], "formatter");
    let who = observed(&host, "/v1/allocations/who?mount=repo&path=src/a").await;
    assert_eq!(who.json()["holders"][0]["lease_id"], held["lease_id"]);
    let verify =
        |fence: u64, path: &str| format!("{own}/verify?fence={fence}&mount=repo&path={path}");
    let fence = held["fence"].as_u64().unwrap();
    let good = observed(&host, &verify(fence, "src/x")).await;
    assert_eq!(good.json()["permission"], "write", "{}", good.text());
    let stale = observed(&host, &verify(fence + 1, "src/x")).await;
    stale.refused(409, "WR-FENCE-STALE");
    let outside = observed(&host, &verify(fence, "docs")).await;
    outside.refused(403, "WR-SCOPE-DENIED");
    let renewed = host
        .post(&format!("{own}/renew"), json!({ "fence": fence }))
        .await;
    assert_eq!(renewed.json()["fence"], held["fence"], "{}", renewed.text());
    // A whole number is one, however it is written.
    let longer = json!({ "fence": fence as f64, "ttl_ms": 90_000.0 });
    let renewed = host.post(&format!("{own}/renew"), longer).await;
    assert_eq!(renewed.json()["ttl_ms"], 90_000, "{}", renewed.text());
    let released = host
        .post(&format!("{own}/release"), json!({ "fence": fence }))
        .await;
    assert_eq!(released.status, StatusCode::OK, "{}", released.text());
    assert_eq!(released.json()["lease_id"], held["lease_id"]);
    let again = host
        .post(&format!("{own}/release"), json!({ "fence": fence }))
        .await;
    again.refused(404, "WR-LEASE-UNKNOWN");
    acquired(&host, lease("src/a")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_acquire_can_be_repeated_by_an_id_and_by_a_key() {
    let host = Host::start().await;
    let tried = host.post("/v1/leases?dry_run=true", named("src")).await;
    assert_eq!(tried.json(), json!({ "would_acquire": true }));
    assert_eq!(tried.status, StatusCode::OK);
    let first = acquired(&host, named("src")).await;
    let again = host.post("/v1/leases", named("src")).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    assert_eq!(again.json()["fence"], first["fence"]);
    assert_eq!(again.json()["repeated"], true);
    let tried = host.post("/v1/leases?dry_run=true", named("src")).await;
    assert_eq!(tried.json(), json!({ "would_acquire": false }));
    let other = host.post("/v1/leases", named("docs")).await;
    other.refused(409, "WR-LEASE-EXISTS");
    let by_key = |key: &str| {
        let ask = host.ask(Method::POST, "/v1/leases").token(&host.operate);
        ask.header("idempotency-key", key)
            .json(&lease("docs"))
            .send()
    };
    let made = by_key("\"one\"").await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let again = by_key("\"one\"").await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    assert_eq!(again.json()["lease_id"], made.json()["lease_id"]);
    by_key("\"two\"").await.refused(409, "WR-SCOPE-CONFLICT");
    // One key names one Worker and one lease, which are two things with two ids.
    let mut worker = shouting();
    worker["scope"] = write("lib");
    let ask = host.ask(Method::POST, "/v1/workers").token(&host.operate);
    let worker = ask.header("idempotency-key", "\"one\"").json(&worker);
    let worker = worker.send().await;
    assert_eq!(worker.status, StatusCode::CREATED, "{}", worker.text());
    assert_ne!(worker.json()["worker_id"], made.json()["lease_id"]);
    let dry = host.post("/v1/leases?dry_run=true", lease("src")).await;
    dry.refused(409, "WR-SCOPE-CONFLICT");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_their_field() {
    let host = Host::start().await;
    let before = host.get("/v1/runtime").await.json()["position"].clone();
    let with = |field: &str, value: Value| {
        let mut request = lease("src");
        request[field] = value;
        request
    };
    for (request, field) in [
        (with("ttl_ms", json!(999)), "ttl_ms"),
        (with("ttl_ms", json!(86_400_001)), "ttl_ms"),
        (with("holder", json!("")), "holder"),
        (with("scope", json!({})), "scope"),
        (with("reason", json!("x".repeat(5_000))), "reason"),
    ] {
        let reply = host.post("/v1/leases", request).await;
        let problem = reply.refused(400, "WR-FIELD-INVALID");
        assert_eq!(problem.field.as_deref(), Some(field));
    }
    for request in [
        with("ttl_ms", json!("a minute")),
        with("ttl_ms", Value::Null),
        with("lease_id", json!("00000000-0000-0000-0000-000000000000")),
        with("lease_id", json!("")),
        with("lease_id", json!("01890a5d-ac96")),
        with("delegation", write("src")),
        json!({ "holder": "x", "scope": write("src") }),
    ] {
        let reply = host.post("/v1/leases", request).await;
        reply.refused(400, "WR-BODY-INVALID");
    }
    let outside = host.post("/v1/leases", lease("../x")).await;
    outside.refused(400, "WR-SCOPE-INVALID");
    assert_eq!(host.get("/v1/runtime").await.json()["position"], before);
    host.get(NOBODYS).await.refused(404, "WR-LEASE-UNKNOWN");
    for nameless in ["00000000-0000-0000-0000-000000000000", "01890a5d-ac96", "x"] {
        let path = format!("/v1/leases/{nameless}");
        host.get(&path).await.refused(400, "WR-FIELD-INVALID");
    }
    host.get("/v1/leases?limit=0")
        .await
        .refused(400, "WR-QUERY-INVALID");
    let asked = format!("{NOBODYS}/verify?fence=1&mount=repo&path=x");
    host.get(&asked).await.refused(404, "WR-LEASE-UNKNOWN");
    let renew = host
        .post(&format!("{NOBODYS}/renew"), json!({ "fence": 1 }))
        .await;
    renew.refused(404, "WR-LEASE-UNKNOWN");
    let own = acquired(&host, named("src")).await;
    let (own, fence) = (format!("/v1/leases/{ID}"), own["fence"].as_u64().unwrap());
    for body in [
        json!({ "fence": fence, "ttl_ms": 1 }),
        json!({ "fence": fence, "ttl_ms": 86_400_001 }),
    ] {
        let reply = host.post(&format!("{own}/renew"), body).await;
        reply.refused(400, "WR-FIELD-INVALID");
    }
    let other = host
        .post(&format!("{own}/renew"), json!({ "fence": fence + 1 }))
        .await;
    other.refused(409, "WR-FENCE-STALE");
    let release = |body: Value| {
        let ask = host.ask(Method::POST, &format!("{own}/release"));
        ask.token(&host.operate).json(&body).send()
    };
    let unfenced = release(json!({})).await.refused(400, "WR-FIELD-INVALID");
    assert_eq!(unfenced.field.as_deref(), Some("fence"));
    let silent = release(json!({ "force": true })).await;
    let silent = silent.refused(400, "WR-FIELD-INVALID");
    assert_eq!(silent.field.as_deref(), Some("reason"));
    let stale = release(json!({ "fence": fence + 1 })).await;
    stale.refused(409, "WR-FENCE-STALE");
    // Which of the two is meant is not guessed: by force it would go whatever the fence is.
    let both = json!({ "fence": fence, "force": true, "reason": "it hangs" });
    let both = release(both).await.refused(400, "WR-FIELD-INVALID");
    assert_eq!(both.field.as_deref(), Some("fence"));
    let taken = release(json!({ "force": true, "reason": "it hangs" })).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_takes_renews_and_gives_back() {
    let host = Host::start().await;
    let url = format!("http://{}", host.address);
    let options = ClientOptions::new(url, Some(host.operate.clone()));
    let client = Client::new(&options).unwrap();
    let scope: Scope = serde_json::from_value(write("a b&c=d/é")).unwrap();
    let request = AcquireLease {
        lease_id: Some(ID.parse().unwrap()),
        holder: "a tool".to_owned(),
        scope,
        ttl_ms: 5_000,
        reason: Some("to tidy up".to_owned()),
    };
    assert!(client.would_acquire_lease(&request).await.unwrap());
    let held = client.acquire_lease(&request).await.unwrap();
    let lease_id: LeaseId = held.lease.lease_id;
    assert_eq!(client.lease(lease_id).await.unwrap(), held.lease);
    let observation = host.runtime.observation();
    assert_eq!(
        client.leases(0, 10).await.unwrap(),
        observation.leases(0, 10)
    );
    let asked = |fence: Fence| VerifyFence {
        fence,
        place: MountRef {
            mount: "repo".to_owned(),
            path: "a b&c=d/é/x".to_owned(),
        },
        permission: Permission::Write,
    };
    let good = client
        .verify_lease(lease_id, &asked(held.lease.fence))
        .await;
    assert_eq!(good.unwrap().lease_id, lease_id);
    let stale = client.verify_lease(lease_id, &asked(Fence(0))).await;
    assert_eq!(stale.unwrap_err().code(), Code::FenceStale);
    let renewal = RenewLease {
        fence: held.lease.fence,
        ttl_ms: Some(6_000),
    };
    let renewed = client.renew_lease(lease_id, &renewal).await.unwrap();
    assert_eq!(renewed.lease.ttl_ms, 6_000);
    let release = ReleaseLease {
        fence: Some(held.lease.fence),
        ..ReleaseLease::default()
    };
    assert!(
        client
            .would_release_lease(lease_id, &release)
            .await
            .unwrap()
    );
    let stale = ReleaseLease {
        fence: Some(Fence(0)),
        ..ReleaseLease::default()
    };
    let stale = client.would_release_lease(lease_id, &stale).await;
    assert_eq!(stale.unwrap_err().code(), Code::FenceStale);
    assert_eq!(client.lease(lease_id).await.unwrap().lease_id, lease_id);
    client.release_lease(lease_id, &release).await.unwrap();
    let gone = client.lease(lease_id).await.unwrap_err();
    let ClientError::Refused(problem) = gone else {
        panic!("{gone}");
    };
    assert_eq!(problem.code, Code::LeaseUnknown);
}
