use serde_json::Value;
use worker_runtime_core::{EventType, Position, Seq, Timestamp, WorkerPlace};

use super::*;

fn id(number: u8) -> WorkerId {
    WorkerId::from_bytes([number; 16])
}

fn event(number: u8, kind: &str, data: Value) -> Event {
    let data = serde_json::to_vec(&data).unwrap();
    Event {
        data_digest: worker_runtime_core::Digest::of(&data),
        position: Position(1),
        at: Timestamp::default(),
        kind: EventType::from_text(kind),
        run_id: None,
        worker: Some(WorkerPlace {
            worker_id: id(number),
            seq: Seq(1),
            item: None,
        }),
        data: data.into(),
    }
}

fn rule(path: &str) -> Value {
    json!([{ "mount": "m", "path": path, "permission": "write" }])
}

fn granted(number: u8, parent: Option<u8>, own: &str, lends: Option<&str>) -> Event {
    let data = json!({
        "fence": number,
        "parent": parent.map(id),
        "allow": rule(own),
        "deny": [],
        "delegation": lends.map(|path| json!({ "allow": rule(path) })),
    });
    event(number, "allocation.granted", data)
}

#[test]
fn two_that_may_write_one_place_are_told() {
    let mut family = Family::default();
    assert_eq!(family.follow(&granted(1, None, "a", Some("a/b"))), Ok(()));
    assert_eq!(family.follow(&granted(2, Some(1), "a/b", None)), Ok(()));
    assert_eq!(family.follow(&granted(3, None, "d", None)), Ok(()));
    assert!(family.follow(&granted(4, None, "a/b/c", None)).is_err());
}

#[test]
fn more_than_is_handed_on_is_told() {
    let mut family = Family::default();
    assert_eq!(family.follow(&granted(1, None, "a", Some("a/b"))), Ok(()));
    assert!(family.follow(&granted(2, Some(1), "a", None)).is_err());
}

#[test]
fn those_below_are_told_who_is_above_them_before_anything_else() {
    let follow = |then: Event| {
        let mut family = Family::default();
        family.follow(&granted(1, None, "a", Some("a"))).unwrap();
        family.follow(&granted(2, Some(1), "a/b", None)).unwrap();
        let released = event(1, "allocation.released", json!({ "fence": 1 }));
        family.follow(&released).unwrap();
        family.follow(&then)
    };
    let told = |from: u8, to: Option<u8>| {
        let data = json!({ "from": id(from), "to": to.map(id) });
        event(2, "allocation.reparented", data)
    };
    assert_eq!(follow(told(1, None)), Ok(()));
    assert!(follow(told(1, Some(3))).is_err());
    assert!(follow(granted(3, None, "d", None)).is_err());
}

#[test]
fn what_is_denied_is_left_to_nobody() {
    let scope: Scope = serde_json::from_value(json!({
        "allow": [{ "mount": "m", "path": "a", "permission": "write" }],
        "deny": [
            { "mount": "m", "path": "a/b", "permission": "write", "recursive": false },
            { "mount": "m", "path": "a/b/c", "permission": "read" },
        ],
    }))
    .unwrap();
    assert_eq!(left_at(&scope, "a"), Some(Permission::Write));
    assert_eq!(left_at(&scope, "a/b/z"), Some(Permission::Read));
    assert_eq!(left_at(&scope, "a/b/c/z"), None);
    assert_eq!(left_at(&scope, "a/b/z/z"), Some(Permission::Write));
    assert_eq!(left_at(&scope, "d"), None);
}

fn leased(number: u8, kind: &str, fence: u8, path: &str, renewed: Option<u8>) -> Event {
    let data = json!({
        "lease_id": LeaseId::from_bytes([number; 16]),
        "fence": fence,
        "renewed": renewed,
        "allow": rule(path),
        "deny": [],
    });
    Event {
        worker: None,
        ..event(number, kind, data)
    }
}

#[test]
fn a_lease_lies_beside_everybody() {
    let with_a = || {
        let mut family = Family::default();
        family.follow(&granted(1, None, "a/b", None)).unwrap();
        family
            .follow(&leased(1, "lease.granted", 2, "d", None))
            .unwrap();
        family
    };
    let follow = |event: Event| with_a().follow(&event);
    assert!(follow(leased(2, "lease.granted", 3, "a", None)).is_err());
    assert!(follow(leased(2, "lease.granted", 3, "d/e", None)).is_err());
    assert!(follow(granted(2, None, "d/e", None)).is_err());
    assert_eq!(follow(leased(2, "lease.granted", 3, "z", None)), Ok(()));
}

#[test]
fn a_lease_that_is_held_is_granted_only_for_its_fence_and_ends_with_it() {
    let follow = |event: Event| {
        let mut family = Family::default();
        family
            .follow(&leased(1, "lease.granted", 2, "d", None))
            .unwrap();
        family.follow(&event)
    };
    assert!(follow(leased(1, "lease.granted", 3, "d", None)).is_err());
    assert!(follow(leased(1, "lease.granted", 2, "d", Some(2))).is_err());
    assert!(follow(leased(1, "lease.granted", 3, "a", Some(2))).is_err());
    assert_eq!(follow(leased(1, "lease.granted", 3, "d", Some(2))), Ok(()));
    assert!(follow(leased(1, "lease.expired", 1, "d", None)).is_err());
    assert!(follow(leased(2, "lease.expired", 2, "d", None)).is_err());
    assert_eq!(follow(leased(1, "lease.expired", 2, "d", None)), Ok(()));
}
