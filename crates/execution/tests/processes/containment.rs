//! Nothing outlives a cancel, the command, or the Runtime.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use worker_runtime_execution::exec::{Exit, ProcessError, Running, spawn::spawn};

use super::act_as_runtime::ActedRuntime;
use super::support::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio(
            "a_stubborn_tree_is_gone_after_cancel_and_its_streams_end",
            stubborn_cancel,
        ),
        within_tokio("a_command_that_obeys_TERM_is_not_killed", polite_cancel),
        within_tokio("a_second_cancel_shortens_the_grace", impatient_cancel),
        within_tokio(
            "TERM_reaches_a_grandchild_in_another_session",
            term_reaches_all,
        ),
        within_tokio("a_run_is_not_quiet_before_its_leftovers_are", leftovers),
        within_tokio("leftovers_get_TERM_before_KILL", leftovers_term),
        within_tokio("dropping_the_process_kills_the_tree", dropped),
        within_tokio(
            "a_command_that_forks_without_end_is_ended",
            fork_chain_is_ended,
        ),
        within_tokio("many_processes_are_ended", fork_many),
        within_tokio("a_stopped_process_is_ended", stopped),
        within_tokio(
            "TERM_to_the_monitor_does_not_lose_the_command",
            monitor_ignores_term,
        ),
        within_tokio(
            "a_lost_monitor_is_told_and_takes_its_command_along",
            monitor_lost,
        ),
        within_tokio("a_tree_dies_with_its_Runtime", runtime_killed),
        within_tokio(
            "what_was_held_dies_unexecuted_with_its_Runtime",
            runtime_killed_holding,
        ),
    ]
}

/// A grace that no test waits for.
const LONG: Duration = Duration::from_secs(3600);

async fn stubborn_cancel() {
    let options = shell(STUBBORN);
    let marker = options.run_marker.clone();
    let running = spawn(options).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(running.stdout);
    let pids = stubborn_pids(&mut lines).await;
    assert!(pids.into_iter().all(is_alive));
    let mut process = running.process;
    process
        .canceller()
        .cancel(Duration::from_millis(50))
        .await
        .unwrap();
    assert_eq!(process.quiet().await.unwrap(), Exit::Signal(9));
    assert!(!pids.into_iter().any(is_alive));
    assert_eq!(marked(&marker), Vec::<i32>::new());
    assert_eq!(lines.next().await, None);
}

async fn polite_cancel() {
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let running = spawn(shell(script)).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    let mut process = running.process;
    process.canceller().cancel(LONG).await.unwrap();
    assert_eq!(process.quiet().await.unwrap(), Exit::Code(7));
    assert_eq!(lines.next().await.unwrap(), "bye");
}

async fn impatient_cancel() {
    let running = spawn(shell(STUBBORN)).await.unwrap().go().await.unwrap();
    stubborn_pids(&mut Lines::of(running.stdout)).await;
    let mut process = running.process;
    let canceller = process.canceller();
    canceller.cancel(LONG).await.unwrap();
    canceller.cancel(Duration::from_millis(20)).await.unwrap();
    assert_eq!(process.quiet().await.unwrap(), Exit::Signal(9));
}

async fn term_reaches_all() {
    let script = r#"
        setsid sh -c 'trap "echo told; exit" TERM; echo ready; while :; do sleep 0.01; done' &
        trap "" TERM
        wait
    "#;
    let running = spawn(shell(script)).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    let mut process = running.process;
    process.canceller().cancel(LONG).await.unwrap();
    assert_eq!(lines.next().await.unwrap(), "told");
    // The command's own `wait` is over with its child.
    process.quiet().await.unwrap();
}

async fn leftovers() {
    let script = r#"
        ( setsid sh -c 'trap "" TERM; echo grandchild $$; while :; do sleep 1000; done' & )
        read line
        exit 5
    "#;
    let mut options = shell(script);
    options.leftover_grace = Duration::ZERO;
    let Running {
        stdin,
        stdout,
        mut process,
        ..
    } = spawn(options).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(stdout);
    let line = lines.next().await.unwrap();
    let grandchild = line.strip_prefix("grandchild ").unwrap().parse().unwrap();
    assert!(is_alive(grandchild));
    drop(stdin);
    assert_eq!(process.quiet().await.unwrap(), Exit::Code(5));
    assert!(!is_alive(grandchild));
    assert_eq!(lines.next().await, None);
}

async fn leftovers_term() {
    let script = r#"
        ( setsid sh -c 'trap "echo tidied; exit" TERM; echo ready; while :; do sleep 0.01; done' & )
        read line
    "#;
    let mut options = shell(script);
    options.leftover_grace = LONG;
    let Running {
        stdin,
        stdout,
        // A shell reports there, and would die of SIGPIPE if nobody listened.
        stderr: _stderr,
        mut process,
        ..
    } = spawn(options).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    drop(stdin);
    process.quiet().await.unwrap();
    assert_eq!(lines.next().await.unwrap(), "tidied");
}

async fn dropped() {
    let options = shell(STUBBORN);
    let marker = options.run_marker.clone();
    let running = spawn(options).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(running.stdout);
    stubborn_pids(&mut lines).await;
    let canceller = running.process.canceller();
    drop(running.process);
    // The end of the stream is the end of all who hold it.
    assert_eq!(lines.next().await, None);
    eventually("all are gone", || marked(&marker).is_empty());
    canceller.cancel(Duration::ZERO).await.unwrap();
}

async fn fork_chain_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let options = shell(&fork_chain(directory.path()));
    let marker = options.run_marker.clone();
    let running = spawn(options).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    let mut process = running.process;
    process
        .canceller()
        .cancel(Duration::from_millis(20))
        .await
        .unwrap();
    process.quiet().await.unwrap();
    assert_eq!(marked(&marker), Vec::<i32>::new());
    assert_eq!(lines.next().await, None);
}

async fn fork_many() {
    let script = r#"
        trap "" TERM
        i=0
        while [ $i -lt 300 ]; do setsid sleep 1000 & i=$((i+1)); done
        echo ready
        while :; do setsid sleep 1000 & sleep 0.01; done
    "#;
    let options = shell(script);
    let marker = options.run_marker.clone();
    let running = spawn(options).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    // A process has no environment for an instant while it executes.
    eventually("all have begun", || marked(&marker).len() >= 300);
    let mut process = running.process;
    process.canceller().cancel(Duration::ZERO).await.unwrap();
    process.quiet().await.unwrap();
    assert_eq!(marked(&marker), Vec::<i32>::new());
    assert_eq!(lines.next().await, None);
}

async fn stopped() {
    let running = spawn(shell("echo ready; kill -STOP $$"))
        .await
        .unwrap()
        .go()
        .await
        .unwrap();
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    let mut process = running.process;
    process
        .canceller()
        .cancel(Duration::from_millis(10))
        .await
        .unwrap();
    assert!(matches!(
        process.quiet().await.unwrap(),
        Exit::Signal(9 | 15)
    ));
}

async fn monitor_ignores_term() {
    let running = spawn(shell("echo ready; read line; exit 4"))
        .await
        .unwrap()
        .go()
        .await
        .unwrap();
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    let mut process = running.process;
    let monitor = process.identity().leader.unwrap().pid;
    for signal in [
        rustix::process::Signal::TERM,
        rustix::process::Signal::INT,
        rustix::process::Signal::HUP,
    ] {
        let pid = rustix::process::Pid::from_raw(monitor).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
    drop(running.stdin);
    assert_eq!(process.quiet().await.unwrap(), Exit::Code(4));
}

async fn monitor_lost() {
    let running = spawn(shell("echo ready; read line"))
        .await
        .unwrap()
        .go()
        .await
        .unwrap();
    let mut lines = Lines::of(running.stdout);
    assert_eq!(lines.next().await.unwrap(), "ready");
    let mut process = running.process;
    let command = process.command().unwrap().pid;
    kill_9(process.identity().leader.unwrap().pid);
    let error = process.quiet().await.unwrap_err();
    assert!(
        matches!(error, ProcessError::MonitorLost { exit: None }),
        "{error:?}"
    );
    assert!(matches!(
        process.exited().await,
        Err(ProcessError::MonitorLost { .. })
    ));
    // Its input is still open: it is the death of its parent that ends it.
    eventually("the command is gone", || !is_alive(command));
    drop(running.stdin);
}

async fn runtime_killed() {
    let mut runtime = ActedRuntime::start(STUBBORN, true).await;
    let pids = stubborn_pids(&mut runtime.lines).await;
    assert!(pids.into_iter().all(is_alive));
    let before = Instant::now();
    runtime.kill();
    let marker = runtime.identity.run_marker.clone();
    eventually("all are gone", || marked(&marker).is_empty());
    assert!(!pids.into_iter().any(is_alive));
    assert!(before.elapsed() < DEADLINE);
}

async fn runtime_killed_holding() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let mut runtime = ActedRuntime::start(&format!("touch {}", trace.display()), false).await;
    let marker = runtime.identity.run_marker.clone();
    assert_eq!(marked(&marker).len(), 1);
    runtime.kill();
    eventually("the monitor is gone", || marked(&marker).is_empty());
    assert!(!trace.exists());
}
