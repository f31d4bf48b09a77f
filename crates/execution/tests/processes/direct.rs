//! Without a shim: less, and told so.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::Trial;
use worker_runtime_execution::exec::{
    Containment, Exit, Proof, Running, Shim, SpawnError, SpawnOptions, prove_dead, spawn::spawn,
};

use super::support::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio("without_a_shim_it_is_told_that_nothing_is_enforced", told),
        within_tokio("without_a_shim_exits_are_the_same", exits),
        within_tokio("without_a_shim_a_failed_start_is_the_same", failures),
        within_tokio("without_a_shim_the_group_is_ended_by_cancel", cancel),
        within_tokio(
            "without_a_shim_a_command_that_obeys_TERM_is_not_killed",
            polite,
        ),
        within_tokio(
            "without_a_shim_the_group_is_ended_with_the_command",
            leftovers,
        ),
        within_tokio("without_a_shim_dropping_kills_the_group", dropped),
        within_tokio(
            "without_a_shim_the_marker_alone_finds_the_command",
            proven_by_marker,
        ),
        within_tokio(
            "without_a_shim_what_is_never_let_go_never_executes",
            withheld,
        ),
    ]
}

fn direct(mut options: SpawnOptions) -> SpawnOptions {
    options.shim = Shim::Without;
    options
}

async fn start(script: &str) -> Running {
    let held = spawn(direct(shell(script))).await.unwrap();
    held.go().await.unwrap()
}

async fn told() {
    let held = spawn(direct(shell("exit 0"))).await.unwrap();
    assert_eq!(held.identity().containment, Containment::NotEnforced);
    assert_eq!(held.identity().leader, None);
    let running = held.go().await.unwrap();
    assert_eq!(running.process.containment(), Containment::NotEnforced);
    assert_eq!(running.process.identity().leader, running.process.command());
}

async fn exits() {
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 127", Exit::Code(127)),
        ("kill -KILL $$", Exit::Signal(9)),
    ] {
        let mut process = start(script).await.process;
        assert_eq!(process.exited().await.unwrap(), exit, "{script}");
        assert_eq!(process.quiet().await.unwrap(), exit, "{script}");
        assert_eq!(process.quiet().await.unwrap(), exit, "{script}");
    }
}

async fn failures() {
    let held = spawn(direct(options("/no/such/program", &[])))
        .await
        .unwrap();
    match held.go().await.unwrap_err() {
        SpawnError::Execute { program, source } => {
            assert_eq!(program, "/no/such/program");
            assert_eq!(source.kind(), io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
    let mut options = direct(shell("exit 0"));
    options.directory = PathBuf::from("/no/such/directory");
    let error = spawn(options).await.unwrap().go().await.unwrap_err();
    assert!(
        matches!(error, SpawnError::WorkingDirectory { .. }),
        "{error:?}"
    );
}

async fn cancel() {
    let script = r#"
        trap "" TERM
        sh -c 'trap "" TERM; echo $$; while :; do sleep 1000; done' &
        wait
    "#;
    let running = start(script).await;
    let mut lines = Lines::of(running.stdout);
    let child = lines.next().await.unwrap().parse().unwrap();
    let mut process = running.process;
    let canceller = process.canceller();
    let (exit, ()) = tokio::join!(process.quiet(), async {
        canceller.cancel(Duration::from_millis(20)).await.unwrap();
    });
    assert_eq!(exit.unwrap(), Exit::Signal(9));
    assert!(!is_alive(child));
    assert_eq!(lines.next().await, None);
}

async fn polite() {
    let running = start("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done").await;
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    let mut process = running.process;
    // Before anybody waits: it is remembered.
    process
        .canceller()
        .cancel(Duration::from_secs(3600))
        .await
        .unwrap();
    assert_eq!(process.quiet().await.unwrap(), Exit::Code(7));
}

async fn leftovers() {
    let running =
        start("sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' & read l; exit 3")
            .await;
    let mut lines = Lines::of(running.stdout);
    let child = lines.next().await.unwrap().parse().unwrap();
    drop(running.stdin);
    let mut process = running.process;
    assert_eq!(process.exited().await.unwrap(), Exit::Code(3));
    assert!(is_alive(child));
    assert_eq!(process.quiet().await.unwrap(), Exit::Code(3));
    assert!(!is_alive(child));
}

async fn dropped() {
    let running = start("echo ready; while :; do sleep 1000; done").await;
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    drop(running.process);
    assert_eq!(lines.next().await, None);
}

async fn proven_by_marker() {
    let held = spawn(direct(shell(STUBBORN))).await.unwrap();
    let recorded = held.identity().clone();
    let running = held.go().await.unwrap();
    let pids = stubborn_pids(&mut Lines::of(running.stdout)).await;
    let proof = tokio::task::spawn_blocking(move || prove_dead(&recorded, DEADLINE));
    assert_eq!(proof.await.unwrap(), Proof::Dead);
    assert!(!pids.into_iter().any(is_alive));
}

async fn withheld() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = direct(shell("touch trace"));
    options.directory = directory.path().to_owned();
    drop(spawn(options).await.unwrap());
    assert!(!directory.path().join("trace").exists());
}
