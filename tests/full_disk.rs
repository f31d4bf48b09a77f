//! A disk without room for new work: that is refused before it touches anything, and what ends or
//! frees something happens (I4, I6).

use serde_json::json;
use worker_runtime_core::{
    Code, EndOptions, EventType,
    run::{OutcomeKind, StopReason},
    store::BlockKind,
    worker::{CreateWorker, UpdateWorker},
};

use crate::support::{Host, action_id, assistant, input, queued, scripted, write};

#[tokio::test]
async fn new_work_is_refused_without_a_commit() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let first = host.send(worker_id, input("one")).await;
    let run = host.script.run().await;
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(block, "half a word").await.unwrap();
    host.faults.set_no_room(true);
    let commits = host.faults.commits();
    let (catalog, sink) = (host.runtime.catalog(), &run.sink);
    let interaction = host.runtime.interaction();
    let update = UpdateWorker {
        display_name: Some("ada".into()),
        ..UpdateWorker::default()
    };
    let codes = [
        catalog.create(assistant()).await.unwrap_err().code(),
        catalog.update(worker_id, update).await.unwrap_err().code(),
        interaction
            .send_input(worker_id, queued("two"))
            .await
            .unwrap_err()
            .code(),
        sink.event(EventType::TOOL_CALL, &json!({}))
            .await
            .unwrap_err()
            .code(),
        sink.status("mode", &1).await.unwrap_err().code(),
        sink.request_action(action_id("a"), vec![], None, json!({}))
            .await
            .unwrap_err()
            .code(),
    ];
    assert_eq!(codes, [Code::StorageFull; 6]);
    let again = host.send(worker_id, input("one")).await;
    assert_eq!((again.repeated, again.accepted), (true, first.accepted));
    assert_eq!(host.faults.commits(), commits, "nothing was written");
    // What is said already ends: its run could not end before it.
    sink.finish_block(block).await.unwrap();
    host.faults.set_no_room(false);
    sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn ends_happen_and_free_what_was_held() {
    let host = Host::open().await;
    let holding = || CreateWorker {
        scope: write("src"),
        ..scripted()
    };
    let worker_id = host.create(holding()).await;
    let ended = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    host.faults.set_no_room(true);
    let end = ended.sink.finish(StopReason::EndTurn, None);
    end.await.unwrap();
    let waits = host.view(worker_id).activity;
    assert_eq!((waits.queued, waits.run_id), (1, None), "it is not burnt");
    assert!(host.script.try_run().is_none());
    host.faults.set_no_room(false);
    let cancelled = host.script.run().await;
    host.faults.set_no_room(true);
    let interaction = host.runtime.interaction();
    interaction
        .cancel_run(worker_id, cancelled.request.run_id)
        .await
        .unwrap();
    let stop = StopReason::Cancelled;
    host.ends(worker_id, "two", OutcomeKind::Cancelled, stop)
        .await;
    let catalog = host.runtime.catalog();
    catalog
        .stop(worker_id, EndOptions::default())
        .await
        .unwrap();
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    catalog.archive(worker_id).await.unwrap();
    catalog.delete(worker_id, false).await.unwrap();
    let management = host.runtime.management();
    management.stop(None).await.unwrap();
    let error = management.start().await.unwrap_err();
    assert_eq!(error.code(), Code::StorageFull);
    assert_eq!(management.status().commits_unknown, 0);
    host.faults.set_no_room(false);
    management.start().await.unwrap();
    host.create(holding()).await;
    host.end().await;
}

#[tokio::test]
async fn an_opening_records_what_it_found() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    host.faults.set_no_room(true);
    let host = host.crash().await;
    drop(run);
    let stop = StopReason::RuntimeLost;
    host.ends(worker_id, "one", OutcomeKind::Interrupted, stop)
        .await;
    host.end().await;
}
