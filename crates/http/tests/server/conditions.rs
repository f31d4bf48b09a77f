//! Changes that are made only while a Worker is as a client saw it, so that none undoes what it has not
//! seen, and reads of what a client has already.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    host::{Ask, Host, Reply, text},
    routes::routes,
};

async fn tag_of(host: &Host, path: &str) -> String {
    let reply = host.get(path).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let tag = reply.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    tag
}

async fn rename(host: &Host, path: &str, name: &str, tag: Option<&str>) -> Reply {
    let ask = host.ask(Method::PATCH, path).token(&host.operate);
    let ask = ask.json(&json!({ "display_name": name }));
    match tag {
        Some(tag) => ask.header("if-match", tag).send().await,
        None => ask.send().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_client_changed_meanwhile_is_not_overwritten() {
    let host = Host::start().await;
    let path = format!("/v1/workers/{}", host.worker().await);
    let seen = tag_of(&host, &path).await;
    assert_eq!(
        rename(&host, &path, "mine", Some(&seen)).await.status,
        StatusCode::OK
    );
    let problem = rename(&host, &path, "theirs", Some(&seen)).await;
    problem.refused(412, "WR-WORKER-CHANGED");
    assert_eq!(host.get(&path).await.json()["display_name"], "mine");
    let seen = tag_of(&host, &path).await;
    assert_eq!(
        rename(&host, &path, "theirs", Some(&seen)).await.status,
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_clients_that_saw_the_same_one_changes_it() {
    let host = Host::start().await;
    let path = format!("/v1/workers/{}", host.worker().await);
    for round in 0..20 {
        let seen = tag_of(&host, &path).await;
        let names: Vec<String> = (0..8).map(|client| format!("{round}.{client}")).collect();
        // All are under way before any is answered, and the writer may take them in one batch.
        let replies = futures(
            names
                .iter()
                .map(|name| rename(&host, &path, name, Some(&seen))),
        );
        let mut changed = Vec::new();
        for (name, reply) in names.iter().zip(replies.await) {
            match reply.status {
                StatusCode::OK => changed.push(name.clone()),
                _ => drop(reply.refused(412, "WR-WORKER-CHANGED")),
            }
        }
        let now = host.get(&path).await.json()["display_name"].clone();
        assert_eq!(json!(changed), json!([now]), "round {round}");
    }
}

/// Runs them side by side.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in running.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// A request of a route that changes a Worker, with what it needs beside the condition.
fn change<'a>(host: &'a Host, method: &Method, path: &str) -> Ask<'a> {
    let ask = host.ask(method.clone(), path).token(&host.admin);
    match path.rsplit('/').next().unwrap() {
        "input" => ask.json(&text("one", "hello")),
        "which" => ask.json(&json!({ "option": "left" })),
        _ if *method == Method::PUT => ask.json(&json!({})),
        _ if *method == Method::PATCH => ask.json(&json!({ "display_name": "ada" })),
        _ => ask,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_changes_a_worker_looks_at_the_condition_before_anything_else() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let path = format!("/v1/workers/{worker}");
    let weak = format!("W/{}", tag_of(&host, &path).await);
    let before = host.get("/v1/runtime").await.json()["position"].clone();
    let mut count = 0;
    for route in routes() {
        let places = ["/v1/workers/{", "/v1/allocations/{"];
        let is_ones = places.iter().any(|place| route.template.starts_with(place));
        let changes = is_ones && route.method != Method::GET;
        let takes = route.headers.iter().any(|header| header == "if-match");
        assert_eq!(
            takes,
            changes || route.template == "/v1/workers/{worker_id}",
            "{}",
            route.what()
        );
        if !changes {
            continue;
        }
        count += 1;
        let own = route.path.replace(&nobody(), &worker);
        for stale in ["\"another\"", &weak, "\"a\", \"b\""] {
            let ask = change(&host, &route.method, &own).header("if-match", stale);
            let problem = ask.send().await.refused(412, "WR-WORKER-CHANGED");
            assert!(problem.detail.contains(&worker), "{}", problem.detail);
        }
        // There is nothing whose tag could be compared: it is refused as it would be without a tag.
        let ask = change(&host, &route.method, &route.path).header("if-match", "\"a\"");
        ask.send().await.refused(404, "WR-WORKER-UNKNOWN");
    }
    assert!(count > 10, "{count}");
    let after = host.get("/v1/runtime").await.json()["position"].clone();
    assert_eq!(before, after, "nothing was changed");
}

fn nobody() -> String {
    "019c0000-0000-7000-8000-000000000001".to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_goes_on_under_the_tag_of_each_moment() {
    let host = Host::start().await;
    let path = format!("/v1/workers/{}", host.worker().await);
    for (method, verb) in [
        (Method::POST, "/pause"),
        (Method::POST, "/resume"),
        (Method::POST, "/stop"),
        (Method::POST, "/archive"),
        (Method::POST, "/restore"),
        (Method::POST, "/cancel"),
        (Method::DELETE, ""),
    ] {
        // An end is reached a moment after it was asked for, and is a change too.
        settled(&host, &path).await;
        let seen = format!("\"older\", {}", tag_of(&host, &path).await);
        let own = format!("{path}{verb}");
        let ask = change(&host, &method, &own).header("if-match", &seen);
        let reply = ask.send().await;
        assert_eq!(reply.status, StatusCode::OK, "{verb}: {}", reply.text());
        let ask = change(&host, &method, &own).header("if-match", &seen);
        match verb {
            "" => ask.send().await.refused(410, "WR-WORKER-DELETED"),
            _ => ask.send().await.refused(412, "WR-WORKER-CHANGED"),
        };
    }
}

async fn settled(host: &Host, path: &str) {
    let mut cursor = host.get(path).await.json()["cursor"].clone();
    loop {
        let view = host.get(path).await.json();
        if view["ending"] == Value::Null || view["lifecycle"] != "active" {
            return;
        }
        let from = cursor.as_str().unwrap();
        let news = format!("{path}/events?cursor={from}&wait=10");
        cursor = host.get(&news).await.json()["next"].clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_means_any_worker_that_is_there() {
    let host = Host::start().await;
    let path = format!("/v1/workers/{}", host.worker().await);
    assert_eq!(
        rename(&host, &path, "ada", Some("*")).await.status,
        StatusCode::OK
    );
    let nobody = format!("/v1/workers/{}", nobody());
    let reply = rename(&host, &nobody, "ada", Some("*")).await;
    reply.refused(404, "WR-WORKER-UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_was_accepted_gets_its_receipt_whatever_became_of_its_worker() {
    let host = Host::start().await;
    let path = format!("/v1/workers/{}", host.worker().await);
    let seen = tag_of(&host, &path).await;
    let own = format!("{path}/input");
    let send = |id: &str| {
        let ask = host.ask(Method::POST, &own).token(&host.operate);
        ask.header("if-match", &seen).json(&text(id, "wait")).send()
    };
    assert_eq!(send("one").await.status, StatusCode::ACCEPTED);
    // A client whose answer was lost can't know that its own call changed the tag.
    let again = send("one").await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    assert_eq!(again.json()["repeated"], true);
    send("two").await.refused(412, "WR-WORKER-CHANGED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_spared_by_every_form_of_the_tag_that_it_has() {
    let host = Host::start().await;
    let path = format!("/v1/workers/{}", host.worker().await);
    let tag = tag_of(&host, &path).await;
    let ask = |name: &str, value: &str| {
        let ask = host.ask(Method::GET, &path).token(&host.observe);
        ask.header(name, value).send()
    };
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"a,b\", W/{tag} ,\"c\""),
        "*".to_owned(),
    ] {
        let reply = ask("if-none-match", &known).await;
        assert_eq!(reply.status, StatusCode::NOT_MODIFIED, "{known}");
        assert!(reply.bytes.is_empty());
        assert_eq!(reply.header("etag"), tag);
    }
    for other in ["\"\"", "W/\"a\"", "\"a\", \"b\""] {
        let reply = ask("if-none-match", other).await;
        assert_eq!(reply.status, StatusCode::OK, "{other}");
    }
    assert_eq!(ask("if-match", &tag).await.status, StatusCode::OK);
    assert_eq!(ask("if-match", "*").await.status, StatusCode::OK);
    for stale in [format!("W/{tag}"), "\"a\"".to_owned()] {
        ask("if-match", &stale)
            .await
            .refused(412, "WR-WORKER-CHANGED");
    }
}
