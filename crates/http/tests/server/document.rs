//! The OpenAPI document against the routes: nothing dangles, everything is described.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::Value;
use worker_runtime_http::server::{openapi, route_table};

use crate::host::Host;

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
