//! The OpenAPI document against the routes: nothing dangles, everything is described.

use std::collections::BTreeSet;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use worker_runtime_http::server::{openapi, route_table};

use crate::host::{Host, Reply, shouting};

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(to) if name == "$ref" => {
                found.insert(to);
            }
            value => references(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = openapi();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    for name in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(reference.as_str()), "nothing uses {name}");
    }
}

#[test]
fn every_route_is_described_once_under_a_name_of_its_own() {
    let document = openapi();
    let mut names = BTreeSet::new();
    let mut count = 0;
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()));
            assert!(operation["responses"].as_object().unwrap().len() > 1);
            count += 1;
        }
    }
    assert_eq!(count, route_table().lines().count() - 2);
}

#[test]
fn the_page_has_the_table_of_the_list() {
    let page = include_str!("../../../../docs/http.md");
    let (_, rest) = page.split_once("<!-- routes -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end -->").unwrap();
    assert_eq!(table, route_table(), "docs/http.md is not of this list");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_to_anybody_and_pages_of_codes_too() {
    let host = Host::start().await;
    let served = host.ask(Method::GET, "/openapi.json").send().await;
    assert_eq!(served.json(), openapi());
    let page = host.ask(Method::GET, "/errors/WR-INPUT-BUSY").send().await;
    assert!(page.text().starts_with("# WR-INPUT-BUSY"));
    assert!(page.header("content-type").starts_with("text/markdown"));
}

/// What goes with any answer over HTTP, and is not of this interface.
const OF_HTTP: [&str; 6] = [
    "content-type",
    "content-length",
    "date",
    "cache-control",
    "connection",
    "x-content-type-options",
];

/// Sees that the headers of an answer are those that the document says, but for these.
#[track_caller]
fn told_as_described(reply: &Reply, method: &str, path: &str, absent: &[&str]) {
    let document = openapi();
    let responses = &document["paths"][path][method]["responses"];
    let status = reply.status.as_u16().to_string();
    let described = match responses.get(&status) {
        Some(described) => described,
        None => document.pointer("/components/responses/Problem").unwrap(),
    };
    let described: BTreeSet<String> = described["headers"]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| name.to_ascii_lowercase())
        .filter(|name| !absent.contains(&name.as_str()))
        .collect();
    let sent = reply.headers.keys().map(ToString::to_string);
    let sent: BTreeSet<String> = sent
        .filter(|name| !OF_HTTP.contains(&name.as_str()))
        .collect();
    assert_eq!(sent, described, "{method} {path}: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_the_headers_that_the_document_says() {
    let host = Host::start().await;
    let (workers, one) = ("/v1/workers", "/v1/workers/{worker_id}");
    let make = |path: &str| {
        let make = host.ask(Method::POST, path).token(&host.admin);
        make.header("idempotency-key", "\"one\"").json(&shouting())
    };
    let made = make(workers).send().await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    told_as_described(&made, "post", workers, &[]);
    let again = make(workers).send().await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    told_as_described(&again, "post", workers, &[]);
    let tried = make("/v1/workers?dry_run=true").send().await;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text());
    told_as_described(&tried, "post", workers, &["location"]);

    let path = made.header("location").to_owned();
    let read = host.get(&path).await;
    told_as_described(&read, "get", one, &[]);
    let tag = read.header("etag").to_owned();
    let digits = tag.trim_matches('"');
    assert!(digits.chars().all(|c| c.is_ascii_hexdigit()), "{tag}");
    let known = host.ask(Method::GET, &path).token(&host.observe);
    let known = known.header("if-none-match", &tag).send().await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    told_as_described(&known, "get", one, &[]);

    let health = host.ask(Method::GET, "/healthz").send().await;
    told_as_described(&health, "get", "/healthz", &[]);
    let nobody = host.ask(Method::GET, "/v1/runtime").send().await;
    nobody.refused(401, "WR-TOKEN-MISSING");
    told_as_described(&nobody, "get", "/v1/runtime", &["retry-after"]);
    let list = host.ask(Method::GET, workers).token(&host.observe);
    let wrong = list.json(&json!({ "x": 1 })).send().await;
    wrong.refused(400, "WR-BODY-INVALID");
    let neither = ["retry-after", "www-authenticate"];
    told_as_described(&wrong, "get", workers, &neither);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_to_ask_later_is_told_when_as_the_document_says() {
    let host = Host::with(worker_runtime_http::server::HttpLimits {
        waiting_max: 0,
        ..Default::default()
    })
    .await;
    let busy = host.get("/v1/events?from=now&wait=10").await;
    busy.refused(503, "WR-SERVER-BUSY");
    told_as_described(&busy, "get", "/v1/events", &["www-authenticate"]);
}
