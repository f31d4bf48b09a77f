//! Every route, under paths that look like its own and are not: none of them leads there.

use hyper::Method;

use crate::{
    host::Host,
    routes::{Listed, routes},
};

/// The paths that a route's path is turned into.
fn tricks(route: &Listed) -> Vec<String> {
    let path = route.path.as_str();
    let (parent, last) = path.rsplit_once('/').unwrap();
    let rest = &path[1..];
    let (first, after) = rest.split_once('/').unwrap_or((rest, ""));
    let mut tricks = vec![
        format!("{path}/"),
        format!("{path}//"),
        format!("/{path}"),
        format!("{parent}//{last}"),
        format!("/.{path}"),
        format!("{parent}/./{last}"),
        format!("{path}/."),
        format!("/x/..{path}"),
        format!("{path}/.."),
        format!("/%2e{path}"),
        format!("/x/%2e%2e{path}"),
        format!("{path}/%2e%2e"),
        format!("{path}%2f"),
        format!("{parent}%2f{last}"),
        format!("/{first}%2f{after}"),
        format!("/%2f{rest}"),
        format!("/%{:02x}{}", path.as_bytes()[1], &path[2..]),
        format!("{path};x=1"),
        format!("{path}%00"),
        format!("{path}%ff"),
        format!("{path}%20"),
        format!("{path}/{}", "x".repeat(4_000)),
        path.to_uppercase(),
    ];
    // An id is the same in capitals.
    let is_id = |name: &str| route.template.ends_with(name);
    if !is_id("{worker_id}") && !is_id("{lease_id}") {
        tricks.push(format!("{parent}/{}", last.to_uppercase()));
    }
    tricks.retain(|trick| trick != path && trick.starts_with('/'));
    tricks.sort();
    tricks.dedup();
    tricks
}

/// What the list says of a path: the first route of this method whose template it fits, segment by
/// segment, or else whether there is one of another method.
fn leads_to<'a>(
    routes: &'a [Listed],
    method: &Method,
    path: &str,
) -> Result<&'a Listed, (u16, &'static str)> {
    let fits = |route: &&Listed| {
        let (mut template, mut path) = (route.template.split('/'), path.split('/'));
        loop {
            match (template.next(), path.next()) {
                (None, None) => return true,
                (Some(name), Some(value)) if name.starts_with('{') && !value.is_empty() => {}
                (Some(name), Some(value)) if name == value => {}
                _ => return false,
            }
        }
    };
    let fitting: Vec<&Listed> = routes.iter().filter(fits).collect();
    match fitting.iter().find(|route| route.method == *method) {
        Some(route) => Ok(route),
        None if fitting.is_empty() => Err((404, "WR-ROUTE-UNKNOWN")),
        None => Err((405, "WR-METHOD-REFUSED")),
    }
}

/// What a route says to an id that is none, at the end of its path.
fn refusal_of_id(route: &Listed, trick: &str) -> (u16, &'static str) {
    match route.template.rsplit('/').next().unwrap() {
        "{worker_id}" | "{lease_id}" | "{operation_id}" => (400, "WR-FIELD-INVALID"),
        "{code}" if trick.ends_with("%ff") => (400, "WR-FIELD-INVALID"),
        "{code}" => (404, "WR-ROUTE-UNKNOWN"),
        // It is no text at all.
        "{token_id}" if trick.ends_with("%ff") => (400, "WR-FIELD-INVALID"),
        "{token_id}" => (404, "WR-TOKEN-UNKNOWN"),
        "{action_id}" if trick.ends_with("%ff") || trick.ends_with("%00") => {
            (400, "WR-FIELD-INVALID")
        }
        // An action may be called anything; then its answer is missing.
        "{action_id}" => (415, "WR-MEDIA-TYPE"),
        other => panic!("{other} is the end of a path that {trick} fits"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_answers_under_a_path_that_is_not_its_own() {
    let host = Host::start().await;
    let before = host.get("/v1/runtime").await.json()["position"].clone();
    let routes = routes();
    for route in &routes {
        for trick in tricks(route) {
            let (status, code) = match leads_to(&routes, &route.method, &trick) {
                Err(refused) => refused,
                Ok(route) => refusal_of_id(route, &trick),
            };
            let ask = host.ask(route.method.clone(), &trick).token(&host.admin);
            let reply = ask.send().await;
            let told = format!("{} {trick}: {}", route.method, reply.text());
            assert_eq!(reply.status.as_u16(), status, "{told}");
            reply.refused(status, code);
        }
        let long = format!("{}/{}", route.path, "x".repeat(9_000));
        let ask = host.ask(route.method.clone(), &long).token(&host.admin);
        ask.send().await.refused(414, "WR-HEAD-TOO-LARGE");
    }
    let after = host.get("/v1/runtime").await.json()["position"].clone();
    assert_eq!(before, after, "nothing was changed");
}
