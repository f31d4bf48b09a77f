//! Operations: who asked for which change, kept exactly when the change is (I3), bounded (I9), and damage
//! of one told (I7).

use worker_runtime_core::{
    Code, EndOptions, EventType, OperationId, Runtime, Timestamp, WorkerId,
    backend::Cancelled,
    error::NoOperation,
    operation::{OperationKind, OperationList, OperationOrder, OperationsRequest, Operator},
    run::StopReason,
    store::DamagedRecord,
    view::OperationView,
    worker::UpdateWorker,
};

use crate::{
    leases::{hosts, lease, named},
    support::{Fault, Host, HostOptions, Say, assistant, input, scripted, write},
};

fn ana() -> Operator {
    Operator::User {
        name: "ana".to_owned(),
        pid: 7,
    }
}

fn by_ana(host: &Host) -> Runtime {
    let reason = Some("at night".to_owned());
    host.runtime.operated_by(ana(), reason).unwrap()
}

fn listed(host: &Host, request: OperationsRequest) -> OperationList {
    host.observation().operations(&request)
}

fn all(host: &Host) -> Vec<OperationView> {
    let request = OperationsRequest {
        order: OperationOrder::Oldest,
        count_max: usize::MAX,
        ..OperationsRequest::default()
    };
    listed(host, request).operations
}

fn kinds(host: &Host) -> Vec<&'static str> {
    let all = all(host);
    all.iter().map(|one| one.kind.as_str()).collect()
}

fn renamed(name: &str) -> UpdateWorker {
    UpdateWorker {
        display_name: Some(name.to_owned()),
        labels: [("team".to_owned(), Some("secret".to_owned()))].into(),
        reason: None,
    }
}

/// Every change that there is, once, each asked for again where that changes nothing.
async fn change_all(host: &Host) -> WorkerId {
    let runtime = by_ana(host);
    let (catalog, allocations) = (runtime.catalog(), runtime.allocations());
    let worker_id = catalog.create(scripted()).await.unwrap().worker_id;
    catalog.update(worker_id, renamed("ada")).await.unwrap();
    for _ in 0..2 {
        catalog.pause(worker_id).await.unwrap();
    }
    catalog.resume(worker_id).await.unwrap();
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let run = host.start(worker_id, "one").await;
    let run_id = run.request.run_id;
    for _ in 0..2 {
        let interaction = runtime.interaction();
        interaction.cancel_run(worker_id, run_id).await.unwrap();
    }
    let (_, quiet) = host.script.cancel_asked().await;
    quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
    host.until(worker_id, EventType::RUN_FINISHED).await;
    let (scope, nothing) = (write("src"), Default::default());
    for _ in 0..2 {
        let changed = allocations.change(worker_id, &scope, &nothing, None);
        changed.await.unwrap();
    }
    allocations.reclaim(worker_id, None).await.unwrap();
    let own = Some("its own".to_owned());
    allocations.release(worker_id, own.clone()).await.unwrap();
    let held = allocations.acquire(lease("docs")).await.unwrap().lease;
    let by_force = allocations.release_lease_by_force(held.lease_id, "gone".to_owned());
    by_force.await.unwrap();
    let options = EndOptions {
        reason: own.clone(),
        assume_dead: false,
    };
    for _ in 0..2 {
        catalog.stop(worker_id, options.clone()).await.unwrap();
    }
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    catalog.archive(worker_id).await.unwrap();
    catalog.restore(worker_id).await.unwrap();
    catalog.cancel(worker_id, options).await.unwrap();
    catalog.delete(worker_id, true).await.unwrap();
    let management = runtime.management();
    management.stop(own.clone()).await.unwrap();
    management.start().await.unwrap();
    management.drain(None).await.unwrap();
    worker_id
}

const CHANGES: [&str; 18] = [
    "worker.create",
    "worker.update",
    "worker.pause",
    "worker.resume",
    "run.cancel",
    "scope.change",
    "scope.reclaim",
    "scope.release",
    "lease.acquire",
    "lease.release",
    "worker.stop",
    "worker.archive",
    "worker.restore",
    "worker.cancel",
    "worker.delete",
    "runtime.stop",
    "runtime.start",
    "runtime.drain",
];

#[tokio::test]
async fn each_change_leaves_one_record_of_who_what_and_why_over_a_restart_too() {
    for (host, _directory) in hosts().await {
        let worker_id = change_all(&host).await;
        let told = all(&host);
        assert_eq!(kinds(&host), CHANGES);
        let ids: Vec<u64> = told.iter().map(|one| one.operation_id.0).collect();
        assert_eq!(ids, (1..=18).collect::<Vec<_>>());
        for one in &told {
            assert_eq!(one.by, ana());
            let kind = one.kind.as_str();
            assert_eq!(
                one.worker_id.is_some(),
                !kind.starts_with("runtime.") && !kind.starts_with("lease.")
            );
            assert!(one.worker_id.is_none_or(|id| id == worker_id), "{one:?}");
            assert_eq!(one.lease_id.is_some(), kind.starts_with("lease."));
            assert_eq!(one.run_id.is_some(), kind == "run.cancel");
            let text = format!("{one:?}");
            assert!(
                !text.contains("nonexistent"),
                "a path of this machine: {text}"
            );
            assert!(!text.contains("secret"), "what a Worker is called: {text}");
        }
        let of = |kind: &str| told.iter().find(|one| one.kind.as_str() == kind).unwrap();
        let said = |kind| {
            let one = of(kind);
            let texts = [&one.reason, &one.before, &one.after];
            texts.map(|text| text.clone().unwrap_or_default())
        };
        assert_eq!(said("worker.create"), ["at night", "", "active"]);
        let update = said("worker.update");
        assert_eq!(update, ["at night", "", "name set, label team set"]);
        let pause = said("worker.pause");
        assert_eq!(pause, ["at night", "active", "active, paused"]);
        let cancel = said("run.cancel");
        assert_eq!(cancel, ["at night", "runs", "being cancelled"]);
        let change = said("scope.change");
        assert_eq!(change, ["at night", "nothing", "write repo:src/**"]);
        let release = said("scope.release");
        assert_eq!(release, ["its own", "write repo:src/**", "nothing"]);
        let granted = said("lease.acquire");
        assert_eq!(
            granted,
            ["to tidy up", "", "formatter holds write repo:docs/**"]
        );
        assert_eq!(said("lease.release"), ["gone", &granted[2], ""]);
        assert_eq!(said("worker.stop")[0], "its own");
        assert_eq!(said("worker.delete")[1..], ["cancelled", "deleted"]);
        assert_eq!(
            said("runtime.drain"),
            ["at night", "takes input", "stopped"]
        );
        let host = host.crash().await;
        assert_eq!(all(&host), told);
        by_ana(&host).management().start().await.unwrap();
        assert_eq!(all(&host).last().unwrap().operation_id, OperationId(19));
        host.end().await;
    }
}

#[tokio::test]
async fn what_is_refused_tried_or_in_the_usual_course_leaves_none() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let runtime = by_ana(&host);
    let (catalog, allocations) = (runtime.catalog(), runtime.allocations());
    catalog.archive(worker_id).await.unwrap_err();
    catalog.delete(worker_id, false).await.unwrap_err();
    catalog
        .pause(WorkerId::from_bytes([9; 16]))
        .await
        .unwrap_err();
    allocations.release(worker_id, None).await.unwrap_err();
    let unlikely = catalog.clone().only_if(|_| false);
    let changed = unlikely.pause(worker_id).await.unwrap_err();
    assert_eq!(changed.code(), Code::WorkerChanged);
    catalog.would_create(assistant()).await.unwrap();
    allocations.would_acquire(lease("src")).await.unwrap();
    runtime.management().start().await.unwrap();
    runtime.management().acknowledge_went_back().await.unwrap();
    let interaction = runtime.interaction();
    interaction
        .send_input(worker_id, input("one"))
        .await
        .unwrap();
    let run = host.script.run().await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    assert_eq!(kinds(&host), [""; 0]);
    // Nobody is named for it.
    host.runtime.catalog().pause(worker_id).await.unwrap();
    assert_eq!(kinds(&host), [""; 0]);
    let likely = catalog.only_if(|_| true);
    likely.resume(worker_id).await.unwrap();
    assert_eq!(kinds(&host), ["worker.resume"]);
    host.end().await;
}

#[tokio::test]
async fn a_record_is_there_exactly_when_its_change_is() {
    for (fault, is_made) in [
        (Fault::UnknownBefore, false),
        (Fault::UnknownAfter, true),
        (Fault::Full, false),
    ] {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let catalog = by_ana(&host).catalog();
        host.faults.fail_next([fault]);
        catalog.pause(worker_id).await.unwrap_err();
        let expected = match is_made {
            true => vec!["worker.pause"],
            false => Vec::new(),
        };
        // The next command is carried out by the state that was made anew.
        catalog.would_create(assistant()).await.unwrap();
        // What is shown is what is stored, before a restart and after it.
        assert_eq!(host.view(worker_id).paused, is_made, "{fault:?}");
        assert_eq!(kinds(&host), expected, "{fault:?}");
        let host = host.crash().await;
        assert_eq!(host.view(worker_id).paused, is_made, "{fault:?}");
        assert_eq!(kinds(&host), expected, "{fault:?}");
        let catalog = by_ana(&host).catalog();
        catalog
            .stop(worker_id, EndOptions::default())
            .await
            .unwrap();
        let ids: Vec<u64> = all(&host).iter().map(|one| one.operation_id.0).collect();
        assert_eq!(ids, (1..=expected.len() as u64 + 1).collect::<Vec<_>>());
        host.end().await;
    }
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many_or_too_many_bytes() {
    let kept_of = |count_max, bytes_max| async move {
        let host = Host::limited(|limits| {
            limits.operations_max = count_max;
            limits.operations_bytes_max = bytes_max;
        });
        let host = host.await;
        let worker_id = host.worker().await;
        let reason = Some("x".repeat(1_000));
        let runtime = host.runtime.operated_by(ana(), reason).unwrap();
        for _ in 0..10 {
            runtime.catalog().pause(worker_id).await.unwrap();
            runtime.catalog().resume(worker_id).await.unwrap();
        }
        let shown: Vec<u64> = all(&host).iter().map(|one| one.operation_id.0).collect();
        let stored = host.faults.loaded().operations;
        let stored: Vec<u64> = stored.iter().map(|one| one.operation_id.0).collect();
        assert_eq!(shown, stored);
        let gone = host.observation().operation(OperationId(1)).unwrap_err();
        assert!(matches!(gone, NoOperation::Gone { kept_from, .. } if kept_from.0 == shown[0]));
        assert_eq!(gone.code(), Code::OperationUnknown);
        let host = host.crash().await;
        by_ana(&host).catalog().pause(worker_id).await.unwrap();
        assert_eq!(all(&host).last().unwrap().operation_id, OperationId(21));
        host.end().await;
        shown
    };
    assert_eq!(kept_of(3, usize::MAX).await, [18, 19, 20]);
    assert_eq!(kept_of(usize::MAX, 3_600).await, [18, 19, 20]);
    assert_eq!(kept_of(usize::MAX, 1).await, [20], "the newest is kept");
}

#[tokio::test]
async fn pages_join_from_either_end_and_are_filtered() {
    let (host, clock) = Host::at_rest().await;
    let workers = [host.worker().await, host.worker().await];
    let catalog = by_ana(&host).catalog();
    for worker_id in [workers[0], workers[1], workers[0], workers[0], workers[1]] {
        clock.advance(std::time::Duration::from_secs(1));
        match host.view(worker_id).paused {
            true => drop(catalog.resume(worker_id).await.unwrap()),
            false => drop(catalog.pause(worker_id).await.unwrap()),
        }
    }
    let read = |order, worker_id, since| {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let request = OperationsRequest {
                worker_id,
                since,
                order,
                after,
                count_max: 2,
            };
            let page = listed(&host, request);
            assert!(page.operations.len() <= 2);
            ids.extend(page.operations.iter().map(|one| one.operation_id.0));
            match page.next {
                Some(next) => after = Some(next),
                None => return ids,
            }
        }
    };
    assert_eq!(read(OperationOrder::Oldest, None, None), [1, 2, 3, 4, 5]);
    assert_eq!(read(OperationOrder::Newest, None, None), [5, 4, 3, 2, 1]);
    let of = Some(workers[0]);
    assert_eq!(read(OperationOrder::Newest, of, None), [4, 3, 1]);
    let at = |id| host.observation().operation(OperationId(id)).unwrap().at;
    assert_eq!(read(OperationOrder::Oldest, None, Some(at(4))), [4, 5]);
    let later = Timestamp::from_unix_ms(at(5).unix_ms() + 1);
    assert_eq!(read(OperationOrder::Oldest, None, Some(later)), [0; 0]);
    host.end().await;
}

#[tokio::test]
async fn a_damaged_one_is_named_and_its_number_is_not_given_again() {
    let mut options = HostOptions::default();
    options.limits.operations_max = 3;
    let host = Host::with(options).await;
    let worker_id = host.worker().await;
    let catalog = by_ana(&host).catalog();
    catalog.pause(worker_id).await.unwrap();
    catalog.resume(worker_id).await.unwrap();
    host.faults.find(|loaded| {
        let lost = loaded.operations.pop().unwrap();
        let damaged = |operation_id| DamagedRecord {
            table: "operation",
            worker_id: None,
            lease_id: None,
            operation_id: Some(operation_id),
            seq: None,
            detail: "a bit was flipped".to_owned(),
        };
        // Also one whose key is what is damaged: nothing follows it.
        let far = OperationId(u64::MAX);
        loaded.damaged = vec![damaged(lost.operation_id), damaged(far)];
    });
    let host = host.crash().await;
    let error = host.observation().operation(OperationId(2)).unwrap_err();
    assert_eq!(error.code(), Code::RecordDamaged, "{error}");
    let list = listed(&host, OperationsRequest::default());
    assert_eq!(list.damaged, [OperationId(2), OperationId(u64::MAX)]);
    let told = host.observation().diagnostics();
    assert!(told.iter().any(|one| one.code == Code::RecordDamaged));
    let catalog = by_ana(&host).catalog();
    for _ in 0..2 {
        catalog.pause(worker_id).await.unwrap();
        catalog.resume(worker_id).await.unwrap();
    }
    let ids: Vec<u64> = all(&host).iter().map(|one| one.operation_id.0).collect();
    assert_eq!(ids, [4, 5, 6], "it goes with those of its age");
    let list = listed(&host, OperationsRequest::default());
    assert_eq!(list.damaged, [OperationId(u64::MAX)]);
    let gone = host.observation().operation(OperationId(2)).unwrap_err();
    assert_eq!(gone.code(), Code::OperationUnknown, "{gone}");
    host.end().await;
}

#[tokio::test]
async fn one_that_is_missing_between_others_is_told() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let catalog = by_ana(&host).catalog();
    for _ in 0..2 {
        catalog.pause(worker_id).await.unwrap();
        catalog.resume(worker_id).await.unwrap();
    }
    host.faults.find(|loaded| drop(loaded.operations.remove(1)));
    let host = host.crash().await;
    let list = listed(&host, OperationsRequest::default());
    assert_eq!(list.damaged, [OperationId(2)]);
    let error = host.observation().operation(OperationId(2)).unwrap_err();
    assert_eq!(error.code(), Code::RecordDamaged, "{error}");
    let never = host.observation().operation(OperationId(5)).unwrap_err();
    assert_eq!(never.code(), Code::OperationUnknown, "{never}");
    host.end().await;
}

#[tokio::test]
async fn an_operator_has_a_name_and_a_reason_of_bounded_length() {
    let host = Host::open().await;
    let program = |name: String| Operator::Program { name };
    for name in ["", "two\nlines", &"x".repeat(10_000)] {
        let refused = host.runtime.operated_by(program(name.to_owned()), None);
        assert_eq!(refused.err().unwrap().field, "by");
    }
    let reason = Some("x".repeat(100_000));
    let refused = host.runtime.operated_by(ana(), reason).err().unwrap();
    assert_eq!(refused.field, "reason");
    host.end().await;
}

#[tokio::test]
async fn what_was_made_by_the_same_request_before_is_not_made_again() {
    let host = Host::open().await;
    let allocations = by_ana(&host).allocations();
    for _ in 0..2 {
        allocations.acquire(named("src")).await.unwrap();
    }
    assert_eq!(kinds(&host), ["lease.acquire"]);
    let renew = worker_runtime_core::lease::RenewLease {
        fence: host.observation().lease(crate::leases::ID).unwrap().fence,
        ttl_ms: Some(90_000),
    };
    allocations.renew(crate::leases::ID, &renew).await.unwrap();
    assert_eq!(kinds(&host), ["lease.acquire"], "its holder goes on");
    host.end().await;
}

#[test]
fn kinds_are_sent_as_they_are_printed() {
    for kind in OperationKind::ALL {
        let sent = serde_json::to_value(kind).unwrap();
        assert_eq!(sent, kind.as_str());
    }
}
