//! What is held, over HTTP: who holds what, what would be granted, fences, and what is given back and
//! taken back. Refusals name every owner; absolute paths are for scope `admin` alone (I11).

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use worker_runtime_core::{
    Code, Fence, Permission, Scope, ScopeRule, WorkerId,
    view::{Place, VerifyFence},
    worker::MountRef,
};
use worker_runtime_http::{
    client::{Client, ClientOptions},
    wire::{ChangeAllocation, CheckAllocation, TakeAllocation},
};

use crate::host::{Host, Reply, shouting, text};

fn write(path: &str) -> Value {
    json!({ "allow": [{ "mount": "repo", "path": path, "permission": "write" }] })
}

/// A Worker that shouts, with more than that.
async fn made(host: &Host, more: Value) -> Reply {
    let mut request = shouting();
    let fields = request.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    host.post("/v1/workers", request).await
}

async fn holding(host: &Host, more: Value) -> String {
    let reply = made(host, more).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    reply.json()["worker_id"].as_str().unwrap().to_owned()
}

/// Has it run, and gives its run's id.
async fn running(host: &Host, worker: &str) -> String {
    let own = format!("/v1/workers/{worker}");
    let reply = host
        .post(&format!("{own}/input"), text("one", "wait"))
        .await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text());
    let view = host.get(&own).await.json();
    view["activity"]["run_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_what_is_told_of_all_of_one_and_of_a_place() {
    let host = Host::start().await;
    let top = holding(
        &host,
        json!({ "display_name": "top", "delegation": write("src") }),
    )
    .await;
    let child = json!({ "parent": top, "scope": write("src/a") });
    let child = holding(&host, child).await;
    let list = host.get("/v1/allocations").await.json();
    assert_eq!(
        (&list["total"], &list["next"]),
        (&json!(2), &Value::Null),
        "{list}"
    );
    let page = host.get("/v1/allocations?limit=1&offset=1").await.json();
    assert_eq!(page["allocations"][0]["worker_id"], json!(child));
    let one = host.get(&format!("/v1/allocations/{child}")).await.json();
    assert_eq!(one["parent"], json!(top));
    let path = "/v1/allocations/who?mount=repo&path=src/a/x";
    let who = host.get(path).await.json();
    assert_eq!(who["place"], json!({ "mount": "repo", "path": "src/a/x" }));
    assert_eq!(who["holders"][0]["worker_id"], json!(child));
    assert_eq!(who["holders"][0]["permission"], "write");
    assert_eq!(who["holders"][1]["display_name"], "top");
    let who = host.get("/v1/allocations/who?mount=repo").await.json();
    assert_eq!(who["below"].as_array().unwrap().len(), 2);
    // Whoever may see absolute paths may ask by one.
    let absolute = "/v1/allocations/who?path=/nonexistent/repo/src/a/x";
    host.get(absolute).await.refused(403, "WR-TOKEN-SCOPE");
    let ask = host.ask(Method::GET, absolute).token(&host.admin);
    assert_eq!(ask.send().await.json()["holders"][0]["worker_id"], child);
    for (path, code) in [
        ("/v1/allocations/who?mount=nowhere", "WR-SCOPE-INVALID"),
        (
            "/v1/allocations/who?mount=repo&path=../x",
            "WR-SCOPE-INVALID",
        ),
        ("/v1/allocations/who?mount=", "WR-SCOPE-INVALID"),
        ("/v1/allocations/who?place=x", "WR-QUERY-INVALID"),
        ("/v1/allocations?limit=0", "WR-QUERY-INVALID"),
    ] {
        host.get(path).await.refused(400, code);
    }
    let ask = host.ask(Method::GET, "/v1/allocations/who?path=x");
    let reply = ask.token(&host.admin).send().await;
    reply.refused(400, "WR-SCOPE-INVALID");
    let nothing = format!("/v1/allocations/{}", host.worker().await);
    host.get(&nothing).await.refused(404, "WR-SCOPE-NOT-HELD");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_a_creation_would_and_changes_nothing() {
    let host = Host::start().await;
    let holder = holding(&host, json!({ "scope": write("src") })).await;
    let before = host.get("/v1/runtime").await.json()["position"].clone();
    let check = |body: Value| {
        let ask = host.ask(Method::POST, "/v1/allocations/check");
        ask.token(&host.observe).json(&body).send()
    };
    let asked = json!({ "scope": write("src/a") });
    let told = check(asked.clone()).await.refused(409, "WR-SCOPE-CONFLICT");
    let refused = made(&host, asked).await.refused(409, "WR-SCOPE-CONFLICT");
    assert_eq!(told.owners, refused.owners);
    let owner = told.owners[0].holder.worker_id().unwrap();
    assert_eq!(owner.to_string(), holder);
    let free = check(json!({ "scope": write("docs"), "delegation": write("lib") })).await;
    assert_eq!(free.status, StatusCode::NO_CONTENT, "{}", free.text());
    let below = json!({ "scope": write("src/a"), "parent": holder });
    let problem = check(below).await.refused(403, "WR-SCOPE-UNDELEGATED");
    assert_eq!(problem.worker_id.unwrap().to_string(), holder);
    let nobody = json!({ "parent": "019c0000-0000-7000-8000-000000000001" });
    check(nobody).await.refused(404, "WR-WORKER-UNKNOWN");
    let outside = json!({ "scope": write("../x") });
    check(outside).await.refused(400, "WR-SCOPE-INVALID");
    let many = vec![write("src")["allow"][0].clone(); 257];
    let many = json!({ "scope": { "allow": many } });
    check(many).await.refused(400, "WR-SCOPE-INVALID");
    let after = host.get("/v1/runtime").await.json()["position"].clone();
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_is_verified_with_the_narrowest_scope() {
    let host = Host::start().await;
    let worker = holding(&host, json!({ "scope": write("src") })).await;
    let run = running(&host, &worker).await;
    let view = host.get(&format!("/v1/allocations/{worker}")).await.json();
    assert_eq!(view["run_id"], json!(run));
    let fence = view["fence"].as_u64().unwrap();
    let path = |fence: u64, path: &str| {
        format!("/v1/allocations/{worker}/verify?fence={fence}&mount=repo&path={path}")
    };
    let good = host.get(&path(fence, "src/x")).await;
    assert_eq!(good.status, StatusCode::OK, "{}", good.text());
    assert_eq!(good.json()["run_id"], json!(run));
    for stale in [fence - 1, fence + 1] {
        let reply = host.get(&path(stale, "src/x")).await;
        reply.refused(409, "WR-FENCE-STALE");
    }
    let outside = host.get(&path(fence, "docs")).await;
    outside.refused(403, "WR-SCOPE-DENIED");
    let missing = format!("/v1/allocations/{worker}/verify?mount=repo");
    host.get(&missing).await.refused(400, "WR-QUERY-INVALID");
    let cancel = format!("/v1/workers/{worker}/runs/{run}/cancel");
    host.ask(Method::POST, &cancel)
        .token(&host.operate)
        .send()
        .await;
    let own = format!("/v1/workers/{worker}");
    while host.get(&own).await.json()["activity"]["run_id"] != Value::Null {
        tokio::task::yield_now().await;
    }
    let reply = host.get(&path(fence, "src/x")).await;
    reply.refused(409, "WR-FENCE-STALE");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_keeps_it_unless_it_is_taken_by_force_for_a_reason() {
    let host = Host::start().await;
    let worker = holding(&host, json!({ "scope": write("src") })).await;
    let run = running(&host, &worker).await;
    let own = format!("/v1/allocations/{worker}");
    let put = |body: Value| {
        let ask = host.ask(Method::PUT, &own).token(&host.operate);
        ask.json(&body).send()
    };
    let less = put(json!({ "scope": write("src/a") })).await;
    let problem = less.refused(409, "WR-SCOPE-IN-USE");
    assert_eq!(problem.run_id.unwrap().to_string(), run);
    assert_eq!(problem.worker_id.unwrap().to_string(), worker);
    let mut more = write("src");
    let docs = write("docs")["allow"][0].clone();
    more["allow"].as_array_mut().unwrap().push(docs);
    let more = put(json!({ "scope": more, "reason": "docs too" })).await;
    assert_eq!(more.status, StatusCode::OK, "{}", more.text());
    let release = format!("{own}/release");
    let gently = host.post(&release, json!({})).await;
    gently.refused(409, "WR-SCOPE-IN-USE");
    for without in [
        json!({ "force": true }),
        json!({ "force": true, "reason": " " }),
    ] {
        let reply = host.post(&release, without).await;
        let problem = reply.refused(400, "WR-FIELD-INVALID");
        assert_eq!(problem.field.as_deref(), Some("reason"));
    }
    let by_force = json!({ "force": true, "reason": "it is needed" });
    let taken = host.post(&release, by_force).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text());
    assert_eq!(taken.json()["waits_for"], json!([worker]));
    while host.get(&own).await.status == StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let view = host.get(&format!("/v1/workers/{worker}")).await.json();
    assert_eq!(
        (&view["lifecycle"], &view["paused"]),
        (&json!("active"), &json!(true))
    );
    assert_eq!(view["last_run"]["outcome"]["kind"], "cancelled");
    holding(&host, json!({ "scope": write("src") })).await;
    let again = host.post(&release, json!({})).await;
    again.refused(409, "WR-SCOPE-NOT-HELD");
}

fn client(host: &Host) -> Client {
    let url = format!("http://{}", host.address);
    Client::new(&ClientOptions::new(url, Some(host.admin.clone()))).unwrap()
}

fn scope(path: &str) -> Scope {
    Scope {
        allow: vec![ScopeRule {
            mount: "repo".to_owned(),
            path: path.to_owned(),
            permission: Permission::Write,
            recursive: true,
        }],
        deny: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_client_gives_what_the_host_has() {
    let host = Host::start().await;
    let client = client(&host);
    let observation = host.runtime.observation();
    let parent: WorkerId = host.worker().await.parse().unwrap();
    let change = ChangeAllocation {
        delegation: scope("a b&c=d/é"),
        ..ChangeAllocation::default()
    };
    let changed = client.change_allocation(parent, &change).await.unwrap();
    assert!(changed.fence.is_some());
    let asked = CheckAllocation {
        scope: scope("a b&c=d/é/x"),
        parent: Some(parent),
        ..CheckAllocation::default()
    };
    client.check_allocation(&asked).await.unwrap();
    let child = json!({ "parent": parent, "scope": scope("a b&c=d/é/x") });
    let child: WorkerId = holding(&host, child).await.parse().unwrap();
    let list = client.allocations(0, 10).await.unwrap();
    assert_eq!(list, observation.allocations(0, 10));
    let held = client.allocation(child).await.unwrap();
    assert_eq!(Some(held.clone()), observation.allocation(child));
    let place = MountRef {
        mount: "repo".to_owned(),
        path: "a b&c=d/é/x/y".to_owned(),
    };
    let who = client.who(&Place::from(&place)).await.unwrap();
    assert_eq!(who, host.runtime.allocations().who(&place).unwrap());
    assert_eq!(who.holders[0].holder, child.into());
    let path = "/nonexistent/repo/a b&c=d/é/x".to_owned();
    let who = client.who(&Place { mount: None, path }).await.unwrap();
    assert_eq!(who.holders[0].holder, child.into());
    let verify = |fence: Option<Fence>| VerifyFence {
        fence: fence.unwrap(),
        place: place.clone(),
        permission: Permission::Write,
    };
    let stale = client.verify_fence(child, &verify(held.fence)).await;
    assert_eq!(stale.unwrap_err().code(), Code::FenceStale);
    let run = running(&host, &child.to_string()).await;
    let fence = client.allocation(child).await.unwrap().fence;
    let good = client.verify_fence(child, &verify(fence)).await.unwrap();
    assert_eq!(good.run_id.to_string(), run);
    let by_force = TakeAllocation {
        reason: Some("all of it".to_owned()),
        force: true,
    };
    let taken = client.reclaim_allocation(parent, &by_force).await.unwrap();
    assert_eq!(taken.waits_for, [child]);
    let nothing = client
        .release_allocation(parent, &TakeAllocation::default())
        .await
        .unwrap();
    assert_eq!(nothing.fence, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_change_says_what_the_change_would_and_changes_nothing() {
    let host = Host::start().await;
    let client = client(&host);
    let holder: WorkerId = holding(&host, json!({ "scope": write("src") }))
        .await
        .parse()
        .unwrap();
    holding(&host, json!({ "scope": write("docs") })).await;
    let before = host.runtime.observation().runtime().position;
    let change = |path: &str| ChangeAllocation {
        scope: scope(path),
        ..ChangeAllocation::default()
    };
    for (path, changes) in [("src", false), ("lib", true)] {
        let would = client.would_change_allocation(holder, &change(path)).await;
        assert_eq!(would.unwrap(), changes, "{path}");
    }
    let meets = client
        .would_change_allocation(holder, &change("docs/x"))
        .await;
    assert_eq!(meets.unwrap_err().code(), Code::ScopeConflict);
    let path = format!("/v1/allocations/{holder}?dry_run=true");
    let ask = host.ask(Method::PUT, &path).token(&host.admin);
    let tried = ask.json(&json!({ "scope": write("lib") })).send().await;
    assert_eq!(tried.json(), json!({ "would_change": true }));
    let ask = host.ask(Method::PUT, &path).token(&host.observe);
    let tried = ask.json(&json!({ "scope": write("lib") })).send().await;
    tried.refused(403, "WR-TOKEN-SCOPE");
    assert_eq!(host.runtime.observation().runtime().position, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_release_and_a_reclaim_says_what_they_would_and_changes_nothing() {
    let host = Host::start().await;
    let client = client(&host);
    let made = async |more: Value| -> WorkerId { holding(&host, more).await.parse().unwrap() };
    let top = made(json!({ "delegation": write("src") })).await;
    let low = made(json!({ "parent": top, "scope": write("src/a") })).await;
    let before = host.runtime.observation().runtime().position;
    let gently = TakeAllocation::default();
    assert!(client.would_release_allocation(low, &gently).await.unwrap());
    let from = client.would_reclaim_allocation(top, &gently).await;
    assert_eq!(from.unwrap(), [low]);
    let nobody = client.would_reclaim_allocation(low, &gently).await;
    assert_eq!(nobody.unwrap(), []);
    let silent = TakeAllocation {
        reason: None,
        force: true,
    };
    for refused in [
        client
            .would_release_allocation(low, &silent)
            .await
            .map(drop),
        client
            .would_reclaim_allocation(top, &silent)
            .await
            .map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::FieldInvalid);
    }
    let path = format!("/v1/allocations/{low}/release?dry_run=true");
    let ask = host.ask(Method::POST, &path).token(&host.observe);
    ask.send().await.refused(403, "WR-TOKEN-SCOPE");
    let tried = host.post(&path, json!({})).await;
    assert_eq!(tried.json(), json!({ "would_release": true }));
    assert_eq!(host.runtime.observation().runtime().position, before);
    client.release_allocation(low, &gently).await.unwrap();
    let again = client.would_release_allocation(low, &gently).await;
    assert_eq!(again.unwrap_err().code(), Code::ScopeNotHeld);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_changes_what_is_held_only_while_its_worker_is_as_it_was_seen() {
    let host = Host::start().await;
    let client = client(&host);
    let holder: WorkerId = holding(&host, json!({ "scope": write("src") }))
        .await
        .parse()
        .unwrap();
    let (seen, tag) = client.worker_tagged(holder).await.unwrap();
    assert_eq!(seen, client.worker(holder).await.unwrap());
    let change = ChangeAllocation {
        scope: scope("lib"),
        ..ChangeAllocation::default()
    };
    let first = client.only_if(&tag);
    first.change_allocation(holder, &change).await.unwrap();
    // It reads on; what was decided on what is not there any more comes to nothing.
    let (_, newer) = first.worker_tagged(holder).await.unwrap();
    assert_ne!(newer, tag);
    let take = TakeAllocation::default();
    let position = host.runtime.observation().runtime().position;
    for outdated in [
        first.change_allocation(holder, &change).await.unwrap_err(),
        first
            .would_change_allocation(holder, &change)
            .await
            .unwrap_err(),
        first.release_allocation(holder, &take).await.unwrap_err(),
        first.reclaim_allocation(holder, &take).await.unwrap_err(),
        first.pause_worker(holder).await.unwrap_err(),
    ] {
        assert_eq!(outdated.code(), Code::WorkerChanged, "{outdated}");
    }
    // Where it could protect nothing it is refused, and never left out.
    let nobody = first.stop_runtime(None).await.unwrap_err();
    assert_eq!(nobody.code(), Code::HeaderInvalid, "{nobody}");
    assert_eq!(host.runtime.observation().runtime().position, position);
    let second = client.only_if(&newer);
    second.release_allocation(holder, &take).await.unwrap();
}
