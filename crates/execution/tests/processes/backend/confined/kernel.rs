//! What the kernel answers to a command that is confined, and to what that starts.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use libtest_mimic::Trial;
use serde_json::json;
use worker_runtime_core::{
    Scope,
    backend::{BackendFactory as _, Proof},
    record::{ProcessLife, ProcessRecord},
};
use worker_runtime_execution::exec::{ExecFactory, ExecOptions, SpawnOptions, spawn::spawn};

use super::*;
use crate::support::{random_marker, within_tokio};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio("a_confined_command_writes_inside_of_its_scope_only", inside),
        within_tokio(
            "what_a_confined_command_starts_is_confined_too",
            descendants,
        ),
        within_tokio(
            "no_move_and_no_link_leads_out_of_a_scope_or_into_it",
            no_way_around,
        ),
        within_tokio("a_confined_command_has_a_directory_of_its_own", temporary),
        within_tokio(
            "a_confined_worker_that_holds_nothing_writes_nowhere",
            nothing,
        ),
        within_tokio(
            "a_symlink_that_takes_the_place_of_a_scope_is_not_followed",
            replaced,
        ),
        within_tokio("what_an_older_landlock_leaves_open_is_told", older),
        within_tokio(
            "what_a_killed_runtime_left_of_temporary_files_is_removed",
            left_over,
        ),
    ]
}

async fn inside() {
    let ground = Ground::new(options()).await;
    let worker = ground.confined(write("in")).await;
    let steps: &[(&str, &[&str])] = &[
        ("0 make in/new", &["ok"]),
        ("0 write in/file", &["ok"]),
        ("0 truncate in/deep/file", &["ok"]),
        ("0 mkdir in/d", &["ok"]),
        ("0 rename in/new in/d/new", &["ok"]),
        ("0 link in/d/new in/again", &["ok"]),
        ("0 remove in/d/new", &["ok"]),
        ("0 rmdir in/d", &["ok"]),
        ("0 read out/file", &["ok"]),
        ("0 make out/new", &[EACCES]),
        ("0 write out/file", &[EACCES]),
        ("0 truncate out/file", &[EACCES]),
        ("0 mkdir out/d", &[EACCES]),
        ("0 rename out/file out/other", &[EACCES]),
        ("0 symlink in out/link", &[EACCES]),
        ("0 remove out/file", &[EACCES]),
        ("0 make beside", &[EACCES]),
        ("0 rmdir tmp", &[EACCES]),
    ];
    ground.expect(worker, steps).await;
    assert_eq!(ground.read("out/file"), "as it was");
    assert_eq!(ground.read("in/file"), "as it wasx");
    assert_eq!(ground.confinement(worker), json!({ "state": "whole" }));
}

async fn descendants() {
    let ground = Ground::new(options()).await;
    let worker = ground.confined(write("in")).await;
    let steps: &[(&str, &[&str])] = &[
        ("1 make in/child", &["ok"]),
        ("1 write out/file", &[EACCES]),
        ("1 make out/child", &[EACCES]),
        ("3 make in/great", &["ok"]),
        ("3 truncate out/file", &[EACCES]),
        ("3 remove out/file", &[EACCES]),
    ];
    ground.expect(worker, steps).await;
    // So is one that leaves its session, and has lost its parent.
    let escaped = ground.path("out/escaped");
    let script = format!(
        "setsid sh -c 'echo x > {escaped}; echo $?; echo x > {}; echo $?' 2> /dev/null",
        ground.path("in/escaped")
    );
    let mut config = shell(&script);
    config["confine"] = json!("on");
    ground.end(worker).await;
    let worker = ground.create(holding(config, write("in"))).await;
    let told = ground.host.run(worker, "x").await;
    assert_eq!(told.text(), "2\n0\n");
    assert!(!Path::new(&escaped).exists());
}

async fn no_way_around() {
    let ground = Ground::new(options()).await;
    symlink(ground.path("out"), ground.path("in/link")).unwrap();
    let worker = ground.confined(write("in")).await;
    let steps: &[(&str, &[&str])] = &[
        ("0 make in/link/new", &[EACCES]),
        ("0 write in/link/file", &[EACCES]),
        ("0 symlink out/file in/mine", &["ok"]),
        ("0 write in/mine", &[EACCES]),
        ("0 write in/../out/file", &[EACCES]),
        ("0 rename in/file out/moved", &[EACCES, EXDEV]),
        ("0 rename out/file in/taken", &[EACCES, EXDEV]),
        ("0 link out/file in/linked", &[EACCES, EXDEV]),
        ("0 link in/file out/linked", &[EACCES, EXDEV]),
        ("0 rename in/deep out/deep", &[EACCES, EXDEV]),
        ("0 rename in renamed", &[EACCES, EXDEV]),
        ("1 link out/file in/linked", &[EACCES, EXDEV]),
    ];
    ground.expect(worker, steps).await;
    assert_eq!(ground.read("out/file"), "as it was");
    assert_eq!(ground.read("in/file"), "as it was");
    for never in [
        "in/linked",
        "in/taken",
        "out/moved",
        "out/linked",
        "renamed",
    ] {
        assert!(!ground.is_there(never), "{never}");
    }
}

async fn temporary() {
    let ground = Ground::new(options()).await;
    let mut config = shell(
        r#"echo x > "$TMPDIR/x" && echo y > /dev/null && echo z > /dev/stderr && echo "$TMPDIR""#,
    );
    config["confine"] = json!("on");
    let worker = ground.create(holding(config, write("in"))).await;
    let told = ground.host.run(worker, "x").await;
    assert_eq!(told.outcome()["kind"], "completed", "{told:?}");
    let place = PathBuf::from(told.text().trim_end());
    assert!(place.starts_with(ground.path("tmp")), "{place:?}");
    // Gone with its command, and not the one of the next.
    assert_eq!(fs::read_dir(ground.path("tmp")).unwrap().count(), 0);
    let again = ground.host.run(worker, "x").await;
    assert_ne!(told.text(), again.text());
    assert_eq!(fs::read_dir(ground.path("tmp")).unwrap().count(), 0);
}

async fn nothing() {
    let ground = Ground::new(options()).await;
    let worker = ground.confined(Scope::default()).await;
    let steps: &[(&str, &[&str])] = &[
        ("0 write in/file", &[EACCES]),
        ("0 make out/new", &[EACCES]),
        ("0 read in/file", &["ok"]),
    ];
    ground.expect(worker, steps).await;
    assert_eq!(ground.confinement(worker), json!({ "state": "whole" }));
}

async fn replaced() {
    let ground = Ground::new(options()).await;
    let worker = ground.confined(write("in/deep")).await;
    ground
        .expect(worker, &[("0 make in/deep/new", &["ok"])])
        .await;
    fs::rename(ground.path("in/deep"), ground.path("in/elsewhere")).unwrap();
    symlink(ground.path("out"), ground.path("in/deep")).unwrap();
    expect_refused(
        &ground,
        worker,
        "here:in/deep can't be looked up as it was granted",
    )
    .await;
    assert_eq!(fs::read_dir(ground.path("out")).unwrap().count(), 1);
}

async fn older() {
    for (version, can_truncate, can_move) in [(1, true, false), (2, true, true), (3, false, true)] {
        let options = ExecOptions {
            landlock_version_max: version,
            ..options()
        };
        let ground = Ground::new(options).await;
        let worker = ground.confined(write("in")).await;
        let truncated: &[&str] = if can_truncate { &["ok"] } else { &[EACCES] };
        let moved: &[&str] = if can_move { &["ok"] } else { &[EXDEV] };
        let steps: &[(&str, &[&str])] = &[
            ("0 make in/new", &["ok"]),
            ("0 write out/file", &[EACCES]),
            ("0 truncate out/file", truncated),
            ("0 rename in/new in/deep/new", moved),
        ];
        ground.expect(worker, steps).await;
        // What was told is what was found.
        let told = ground.confinement(worker);
        let reason = told["reason"].as_str().unwrap_or_default();
        let state = if can_truncate { "outer" } else { "whole" };
        assert_eq!(told["state"], state, "{version}: {told}");
        assert_eq!(reason.contains("truncating"), can_truncate, "{told}");
        assert_eq!(reason.contains("can't move files"), !can_move, "{told}");
    }
}

async fn left_over() {
    let ground = Ground::new(options()).await;
    let marker = random_marker();
    let left = PathBuf::from(ground.path(&format!("tmp/worker-runtime-{marker}")));
    fs::create_dir(&left).unwrap();
    fs::write(left.join("x"), "left").unwrap();
    let somebodys = ground.path("tmp/worker-runtime-other");
    fs::create_dir(&somebodys).unwrap();
    let mut command = SpawnOptions::new("true", "/", marker);
    command.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    let held = spawn(command).await.unwrap();
    let record = ProcessRecord {
        life: ProcessLife::Run,
        label: "true".to_owned(),
        identity: serde_json::to_vec(held.identity()).unwrap(),
    };
    drop(held);
    let factory = ExecFactory::new(ExecOptions {
        temporary: ground.path("tmp").into(),
        ..options()
    });
    assert_eq!(factory.prove_dead(&record), Proof::Dead);
    assert!(!left.exists());
    assert!(Path::new(&somebodys).exists());
}
