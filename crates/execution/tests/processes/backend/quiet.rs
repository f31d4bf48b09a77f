//! The end of a run is told when nothing of it lives, and not before.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::json;
use worker_runtime_core::{
    EndOptions, Mounts, Permission, ScopeRule,
    input::{Budget, SubmitInput},
    run::{OutcomeKind, StopReason},
};
use worker_runtime_execution::exec::{ExecOptions, Shim};

use super::support::*;
use crate::support::{STUBBORN, eventually, is_alive, kill_9, parent_of, within_tokio};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio(
            "a_cancelled_run_has_its_outcome_when_all_of_it_is_dead",
            cancelled,
        ),
        within_tokio("output_before_a_cancel_is_kept_and_marked", partial),
        within_tokio("a_run_that_takes_too_long_fails_with_timeout", timeout),
        within_tokio(
            "what_a_command_leaves_behind_is_gone_before_its_outcome",
            leftover,
        ),
        within_tokio(
            "a_scope_is_free_when_its_run_is_quiet_and_not_before",
            scope,
        ),
        within_tokio("closing_the_runtime_leaves_nothing_running", close),
        within_tokio(
            "a_run_whose_monitor_is_killed_is_proven_dead_first",
            monitor_killed,
        ),
        within_tokio("a_run_that_ended_cancels_to_nothing", late_cancel),
        within_tokio(
            "without_a_shim_a_cancelled_run_is_ended_too",
            cancelled_without_shim,
        ),
        within_tokio(
            "without_a_shim_an_outcome_does_not_wait_for_what_got_away",
            escaped,
        ),
    ]
}

/// The ids that [`STUBBORN`] prints.
fn pids(said: &str) -> Vec<i32> {
    let ids = said.lines().filter_map(|line| line.split_once(' '));
    ids.map(|(_, pid)| pid.parse().unwrap()).collect()
}

async fn stubborn_run(host: &Host, worker: worker_runtime_core::WorkerId) -> Vec<i32> {
    host.until_said(worker, "command").await;
    let said = host.until_said(worker, "grandchild").await;
    let pids = pids(&said);
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)));
    pids
}

async fn cancelled() {
    let host = Host::open(options()).await;
    let worker = host.worker(shell(STUBBORN)).await;
    let receipt = host.send(worker, SubmitInput::text("x")).await;
    let pids = stubborn_run(&host, worker).await;
    host.cancel(worker).await;
    let told = host.told(worker, &receipt).await;
    assert!(
        pids.iter().all(|pid| !is_alive(*pid)),
        "it was told too early"
    );
    assert_eq!(told.outcome()["kind"], "cancelled");
    // The Worker goes on.
    assert_eq!(
        host.runtime.catalog().get(worker).unwrap().activity.phase,
        None
    );
}

async fn partial() {
    let host = Host::open(options()).await;
    let worker = host.worker(shell("echo before; sleep 1000")).await;
    let receipt = host.send(worker, SubmitInput::text("x")).await;
    host.until_said(worker, "before").await;
    host.cancel(worker).await;
    let told = host.told(worker, &receipt).await;
    assert_eq!(told.text(), "before\n");
    assert_eq!(told.outcome()["kind"], "cancelled");
    assert_eq!(told.outcome()["stop"]["signal"], 15);
}

async fn timeout() {
    let host = Host::open(options()).await;
    let worker = host.worker(shell(STUBBORN)).await;
    let mut input = SubmitInput::text("x");
    input.budget = Budget {
        time_ms: Some(300),
        ..Budget::default()
    };
    let receipt = host.send(worker, input).await;
    let pids = stubborn_run(&host, worker).await;
    let told = host.told(worker, &receipt).await;
    assert!(
        pids.iter().all(|pid| !is_alive(*pid)),
        "it was told too early"
    );
    assert_eq!(told.outcome()["kind"], "failed");
    assert_eq!(told.outcome()["stop"]["type"], "timeout");
}

async fn leftover() {
    let host = Host::open(options()).await;
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let script = format!(
        r#"setsid sh -c 'trap "" TERM; echo $$; touch {0}; while :; do sleep 1000; done' &
        until [ -e {0} ]; do :; done; exit 4"#,
        ready.display()
    );
    let told = host.once(shell(&script), "x").await;
    assert_eq!(told.outcome()["stop"]["code"], 4);
    let pid: i32 = told.text().trim().parse().unwrap();
    assert!(!is_alive(pid));
}

async fn scope() {
    let directory = tempfile::tempdir().unwrap();
    let mut mounts = Mounts::default();
    mounts
        .set("place", directory.path().canonicalize().unwrap())
        .unwrap();
    // Long enough to be seen held while the run is being ended.
    let slow = ExecOptions {
        term_grace: Duration::from_secs(2),
        ..options()
    };
    let host = Host::open_with(slow, mounts).await;
    let request = || {
        let mut request = Host::request(shell(STUBBORN));
        request.scope.allow.push(ScopeRule {
            mount: "place".to_owned(),
            path: String::new(),
            permission: Permission::Write,
            recursive: true,
        });
        request
    };
    let catalog = host.runtime.catalog();
    let holder = catalog.create(request()).await.unwrap().worker_id;
    let receipt = host.send(holder, SubmitInput::text("x")).await;
    let pids = stubborn_run(&host, holder).await;
    catalog.stop(holder, EndOptions::default()).await.unwrap();
    let mut refused = 0;
    loop {
        match catalog.create(request()).await {
            Err(_) => refused += 1,
            Ok(_) => break,
        }
        tokio::task::yield_now().await;
    }
    assert!(
        pids.iter().all(|pid| !is_alive(*pid)),
        "it was granted too early"
    );
    assert!(refused > 0, "it was never seen held");
    let told = host.told(holder, &receipt).await;
    assert_eq!(told.outcome()["kind"], "cancelled");
}

async fn close() {
    let host = Host::open(options()).await;
    let simple = host.worker(shell(STUBBORN)).await;
    let lines = host.worker(agent("plain")).await;
    let receipt = host.send(simple, SubmitInput::text("x")).await;
    let pids = stubborn_run(&host, simple).await;
    let told = host.run(lines, "!say-pid\n!end").await;
    let agent_pid: i32 = told.text().parse().unwrap();
    assert!(is_alive(agent_pid));
    host.runtime.close().await.unwrap();
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert!(!is_alive(agent_pid));
    let view = host.runtime.catalog().get(simple).unwrap();
    let last = view.last_run.unwrap();
    assert_eq!(last.input_id, receipt.input_id);
    assert_eq!(last.outcome.kind, OutcomeKind::Interrupted);
    assert_eq!(*last.outcome.stop, StopReason::RuntimeLost);
}

async fn monitor_killed() {
    let host = Host::open(options()).await;
    let worker = host.worker(shell(STUBBORN)).await;
    let receipt = host.send(worker, SubmitInput::text("x")).await;
    let pids = stubborn_run(&host, worker).await;
    kill_9(parent_of(pids[0]));
    let told = host.told(worker, &receipt).await;
    assert!(
        pids.iter().all(|pid| !is_alive(*pid)),
        "it was told too early"
    );
    assert_eq!(told.outcome()["kind"], "failed");
    assert_eq!(told.outcome()["stop"]["code"], json!("monitor_lost"));
}

async fn late_cancel() {
    let host = Host::open(options()).await;
    let worker = host.worker(json!({ "argv": ["cat"] })).await;
    // The end of the run and its cancel meet in any order.
    for _ in 0..20 {
        let receipt = host.send(worker, SubmitInput::text("x")).await;
        let run_id = host.runtime.catalog().get(worker).unwrap().activity.run_id;
        if let Some(run_id) = run_id {
            let _ = host.runtime.interaction().cancel_run(worker, run_id).await;
        }
        let told = host.told(worker, &receipt).await;
        let kind = told.outcome()["kind"].as_str().unwrap().to_owned();
        assert!(
            ["completed", "cancelled"].contains(&kind.as_str()),
            "{kind}"
        );
    }
    eventually("all is idle", || {
        host.runtime
            .catalog()
            .get(worker)
            .unwrap()
            .activity
            .phase
            .is_none()
    });
}

fn without_shim() -> ExecOptions {
    ExecOptions {
        shim: Shim::Without,
        ..options()
    }
}

async fn cancelled_without_shim() {
    let host = Host::open(without_shim()).await;
    let script = r#"trap "" TERM; echo command $$; while :; do sleep 1000; done"#;
    let worker = host.worker(shell(script)).await;
    let receipt = host.send(worker, SubmitInput::text("x")).await;
    let said = host.until_said(worker, "\n").await;
    host.cancel(worker).await;
    let told = host.told(worker, &receipt).await;
    assert!(!is_alive(pids(&said)[0]), "it was told too early");
    assert_eq!(told.outcome()["kind"], "cancelled");
}

async fn escaped() {
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let host = Host::open(without_shim()).await;
    let script = format!(
        "setsid sh -c 'echo escaped $$; touch {0}; exec sleep 1000' & until [ -e {0} ]; do :; done",
        ready.display()
    );
    let told = host.once(shell(&script), "x").await;
    assert_eq!(told.outcome()["kind"], "completed");
    let pid = pids(&told.text())[0];
    // It is out of sight, as the containment that was told says, and holds the output open.
    assert!(is_alive(pid));
    kill_9(pid);
}
