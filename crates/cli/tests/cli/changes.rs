//! Lives of Workers on a stopped store.

use crate::support::{Place, snapshot};

#[test]
fn a_worker_is_stopped_restored_cancelled_archived_and_deleted() {
    let place = Place::new();
    assert_eq!(
        place
            .run(&["worker", "create", "--name", "w", "--", "cat"])
            .code,
        Some(0)
    );
    let steps: &[&[&str]] = &[
        &["worker", "rm", "w", "--yes"],
        &["worker", "stop", "w", "--reason", "enough"],
        &["worker", "stop", "w"],
        &["worker", "pause", "w"],
        &["worker", "restore", "w"],
        &["worker", "cancel", "w"],
        &["worker", "restore", "w"],
        &["worker", "archive", "w"],
        &["worker", "ls"],
        &["worker", "ls", "--all"],
        &["worker", "rm", "w"],
        &["worker", "rm", "w", "--yes", "--purge"],
        &["worker", "ls", "--all"],
        &["status"],
    ];
    let calls: Vec<_> = steps.iter().map(|step| place.run(step)).collect();
    snapshot(&place, "life", &calls);
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let place = Place::new();
    assert_eq!(
        place
            .run(&["worker", "create", "--name", "w", "--", "cat"])
            .code,
        Some(0)
    );
    let before = place.files();
    let steps: &[&[&str]] = &[
        &["worker", "stop", "w", "--dry-run"],
        &["worker", "cancel", "w", "--dry-run", "-o", "json"],
        &["worker", "resume", "w", "--dry-run"],
        &["worker", "restore", "w", "--dry-run"],
        &["worker", "archive", "w", "--dry-run"],
        &["worker", "rm", "w", "--dry-run"],
    ];
    let calls: Vec<_> = steps.iter().map(|step| place.run(step)).collect();
    assert_eq!(place.files(), before);
    snapshot(&place, "dry_run", &calls);
}

#[test]
fn a_dry_run_of_a_new_worker_is_refused_as_the_call_would_be() {
    let place = Place::new();
    let none = place.run(&["run", "--dry-run", "--", "touch", "made"]);
    assert!(!place.state().exists());
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let create = [
        "worker",
        "create",
        "--worker-id",
        id,
        "--scope",
        "write:src",
        "--",
        "cat",
    ];
    assert_eq!(place.run(&create).code, Some(0));
    let before = place.files();
    let mut again = create.to_vec();
    again.insert(2, "--dry-run");
    let calls = [
        none,
        place.run(&again),
        place.run(&[
            "worker",
            "create",
            "--worker-id",
            id,
            "--dry-run",
            "--",
            "tac",
        ]),
        place.run(&["run", "--dry-run", "--scope", "write:src/a", "--", "true"]),
        place.run(&[
            "run",
            "--dry-run",
            "--scope",
            "write:other",
            "-o",
            "json",
            "--worker-id",
            id.replace("8057", "8058").as_str(),
            "--",
            "true",
        ]),
    ];
    assert_eq!(place.files(), before);
    assert!(!place.project().join("made").exists());
    snapshot(&place, "dry_run_create", &calls);
}
