//! The Runtime itself: stop and start, status, lists of Workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio_stream::StreamExt;
use worker_runtime_core::record::Lifecycle;
use worker_runtime_core::{
    Clock, Code, EndOptions, EventType, ListOrder, ObserveOptions, Runtime, RuntimeOptions, Stream,
    SystemClock, Timestamp, WorkerFilter, WorkerId,
    cursor::From as Start,
    error::SinkError,
    run::{OutcomeKind, StopReason},
    view::Phase,
    worker::CreateWorker,
};

use worker_runtime_persist::{MemoryStore, StoreOptions};

use crate::support::{Host, Say, assistant, input, queued, scripted, within};

/// A clock that panics whoever looks at it on the writer's thread, once it is broken.
#[derive(Default)]
struct Breaks(SystemClock, AtomicBool);

impl Clock for Breaks {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        let is_writer = std::thread::current().name() == Some("worker-runtime-writer");
        assert!(
            !is_writer || !self.1.load(Ordering::Relaxed),
            "it is broken"
        );
        self.0.monotonic()
    }
}

#[tokio::test]
async fn a_runtime_whose_writer_died_is_closed_and_says_so() {
    let clock = Arc::new(Breaks::default());
    let options = RuntimeOptions {
        clock: clock.clone(),
        ..RuntimeOptions::default()
    };
    let store = MemoryStore::new(StoreOptions::memory()).unwrap();
    let runtime = Runtime::open(Box::new(store), options).await.unwrap();
    assert!(!runtime.is_closed());
    // It has answered: what breaks from here on breaks at the next command.
    runtime.management().start().await.unwrap();
    let observation = runtime.observation();
    let options = ObserveOptions::default();
    let stream = observation.observe(Stream::Runtime, Start::Now, options);
    let mut stream = stream.unwrap();
    clock.1.store(true, Ordering::Relaxed);
    let stop = runtime.management().stop(None).await;
    assert_eq!(stop.unwrap_err().code(), Code::OutcomeUnknown);
    within("that it is closed", runtime.closed()).await;
    assert!(runtime.is_closed() && !observation.runtime().live);
    within("the end of its streams", async {
        while stream.next().await.is_some() {}
    })
    .await;
    let start = runtime.management().start().await;
    assert_eq!(start.unwrap_err().code(), Code::RuntimeClosed);
}

#[tokio::test]
async fn a_stop_interrupts_what_runs_and_a_start_runs_what_waits_and_old_sinks_are_refused_and_counted()
 {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    let management = host.runtime.management();
    let first = management.stop(Some("maintenance".into())).await.unwrap();
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Interrupted,
        StopReason::RuntimeLost,
    )
    .await;
    let again = management.stop(None).await.unwrap();
    assert!(again >= first);
    let status = management.status();
    assert!(status.stopped && status.live);
    assert_eq!((status.busy, status.queued), (0, 1));
    assert_eq!(host.view(worker_id).activity.phase, Some(Phase::Queued));
    management.start().await.unwrap();
    let next = host.script.run().await;
    assert_eq!(next.input_id(), "two");
    let before = management.status().late_messages;
    let late = [
        run.sink
            .event(EventType::TOOL_CALL, &json!({}))
            .await
            .map(drop),
        run.sink
            .open_block(worker_runtime_core::store::BlockKind::Text, None)
            .map(drop),
        run.sink.finish(StopReason::EndTurn, None).await,
    ];
    for result in late {
        assert!(matches!(result, Err(SinkError::Stale { .. })), "{result:?}");
    }
    assert_eq!(management.status().late_messages, before + 3);
    assert_eq!(host.count(worker_id, EventType::TOOL_CALL), 0);
    next.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let types: Vec<String> = host
        .audit()
        .events
        .iter()
        .map(|event| event.kind.to_string())
        .collect();
    assert_eq!(
        types
            .iter()
            .filter(|kind| *kind == "runtime.stopped")
            .count(),
        1
    );
    assert_eq!(
        types
            .iter()
            .filter(|kind| *kind == "runtime.resumed")
            .count(),
        1
    );
    host.end().await;
}

#[tokio::test]
async fn a_drain_lets_what_runs_go_on_to_its_end() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    host.runtime.management().drain(None).await.unwrap();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Completed,
        StopReason::EndTurn,
    )
    .await;
    assert!(host.script.try_cancel().is_none() && host.script.try_run().is_none());
    host.runtime.management().start().await.unwrap();
    assert_eq!(host.script.run().await.input_id(), "two");
    host.end().await;
}

#[tokio::test]
async fn a_stop_while_a_start_is_under_way_leaves_no_run() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.start = Say::Ask);
    host.send(worker_id, input("one")).await;
    let (_, started) = host.script.start_asked().await;
    let management = host.runtime.management();
    management.stop(None).await.unwrap();
    started.unwrap().send(Ok(())).unwrap();
    let outcome = host.outcome(worker_id, "one").await;
    assert_eq!(outcome.kind, OutcomeKind::Interrupted);
    assert_eq!(management.status().busy, 0);
    host.end().await;
}

#[tokio::test]
async fn the_status_counts_what_there_is() {
    let host = Host::open().await;
    let stopped = host.create(assistant()).await;
    host.runtime
        .catalog()
        .stop(stopped, EndOptions::default())
        .await
        .unwrap();
    let worker_id = host.worker().await;
    host.start(worker_id, "one").await;
    let waits = host.worker().await;
    host.runtime.catalog().pause(waits).await.unwrap();
    host.send(waits, input("two")).await;
    let status = host.runtime.management().status();
    assert_eq!(
        status.workers,
        [(Lifecycle::Active, 2), (Lifecycle::Stopped, 1)].into()
    );
    assert_eq!(status.queued, 1);
    assert_eq!(status.runtime_id, host.observation().runtime_id());
    assert_eq!(status.cursor.position(), status.position);
    assert_eq!(host.runtime.management().backends()[0].0, "scripted");
    host.end().await;
}

#[tokio::test]
async fn a_list_is_filtered_sorted_and_paged_without_overlap() {
    let host = Host::open().await;
    let named = |name: &str, team: &str| CreateWorker {
        display_name: Some(name.to_owned()),
        labels: [("team".to_owned(), team.to_owned())].into(),
        ..scripted()
    };
    let mut ids: Vec<WorkerId> = Vec::new();
    for (name, team) in [
        ("dora", "a"),
        ("carl", "b"),
        ("bea", "a"),
        ("anna", "b"),
        ("anna", "a"),
    ] {
        ids.push(host.create(named(name, team)).await);
    }
    let run = host.start(ids[1], "one").await;
    let catalog = host.runtime.catalog();
    catalog.stop(ids[0], EndOptions::default()).await.unwrap();
    catalog.archive(ids[0]).await.unwrap();
    let list = |filter: &WorkerFilter| -> Vec<WorkerId> {
        let list = catalog.list(filter, ListOrder::Created, 0, 100);
        assert_eq!(list.total, list.workers.len());
        list.workers.iter().map(|view| view.worker_id).collect()
    };
    let any = WorkerFilter::default();
    assert_eq!(list(&any), ids[1..]);
    assert_eq!(
        list(&WorkerFilter {
            archived: true,
            ..any.clone()
        }),
        ids
    );
    let team = WorkerFilter {
        labels: [("team".into(), "a".into())].into(),
        ..any.clone()
    };
    assert_eq!(list(&team), [ids[2], ids[4]]);
    let name = WorkerFilter {
        name_contains: Some("nn".into()),
        ..any.clone()
    };
    assert_eq!(list(&name), [ids[3], ids[4]]);
    assert_eq!(
        list(&WorkerFilter {
            busy: Some(true),
            ..any.clone()
        }),
        [ids[1]]
    );
    let stopped = WorkerFilter {
        lifecycles: vec!["stopped".into()],
        archived: true,
        ..any.clone()
    };
    assert_eq!(list(&stopped), [ids[0]]);
    let mut pages = Vec::new();
    let mut offset = Some(0);
    while let Some(from) = offset {
        let page = catalog.list(&any, ListOrder::Name, from, 3);
        assert_eq!(page.total, 4);
        pages.extend(
            page.workers
                .iter()
                .map(|view| view.display_name.clone().unwrap()),
        );
        offset = page.next;
    }
    assert_eq!(pages, ["anna", "anna", "bea", "carl"]);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}
