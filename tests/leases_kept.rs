//! Leases over crashes, lost answers and damage: what is held stays held, and its fence does not (I5, I6).

use worker_runtime_core::{Code, Permission, store::DamagedRecord};

use crate::{
    allocations::{holding, nothing, read},
    leases::{ID, acquire, hosts, lease, named, owners, refused_worker, renew, verify},
    support::{Fault, Host, write},
};

#[tokio::test]
async fn an_opening_keeps_the_lease_and_voids_its_fence_until_the_holder_renews() {
    for (host, _directory) in hosts().await {
        let held = acquire(&host, lease("src")).await.lease;
        assert_eq!(
            verify(&host, held.lease_id, held.fence, "src/x"),
            Ok(Permission::Write)
        );
        assert_eq!(
            verify(&host, held.lease_id, held.fence, "docs"),
            Err(Code::ScopeDenied)
        );
        let host = host.crash().await;
        let shown = host.observation().lease(held.lease_id).unwrap();
        assert_eq!((shown.fence, shown.is_current), (held.fence, false));
        assert!(shown.expires_at >= held.expires_at, "its whole time again");
        assert_eq!(
            verify(&host, held.lease_id, held.fence, "src/x"),
            Err(Code::FenceStale)
        );
        // It is held all the same.
        let refusal = refused_worker(&host, write("src")).await;
        assert_eq!(
            owners(&refusal),
            [(held.lease_id.into(), Some("formatter"))]
        );
        let other = renew(&host, held.lease_id, held.fence.next()).await;
        assert_eq!(other.unwrap_err().code(), Code::FenceStale);
        let renewed = renew(&host, held.lease_id, held.fence).await.unwrap();
        assert!(renewed.fence > held.fence && renewed.is_current);
        assert_eq!(
            verify(&host, held.lease_id, renewed.fence, "src/x"),
            Ok(Permission::Write)
        );
        assert_eq!(
            verify(&host, held.lease_id, held.fence, "src/x"),
            Err(Code::FenceStale)
        );
        // Who did not hear the answer asks again.
        let again = renew(&host, held.lease_id, held.fence).await.unwrap();
        assert_eq!(again.fence, renewed.fence);
        let host = host.crash().await;
        // It can be given back with a void fence: that frees and touches nothing.
        let allocations = host.runtime.allocations();
        let released = allocations.release_lease(held.lease_id, renewed.fence, None);
        released.await.unwrap();
        let host = host.crash().await;
        assert_eq!(host.observation().leases(0, 10).total, 0);
        host.end().await;
    }
}

#[tokio::test]
async fn what_was_asked_for_under_an_id_is_granted_once_also_over_a_crash() {
    for (host, _directory) in hosts().await {
        let allocations = host.runtime.allocations();
        assert!(allocations.would_acquire(named("src")).await.unwrap());
        let first = acquire(&host, named("src")).await;
        assert_eq!((first.lease.lease_id, first.repeated), (ID, false));
        assert!(!allocations.would_acquire(named("src")).await.unwrap());
        let again = acquire(&host, named("src")).await;
        assert_eq!(
            (again.lease.fence, again.repeated),
            (first.lease.fence, true)
        );
        let other = allocations.acquire(named("docs")).await.unwrap_err();
        assert_eq!(other.code(), Code::LeaseExists, "{other}");
        // The answer was lost with the Runtime: nobody could renew with a fence that nobody heard.
        let host = host.crash().await;
        let again = acquire(&host, named("src")).await;
        assert!(again.repeated && again.lease.is_current);
        assert!(again.lease.fence > first.lease.fence);
        assert_eq!(host.observation().leases(0, 10).total, 1);
        host.end().await;
    }
}

#[tokio::test]
async fn a_grant_whose_outcome_is_unknown_is_found_or_made_by_asking_again() {
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter] {
        let host = Host::open().await;
        host.faults.fail_next([fault]);
        let allocations = host.runtime.allocations();
        let error = allocations.acquire(named("src")).await.unwrap_err();
        assert_eq!(error.code(), Code::OutcomeUnknown, "{error}");
        let again = acquire(&host, named("src")).await;
        assert_eq!(again.repeated, fault == Fault::UnknownAfter);
        let fence = again.lease.fence;
        assert_eq!(verify(&host, ID, fence, "src"), Ok(Permission::Write));
        // A store that was brought back is no opening: what was granted before is still good.
        host.faults.fail_next([fault]);
        let catalog = host.runtime.catalog();
        let create = catalog.create(holding(read(""), nothing()));
        assert_eq!(create.await.unwrap_err().code(), Code::OutcomeUnknown);
        assert_eq!(verify(&host, ID, fence, "src"), Ok(Permission::Write));
        assert_eq!(renew(&host, ID, fence).await.unwrap().fence, fence);
        host.end().await;
    }
}

#[tokio::test]
async fn a_lease_whose_record_is_damaged_holds_nothing_and_is_named_until_it_is_cleared_away() {
    let host = Host::open().await;
    let fence = acquire(&host, named("src")).await.lease.fence;
    host.faults.find(|loaded| {
        loaded.leases.clear();
        loaded.damaged.push(DamagedRecord {
            table: "lease",
            worker_id: None,
            lease_id: Some(ID),
            operation_id: None,
            seq: None,
            detail: "the checksum does not fit".to_owned(),
        });
    });
    let host = host.crash().await;
    let named_in = |host: &Host| {
        let found = host.runtime.management().diagnostics();
        let mut codes = found.iter().filter(|one| one.message.contains("lease"));
        codes.next().map(|one| (one.code, one.command.clone()))
    };
    let (code, command) = named_in(&host).unwrap();
    assert_eq!(code, Code::RecordDamaged);
    assert!(command.unwrap().contains(&ID.to_string()));
    assert_eq!(verify(&host, ID, fence, "src"), Err(Code::RecordDamaged));
    assert_eq!(
        renew(&host, ID, fence).await.unwrap_err().code(),
        Code::RecordDamaged
    );
    let allocations = host.runtime.allocations();
    let again = allocations.acquire(named("src")).await.unwrap_err();
    assert_eq!(again.code(), Code::RecordDamaged, "{again}");
    let gently = allocations.release_lease(ID, fence, None).await;
    assert_eq!(gently.unwrap_err().code(), Code::RecordDamaged);
    let cleared = allocations.release_lease_by_force(ID, "damaged".to_owned());
    cleared.await.unwrap();
    assert_eq!(named_in(&host), None);
    let host = host.crash().await;
    assert_eq!(named_in(&host), None);
    acquire(&host, named("src")).await;
    host.end().await;
}
