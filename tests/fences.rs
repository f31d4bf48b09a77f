//! What a fence is good for, who holds a place, and what a creation would be told (I6).

use worker_runtime_core::{
    Code, EventType, Permission,
    backend::Cancelled,
    error::{AllocationError, FenceError},
    run::StopReason,
    scope::{HOLDERS_MAX, Leaves as _},
    worker::CreateWorker,
};

use crate::{
    allocations::{asking, below, holding, nothing, place, read, rule},
    support::{Host, Say, scripted, write},
};

#[tokio::test]
async fn a_fence_is_good_while_its_run_goes_on_and_for_what_the_worker_may_touch_then() {
    let host = Host::open().await;
    let request = CreateWorker {
        scope: write("src"),
        delegation: write("src/a"),
        ..scripted()
    };
    let worker_id = host.create(request).await;
    let allocations = host.runtime.allocations();
    let granted = host.view(worker_id).fence.unwrap();
    let is_current = |host: &Host| {
        let held = host.observation().allocation(worker_id);
        held.unwrap().is_current
    };
    assert!(!is_current(&host), "no run goes on with it");
    let stale = |fence| {
        let asked = asking(fence, Permission::Write, "src/x");
        let error = allocations.verify(worker_id, &asked).unwrap_err();
        assert_eq!(error.code(), Code::FenceStale, "{error}");
    };
    stale(granted);
    let first = host.start(worker_id, "one").await;
    let fence = first.request.fence.unwrap();
    stale(granted);
    stale(fence.next());
    assert!(is_current(&host));
    let good = allocations.verify(worker_id, &asking(fence, Permission::Write, "src/x"));
    assert_eq!(good.unwrap().permission, Permission::Write);
    let outside = allocations.verify(worker_id, &asking(fence, Permission::Read, "docs"));
    assert!(
        matches!(outside, Err(FenceError::Denied { .. })),
        "{outside:?}"
    );
    // What is lent meanwhile may only be looked at.
    host.create(below(worker_id, holding(write("src/a"), nothing())))
        .await;
    let lent = asking(fence, Permission::Write, "src/a/x");
    assert_eq!(
        allocations.verify(worker_id, &lent).unwrap_err().code(),
        Code::ScopeDenied
    );
    let kept = first.sink.clone();
    first.sink.finish(StopReason::EndTurn, None).await.unwrap();
    stale(fence);
    assert!(!is_current(&host));
    let second = host.start(worker_id, "two").await;
    stale(fence);
    assert!(second.request.fence > Some(fence));
    // A backend that never lets go of its sink is not heard either.
    assert!(
        kept.event(EventType::BACKEND_MESSAGE, &serde_json::json!({}))
            .await
            .is_err()
    );
    let fence = second.request.fence.unwrap();
    let host = host.crash().await;
    let asked = asking(fence, Permission::Write, "src/x");
    let error = host
        .runtime
        .allocations()
        .verify(worker_id, &asked)
        .unwrap_err();
    assert_eq!(error.code(), Code::FenceStale, "{error}");
    assert!(!is_current(&host), "it was another incarnation's");
    host.end().await;
}

#[tokio::test]
async fn a_backend_asks_its_sink_before_it_writes_and_is_told_what_is_good_now() {
    let host = Host::open().await;
    let request = CreateWorker {
        scope: write("src"),
        delegation: write("src/a"),
        ..scripted()
    };
    let worker_id = host.create(request).await;
    let run = host.start(worker_id, "one").await;
    let may = |path: &str| run.sink.verify(&place(path), Permission::Write);
    let told = may("src/a").unwrap();
    assert_eq!(Some(told.fence), run.request.fence);
    assert_eq!(told.run_id, run.sink.run_id());
    assert_eq!(may("docs").unwrap_err().code(), Code::ScopeDenied);
    // The run was told what it may touch when it began; what is lent since then only its sink knows.
    let scope = run.request.scope.clone().unwrap();
    host.create(below(worker_id, holding(write("src/a"), nothing())))
        .await;
    let target = format!("{}/a", scope.held.scope.allow[0].target);
    assert_eq!(
        scope.effective().permission_at(&target),
        Some(Permission::Write)
    );
    assert_eq!(may("src/a").unwrap_err().code(), Code::ScopeDenied);
    let look = run.sink.verify(&place("src/a"), Permission::Read);
    assert_eq!(look.unwrap().permission, Permission::Read);
    // The next run is told.
    let kept = run.sink.clone();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let late = kept.verify(&place("src/b"), Permission::Write);
    assert_eq!(late.unwrap_err().code(), Code::FenceStale);
    let run = host.start(worker_id, "two").await;
    let scope = run.request.scope.clone().unwrap();
    assert_eq!(
        scope.effective().permission_at(&target),
        Some(Permission::Read)
    );
    assert!(run.sink.verify(&place("src/b"), Permission::Write).is_ok());
    // A backend that outlives its Runtime may touch nothing.
    let kept = run.sink.clone();
    let host = host.crash().await;
    let late = kept.verify(&place("src/b"), Permission::Write);
    assert_eq!(late.unwrap_err().code(), Code::FenceStale);
    host.end().await;
}

#[tokio::test]
async fn a_run_whose_worker_held_nothing_when_it_began_may_touch_nothing() {
    let host = Host::open().await;
    let worker_id = host.create(scripted()).await;
    let run = host.start(worker_id, "one").await;
    assert!(run.request.scope.is_none());
    let allocations = host.runtime.allocations();
    allocations
        .change(worker_id, &write("src"), &nothing(), None)
        .await
        .unwrap();
    let asked = run.sink.verify(&place("src"), Permission::Write);
    assert_eq!(asked.unwrap_err().code(), Code::ScopeDenied);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let run = host.start(worker_id, "two").await;
    assert!(run.sink.verify(&place("src"), Permission::Write).is_ok());
    host.end().await;
}

#[tokio::test]
async fn who_holds_a_place_is_told_with_what_lies_below_it() {
    let host = Host::open().await;
    let top = host.create(holding(read(""), write("src"))).await;
    let low = host
        .create(below(top, holding(write("src/a"), nothing())))
        .await;
    let who = host.runtime.allocations().who(&place("src/a/x")).unwrap();
    let told: Vec<_> = who
        .holders
        .iter()
        .map(|it| (it.holder, it.permission))
        .collect();
    assert_eq!(
        told,
        [
            (low.into(), Some(Permission::Write)),
            (top.into(), Some(Permission::Read))
        ]
    );
    assert_eq!(who.holders[0].rule, rule(Permission::Write, "src/a"));
    let who = host.runtime.allocations().who(&place("")).unwrap();
    let told: Vec<_> = who
        .below
        .iter()
        .map(|it| (it.holder, it.rule.path.as_str()))
        .collect();
    assert_eq!(told, [(top.into(), "src"), (low.into(), "src/a")]);
    let who = host.runtime.allocations().who(&place("docs")).unwrap();
    assert_eq!(who.below, []);
    assert_eq!(who.holders.len(), 1);
    host.end().await;
}

#[tokio::test]
async fn a_dry_run_says_what_a_creation_would_and_changes_nothing() {
    let host = Host::open().await;
    let holder = host.create(holding(write("src"), nothing())).await;
    let before = host.observation().runtime().position;
    let allocations = host.runtime.allocations();
    let error = allocations
        .check(&write("src/a"), &nothing(), None)
        .unwrap_err();
    let AllocationError::Refused(refusal) = error else {
        panic!("{error}");
    };
    assert_eq!(refusal.owners()[0].holder, holder.into());
    allocations
        .check(&write("docs"), &write("docs"), None)
        .unwrap();
    let error = allocations
        .check(&write("src/a"), &nothing(), Some(holder))
        .unwrap_err();
    assert_eq!(error.code(), Code::ScopeUndelegated, "{error}");
    assert_eq!(host.observation().runtime().position, before);
    host.end().await;
}

/// It was derived from all that a Worker had lent, and everybody who may look was named.
#[tokio::test]
async fn who_may_write_is_named_first_among_many_who_may_look() {
    let host = Host::open().await;
    for _ in 0..HOLDERS_MAX {
        host.create(holding(read(""), nothing())).await;
    }
    let few = host.runtime.allocations().who(&place("src")).unwrap();
    assert_eq!((few.holders.len(), few.more), (HOLDERS_MAX, false));
    let writer = host.create(holding(write("src"), nothing())).await;
    let many = host.runtime.allocations().who(&place("src")).unwrap();
    assert_eq!((many.holders.len(), many.more), (HOLDERS_MAX, true));
    assert_eq!(many.holders[0].holder, writer.into());
    for number in 0..HOLDERS_MAX {
        let path = format!("lib/{number}");
        host.create(holding(read(&path), nothing())).await;
    }
    let low = host.create(holding(write("lib/z"), nothing())).await;
    let many = host.runtime.allocations().who(&place("lib")).unwrap();
    assert_eq!((many.below.len(), many.more), (HOLDERS_MAX, true));
    assert_eq!(many.below[0].holder, low.into());
    host.end().await;
}

#[tokio::test]
async fn a_dry_run_of_a_change_says_what_the_change_would_and_changes_nothing() {
    let host = Host::open().await;
    let top = host.create(holding(read(""), write("src"))).await;
    let low = host
        .create(below(top, holding(write("src/a"), nothing())))
        .await;
    let request = CreateWorker {
        scope: write("docs"),
        ..scripted()
    };
    let other = host.create(request).await;
    let none = host.create(scripted()).await;
    let run = host.start(other, "go").await;
    let allocations = host.runtime.allocations();
    let before = host.observation().runtime().position;
    let refused = [
        (top, read(""), write("lib"), Code::ScopeLent),
        (low, write("src/a"), write("docs/x"), Code::ScopeUndelegated),
        (top, write("docs/x"), write("src"), Code::ScopeConflict),
        (other, write("docs/x"), nothing(), Code::ScopeInUse),
        (none, nothing(), nothing(), Code::ScopeNotHeld),
        (none, write("../x"), nothing(), Code::ScopeInvalid),
    ];
    for (worker_id, scope, delegation, code) in refused {
        let would = allocations.would_change(worker_id, &scope, &delegation);
        let would = would.await.unwrap_err();
        assert_eq!(would.code(), code, "{would}");
        let change = allocations.change(worker_id, &scope, &delegation, None);
        assert_eq!(change.await, Err(would));
    }
    for (worker_id, scope, delegation, changes) in [
        (top, read(""), write("src"), false),
        (other, write("docs"), nothing(), false),
        (other, write("docs"), write("docs"), true),
        (low, nothing(), nothing(), true),
        (none, write("lib"), nothing(), true),
    ] {
        let would = allocations.would_change(worker_id, &scope, &delegation);
        assert_eq!(would.await, Ok(changes), "{worker_id} {scope:?}");
    }
    let changed = allocations.only_if(|_| false);
    let changed = changed.would_change(top, &read(""), &nothing()).await;
    assert_eq!(changed.unwrap_err().code(), Code::WorkerChanged);
    assert_eq!(host.observation().runtime().position, before);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

/// A dry run said that nothing would change, and the change then wrote an event and granted another fence,
/// each time.
#[tokio::test]
async fn a_change_to_what_is_held_changes_nothing_and_keeps_the_fence() {
    let host = Host::open().await;
    let lead = host.create(holding(read(""), write("src"))).await;
    let allocations = host.runtime.allocations();
    let held = || host.view(lead).fence;
    let reads = read("");
    let change = async |delegation| {
        let changed = allocations.change(lead, &reads, &delegation, Some("again".to_owned()));
        changed.await.unwrap()
    };
    let (fence, before) = (held(), host.observation().runtime().position);
    let writes = write("src");
    let would = allocations.would_change(lead, &reads, &writes);
    assert_eq!(would.await, Ok(false));
    for _ in 0..2 {
        let again = change(write("src")).await;
        assert_eq!((again.repeated, again.fence), (true, fence));
        assert!(again.position <= before, "{again:?}");
    }
    assert_eq!(host.observation().runtime().position, before);
    assert_eq!(held(), fence);
    // Something else, if only to hand on, is a change.
    let other = change(write("src/a")).await;
    assert!(!other.repeated && other.fence > fence, "{other:?}");
    assert!(other.position > before, "{other:?}");
    let again = change(write("src/a")).await;
    assert_eq!((again.repeated, again.fence), (true, other.fence));
    assert_eq!(host.observation().runtime().position, other.position);
    host.end().await;
}

/// A dry run of a restore never asked who holds by now what it would take again.
#[tokio::test]
async fn a_dry_run_of_a_restore_is_answered_as_the_restore_and_changes_nothing() {
    let host = Host::open().await;
    let request = CreateWorker {
        scope: write("src"),
        ..scripted()
    };
    let worker_id = host.create(request.clone()).await;
    let catalog = host.runtime.catalog();
    assert_eq!(catalog.would_restore(worker_id).await, Ok(false));
    catalog.stop(worker_id, Default::default()).await.unwrap();
    let before = host.observation().runtime().position;
    assert_eq!(catalog.would_restore(worker_id).await, Ok(true));
    assert_eq!(host.observation().runtime().position, before);
    let other = host.create(request).await;
    let would = catalog.would_restore(worker_id).await.unwrap_err();
    assert_eq!(would.code(), Code::ScopeConflict);
    assert_eq!(catalog.restore(worker_id).await, Err(would));
    catalog.cancel(other, Default::default()).await.unwrap();
    assert!(!catalog.restore(worker_id).await.unwrap().repeated);
    host.end().await;
}

/// A dry run of a release once decided by itself: what it said was not what the release then said.
#[tokio::test]
async fn a_dry_run_of_a_taking_is_answered_as_the_taking_and_changes_nothing() {
    let host = Host::open().await;
    let lead = CreateWorker {
        delegation: write("src"),
        ..scripted()
    };
    let lead = host.create(lead).await;
    let mut low = below(lead, scripted());
    low.scope = write("src/a");
    let low = host.create(low).await;
    let none = host.create(scripted()).await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let run = host.start(low, "go").await;
    let allocations = host.runtime.allocations();
    let before = host.observation().runtime().position;
    for worker_id in [low, none] {
        let would = allocations.would_release(worker_id, None, false);
        let would = would.await.unwrap_err();
        let release = allocations.release(worker_id, None);
        assert_eq!(release.await, Err(would));
    }
    let would = allocations.would_reclaim(lead, None, false).await;
    assert_eq!(would.as_ref().unwrap_err().code(), Code::ScopeInUse);
    let reclaim = allocations.reclaim(lead, None).await;
    assert_eq!(reclaim.unwrap_err(), would.unwrap_err());
    let said = || Some("it is needed".to_owned());
    let silent = allocations.would_release(low, None, true).await;
    assert_eq!(silent.unwrap_err().code(), Code::FieldInvalid);
    assert_eq!(allocations.would_release(low, said(), true).await, Ok(true));
    let from = allocations.would_reclaim(lead, said(), true).await;
    assert_eq!(from, Ok(vec![low]));
    assert_eq!(host.observation().runtime().position, before);
    // Once it is taken it is only waited for, and gently it is to be had no more.
    let taken = allocations.release_by_force(low, "it is needed".to_owned());
    assert_eq!(taken.await.unwrap().waits_for, [low]);
    let again = allocations.would_release(low, said(), true).await;
    assert_eq!(again, Ok(false));
    let gently = allocations.would_release(low, None, false).await;
    assert_eq!(gently.unwrap_err().code(), Code::WorkerNotActive);
    let (_, quiet) = host.script.cancel_asked().await;
    quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
    drop(run);
    host.until(low, EventType::ALLOCATION_RELEASED).await;
    host.end().await;
}
