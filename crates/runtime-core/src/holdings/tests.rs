//! Who is above whom, also where damaged records say what can't be; and how many owners a refusal names.

use std::{collections::BTreeSet, sync::Arc};

use super::{Asker, Holdings};
use crate::{
    Digest, Fence, HeldRule, HeldScope, LeaseId, Permission, Timestamp, WorkerId,
    error::ScopeRefusal,
    record::{AllocationRecord, LeaseRecord},
    scope::{Claim, Leaves, OWNERS_MAX},
    view::Owners,
};

fn id(number: u128) -> WorkerId {
    WorkerId::from_bytes(number.to_be_bytes())
}

fn write(targets: &[&str]) -> HeldScope {
    let rule = |target: &&str| HeldRule {
        mount: "m".to_owned(),
        path: target.trim_start_matches('/').to_owned(),
        target: (*target).to_owned(),
        permission: Permission::Write,
        recursive: true,
    };
    HeldScope {
        allow: targets.iter().map(rule).collect(),
        deny: vec![],
    }
}

fn held(number: u128, parent: Option<u128>, targets: &[&str]) -> Arc<AllocationRecord> {
    Arc::new(AllocationRecord {
        worker_id: id(number),
        parent: parent.map(id),
        scope: Arc::new(write(targets)),
        fence: Fence(1),
        granted_at: Timestamp::from_unix_ms(0),
        delegation: Some(Arc::new(write(targets))),
    })
}

/// One that holds through its delegation alone.
fn hands_on(number: u128, parent: u128, targets: &[&str]) -> Arc<AllocationRecord> {
    Arc::new(AllocationRecord {
        scope: Arc::default(),
        ..(*held(number, Some(parent), targets)).clone()
    })
}

fn refuse(
    holdings: &Holdings,
    target: &str,
    worker_id: Option<u128>,
    parent: Option<u128>,
) -> Result<(), ScopeRefusal> {
    let (worker_id, parent) = (worker_id.map(id), parent.map(id));
    let asked = write(&[target]);
    holdings.refuse(Claim::from(&asked), Asker { worker_id, parent }, |_| None)
}

fn owners(refused: Result<(), ScopeRefusal>) -> Owners {
    match refused {
        Err(ScopeRefusal::Conflict { owners }) => owners,
        other => panic!("{other:?} names no owners"),
    }
}

fn named(refused: Result<(), ScopeRefusal>) -> Vec<WorkerId> {
    let owners = owners(refused).named;
    owners
        .iter()
        .filter_map(|owner| owner.holder.worker_id())
        .collect()
}

fn children(holdings: &Holdings, number: u128) -> Vec<WorkerId> {
    let children = holdings.children(id(number));
    children.map(|child| child.worker_id).collect()
}

#[test]
fn those_above_and_below_are_no_rivals_and_siblings_are() {
    let holdings = Holdings::new([
        held(1, None, &["/w"]),
        held(2, Some(1), &["/w/a"]),
        held(3, Some(2), &["/w/a/b"]),
        held(4, Some(1), &["/w/c"]),
    ]);
    assert_eq!(refuse(&holdings, "/w/a/b", Some(2), Some(1)), Ok(()));
    assert_eq!(refuse(&holdings, "/w/a/b/c", None, Some(3)), Ok(()));
    assert_eq!(named(refuse(&holdings, "/w/c", Some(2), Some(1))), [id(4)]);
    assert_eq!(
        named(refuse(&holdings, "/w/a/b/c", None, None)),
        [id(3), id(2), id(1)],
        "the deepest first"
    );
}

/// To end the one that lent it would free nothing.
#[test]
fn whom_it_was_lent_to_is_named_before_whoever_lent_it() {
    let holdings = Holdings::new([
        hands_on(2, 3, &["/w"]),
        held(1, Some(2), &["/w"]),
        held(3, None, &["/w"]),
    ]);
    assert_eq!(
        named(refuse(&holdings, "/w/a", None, None)),
        [id(1), id(2), id(3)]
    );
    let holdings = Holdings::new([held(3, Some(1), &["/w"]), held(1, None, &["/w"])]);
    assert_eq!(named(refuse(&holdings, "/w/a", None, None)), [id(3), id(1)]);
}

#[test]
fn a_change_of_parent_moves_a_holder_below_the_other_one() {
    let mut holdings = Holdings::new([
        held(1, None, &["/w"]),
        held(2, Some(1), &["/w/a"]),
        held(3, Some(2), &["/w/a/b"]),
    ]);
    holdings.insert(held(3, Some(1), &["/w/a/b"]));
    assert_eq!(children(&holdings, 2), []);
    assert_eq!(children(&holdings, 1), [id(2), id(3)]);
    assert_eq!(
        named(refuse(&holdings, "/w/a", Some(2), Some(1))),
        [id(3)],
        "what was below it is beside it now"
    );
}

#[test]
fn a_new_fence_leaves_everybody_where_he_is() {
    let mut holdings = Holdings::new([held(1, None, &["/w"]), held(2, Some(1), &["/w/a"])]);
    let fence = Fence(7);
    let run = AllocationRecord {
        fence,
        ..(*held(2, Some(1), &["/w/a"])).clone()
    };
    holdings.insert(Arc::new(run));
    assert_eq!(holdings.get(id(2)).map(|held| held.fence), Some(fence));
    assert_eq!(children(&holdings, 1), [id(2)]);
    assert_eq!(named(refuse(&holdings, "/w/a", None, None)), [id(2), id(1)]);
}

#[test]
fn what_is_released_is_free_and_leaves_no_place_behind() {
    let mut holdings = Holdings::new([held(1, None, &["/w"]), held(2, Some(1), &["/w/a"])]);
    assert!(holdings.remove(id(2)).is_some());
    assert!(holdings.remove(id(2)).is_none());
    assert_eq!(children(&holdings, 1), []);
    assert_eq!(
        holdings.permission_at(id(1), "/w/a"),
        Some(Permission::Write)
    );
    assert!(holdings.below.is_empty(), "nobody is above anybody");
}

#[test]
fn a_missing_parent_is_above_nobody() {
    let holdings = Holdings::new([held(2, Some(1), &["/w/a"]), held(3, Some(2), &["/w/a/b"])]);
    assert_eq!(holdings.above(Some(id(1))).next(), None);
    let above: Vec<WorkerId> = holdings.above(Some(id(3))).collect();
    assert_eq!(above, [id(3), id(2)]);
    // Nobody can say any more that it may be handed on.
    assert!(matches!(
        refuse(&holdings, "/w/c", Some(2), Some(1)),
        Err(ScopeRefusal::Undelegated { .. })
    ));
    assert_eq!(
        named(refuse(&holdings, "/w/a/b", None, None)),
        [id(3), id(2)]
    );
}

#[test]
fn a_circle_of_parents_ends_and_keeps_everybody_elses_out() {
    let holdings = Holdings::new([
        held(1, Some(3), &["/w"]),
        held(2, Some(1), &["/w/a"]),
        held(3, Some(2), &["/w/a/b"]),
        held(4, Some(4), &["/x"]),
    ]);
    let above: Vec<WorkerId> = holdings.above(Some(id(3))).collect();
    assert!(above.len() <= holdings.len(), "{above:?}");
    let above: BTreeSet<WorkerId> = above.into_iter().collect();
    assert_eq!(above, BTreeSet::from([id(1), id(2), id(3)]));
    assert_eq!(named(refuse(&holdings, "/w/a/b", None, None)).len(), 3);
    assert_eq!(refuse(&holdings, "/x/y", Some(4), Some(4)), Ok(()));
}

#[test]
fn a_holder_that_is_its_own_parent_lends_to_itself_and_goes_away_whole() {
    let mut holdings = Holdings::new([held(4, Some(4), &["/x"])]);
    assert_eq!(children(&holdings, 4), [id(4)]);
    assert_eq!(holdings.permission_at(id(4), "/x"), Some(Permission::Read));
    assert!(holdings.remove(id(4)).is_some());
    assert_eq!(refuse(&holdings, "/x", None, None), Ok(()));
    assert!(holdings.below.is_empty());
}

#[test]
fn a_refusal_names_so_many_owners_and_counts_them_all() {
    for more in [0, 1, 7] {
        let count = OWNERS_MAX + more;
        let holdings = Holdings::new((0..count).map(|number| {
            let target = format!("/w/{number:04}");
            held(number as u128 + 1, None, &[&target])
        }));
        let owners = owners(refuse(&holdings, "/w", None, None));
        assert_eq!((owners.total, owners.named.len()), (count, OWNERS_MAX));
        let told = owners.to_string();
        assert_eq!(
            told.ends_with(&format!("; and {more} more")),
            more > 0,
            "{told}"
        );
    }
}

#[test]
fn an_owner_is_counted_once_however_many_of_its_rules_are_met() {
    let holdings = Holdings::new([
        held(1, None, &["/w/a", "/w/b/deep", "/w/c"]),
        held(2, None, &["/w/d"]),
    ]);
    let owners = owners(refuse(&holdings, "/w", None, None));
    assert_eq!(owners.total, 2);
    let first = owners.named.first().map(|owner| owner.holds.path.as_str());
    assert_eq!(first, Some("w/b/deep"), "its deepest rule says it");
}

#[test]
fn a_lease_is_a_rival_of_everybody_and_of_no_family() {
    let lease = |number: u8, target: &str| {
        let lease_id = LeaseId::from_bytes([number; 16]);
        Arc::new(LeaseRecord {
            lease_id,
            holder: format!("tool {number}"),
            fingerprint: Digest::of(b""),
            scope: Arc::new(write(&[target])),
            ttl_ms: 1_000,
            fence: Fence(1),
            shown: None,
            granted_at: Timestamp::from_unix_ms(0),
            reason: None,
        })
    };
    let held = [held(1, None, &["/w"]), held(2, Some(1), &["/w/a"])];
    let mut holdings = Holdings::new(held).and([lease(7, "/x/y"), lease(8, "/x")]);
    let told = |holdings: &Holdings, worker_id, parent| {
        let named = owners(refuse(holdings, "/x/y/z", worker_id, parent)).named;
        let named = named.into_iter();
        let named = named.map(|owner| (owner.holder, owner.display_name.unwrap()));
        named.collect::<Vec<_>>()
    };
    let both = [7, 8].map(|number| {
        let lease_id = LeaseId::from_bytes([number; 16]);
        (lease_id.into(), format!("tool {number}"))
    });
    assert_eq!(told(&holdings, None, None), both);
    assert_eq!(told(&holdings, Some(1), None), both);
    let at: Vec<_> = holdings
        .at("/x/y")
        .map(|(held, may)| (held.holder(), may))
        .collect();
    assert_eq!(at.len(), 2);
    assert!(at.iter().all(|(_, may)| *may == Some(Permission::Write)));
    // In the place of itself, with another scope.
    holdings.insert_lease(lease(7, "/z"));
    assert_eq!(told(&holdings, None, None), both[1..]);
    assert_eq!(holdings.leases().len(), 2);
    assert!(
        holdings
            .remove_lease(LeaseId::from_bytes([8; 16]))
            .is_some()
    );
    assert_eq!(refuse(&holdings, "/x/y/z", None, None), Ok(()));
    assert_eq!(named(refuse(&holdings, "/w", None, None)).len(), 2);
}

/// One that has lent much is asked about as one that has lent nothing: what others hold elsewhere is not
/// looked at, and the answer is that of [`Effective`](crate::scope::Effective).
#[test]
fn what_is_left_at_a_path_is_what_is_effective_there() {
    let holdings = Holdings::new([
        held(1, None, &["/w"]),
        held(2, Some(1), &["/w/a"]),
        held(3, Some(2), &["/w/a/b"]),
        hands_on(4, 1, &["/w/c"]),
    ]);
    for target in ["", "/w", "/w/a", "/w/a/b", "/w/a/b/c", "/w/c", "/w/d", "/x"] {
        for number in 1..=4 {
            let effective = holdings.run_scope(id(number)).unwrap();
            assert_eq!(
                holdings.permission_at(id(number), target),
                effective.effective().permission_at(target),
                "{number} at {target:?}"
            );
        }
        let at: Vec<_> = holdings.at(target).collect();
        for (held, permission) in at {
            assert_eq!(
                permission,
                holdings.permission_at(held.holder().worker_id().unwrap(), target)
            );
        }
    }
}
