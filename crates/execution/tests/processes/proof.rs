//! After a crash: what is proven dead is dead, and what can't be proven is not claimed.

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;
use worker_runtime_execution::exec::{
    Containment, ProcessIdentity, Proof, UnprovenReason, identity_of, prove_dead, spawn::spawn,
};

use super::act_as_runtime::ActedRuntime;
use super::support::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio(
            "what_outlived_its_monitor_is_found_and_ended",
            outlived_monitor,
        ),
        within_tokio("a_living_monitor_and_its_tree_are_ended", living_monitor),
        within_tokio(
            "a_chain_of_forks_without_a_monitor_is_ended",
            orphaned_chain,
        ),
        within_tokio(
            "a_descendant_with_a_cleared_environment_is_found_below_the_monitor",
            cleared,
        ),
        within_tokio("an_ended_command_is_dead_at_once", already_dead),
        within_tokio(
            "another_process_with_the_recorded_id_is_left_alone",
            recycled_id,
        ),
        within_tokio("another_boot_is_proof_and_signals_nobody", other_boot),
        within_tokio("another_namespace_is_no_proof", other_namespace),
        within_tokio("a_stopped_tree_is_ended", stopped_tree),
        plain(
            "an_asker_from_within_is_refused_and_survives",
            asked_from_within,
        ),
    ]
}

async fn prove(identity: ProcessIdentity) -> Proof {
    tokio::task::spawn_blocking(move || prove_dead(&identity, DEADLINE))
        .await
        .unwrap()
}

async fn outlived_monitor() {
    let mut runtime = ActedRuntime::start(STUBBORN, true).await;
    let [command, grandchild] = stubborn_pids(&mut runtime.lines).await;
    runtime.kill_with_monitor();
    // The parent-death signal takes the command; nothing takes the grandchild.
    eventually("the command is gone", || !is_alive(command));
    assert!(is_alive(grandchild));
    assert_eq!(prove(runtime.identity.clone()).await, Proof::Dead);
    assert!(!is_alive(grandchild));
    assert_eq!(marked(&runtime.identity.run_marker), Vec::<i32>::new());
}

async fn living_monitor() {
    let running = spawn(shell(STUBBORN)).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(running.stdout);
    let pids = stubborn_pids(&mut lines).await;
    let identity = running.process.identity().clone();
    assert_eq!(prove(identity.clone()).await, Proof::Dead);
    assert!(!pids.into_iter().any(is_alive));
    assert!(!is_alive(identity.leader.unwrap().pid));
    assert_eq!(lines.next().await, None);
}

async fn orphaned_chain() {
    let directory = tempfile::tempdir().unwrap();
    let script = fork_chain(directory.path());
    let mut runtime = ActedRuntime::start(&script, true).await;
    assert_eq!(runtime.lines.next().await.unwrap(), "ready");
    runtime.kill_with_monitor();
    let identity = runtime.identity.clone();
    assert_eq!(prove(identity.clone()).await, Proof::Dead);
    assert_eq!(marked(&identity.run_marker), Vec::<i32>::new());
}

async fn cleared() {
    let script = r#"
        ( env -i setsid sh -c 'echo $$; while :; do /bin/sleep 1000; done' & )
        read line
    "#;
    let running = spawn(shell(script)).await.unwrap().go().await.unwrap();
    let mut lines = Lines::of(running.stdout);
    let grandchild = lines.next().await.unwrap().parse().unwrap();
    assert!(!marked(&running.process.identity().run_marker).contains(&grandchild));
    // Stopped, the monitor ends nothing by itself; it is its being there that counts.
    stop(running.process.identity().leader.unwrap().pid);
    assert_eq!(prove(running.process.identity().clone()).await, Proof::Dead);
    assert!(!is_alive(grandchild));
}

async fn already_dead() {
    let mut process = spawn(shell("exit 0"))
        .await
        .unwrap()
        .go()
        .await
        .unwrap()
        .process;
    process.quiet().await.unwrap();
    assert_eq!(prove(process.identity().clone()).await, Proof::Dead);
}

/// A bystander, and an identity that points to it wrongly.
async fn bystander() -> (tokio::process::Child, ProcessIdentity) {
    let child = tokio::process::Command::new("sleep")
        .arg("1000")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = child.id().unwrap().try_into().unwrap();
    let identity = identity_of(pid, random_marker(), Containment::NotEnforced).unwrap();
    (child, identity)
}

async fn recycled_id() {
    let (child, mut identity) = bystander().await;
    let pid = identity.leader.unwrap().pid;
    identity.leader.as_mut().unwrap().start_time_ticks -= 1;
    assert_eq!(prove(identity.clone()).await, Proof::Dead);
    assert!(is_alive(pid));
    // With its true start it is the one that is meant: the check above can fail.
    identity.leader.as_mut().unwrap().start_time_ticks += 1;
    assert_eq!(prove(identity).await, Proof::Dead);
    assert!(!is_alive(pid));
    drop(child);
}

async fn other_boot() {
    let (_child, mut identity) = bystander().await;
    identity.boot_id = "00000000-0000-0000-0000-000000000000".to_owned();
    assert_eq!(prove(identity.clone()).await, Proof::Dead);
    assert!(is_alive(identity.leader.unwrap().pid));
}

async fn other_namespace() {
    let (_child, mut identity) = bystander().await;
    identity.pid_namespace = "pid:[1]".to_owned();
    let Proof::Unproven { reason } = prove(identity.clone()).await else {
        panic!("claimed dead");
    };
    assert!(
        matches!(reason, UnprovenReason::OtherNamespace { .. }),
        "{reason}"
    );
    assert!(is_alive(identity.leader.unwrap().pid));
}

async fn stopped_tree() {
    let script = "sh -c 'echo $$; kill -STOP $$' & wait";
    let running = spawn(shell(script)).await.unwrap().go().await.unwrap();
    let child = Lines::of(running.stdout)
        .next()
        .await
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(prove(running.process.identity().clone()).await, Proof::Dead);
    assert!(!is_alive(child));
}

fn asked_from_within() {
    let own = std::process::id().try_into().unwrap();
    let identity = identity_of(own, random_marker(), Containment::Enforced).unwrap();
    let proof = prove_dead(&identity, Duration::from_secs(5));
    assert_eq!(
        proof,
        Proof::Unproven {
            reason: UnprovenReason::AskedFromWithin
        }
    );
    assert!(fs::exists("/proc/self").unwrap());
}
