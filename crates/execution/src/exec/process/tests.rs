use super::*;

fn marker() -> RunMarker {
    RunMarker::new("0199a7e2-7d70-7000-8000-000000000001").unwrap()
}

#[test]
fn an_identity_survives_being_stored() {
    let own = rustix::process::getpid().as_raw_pid();
    let identity = identity_of(own, marker(), Containment::Enforced).unwrap();
    let stored = serde_json::to_string(&identity).unwrap();
    assert_eq!(
        serde_json::from_str::<ProcessIdentity>(&stored).unwrap(),
        identity
    );
    assert_eq!(identity.boot_id.len(), 36);
    assert!(identity.pid_namespace.starts_with("pid:["));
}

#[test]
fn the_ancestors_begin_with_the_parent() {
    let own = rustix::process::getpid().as_raw_pid();
    let parent = rustix::process::getppid().unwrap().as_raw_pid();
    let identity = identity_of(own, marker(), Containment::Enforced).unwrap();
    assert_eq!(identity.ancestors.first().unwrap().pid, parent);
}

#[test]
fn a_process_that_does_not_exist_has_no_identity() {
    let error = identity_of(i32::MAX, marker(), Containment::Enforced).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(identity_of(0, marker(), Containment::Enforced).is_err());
}

#[test]
fn a_marker_that_could_match_by_chance_or_span_entries_is_refused() {
    for bad in [
        "",
        "1",
        "short",
        "sixteen bytes ok",
        "0123456789abcde\0",
        "0123456789abcdef=x",
    ] {
        assert!(RunMarker::new(bad).is_err(), "{bad:?}");
        let stored = serde_json::to_string(bad).unwrap();
        assert!(
            serde_json::from_str::<RunMarker>(&stored).is_err(),
            "{bad:?}"
        );
    }
    assert!(RunMarker::new("x".repeat(129)).is_err());
    assert!(RunMarker::new("0123456789abcdef").is_ok());
}
