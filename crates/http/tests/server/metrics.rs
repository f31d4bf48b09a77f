//! What the server counts.

use hyper::{Method, StatusCode};

use crate::host::{DEADLINE, Host};

/// The value of a series.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| {
        let rest = line.strip_prefix(series)?;
        rest.strip_prefix(' ')
    })?;
    Some(line.parse().unwrap())
}

async fn metrics(host: &Host) -> String {
    let answer = host
        .ask(Method::GET, "/metrics")
        .token(&host.observe)
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    answer.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_no_id_or_path_of_a_client_becomes_a_label() {
    let host = Host::start().await;
    let worker_id = host.worker().await;
    let path = format!("/v1/workers/{worker_id}");
    for _ in 0..3 {
        host.get(&path).await;
    }
    host.ask(Method::GET, &path).token("wrong").send().await;
    host.get("/v1/made-up-by-a-client").await;
    host.ask(Method::from_bytes(b"INVENTED").unwrap(), &path)
        .send()
        .await;
    let text = metrics(&host).await;
    let of = |method: &str, route: &str, status: &str| {
        let series = format!(
            "worker_runtime_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}"
        );
        value(&text, &series)
    };
    assert_eq!(
        of("GET", "/v1/workers/{worker_id}", "2xx"),
        Some(3.0),
        "{text}"
    );
    assert_eq!(
        of("GET", "/v1/workers/{worker_id}", "4xx"),
        Some(1.0),
        "{text}"
    );
    assert_eq!(of("other", "other", "4xx"), Some(2.0), "{text}");
    for foreign in [worker_id.as_str(), "made-up", "INVENTED", &host.observe] {
        assert!(!text.contains(foreign), "{foreign} is in {text}");
    }
    let seconds = "worker_runtime_http_request_duration_seconds_count";
    let series = format!("{seconds}{{route=\"/v1/workers/{{worker_id}}\",method=\"GET\"}}");
    assert_eq!(value(&text, &series), Some(4.0), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runtime_tells_what_it_is_at_that_moment() {
    let host = Host::start().await;
    let before = metrics(&host).await;
    let active = "worker_runtime_workers{lifecycle=\"active\"}";
    assert_eq!(value(&before, active).unwrap_or_default(), 0.0);
    host.worker().await;
    let text = metrics(&host).await;
    assert_eq!(value(&text, active), Some(1.0), "{text}");
    assert_eq!(value(&text, "worker_runtime_live"), Some(1.0), "{text}");
    // Leases are counted by themselves: who watches one of the two is told of the other apart.
    let leases = "worker_runtime_leases";
    assert_eq!(value(&text, leases), Some(0.0), "{text}");
    let lease = serde_json::json!({
        "holder": "formatter",
        "scope": { "allow": [{ "mount": "repo", "path": "src", "permission": "write" }] },
        "ttl_ms": 60_000,
    });
    let held = host.post("/v1/leases", lease).await;
    assert_eq!(held.status.as_u16(), 201, "{}", held.text());
    let text = metrics(&host).await;
    assert_eq!(value(&text, leases), Some(1.0), "{text}");
    let allocations = value(&text, "worker_runtime_allocations");
    assert_eq!(allocations, Some(0.0), "{text}");
    let position = host.runtime.management().status().position.0;
    assert_eq!(
        value(&text, "worker_runtime_events_total"),
        Some(position as f64),
        "{text}"
    );
    assert!(
        value(&text, "worker_runtime_http_connections").unwrap() >= 1.0,
        "{text}"
    );
    assert!(
        text.contains("worker_runtime_build_info{version=\""),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_is_counted_for_as_long_as_it_waits() {
    let host = Host::start().await;
    let waiting = "worker_runtime_http_long_polls_waiting";
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let poll = host.get("/v1/events?from=now&wait=60");
    let look = async {
        while value(&metrics(&host).await, waiting) != Some(1.0) {
            assert!(tokio::time::Instant::now() < deadline, "it is not counted");
        }
        // News end the wait.
        host.worker().await;
    };
    let (page, ()) = tokio::join!(poll, look);
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(value(&metrics(&host).await, waiting), Some(0.0));
}
