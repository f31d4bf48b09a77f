//! What a factory is asked of commands that an earlier Runtime left running.

use libtest_mimic::Trial;
use serde_json::json;
use worker_runtime_core::{
    backend::{BackendFactory as _, Proof},
    record::{ProcessLife, ProcessRecord},
};
use worker_runtime_execution::exec::{ExecFactory, spawn::spawn};

use super::support::options;
use crate::support::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio("a_recorded_command_is_ended_and_proven_dead", recorded),
        plain("a_record_that_cannot_be_read_proves_nothing", unreadable),
    ]
}

fn record(identity: Vec<u8>) -> ProcessRecord {
    ProcessRecord {
        life: ProcessLife::Run,
        label: "pid 1".to_owned(),
        identity,
    }
}

async fn recorded() {
    let held = spawn(shell(STUBBORN)).await.unwrap();
    let identity = serde_json::to_vec(held.identity()).unwrap();
    let running = held.go().await.unwrap();
    let pids = stubborn_pids(&mut Lines::of(running.stdout)).await;
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let factory = ExecFactory::new(options());
    let proof = tokio::task::spawn_blocking(move || factory.prove_dead(&record(identity)));
    assert_eq!(proof.await.unwrap(), Proof::Dead);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

fn unreadable() {
    let factory = ExecFactory::new(options());
    let identity = serde_json::to_vec(&json!({ "leader": null })).unwrap();
    match factory.prove_dead(&record(identity)) {
        Proof::Unproven { reason } => assert!(reason.contains("pid 1"), "{reason}"),
        Proof::Dead => panic!("nobody knows"),
    }
}
