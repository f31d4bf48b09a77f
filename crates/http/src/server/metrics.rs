//! What the server counts, for whoever watches it: base units, and no id in a label (I11), so that the
//! number of series is that of the routes.
//!
//! What the Runtime knows of itself is asked for when somebody reads the metrics, and kept nowhere else.

use std::{fmt, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, MetricEncoder,
        text::encode,
    },
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};
use worker_runtime_core::Runtime;

/// Of the answer of [`Metrics::text`].
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper ends of the histogram's buckets, in seconds: from a read in memory to the longest long-poll.
const BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 20.0, 60.0,
];
/// What stands for a path that no route has, and for its method.
const OTHER: &str = "other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    /// `2xx` and the like.
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// How a stream is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are those of the label")]
pub(super) enum Transport {
    sse,
    websocket,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    transport: Transport,
}

/// What is counted.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    connections: Gauge,
    waiting: Gauge,
    streams: Family<StreamLabels, Gauge>,
}

/// One more, for as long as it is held.
pub(super) struct Counted(Gauge);

impl Counted {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(super) fn new(runtime: Runtime) -> Self {
        let mut registry = Registry::with_prefix("worker_runtime");
        let requests = Family::default();
        let durations = Family::new_with_constructor(buckets as fn() -> Histogram);
        let (connections, waiting) = (Gauge::default(), Gauge::default());
        let build = Info::new(BuildLabels {
            version: env!("CARGO_PKG_VERSION"),
        });
        registry.register("build", "The version that runs", build);
        registry.register(
            "http_requests",
            "Requests answered, by route, method and class of status",
            requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's headers to its answer; of a long-poll, with its wait",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register("http_connections", "Connections now", connections.clone());
        registry.register(
            "http_long_polls_waiting",
            "Long-polls that wait now",
            waiting.clone(),
        );
        let streams = Family::<StreamLabels, Gauge>::default();
        registry.register(
            "http_streams",
            "Streams of events that are open now, by transport",
            streams.clone(),
        );
        registry.register_collector(Box::new(OfRuntime(runtime)));
        Self {
            registry,
            requests,
            durations,
            connections,
            waiting,
            streams,
        }
    }

    /// Counts a request that was answered. `matched` is the route's template and the method, when there
    /// is such a route: what else a client may send would make series without end.
    pub(super) fn answered(&self, matched: Option<(&str, &str)>, status: u16, took: Duration) {
        let (route, method) = matched.unwrap_or((OTHER, OTHER));
        let (route, method) = (route.to_owned(), method.to_owned());
        let labels = RouteLabels {
            route: route.clone(),
            method: method.clone(),
        };
        let durations = self.durations.get_or_create(&labels);
        durations.observe(took.as_secs_f64());
        let labels = RequestLabels {
            route,
            method,
            status: class_of(status),
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// A connection, for as long as the answer is held.
    pub(super) fn connection(&self) -> Counted {
        Counted::of(&self.connections)
    }

    /// A long-poll that waits, for as long as the answer is held.
    pub(super) fn waiting(&self) -> Counted {
        Counted::of(&self.waiting)
    }

    /// A stream that is open, for as long as the answer is held.
    pub(super) fn stream(&self, transport: Transport) -> Counted {
        Counted::of(&self.streams.get_or_create(&StreamLabels { transport }))
    }

    /// All of it, as text.
    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn buckets() -> Histogram {
    Histogram::new(BUCKETS)
}

const fn class_of(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// What the Runtime says of itself at this moment.
struct OfRuntime(Runtime);

impl fmt::Debug for OfRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfRuntime").finish_non_exhaustive()
    }
}

impl Collector for OfRuntime {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = self.0.management().status();
        let mut of_workers = encoder.encode_descriptor(
            "workers",
            "Workers, by lifecycle",
            None,
            MetricType::Gauge,
        )?;
        for (lifecycle, count) in &status.workers {
            let labels = [("lifecycle", lifecycle.as_str())];
            gauge(*count).encode(of_workers.encode_family(&labels)?)?;
        }
        let gauges = [
            (
                "live",
                "1 while the Runtime takes commands",
                usize::from(status.live),
            ),
            (
                "workers_busy",
                "Workers whose run has a live owner",
                status.busy,
            ),
            ("inputs_queued", "Inputs that wait", status.queued),
            (
                "allocations",
                "Scopes that Workers hold",
                status.allocations,
            ),
            (
                "leases",
                "Scopes that others than Workers hold",
                status.leases,
            ),
            (
                "workers_unproven",
                "Workers whose processes can not be shown to be dead",
                status.unproven,
            ),
            (
                "records_damaged",
                "Records that are damaged",
                status.damaged.len(),
            ),
        ];
        for (name, help, value) in gauges {
            gauge(value).encode(described(&mut encoder, name, help, MetricType::Gauge)?)?;
        }
        let counters = [
            (
                "events",
                "Events there were: the newest position",
                status.position.0,
            ),
            (
                "messages_late",
                "Messages of runs that were over, dropped",
                status.late_messages,
            ),
            (
                "commits_unknown",
                "Commits that failed with an unknown outcome, since the opening",
                status.commits_unknown,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(described(&mut encoder, name, help, MetricType::Counter)?)?;
        }
        Ok(())
    }
}

fn gauge(count: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
}

fn described<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &'a str,
    kind: MetricType,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}
