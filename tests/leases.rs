//! Leases: what others than Workers hold for a time (I6); over crashes in `leases_kept`. How their time is counted is shown beside the
//! working state; here it is the real Runtime, over a store in memory and over one in a directory.

use worker_runtime_core::{
    Code, EventType, Fence, LeaseId, Permission, Scope, Stream, WorkerId,
    cursor::From as Start,
    error::{AllocationError, CreateError, FenceError, LeaseError, ScopeRefusal},
    lease::{AcquireLease, RenewLease},
    view::{Holder, LeaseReceipt, LeaseView},
};

use crate::{
    allocations::{asking, holding, nothing, place, read},
    support::{Host, HostOptions, Told, data, write},
};

pub(crate) const ID: LeaseId = LeaseId::from_bytes([9; 16]);

pub(crate) fn lease(path: &str) -> AcquireLease {
    AcquireLease {
        lease_id: None,
        holder: "formatter".to_owned(),
        scope: write(path),
        ttl_ms: 60_000,
        reason: Some("to tidy up".to_owned()),
    }
}

pub(crate) fn named(path: &str) -> AcquireLease {
    AcquireLease {
        lease_id: Some(ID),
        ..lease(path)
    }
}

pub(crate) async fn acquire(host: &Host, request: AcquireLease) -> LeaseReceipt {
    host.runtime.allocations().acquire(request).await.unwrap()
}

pub(crate) async fn renew(
    host: &Host,
    lease_id: LeaseId,
    fence: Fence,
) -> Result<LeaseView, LeaseError> {
    let asked = RenewLease {
        fence,
        ttl_ms: None,
    };
    let renewed = host.runtime.allocations().renew(lease_id, &asked).await;
    renewed.map(|receipt| receipt.lease)
}

pub(crate) fn verify(
    host: &Host,
    lease_id: LeaseId,
    fence: Fence,
    path: &str,
) -> Result<Permission, Code> {
    let asked = asking(fence, Permission::Write, path);
    let verified = host.runtime.allocations().verify_lease(lease_id, &asked);
    verified
        .map(|verified| verified.permission)
        .map_err(|error: FenceError| error.code())
}

pub(crate) fn owners(refusal: &ScopeRefusal) -> Vec<(Holder, Option<&str>)> {
    let owners = refusal.owners().iter();
    let named = owners.map(|owner| (owner.holder, owner.display_name.as_deref()));
    named.collect()
}

async fn refused_lease(host: &Host, request: AcquireLease) -> ScopeRefusal {
    match host.runtime.allocations().acquire(request).await {
        Err(LeaseError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn refused_worker(host: &Host, scope: Scope) -> ScopeRefusal {
    let request = holding(scope, nothing());
    match host.runtime.catalog().create(request).await {
        Err(CreateError::ScopeRefused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A host over each kind of store; the directory goes with it.
pub(crate) async fn hosts() -> Vec<(Host, tempfile::TempDir)> {
    let mut hosts = Vec::new();
    for in_directory in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let options = HostOptions {
            directory: in_directory.then(|| directory.path().join("state")),
            ..HostOptions::default()
        };
        hosts.push((Host::with(options).await, directory));
    }
    hosts
}

#[tokio::test]
async fn workers_and_leases_keep_each_other_from_what_they_hold() {
    for (host, _directory) in hosts().await {
        let held = acquire(&host, lease("src")).await.lease;
        let formatter = Holder::Lease(held.lease_id);
        let refusal = refused_worker(&host, write("src/a")).await;
        assert_eq!(owners(&refusal), [(formatter, Some("formatter"))]);
        let text = refusal.to_string();
        assert!(text.contains("1 lease(s)"), "{text}");
        let refusal = refused_lease(&host, lease("src/a/b")).await;
        assert_eq!(owners(&refusal), [(formatter, Some("formatter"))]);
        let worker_id = host.create(holding(write("docs/a"), nothing())).await;
        let refusal = refused_lease(&host, lease("docs")).await;
        assert_eq!(owners(&refusal), [(worker_id.into(), None)]);
        // The deepest rule first, whoever holds it; and both are counted.
        let refusal = refused_lease(&host, lease("")).await;
        assert_eq!(
            owners(&refusal),
            [(worker_id.into(), None), (formatter, Some("formatter"))]
        );
        assert!(refusal.to_string().contains("2 holder(s)"), "{refusal}");
        // To look is in nobody's way.
        host.create(holding(read("src"), nothing())).await;
        let looking = AcquireLease {
            scope: read("docs"),
            ..lease("")
        };
        acquire(&host, looking).await;
        // What a Worker that is there already is to hold is looked at, too.
        let allocations = host.runtime.allocations();
        let (scope, delegation) = (write("src"), nothing());
        let changed = allocations.change(worker_id, &scope, &delegation, None);
        let Err(AllocationError::Refused(refusal)) = changed.await else {
            panic!("it was granted");
        };
        assert_eq!(owners(&refusal), [(formatter, Some("formatter"))]);
        let dry = allocations.check(&write("src"), &nothing(), None);
        assert_eq!(dry.unwrap_err().code(), Code::ScopeConflict);
        host.end().await;
    }
}

#[tokio::test]
async fn who_holds_a_place_names_leases_beside_workers() {
    let host = Host::open().await;
    let held = acquire(&host, lease("src/a")).await.lease;
    let worker_id = host.create(holding(read("src"), nothing())).await;
    let who = host.runtime.allocations().who(&place("src/a/x")).unwrap();
    let told: Vec<_> = who
        .holders
        .iter()
        .map(|it| (it.holder, it.permission, it.delegates, it.run_id))
        .collect();
    let writes = Some(Permission::Write);
    let looks = Some(Permission::Read);
    assert_eq!(
        told,
        [
            (held.lease_id.into(), writes, None, None),
            (worker_id.into(), looks, None, None),
        ]
    );
    let who = host.runtime.allocations().who(&place("")).unwrap();
    let below: Vec<_> = who.below.iter().map(|it| it.holder).collect();
    assert_eq!(below, [held.lease_id.into(), worker_id.into()]);
    let json = serde_json::to_value(&who.below).unwrap();
    assert_eq!(json[0]["lease_id"], held.lease_id.to_string());
    assert_eq!(json[0].get("worker_id"), None);
    assert_eq!(json[1]["worker_id"], worker_id.to_string());
    assert_eq!(json[1].get("lease_id"), None);
    let back: Vec<worker_runtime_core::view::PlaceHolder> = serde_json::from_value(json).unwrap();
    assert_eq!(back, who.below);
    host.end().await;
}

#[tokio::test]
async fn a_lease_given_back_is_free_and_told() {
    for (host, _directory) in hosts().await {
        let allocations = host.runtime.allocations();
        let held = acquire(&host, lease("src")).await.lease;
        let wrong = allocations.release_lease(held.lease_id, held.fence.next(), None);
        assert_eq!(wrong.await.unwrap_err().code(), Code::FenceStale);
        let reason = Some("done".to_owned());
        let released = allocations.release_lease(held.lease_id, held.fence, reason);
        let released = released.await.unwrap();
        let mut stream = host.observe(Stream::Runtime, Start::Beginning);
        let granted = stream.event_of(EventType::LEASE_GRANTED, |_| true).await;
        let told = data(&granted);
        assert_eq!(told["holder"], "formatter");
        assert_eq!(told["fence"], held.fence.0);
        assert_eq!(told["allow"][0]["path"], "src");
        assert_eq!(told["reason"], "to tidy up");
        assert!(!told.to_string().contains("/nonexistent"), "{told}");
        let event = stream.event_of(EventType::LEASE_RELEASED, |_| true).await;
        assert_eq!(event.position, released.position);
        assert_eq!(event.worker, None);
        let told = data(&event);
        assert_eq!(
            (&told["by_force"], &told["reason"]),
            (&false.into(), &"done".into())
        );
        assert_eq!(
            verify(&host, held.lease_id, held.fence, "src"),
            Err(Code::LeaseUnknown)
        );
        host.create(holding(write("src"), nothing())).await;
        for error in [
            renew(&host, held.lease_id, held.fence).await.unwrap_err(),
            host.runtime
                .allocations()
                .release_lease(held.lease_id, held.fence, None)
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.code(), Code::LeaseUnknown, "{error}");
        }
        host.end().await;
    }
}

#[tokio::test]
async fn whoever_takes_a_lease_by_force_says_why_and_it_is_recorded() {
    let host = Host::open().await;
    let allocations = host.runtime.allocations();
    let held = acquire(&host, lease("src")).await.lease;
    let silent = allocations.release_lease_by_force(held.lease_id, " ".to_owned());
    assert_eq!(silent.await.unwrap_err().code(), Code::FieldInvalid);
    let taken = allocations.release_lease_by_force(held.lease_id, "it hangs".to_owned());
    taken.await.unwrap();
    let mut stream = host.observe(Stream::Runtime, Start::Beginning);
    let event = stream.event_of(EventType::LEASE_RELEASED, |_| true).await;
    let told = data(&event);
    assert_eq!(
        (&told["by_force"], &told["reason"]),
        (&true.into(), &"it hangs".into())
    );
    assert_eq!(told["fence"], held.fence.0);
    acquire(&host, lease("src")).await;
    host.end().await;
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_by_itself_and_frees_what_it_held() {
    for (host, _directory) in hosts().await {
        let short = AcquireLease {
            ttl_ms: 1_000,
            ..lease("src")
        };
        let held = acquire(&host, short).await.lease;
        refused_worker(&host, write("src")).await;
        let mut stream = host.observe(Stream::Runtime, Start::Beginning);
        let event = stream.event_of(EventType::LEASE_EXPIRED, |_| true).await;
        assert_eq!(data(&event)["lease_id"], held.lease_id.to_string());
        assert!(Some(event.at) >= held.expires_at, "{held:?} {event:?}");
        assert_eq!(host.observation().leases(0, 10).leases, []);
        host.create(holding(write("src"), nothing())).await;
        host.end().await;
    }
}

#[tokio::test]
async fn a_renewal_is_no_commit_and_no_event_and_is_shown() {
    let (host, clock) = Host::at_rest().await;
    let held = acquire(&host, lease("src")).await.lease;
    let position = host.observation().runtime().position;
    let commits = host.faults.commits();
    clock.advance(std::time::Duration::from_millis(4_000));
    let renewed = renew(&host, held.lease_id, held.fence).await.unwrap();
    assert_eq!(renewed.fence, held.fence);
    let expires_at = held.expires_at.unwrap();
    let later = expires_at.plus(std::time::Duration::from_millis(4_000));
    assert_eq!(renewed.expires_at, Some(later));
    assert_eq!(host.observation().lease(held.lease_id).unwrap(), renewed);
    assert_eq!(host.observation().runtime().position, position);
    assert_eq!(host.faults.commits(), commits);
    host.end().await;
}

#[tokio::test]
async fn mistakes_are_refused_and_change_nothing() {
    let host = Host::limited(|limits| limits.leases_max = 1).await;
    let before = host.observation().runtime().position;
    let empty = AcquireLease {
        scope: nothing(),
        ..lease("")
    };
    let nobody = AcquireLease {
        holder: " ".to_owned(),
        ..lease("src")
    };
    let brief = AcquireLease {
        ttl_ms: 999,
        ..lease("src")
    };
    let long = AcquireLease {
        ttl_ms: 24 * 60 * 60 * 1_000 + 1,
        ..lease("src")
    };
    let outside = lease("../other");
    let talkative = AcquireLease {
        reason: Some("x".repeat(5_000)),
        ..lease("src")
    };
    // Nobody could name it again: no text is read as this id.
    let nameless = AcquireLease {
        lease_id: Some(LeaseId::from_bytes([0; 16])),
        ..lease("src")
    };
    for (request, code) in [
        (empty, Code::FieldInvalid),
        (nameless, Code::FieldInvalid),
        (nobody, Code::FieldInvalid),
        (brief, Code::FieldInvalid),
        (long, Code::FieldInvalid),
        (talkative, Code::FieldInvalid),
        (outside, Code::ScopeInvalid),
    ] {
        let allocations = host.runtime.allocations();
        let dry = allocations.would_acquire(request.clone()).await;
        let error = allocations.acquire(request).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(dry.unwrap_err(), error);
    }
    assert_eq!(host.observation().runtime().position, before);
    let held = acquire(&host, lease("src")).await.lease;
    let allocations = host.runtime.allocations();
    let error = allocations.acquire(lease("docs")).await.unwrap_err();
    assert_eq!(error.code(), Code::LeaseLimit, "{error}");
    let brief = RenewLease {
        fence: held.fence,
        ttl_ms: Some(1),
    };
    let error = allocations.renew(held.lease_id, &brief).await.unwrap_err();
    assert_eq!(error.code(), Code::FieldInvalid, "{error}");
    host.end().await;
}

#[tokio::test]
async fn a_full_disk_grants_no_lease_and_still_lets_one_be_given_back() {
    let host = Host::open().await;
    let held = acquire(&host, lease("src")).await.lease;
    host.faults.set_no_room(true);
    let allocations = host.runtime.allocations();
    let error = allocations.acquire(lease("docs")).await.unwrap_err();
    assert_eq!(error.code(), Code::StorageFull, "{error}");
    renew(&host, held.lease_id, held.fence).await.unwrap();
    let released = allocations.release_lease(held.lease_id, held.fence, None);
    released.await.unwrap();
    host.end().await;
}

#[test]
fn the_holder_of_a_scope_is_one_field_of_two_names() {
    let worker: Holder = WorkerId::from_bytes([1; 16]).into();
    let leased: Holder = ID.into();
    for (holder, key) in [(worker, "worker_id"), (leased, "lease_id")] {
        let json = serde_json::to_value(holder).unwrap();
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), [key]);
        assert_eq!(serde_json::from_value::<Holder>(json).unwrap(), holder);
    }
}
