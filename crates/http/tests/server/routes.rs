//! The list of routes, as the suites walk it: from the very table of the docs and the document, so that no
//! route can be forgotten.

use hyper::Method;
use serde_json::Value;
use worker_runtime_http::{
    server::{openapi, route_table},
    wire::AccessScope,
};

/// A route with ids of nobody in its path.
pub(crate) struct Listed {
    pub(crate) method: Method,
    /// As in the list.
    pub(crate) template: String,
    /// With its ids filled in.
    pub(crate) path: String,
    /// The scope that it needs; `None`: anybody may ask.
    pub(crate) needs: Option<AccessScope>,
    pub(crate) takes_body: bool,
    pub(crate) takes_query: bool,
    /// Lower case.
    pub(crate) headers: Vec<String>,
}

impl Listed {
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// What it answers to whoever may ask it, with the body `{` and no media type.
    pub(crate) fn answer_to_brace(&self) -> (u16, &'static str) {
        match (self.needs, self.takes_body) {
            // It is not looked at.
            (None, _) => (200, ""),
            (Some(_), true) => (415, "WR-MEDIA-TYPE"),
            (Some(_), false) => (400, "WR-BODY-INVALID"),
        }
    }
}

/// Every route.
pub(crate) fn routes() -> Vec<Listed> {
    let (table, document) = (route_table(), openapi());
    let rows = table.lines().skip(2).map(|row| listed(row, &document));
    let routes: Vec<_> = rows.collect();
    assert!(routes.len() > 25, "{table}");
    routes
}

fn listed(row: &str, document: &Value) -> Listed {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let template = cells[2].trim_matches('`');
    let path = template
        .replace("{worker_id}", "019c0000-0000-7000-8000-000000000001")
        .replace("{lease_id}", "019c0000-0000-7000-8000-000000000003")
        .replace("{run_id}", "019c0000-0000-7000-8000-000000000002")
        .replace("{action_id}", "which")
        .replace("{token_id}", "none")
        .replace("{operation_id}", "7")
        .replace("{code}", "WR-BUG");
    assert!(
        !path.contains('{'),
        "{template} has an id that these suites do not know"
    );
    let needs = match cells[3] {
        "-" => None,
        "observe" => Some(AccessScope::Observe),
        "operate" => Some(AccessScope::Operate),
        "admin" => Some(AccessScope::Admin),
        other => panic!("{other}"),
    };
    let operation = &document["paths"][template][cells[1].to_ascii_lowercase()];
    let parameters = |place: &str| -> Vec<String> {
        let all = operation["parameters"].as_array().unwrap().iter();
        all.filter(|parameter| parameter["in"] == place)
            .map(|parameter| parameter["name"].as_str().unwrap().to_ascii_lowercase())
            .collect()
    };
    Listed {
        method: cells[1].parse().unwrap(),
        template: template.to_owned(),
        path,
        needs,
        takes_body: operation["requestBody"].is_object(),
        takes_query: !parameters("query").is_empty(),
        headers: parameters("header"),
    }
}
