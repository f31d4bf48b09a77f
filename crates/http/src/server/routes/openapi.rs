//! The document that describes the interface (OpenAPI 3.1), and the table in the docs: both made from
//! the list of routes and the schemas of the very types that are sent.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};
use worker_runtime_core::{ActionId, Code, LeaseId, RunId, WorkerId};

use super::{
    list::routes,
    route::Route,
    told::{self, AnswerHeader},
};
use crate::wire::Problem;

/// The OpenAPI document of this version.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let routes = routes();
    for route in &routes {
        let described = operation(route, &routes, &mut generator);
        let methods = paths.entry(route.path).or_default();
        methods.insert(route.method.as_str().to_ascii_lowercase(), described);
    }
    let problem = generator.subschema_for::<Problem>();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "worker-runtime",
            "summary": "The durable Runtime that agent Workers live in",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "security": [{ "access_token": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "headers": told::described(),
            "securitySchemes": {
                "access_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Scopes are observe, operate and admin, each with what the one before allows",
                },
            },
            "responses": {
                "Problem": {
                    "description": "It was refused, and why (RFC 9457)",
                    "headers": told::references(&[AnswerHeader::RetryAfter, AnswerHeader::WwwAuthenticate]),
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
        },
    });
    bound(&mut document);
    document
}

/// Says of each whole number the most that its type takes: a schema names the type only as a `format`, and
/// a client may send any number that a schema allows.
fn bound(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let max = match fields.get("format").and_then(Value::as_str) {
                Some("uint8") => Some(u64::from(u8::MAX)),
                Some("uint16") => Some(u64::from(u16::MAX)),
                Some("uint32") => Some(u64::from(u32::MAX)),
                Some("uint" | "uint64") => Some(u64::MAX),
                _ => None,
            };
            if let Some(max) = max {
                fields.entry("maximum").or_insert_with(|| max.into());
            }
            fields.values_mut().for_each(bound);
        }
        Value::Array(values) => values.iter_mut().for_each(bound),
        _ => {}
    }
}

fn operation(route: &Route, routes: &[Route], generator: &mut SchemaGenerator) -> Value {
    let mut parameters = path_parameters(route, generator);
    if let Some(query) = route.query {
        parameters.extend(query_parameters(&query(generator)));
    }
    parameters.extend(route.headers.iter().map(|header| {
        json!({
            "name": header.as_str(),
            "in": "header",
            "required": false,
            "description": header.about(),
            "schema": header.schema(),
        })
    }));
    let mut responses = Map::new();
    // What it tells is in its first answer: another may be of a repetition, or of a try.
    for (index, answer) in route.answers.iter().enumerate() {
        let headers = told::references(answer.headers);
        let mut described = json!({ "description": answer.about, "headers": headers });
        if let (Some((media_type, schema)), Some(fields)) = (answer.body, described.as_object_mut())
        {
            let mut content = json!({ media_type: { "schema": schema(generator) } });
            if let (Some((media_type, item)), Some(content)) =
                (answer.or_body, content.as_object_mut())
            {
                // A stream of these, as OpenAPI 3.2 says it; 3.1 has only text for it.
                let described = json!({
                    "schema": { "type": "string" },
                    "x-item-schema": item(generator),
                });
                content.insert(media_type.to_owned(), described);
            }
            fields.insert("content".to_owned(), content);
        }
        let links = links(route, routes);
        if let (true, false, Some(fields)) =
            (index == 0, links.is_empty(), described.as_object_mut())
        {
            fields.insert("links".to_owned(), links.into());
        }
        responses.insert(answer.status.as_str().to_owned(), described);
    }
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    responses.insert("default".to_owned(), problem);
    let mut described = json!({
        "operationId": route.name,
        "summary": route.about,
        "parameters": parameters,
        "responses": responses,
    });
    let Some(fields) = described.as_object_mut() else {
        return described;
    };
    if let Some(body) = &route.body {
        let schema = (body.schema)(generator);
        let content = json!({ "application/json": { "schema": schema } });
        let body = json!({ "required": body.required, "content": content });
        fields.insert("requestBody".to_owned(), body);
    }
    match route.needs {
        Some(scope) => {
            let needs = format!("Needs an access token of scope `{scope}`");
            fields.insert("description".to_owned(), needs.into());
        }
        None => {
            fields.insert("security".to_owned(), json!([]));
        }
    }
    described
}

/// The ids in a path, by their names.
fn path_parameters(route: &Route, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = route.path_parameters();
    names
        .map(|name| {
            let schema = match name {
                "worker_id" => generator.subschema_for::<WorkerId>(),
                "lease_id" => generator.subschema_for::<LeaseId>(),
                "run_id" => generator.subschema_for::<RunId>(),
                "action_id" => generator.subschema_for::<ActionId>(),
                "operation_id" => {
                    json_schema!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })
                }
                "code" => {
                    let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
                    json_schema!({ "type": "string", "enum": known })
                }
                "token_id" => {
                    json_schema!({ "type": "string", "pattern": "^([0-9a-f]{12}|local)$" })
                }
                _ => generator.subschema_for::<String>(),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect()
}

/// One parameter for each field.
fn query_parameters(schema: &Schema) -> Vec<Value> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let fields = schema.get("properties").and_then(Value::as_object);
    fields
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            never_null(&mut schema);
            json!({
                "name": name,
                "in": "query",
                "required": required.contains(&name.as_str()),
                "description": schema.get("description").cloned().unwrap_or_default(),
                "schema": schema,
            })
        })
        .collect()
}

/// A parameter that may be left out has no value `null`: a query has no way to say it.
fn never_null(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(either)) = fields.get_mut("anyOf") {
        either.retain(|one| one.get("type").is_none_or(|one| one != "null"));
    }
    if fields.get("default").is_some_and(Value::is_null) {
        fields.remove("default");
    }
}

/// The routes that can be asked with what an answer tells, and is not known without it.
fn links(route: &Route, routes: &[Route]) -> Map<String, Value> {
    let told = |name: &str| route.tells.iter().find(|(told, _)| *told == name);
    let link = |to: &Route| {
        let found: Option<Vec<_>> = to.path_parameters().map(told).collect();
        let found = found?;
        let is_new = |(_, from): &&(&str, &str)| from.starts_with("$response");
        if !found.iter().any(is_new) {
            return None;
        }
        let parameters: Map<String, Value> = found
            .iter()
            .map(|(name, from)| ((*name).to_owned(), (*from).into()))
            .collect();
        let described = json!({ "operationId": to.name, "parameters": parameters });
        Some((to.name.to_owned(), described))
    };
    routes.iter().filter_map(link).collect()
}

/// The routes as a Markdown table: method, path, scope, and what each does.
pub fn route_table() -> String {
    let head = "| method | path | scope | |\n|---|---|---|---|\n".to_owned();
    routes().iter().fold(head, |table, route| {
        let scope = route.needs.map_or("-", |scope| scope.as_str());
        let Route {
            method,
            path,
            about,
            ..
        } = route;
        format!("{table}| {method} | `{path}` | {scope} | {about} |\n")
    })
}
