//! Changes that are made only if a Worker is as it has to be: the writer looks at what the change is made
//! to, also where nobody else can see that yet.

use serde_json::json;
use worker_runtime_core::{
    Catalog, Code, WorkerId,
    error::LifecycleError,
    run::StopReason,
    view::{LifecycleReceipt, WorkerView},
    worker::UpdateWorker,
};

use crate::support::{Fault, Host, action_id, input, poll_once};

/// Whether a Worker is as it was seen, wherever its stream is.
fn as_seen(seen: WorkerView) -> impl Fn(&WorkerView) -> bool + Send + Sync + 'static {
    move |now| {
        let now = WorkerView {
            cursor: seen.cursor,
            ..now.clone()
        };
        now == seen
    }
}

async fn rename(
    catalog: &Catalog,
    worker_id: WorkerId,
    name: &str,
) -> Result<LifecycleReceipt, LifecycleError> {
    let update = UpdateWorker {
        display_name: Some(name.to_owned()),
        ..UpdateWorker::default()
    };
    catalog.update(worker_id, update).await
}

/// Has one commit hold a change and, after it, the same under a condition that held before it.
async fn in_one_batch(
    host: &Host,
    worker_id: WorkerId,
    fault: Fault,
) -> [Result<LifecycleReceipt, LifecycleError>; 2] {
    let catalog = host.runtime.catalog();
    host.faults.hold();
    let mut poked = Box::pin(rename(&catalog, worker_id, "poked"));
    assert!(poll_once(poked.as_mut()).await);
    host.faults.until_held().await;
    host.faults.fail_next([Fault::Passes, fault]);
    // As the commit that is held will leave it: what is published is older.
    let seen = WorkerView {
        display_name: Some("poked".to_owned()),
        display_ref: format!("poked@{}", host.view(worker_id).runtime_id),
        revision: host.view(worker_id).revision.next(),
        ..host.view(worker_id)
    };
    let under_condition = catalog.clone().only_if(as_seen(seen));
    let mut first = Box::pin(rename(&under_condition, worker_id, "first"));
    let mut second = Box::pin(rename(&under_condition, worker_id, "second"));
    assert!(poll_once(first.as_mut()).await && poll_once(second.as_mut()).await);
    host.faults.release();
    poked.await.unwrap();
    [first.await, second.await]
}

#[tokio::test]
async fn of_two_in_one_batch_under_the_same_condition_the_first_is_made() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let [first, second] = in_one_batch(&host, worker_id, Fault::Passes).await;
    first.unwrap();
    assert_eq!(second.unwrap_err().code(), Code::WorkerChanged);
    let name = host.view(worker_id).display_name;
    assert_eq!(name.as_deref(), Some("first"));
    host.end().await;
}

#[tokio::test]
async fn nobody_is_told_of_a_change_in_a_batch_whose_outcome_is_unknown() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    for result in in_one_batch(&host, worker_id, Fault::UnknownBefore).await {
        assert_eq!(result.unwrap_err().code(), Code::OutcomeUnknown);
    }
    let name = host.view(worker_id).display_name;
    assert_eq!(name.as_deref(), Some("poked"));
    host.end().await;
}

#[tokio::test]
async fn what_a_run_does_counts_although_it_leaves_the_record_as_it_is() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let seen = host.view(worker_id);
    let asked = run
        .sink
        .request_action(action_id("a"), vec!["allow".to_owned()], None, json!({}));
    asked.await.unwrap();
    assert_eq!(host.view(worker_id).revision, seen.revision);
    let catalog = host.runtime.catalog().only_if(as_seen(seen.clone()));
    let refused = catalog.pause(worker_id).await.unwrap_err();
    assert_eq!(refused.code(), Code::WorkerChanged);
    assert!(!host.view(worker_id).paused);
    let interaction = host.runtime.interaction().only_if(as_seen(seen));
    let refused = interaction.cancel_run(worker_id, run.request.run_id);
    assert_eq!(refused.await.unwrap_err().code(), Code::WorkerChanged);
    // It was accepted before, and gets its receipt.
    let again = interaction.send_input(worker_id, input("one")).await;
    assert!(again.unwrap().repeated);
    let now = as_seen(host.view(worker_id));
    let catalog = host.runtime.catalog().only_if(now);
    catalog.pause(worker_id).await.unwrap();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}
