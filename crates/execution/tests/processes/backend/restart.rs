//! What becomes of commands over a restart of their Runtime.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use worker_runtime_core::{
    WorkerId,
    run::{OutcomeKind, StopReason},
};

use super::support::*;
use crate::support::{is_alive, kill_9, parent_of, within_tokio};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio("a_conversation_is_taken_up_over_a_restart", resume),
        within_tokio("a_killed_runtime_leaves_nothing_running", killed),
        within_tokio(
            "what_outlived_the_runtime_is_dead_before_anything_is_served",
            outlived,
        ),
    ]
}

async fn resume() {
    let reference = r#"{"type":"resume","run_id":"$RUN","reference":"thread-7"}
!end"#;
    for (manner, lost) in [("restores", 0), ("forgets", 1)] {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::open_in(directory.path(), options()).await;
        let worker = host.worker(agent(manner)).await;
        host.run(worker, reference).await;
        host.runtime.close().await.unwrap();
        let host = Host::open_in(directory.path(), options()).await;
        let told = host.run(worker, "!say-hello\n!end").await;
        let hello: Value = serde_json::from_str(&told.text()).unwrap();
        assert_eq!(hello["resume"], json!("thread-7"));
        assert_eq!(told.of("context.lost").len(), lost, "{manner}");
        host.runtime.close().await.unwrap();
    }
}

/// A Runtime in a process of its own, and what it runs.
fn start(state: &std::path::Path) -> (Child, WorkerId, Vec<i32>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(crate::act_as_host::ROLE)
        .arg(state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    let worker = next().parse().unwrap();
    let pids: Vec<i32> = [next(), next()]
        .iter()
        .map(|line| line.split_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    (child, worker, pids)
}

async fn expect_interrupted(state: &std::path::Path, worker: WorkerId, pids: &[i32]) {
    let host = Host::open_in(state, options()).await;
    assert!(
        pids.iter().all(|pid| !is_alive(*pid)),
        "it opened too early"
    );
    let last = host
        .runtime
        .catalog()
        .get(worker)
        .unwrap()
        .last_run
        .unwrap();
    assert_eq!(last.outcome.kind, OutcomeKind::Interrupted);
    assert_eq!(*last.outcome.stop, StopReason::RuntimeLost);
    // The Worker goes on, with its own command.
    host.send(worker, worker_runtime_core::input::SubmitInput::text("x"))
        .await;
    host.until_said(worker, "command").await;
    host.runtime.close().await.unwrap();
}

async fn killed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, worker, pids) = start(directory.path());
    child.kill().unwrap();
    child.wait().unwrap();
    expect_interrupted(directory.path(), worker, &pids).await;
}

async fn outlived() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, worker, pids) = start(directory.path());
    // Without its monitor nobody ends them but the next opening. Stopped first, or it would.
    let host = i32::try_from(child.id()).unwrap();
    let stop = |pid: i32| {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    };
    let monitor = parent_of(pids[0]);
    stop(host);
    stop(monitor);
    kill_9(monitor);
    child.kill().unwrap();
    child.wait().unwrap();
    // The command itself ends with its monitor; what it started does not.
    let is_left = pids.iter().any(|pid| is_alive(*pid));
    assert!(is_left, "there is nothing to be ended");
    expect_interrupted(directory.path(), worker, &pids).await;
}
