//! What is held: delegated, changed, given back and taken back (I6).
//!
//! Each hole of an earlier system of this kind is a test of its own here: what is held through a
//! delegation only, exempt parents, denies, rules side by side. Fences are in `fences`.

use worker_runtime_core::{
    Code, EndOptions, EventType, Fence, Permission, Scope, ScopeRule, WorkerId,
    error::{AllocationError, CreateError, LifecycleError, ScopeRefusal},
    run::StopReason,
    view::VerifyFence,
    worker::{CreateWorker, MountRef},
};

use crate::support::{Host, assistant, scripted, write};

pub(crate) fn rule(permission: Permission, path: &str) -> ScopeRule {
    ScopeRule {
        mount: "repo".to_owned(),
        path: path.to_owned(),
        permission,
        recursive: true,
    }
}

pub(crate) fn read(path: &str) -> Scope {
    Scope {
        allow: vec![rule(Permission::Read, path)],
        deny: Vec::new(),
    }
}

pub(crate) fn nothing() -> Scope {
    Scope::default()
}

/// A Worker that may touch one scope and hand on another one.
pub(crate) fn holding(scope: Scope, delegation: Scope) -> CreateWorker {
    CreateWorker {
        scope,
        delegation,
        ..assistant()
    }
}

pub(crate) fn below(parent: WorkerId, request: CreateWorker) -> CreateWorker {
    let mut request = request;
    request.spec.parent = Some(parent);
    request
}

async fn refused(host: &Host, request: CreateWorker) -> ScopeRefusal {
    match host.runtime.catalog().create(request).await {
        Err(CreateError::ScopeRefused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn owners(host: &Host, request: CreateWorker) -> Vec<WorkerId> {
    let refusal = refused(host, request).await;
    assert_eq!(refusal.code(), Code::ScopeConflict, "{refusal}");
    refusal
        .owners()
        .iter()
        .filter_map(|owner| owner.holder.worker_id())
        .collect()
}

pub(crate) fn place(path: &str) -> MountRef {
    MountRef {
        mount: "repo".to_owned(),
        path: path.to_owned(),
    }
}

pub(crate) fn asking(fence: Fence, permission: Permission, path: &str) -> VerifyFence {
    VerifyFence {
        fence,
        place: place(path),
        permission,
    }
}

/// What a Worker may do at a place just now, as whoever asks is told.
fn may(host: &Host, worker_id: WorkerId, path: &str) -> Option<Permission> {
    let who = host.runtime.allocations().who(&place(path)).unwrap();
    let holder = who
        .holders
        .into_iter()
        .find(|it| it.holder == worker_id.into());
    holder.and_then(|holder| holder.permission)
}

#[tokio::test]
async fn a_parent_that_only_reads_hands_on_what_it_may_delegate_and_no_more() {
    let host = Host::open().await;
    let parent = host.create(holding(read(""), write("src"))).await;
    let child = host
        .create(below(parent, holding(write("src/a"), nothing())))
        .await;
    assert_eq!(may(&host, child, "src/a/x"), Some(Permission::Write));
    assert_eq!(may(&host, parent, "src/a/x"), Some(Permission::Read));
    let refusal = refused(&host, below(parent, holding(write("docs"), nothing()))).await;
    let ScopeRefusal::Undelegated {
        parent: named,
        rule: beyond,
        hands_on: true,
    } = refusal
    else {
        panic!("{refusal}");
    };
    assert_eq!((named, beyond), (parent, rule(Permission::Write, "docs")));
    // To look where its parent looks takes nothing from anybody.
    let reader = host
        .create(below(parent, holding(read("docs"), nothing())))
        .await;
    assert_eq!(may(&host, reader, "docs"), Some(Permission::Read));
    host.end().await;
}

#[tokio::test]
async fn what_a_worker_writes_itself_is_not_handed_on_without_a_delegation() {
    let host = Host::open().await;
    let parent = host.create(holding(write("src"), nothing())).await;
    let refusal = refused(&host, below(parent, holding(write("src/a"), nothing()))).await;
    assert_eq!(refusal.code(), Code::ScopeUndelegated, "{refusal}");
    let orphan = host.create(assistant()).await;
    let refusal = refused(&host, below(orphan, holding(read("src"), nothing()))).await;
    assert_eq!(refusal.code(), Code::ScopeUndelegated, "{refusal}");
    host.end().await;
}

#[tokio::test]
async fn one_who_may_only_delegate_write_is_seen_by_strangers_and_siblings() {
    let host = Host::open().await;
    let top = host.create(holding(read(""), write(""))).await;
    let child = host
        .create(below(top, holding(read("src"), write("src/a"))))
        .await;
    let stranger = holding(write("src/a/b"), nothing());
    assert_eq!(owners(&host, stranger).await, [child, top]);
    let sibling = below(top, holding(write("src"), nothing()));
    assert_eq!(owners(&host, sibling).await, [child]);
    let sibling = below(top, holding(read("src"), write("src/a/b")));
    assert_eq!(owners(&host, sibling).await, [child]);
    host.end().await;
}

#[tokio::test]
async fn an_exempt_parent_hides_no_sibling_and_no_grandchild() {
    let host = Host::open().await;
    let top = host.create(holding(write(""), write(""))).await;
    let first = host
        .create(below(top, holding(read("src"), write("src"))))
        .await;
    let deep = host
        .create(below(first, holding(write("src/a"), nothing())))
        .await;
    let second = below(top, holding(write("src/a/b"), nothing()));
    assert_eq!(owners(&host, second).await, [deep, first]);
    // Those above it are no rivals of one two layers down, and it is none of theirs.
    host.create(below(first, holding(write("src/b"), nothing())))
        .await;
    host.end().await;
}

#[tokio::test]
async fn a_deny_on_the_parent_hides_no_child() {
    let host = Host::open().await;
    let denied = Scope {
        allow: vec![rule(Permission::Write, "src")],
        deny: vec![rule(Permission::Write, "src/a")],
    };
    let parent = host.create(holding(denied, write("src/a"))).await;
    let child = host
        .create(below(parent, holding(write("src/a"), nothing())))
        .await;
    let stranger = holding(write("src/a/x"), nothing());
    assert_eq!(owners(&host, stranger).await, [child, parent]);
    host.end().await;
}

#[tokio::test]
async fn two_rules_side_by_side_cover_what_spans_them() {
    let host = Host::open().await;
    let flat = ScopeRule {
        recursive: false,
        ..rule(Permission::Write, "src")
    };
    let delegation = Scope {
        allow: vec![flat.clone(), rule(Permission::Write, "src/a")],
        deny: Vec::new(),
    };
    let parent = host.create(holding(nothing(), delegation)).await;
    let mut asked = Scope {
        allow: vec![flat],
        deny: Vec::new(),
    };
    asked.allow.push(rule(Permission::Write, "src/a/deep"));
    host.create(below(parent, holding(asked, nothing()))).await;
    let refusal = refused(&host, below(parent, holding(write("src/b/c"), nothing()))).await;
    assert_eq!(refusal.code(), Code::ScopeUndelegated, "{refusal}");
    host.end().await;
}

#[tokio::test]
async fn what_lies_below_one_that_ends_lies_below_whoever_is_above_it() {
    let host = Host::open().await;
    let top = host.create(holding(read(""), write(""))).await;
    let middle = host
        .create(below(top, holding(read("src"), write("src"))))
        .await;
    let low = host
        .create(below(middle, holding(write("src/a"), nothing())))
        .await;
    let catalog = host.runtime.catalog();
    catalog.stop(middle, EndOptions::default()).await.unwrap();
    let held = host.observation().allocation(low).unwrap();
    assert_eq!(held.parent, Some(top));
    assert_eq!(host.observation().allocation(top).unwrap().lent_to, [low]);
    assert_eq!(host.count(low, EventType::ALLOCATION_REPARENTED), 1);
    let stranger = holding(write("src/a"), nothing());
    assert_eq!(owners(&host, stranger.clone()).await, [low, top]);
    catalog.stop(top, EndOptions::default()).await.unwrap();
    assert_eq!(host.observation().allocation(low).unwrap().parent, None);
    assert_eq!(owners(&host, stranger).await, [low]);
    // Restored, it is below the nearest that has not ended: here nobody, and `low` is in its way.
    let error = catalog.restore(middle).await.unwrap_err();
    let LifecycleError::ScopeRefused(refusal) = error else {
        panic!("{error}");
    };
    assert_eq!(refusal.owners()[0].holder, low.into());
    let host = host.crash().await;
    assert_eq!(host.observation().allocation(low).unwrap().parent, None);
    host.end().await;
}

#[tokio::test]
async fn more_can_be_had_at_any_time_and_less_when_nothing_runs_with_it() {
    let host = Host::open().await;
    let request = CreateWorker {
        scope: write("src"),
        ..scripted()
    };
    let worker_id = host.create(request).await;
    let allocations = host.runtime.allocations();
    let run = host.start(worker_id, "one").await;
    let fence = run.request.fence.unwrap();
    let wide = Scope {
        allow: vec![
            rule(Permission::Write, "src"),
            rule(Permission::Write, "docs"),
        ],
        deny: Vec::new(),
    };
    let changed = allocations.change(worker_id, &wide, &nothing(), None).await;
    assert_eq!(
        changed.unwrap().fence,
        Some(fence),
        "the run goes on with its fence"
    );
    let asked = asking(fence, Permission::Write, "docs/x");
    assert_eq!(
        allocations.verify(worker_id, &asked).unwrap().run_id,
        run.request.run_id
    );
    for less in [write("docs"), nothing()] {
        let error = allocations
            .change(worker_id, &less, &nothing(), None)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::ScopeInUse, "{error}");
    }
    let error = allocations.release(worker_id, None).await.unwrap_err();
    assert_eq!(error.code(), Code::ScopeInUse, "{error}");
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let changed = allocations
        .change(worker_id, &write("docs"), &nothing(), None)
        .await;
    assert!(changed.unwrap().fence > Some(fence));
    host.create(holding(write("src"), nothing())).await;
    let error = allocations
        .change(worker_id, &wide, &nothing(), None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::ScopeConflict, "{error}");
    let host = host.crash().await;
    assert_eq!(host.view(worker_id).scope, write("docs"));
    host.end().await;
}

#[tokio::test]
async fn a_delegation_does_not_become_less_than_what_is_held_below() {
    let host = Host::open().await;
    let parent = host.create(holding(read(""), write("src"))).await;
    let child = host
        .create(below(parent, holding(write("src/a"), nothing())))
        .await;
    let allocations = host.runtime.allocations();
    let narrowed = allocations
        .change(parent, &read(""), &write("src/b"), None)
        .await;
    let Err(AllocationError::Lent {
        child: named,
        rule: held,
    }) = narrowed
    else {
        panic!("{narrowed:?}");
    };
    assert_eq!((named, held), (child, rule(Permission::Write, "src/a")));
    allocations
        .change(parent, &read(""), &write("src/a"), None)
        .await
        .unwrap();
    let again = below(parent, holding(write("src/b"), nothing()));
    assert_eq!(refused(&host, again).await.code(), Code::ScopeUndelegated);
    host.end().await;
}

/// A lead that gave all up bounds what is taken again below it as much as one that gave up a part:
/// nothing is delegated any more, and what there was above it is not looked up past it.
#[tokio::test]
async fn a_restore_takes_no_more_than_the_nearest_above_that_goes_on_still_delegates() {
    let host = Host::open().await;
    let top = host.create(holding(read(""), write("src"))).await;
    let lead = holding(nothing(), write("src"));
    let lead = host.create(below(top, lead)).await;
    let child = host
        .create(below(lead, holding(write("src/a"), nothing())))
        .await;
    let allocations = host.runtime.allocations();
    let catalog = host.runtime.catalog();
    let parent_of = |worker_id| {
        let held = host.observation().allocation(worker_id);
        held.and_then(|held| held.parent)
    };
    // What a live child holds stays, below whoever is above its lead.
    allocations.release(lead, None).await.unwrap();
    assert_eq!(parent_of(child), Some(top));
    catalog.stop(child, EndOptions::default()).await.unwrap();
    let refused = async || {
        let error = catalog.restore(child).await.unwrap_err();
        let LifecycleError::ScopeRefused(ScopeRefusal::Undelegated {
            parent, hands_on, ..
        }) = error
        else {
            panic!("{error}");
        };
        assert_eq!(parent, lead, "the top is not asked");
        hands_on
    };
    assert!(!refused().await);
    let hands_on = async |delegation: Scope| {
        let own = nothing();
        let changed = allocations.change(lead, &own, &delegation, None);
        changed.await.unwrap();
    };
    hands_on(write("src/b")).await;
    assert!(refused().await);
    hands_on(write("src")).await;
    catalog.restore(child).await.unwrap();
    assert_eq!(parent_of(child), Some(lead));
    // One that has ended bounds nobody.
    catalog.stop(child, EndOptions::default()).await.unwrap();
    allocations.release(lead, None).await.unwrap();
    catalog.stop(lead, EndOptions::default()).await.unwrap();
    catalog.restore(child).await.unwrap();
    assert_eq!(parent_of(child), Some(top));
    host.end().await;
}

/// What is below a deleted Worker is still below whoever was above that one.
#[tokio::test]
async fn a_deleted_worker_in_between_widens_nothing_that_is_taken_again_below_it() {
    let host = Host::open().await;
    let top = host.create(holding(read(""), write("src"))).await;
    let middle = holding(nothing(), write("src/m"));
    let middle = host.create(below(top, middle)).await;
    let own = || holding(write("src/m/k"), nothing());
    let (ended, held) = (
        host.create(below(middle, own())).await,
        host.create(below(middle, holding(write("src/m/h"), nothing())))
            .await,
    );
    let (allocations, catalog) = (host.runtime.allocations(), host.runtime.catalog());
    let stop = async |worker_id| {
        let ended = catalog.stop(worker_id, EndOptions::default()).await;
        ended.unwrap();
    };
    stop(ended).await;
    stop(middle).await;
    allocations.release(held, None).await.unwrap();
    catalog.delete(middle, false).await.unwrap();
    let host = host.crash().await;
    let (allocations, catalog) = (host.runtime.allocations(), host.runtime.catalog());
    // As long as the top hands it on, it is taken again below the top, and the top itself is no rival.
    catalog.restore(ended).await.unwrap();
    let held_by = host.observation().allocation(ended).unwrap();
    assert_eq!(held_by.parent, Some(top));
    let ends = catalog.stop(ended, EndOptions::default()).await;
    ends.unwrap();
    allocations
        .change(top, &read("docs"), &nothing(), None)
        .await
        .unwrap();
    let LifecycleError::ScopeRefused(ScopeRefusal::Undelegated { parent, .. }) =
        catalog.restore(ended).await.unwrap_err()
    else {
        panic!("it was not refused for want of a delegation");
    };
    assert_eq!(parent, top);
    let wider = allocations
        .change(held, &write("src"), &nothing(), None)
        .await;
    let Err(AllocationError::Refused(ScopeRefusal::Undelegated { parent, .. })) = wider else {
        panic!("{wider:?}");
    };
    assert_eq!(parent, top);
    host.end().await;
}

#[tokio::test]
async fn a_reclaim_takes_one_layer_and_all_of_it_or_nothing() {
    let host = Host::open().await;
    let parent = host.create(holding(write("src"), write("src"))).await;
    let agent = CreateWorker {
        scope: read("src"),
        delegation: write("src/a"),
        ..scripted()
    };
    let child = host.create(below(parent, agent)).await;
    let grandchild = host
        .create(below(child, holding(write("src/a/x"), nothing())))
        .await;
    let other = host
        .create(below(parent, holding(write("src/b"), nothing())))
        .await;
    let allocations = host.runtime.allocations();
    assert_eq!(
        may(&host, parent, "src/a/y"),
        Some(Permission::Read),
        "lent"
    );
    let run = host.start(child, "one").await;
    let error = allocations.reclaim(parent, None).await.unwrap_err();
    assert_eq!(error.code(), Code::ScopeInUse, "{error}");
    assert!(
        host.observation().allocation(other).is_some(),
        "half of it was taken"
    );
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let reason = Some("it is needed".to_owned());
    allocations.reclaim(parent, reason).await.unwrap();
    assert!(host.observation().allocation(child).is_none());
    assert!(host.observation().allocation(other).is_none());
    let below_it = host.observation().allocation(parent).unwrap().lent_to;
    assert_eq!(below_it, [grandchild], "one layer only");
    assert_eq!(
        may(&host, parent, "src/a/y"),
        Some(Permission::Write),
        "its own again"
    );
    assert_eq!(
        may(&host, parent, "src/a/x"),
        Some(Permission::Read),
        "still lent"
    );
    let told = host.until(parent, EventType::ALLOCATION_RECLAIMED).await;
    assert_eq!(told["reason"], "it is needed");
    // What was given up is not taken again by a restore.
    let catalog = host.runtime.catalog();
    catalog.stop(child, EndOptions::default()).await.unwrap();
    host.until(child, EventType::WORKER_STOPPED).await;
    catalog.restore(child).await.unwrap();
    assert!(host.observation().allocation(child).is_none());
    host.end().await;
}
