//! The document that describes the interface (OpenAPI 3.1), and the table in the docs: both made from
//! the list of routes and the schemas of the very types that are sent.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use worker_runtime_core::{ActionId, Code, RunId, WorkerId};

use super::{list::routes, route::Route};
use crate::wire::Problem;

/// The OpenAPI document of this version.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes() {
        let described = operation(&route, &mut generator);
        let methods = paths.entry(route.path).or_default();
        methods.insert(route.method.as_str().to_ascii_lowercase(), described);
    }
    let problem = generator.subschema_for::<Problem>();
    json!({
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
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters = path_parameters(route.path, generator);
    if let Some(query) = route.query {
        parameters.extend(query_parameters(&query(generator)));
    }
    let mut responses = Map::new();
    for answer in &route.answers {
        let mut described = json!({ "description": answer.about });
        if let (Some((media_type, schema)), Some(fields)) = (answer.body, described.as_object_mut())
        {
            let content = json!({ media_type: { "schema": schema(generator) } });
            fields.insert("content".to_owned(), content);
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
fn path_parameters(path: &str, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    names
        .map(|name| {
            let schema = match name {
                "worker_id" => generator.subschema_for::<WorkerId>(),
                "run_id" => generator.subschema_for::<RunId>(),
                "action_id" => generator.subschema_for::<ActionId>(),
                "code" => generator.subschema_for::<Code>(),
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
