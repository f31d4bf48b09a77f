//! What a Worker holds, taken from it while something runs with it: only by force, for a reason, told to
//! whoever reads, and free once all is quiet (I6). A crash in the middle leaves nothing half done.

use worker_runtime_core::{
    Code, EndOptions, EventType, Permission, RunId, Scope, ScopeRule, WorkerId,
    backend::{BackendError, BackendErrorKind, Cancelled, Proof},
    error::AllocationError,
    record::{Lifecycle, ProcessLife, ProcessRecord},
    run::{OutcomeKind, StopReason},
    worker::CreateWorker,
};

use crate::support::{Host, Say, assistant, queued, scripted, write};

fn holder() -> CreateWorker {
    CreateWorker {
        scope: write("src"),
        ..scripted()
    }
}

fn rival() -> CreateWorker {
    CreateWorker {
        scope: write("src/a"),
        ..assistant()
    }
}

/// Whether somebody else may have it.
async fn is_free(host: &Host) -> bool {
    let nothing = Scope::default();
    let allocations = host.runtime.allocations();
    match allocations.check(&write("src/a"), &nothing, None) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.code(), Code::ScopeConflict, "{error}");
            false
        }
    }
}

/// Why it can't be taken gently, and with which run.
async fn in_use(host: &Host, worker_id: WorkerId) -> Option<RunId> {
    match host.runtime.allocations().release(worker_id, None).await {
        Err(AllocationError::InUse {
            worker_id: named,
            run_id,
        }) => {
            assert_eq!(named, worker_id);
            run_id
        }
        other => panic!("{other:?}"),
    }
}

async fn take(host: &Host, worker_id: WorkerId) -> Vec<WorkerId> {
    let allocations = host.runtime.allocations();
    let reason = "it is needed".to_owned();
    let taken = allocations.release_by_force(worker_id, reason).await;
    taken.unwrap().waits_for
}

#[tokio::test]
async fn it_is_free_when_the_run_is_quiet_and_what_waits_stays_waiting() {
    let host = Host::open().await;
    let worker_id = host.create(holder()).await;
    let allocations = host.runtime.allocations();
    host.script.plan(|plan| {
        plan.cancel = Say::Ask;
        plan.stop = Say::Ask;
    });
    let run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    assert_eq!(in_use(&host, worker_id).await, Some(run.request.run_id));
    for reason in ["", " \n"] {
        let error = allocations.release_by_force(worker_id, reason.to_owned());
        assert_eq!(error.await.unwrap_err().code(), Code::FieldInvalid);
    }
    assert_eq!(take(&host, worker_id).await, [worker_id]);
    let told = host.until(worker_id, EventType::ALLOCATION_RELEASING).await;
    assert_eq!(told["reason"], "it is needed");
    assert_eq!(told["run_id"], run.request.run_id.to_string());
    let view = host.view(worker_id);
    let asked = view.releasing.unwrap();
    assert_eq!(asked.reason.as_deref(), Some("it is needed"));
    assert!(view.paused && view.ending.is_none() && view.fence.is_some());
    assert!(!is_free(&host).await, "its run is not quiet");
    let (docs, nothing) = (write("docs"), Scope::default());
    let error = allocations.change(worker_id, &docs, &nothing, None);
    assert_eq!(error.await.unwrap_err().code(), Code::WorkerNotActive);

    let (_, quiet) = host.script.cancel_asked().await;
    quiet.unwrap().send(Ok(Cancelled::Escalated)).unwrap();
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Cancelled,
        StopReason::Cancelled,
    )
    .await;
    assert!(!is_free(&host).await, "its backend is not quiet");
    let (_, quiet) = host.script.stop_asked().await;
    quiet.unwrap().send(Ok(())).unwrap();
    let told = host.until(worker_id, EventType::ALLOCATION_RELEASED).await;
    assert_eq!(told["reason"], "it is needed");
    assert!(is_free(&host).await);
    let view = host.view(worker_id);
    assert_eq!(
        (view.lifecycle, view.paused, view.activity.queued),
        (Lifecycle::Active, true, 1)
    );
    assert!(view.releasing.is_none() && view.fence.is_none());
    // It is another one's now, and the Worker goes on without it when it is let.
    host.create(rival()).await;
    host.runtime.catalog().resume(worker_id).await.unwrap();
    let second = host.script.run().await;
    assert_eq!((second.input_id(), second.request.fence), ("two", None));
    second.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.script.plan(|plan| plan.stop = Say::AtOnce(Ok(())));
    host.end().await;
}

#[tokio::test]
async fn a_crash_in_the_middle_leaves_nothing_half_done() {
    let host = Host::open().await;
    let worker_id = host.create(holder()).await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let _run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    assert_eq!(take(&host, worker_id).await, [worker_id]);
    let host = host.crash().await;
    // The opening has shown its processes to be dead.
    assert!(is_free(&host).await);
    let view = host.view(worker_id);
    assert_eq!((view.paused, view.activity.queued), (true, 1));
    assert!(view.releasing.is_none());
    let told = host.until(worker_id, EventType::ALLOCATION_RELEASED).await;
    assert_eq!(told["reason"], "it is needed");
    assert!(host.script.try_run().is_none(), "what waits stays waiting");
    host.end().await;
}

#[tokio::test]
async fn what_runs_nothing_gives_it_up_at_once() {
    let host = Host::open().await;
    let worker_id = host.create(holder()).await;
    assert_eq!(take(&host, worker_id).await, []);
    assert!(is_free(&host).await && host.view(worker_id).paused);
    let again = host.runtime.allocations();
    let again = again.release_by_force(worker_id, "again".to_owned()).await;
    assert_eq!(again.unwrap_err().code(), Code::ScopeNotHeld);
    // It is given up for good.
    let catalog = host.runtime.catalog();
    catalog
        .stop(worker_id, EndOptions::default())
        .await
        .unwrap();
    catalog.restore(worker_id).await.unwrap();
    assert!(is_free(&host).await);
    host.end().await;
}

#[tokio::test]
async fn asked_for_again_it_is_the_same_and_an_end_takes_its_place() {
    let host = Host::open().await;
    let worker_id = host.create(holder()).await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let _run = host.start(worker_id, "one").await;
    take(&host, worker_id).await;
    let before = host.observation().runtime().position;
    assert_eq!(take(&host, worker_id).await, [worker_id]);
    assert_eq!(host.observation().runtime().position, before);
    let catalog = host.runtime.catalog();
    // To restore what has not ended is nothing.
    assert!(catalog.restore(worker_id).await.unwrap().repeated);
    let stopped = catalog.stop(worker_id, EndOptions::default()).await;
    let stopped = stopped.unwrap();
    assert!(stopped.ending && !stopped.repeated);
    assert!(host.view(worker_id).releasing.is_none());
    assert!(!is_free(&host).await);
    let (_, quiet) = host.script.cancel_asked().await;
    quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    assert!(is_free(&host).await);
    host.end().await;
}

#[tokio::test]
async fn whoever_resumes_it_meanwhile_has_it_run_without_a_scope_and_not_before_it_is_free() {
    let host = Host::open().await;
    let worker_id = host.create(holder()).await;
    host.script.plan(|plan| plan.stop = Say::Ask);
    let _run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    take(&host, worker_id).await;
    host.runtime.catalog().resume(worker_id).await.unwrap();
    let (_, quiet) = host.script.stop_asked().await;
    assert!(host.script.try_run().is_none() && !is_free(&host).await);
    quiet.unwrap().send(Ok(())).unwrap();
    let second = host.script.run().await;
    assert_eq!((second.input_id(), second.request.fence), ("two", None));
    assert!(is_free(&host).await);
    second.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.script.plan(|plan| plan.stop = Say::AtOnce(Ok(())));
    host.end().await;
}

#[tokio::test]
async fn a_reclaim_by_force_asks_all_of_one_layer_at_once() {
    let host = Host::open().await;
    let delegating = CreateWorker {
        delegation: write("src"),
        ..assistant()
    };
    let parent = host.create(delegating).await;
    let below = |scope: Scope, request: CreateWorker| {
        let mut request = CreateWorker { scope, ..request };
        request.spec.parent = Some(parent);
        request
    };
    let busy = host.create(below(write("src/a"), scripted())).await;
    let idle = host.create(below(write("src/b"), assistant())).await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let _run = host.start(busy, "one").await;
    let allocations = host.runtime.allocations();
    let error = allocations.reclaim(parent, None).await.unwrap_err();
    assert_eq!(error.code(), Code::ScopeInUse, "{error}");
    let taken = allocations.reclaim_by_force(parent, "all of it".to_owned());
    assert_eq!(taken.await.unwrap().waits_for, [busy]);
    let told = host.until(parent, EventType::ALLOCATION_RECLAIMED).await;
    assert_eq!(told["waits_for"], serde_json::json!([busy]));
    assert!(host.observation().allocation(idle).is_none());
    let held = host.observation().allocation(busy).unwrap();
    assert_eq!(held.scope.allow[0], rule("src/a"));
    assert!(held.releasing.is_some());
    let (_, quiet) = host.script.cancel_asked().await;
    quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
    host.until(busy, EventType::ALLOCATION_RELEASED).await;
    let view = host.observation().allocation(parent).unwrap();
    assert_eq!(view.lent_to, []);
    host.end().await;
}

/// Who was asked to end and ran nothing any more was taken for quiet: what it held was free while its
/// backend was still being stopped, or could not be shown to have ended.
#[tokio::test]
async fn a_reclaim_takes_nothing_from_one_that_is_about_to_end_and_is_not_quiet() {
    let host = Host::open().await;
    let delegating = CreateWorker {
        delegation: write("src"),
        ..assistant()
    };
    let parent = host.create(delegating).await;
    let mut below = holder();
    below.spec.parent = Some(parent);
    let child = host.create(below).await;
    host.script.plan(|plan| plan.stop = Say::Ask);
    let run = host.start(child, "one").await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let catalog = host.runtime.catalog();
    catalog.stop(child, EndOptions::default()).await.unwrap();
    let (_, quiet) = host.script.stop_asked().await;
    let reclaim = async || {
        let allocations = host.runtime.allocations();
        allocations.reclaim(parent, None).await.unwrap_err().code()
    };
    assert_eq!(reclaim().await, Code::ScopeInUse);
    let lives = BackendError::new(BackendErrorKind::Broken, "pid 4711 does not answer");
    quiet.unwrap().send(Err(lives)).unwrap();
    host.until(child, EventType::DIAGNOSTIC).await;
    assert_eq!(reclaim().await, Code::ScopeInUse);
    assert!(host.observation().allocation(child).is_some());
    let dead = EndOptions {
        assume_dead: true,
        ..EndOptions::default()
    };
    catalog.stop(child, dead).await.unwrap();
    assert!(host.observation().allocation(child).is_none());
    host.end().await;
}

#[tokio::test]
async fn what_can_not_be_shown_to_be_dead_keeps_it_until_it_can() {
    let host = Host::open().await;
    let worker_id = host.create(holder()).await;
    let run = host.start(worker_id, "one").await;
    let process = ProcessRecord {
        life: ProcessLife::Run,
        label: "pid 4711".to_owned(),
        identity: Vec::new(),
    };
    run.sink.process_started(process).await.unwrap();
    let unproven = Say::AtOnce(Proof::Unproven {
        reason: "it is gone, and nobody saw it end".to_owned(),
    });
    let host = host
        .crash_and(|script| script.plan(|plan| plan.proof = unproven))
        .await;
    let error = host.runtime.allocations().release(worker_id, None).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::ScopeInUse, "{error}");
    assert!(!error.to_string().contains("4711"), "{error}");
    assert_eq!(take(&host, worker_id).await, [worker_id]);
    assert!(!is_free(&host).await && host.view(worker_id).unproven);
    let dead = Say::AtOnce(Proof::Dead);
    let host = host
        .crash_and(|script| script.plan(|plan| plan.proof = dead))
        .await;
    assert!(is_free(&host).await);
    assert!(host.view(worker_id).releasing.is_none());
    host.end().await;
}

/// A long-lived command that was killed between two runs kept its Worker's scope in use until the next
/// one, which found it dead: nobody could say so without a run.
#[tokio::test]
async fn a_process_that_died_between_runs_is_in_nobodys_way() {
    let host = Host::open().await;
    let worker_id = host.create(holder()).await;
    let run = host.start(worker_id, "one").await;
    let process = |identity: &[u8]| ProcessRecord {
        life: ProcessLife::Backend,
        label: "pid 4711".to_owned(),
        identity: identity.to_vec(),
    };
    run.sink.process_started(process(b"a")).await.unwrap();
    run.sink.process_started(process(b"b")).await.unwrap();
    let processes = run.sink.process_sink();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let has_process = || {
        let held = host.observation().allocation(worker_id);
        held.unwrap().has_process
    };
    processes.ended(b"a".to_vec()).await.unwrap();
    assert!(has_process());
    assert_eq!(in_use(&host, worker_id).await, None);
    // Of one that nobody recorded nothing is changed.
    let before = host.view(worker_id).revision;
    processes.ended(b"c".to_vec()).await.unwrap();
    assert_eq!(host.view(worker_id).revision, before);
    processes.ended(b"b".to_vec()).await.unwrap();
    assert!(!has_process());
    let host = host.crash().await;
    let allocations = host.runtime.allocations();
    allocations.release(worker_id, None).await.unwrap();
    assert!(is_free(&host).await);
    // It keeps no Runtime from ending, and tells the next one nothing.
    assert!(processes.ended(b"b".to_vec()).await.is_err());
    host.end().await;
}

fn rule(path: &str) -> ScopeRule {
    ScopeRule {
        mount: "repo".to_owned(),
        path: path.to_owned(),
        permission: Permission::Write,
        recursive: true,
    }
}

#[tokio::test]
async fn where_it_works_it_may_look_on_so_that_its_name_is_known() {
    let host = Host::open().await;
    let looks = ScopeRule {
        permission: Permission::Read,
        ..rule("")
    };
    let mut request = holder();
    request.scope.allow.push(looks.clone());
    request.spec.workspace = Some(worker_runtime_core::worker::MountRef {
        mount: "repo".to_owned(),
        path: "src".to_owned(),
    });
    let denied = ScopeRule {
        permission: Permission::Read,
        ..rule("secret")
    };
    request.scope.deny.push(denied.clone());
    let worker_id = host.create(request).await;
    let allocations = host.runtime.allocations();
    let released = allocations.release(worker_id, None).await.unwrap();
    assert!(released.fence.is_some() && released.waits_for.is_empty());
    let (looks, denied) = ([looks], [denied]);
    assert_eq!(host.view(worker_id).scope.allow, looks);
    assert_eq!(host.view(worker_id).scope.deny, denied);
    assert!(is_free(&host).await);
    let again = allocations.release(worker_id, None).await.unwrap_err();
    assert_eq!(again.code(), Code::ScopeNotHeld, "{again}");
    let host = host.crash().await;
    assert_eq!(host.view(worker_id).scope.allow, looks);
    assert_eq!(host.view(worker_id).scope.deny, denied);
    host.end().await;
}

/// Its parent may hand on no look at it, and could not give up that look itself while somebody below has it.
#[tokio::test]
async fn what_is_taken_back_never_leaves_more_than_there_was() {
    let host = Host::open().await;
    let looks = |path: &str| ScopeRule {
        permission: Permission::Read,
        ..rule(path)
    };
    let at_work = |request: &mut CreateWorker| {
        request.scope.allow.push(looks(""));
        request.scope.deny.push(looks("secret"));
        request.spec.workspace = Some(worker_runtime_core::worker::MountRef {
            mount: "repo".to_owned(),
            path: String::new(),
        });
    };
    let mut parent = assistant();
    at_work(&mut parent);
    parent.delegation = write("gen");
    let parent = host.create(parent).await;
    let mut child = assistant();
    child.scope = write("gen");
    at_work(&mut child);
    child.spec.parent = Some(parent);
    let child = host.create(child).await;
    let allocations = host.runtime.allocations();
    allocations.reclaim(parent, None).await.unwrap();
    let held = host.view(child).scope;
    assert_eq!(
        (held.allow, held.deny),
        (vec![looks("")], vec![looks("secret")])
    );
    let less = Scope {
        allow: vec![looks("")],
        deny: vec![looks("secret")],
    };
    let changed = allocations
        .change(parent, &less, &Scope::default(), None)
        .await;
    changed.unwrap();
    host.end().await;
}
