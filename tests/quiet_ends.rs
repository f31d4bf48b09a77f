//! A run that its backend does not end itself has ended when it is quiet, and not before (I4, I6).

use worker_runtime_core::{
    Code, EndOptions, EventType, WorkerId,
    backend::{BackendError, BackendErrorKind, Cancelled, Proof, Submitted},
    record::{ProcessLife, ProcessRecord},
    run::{OutcomeKind, StopReason},
    worker::CreateWorker,
};

use crate::support::{
    Fault, Host, Say, TakenRun, assistant, input, poll_once, scripted, within, write,
};

fn holding(path: &str) -> CreateWorker {
    CreateWorker {
        scope: write(path),
        ..scripted()
    }
}

async fn with_process(run: &TakenRun) {
    let process = ProcessRecord {
        life: ProcessLife::Run,
        label: "pid 4711".into(),
        identity: vec![1, 2, 3],
    };
    run.sink.process_started(process).await.unwrap();
}

/// The run has no outcome, and nobody else is granted what its Worker holds.
async fn is_held(host: &Host, worker_id: WorkerId) {
    assert_eq!(host.count(worker_id, EventType::RUN_FINISHED), 0);
    let other = CreateWorker {
        scope: write("src"),
        ..assistant()
    };
    let error = host.runtime.catalog().create(other).await.unwrap_err();
    assert_eq!(error.code(), Code::ScopeConflict);
}

#[tokio::test]
async fn an_end_that_nobody_waits_for_any_more_is_recorded_as_it_was_given() {
    for faults in [vec![], vec![Fault::UnknownBefore], vec![Fault::Full]] {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        host.faults.hold();
        let mut finish = Box::pin(run.sink.finish(StopReason::MaxTokens, None));
        assert!(poll_once(finish.as_mut()).await, "its commit is held");
        host.faults.until_held().await;
        host.faults.fail_next(faults);
        drop(finish);
        drop(run);
        host.faults.release();
        host.ends(
            worker_id,
            "one",
            OutcomeKind::Completed,
            StopReason::MaxTokens,
        )
        .await;
        host.complete(worker_id, "two").await;
        host.end().await;
    }
}

#[tokio::test]
async fn a_run_that_was_let_go_of_ends_when_its_backend_is_quiet() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let run = host.start(worker_id, "one").await;
    with_process(&run).await;
    drop(run);
    let (_, quiet) = host.script.cancel_asked().await;
    is_held(&host, worker_id).await;
    quiet.unwrap().send(Ok(Cancelled::Escalated)).unwrap();
    let stop = StopReason::NoTerminator;
    host.ends(worker_id, "one", OutcomeKind::Interrupted, stop)
        .await;
    host.end().await;
}

#[tokio::test]
async fn a_run_that_its_backend_refuses_or_panics_over_ends_when_it_is_quiet() {
    let error = BackendError::new(BackendErrorKind::Broken, "it broke");
    for says in [
        Say::AtOnce(Submitted::Errored(error)),
        Say::AtOnce(Submitted::Busy),
        Say::Panic,
    ] {
        let host = Host::open().await;
        let worker_id = host.create(holding("src")).await;
        host.script.plan(|plan| {
            plan.cancel = Say::Ask;
            plan.submit = says;
        });
        let run = host.start(worker_id, "one").await;
        drop(run);
        let (_, quiet) = host.script.cancel_asked().await;
        is_held(&host, worker_id).await;
        quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
        host.outcome(worker_id, "one").await;
        host.end().await;
    }
}

#[tokio::test]
async fn a_backend_that_cannot_cancel_is_helped_by_the_proof_of_its_factory() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    let error = BackendError::new(BackendErrorKind::Broken, "it is gone");
    let unproven = Proof::Unproven {
        reason: "it hangs".into(),
    };
    host.script.plan(|plan| {
        plan.cancel = Say::AtOnce(Err(error));
        plan.proof = Say::AtOnce(unproven);
    });
    let run = host.start(worker_id, "one").await;
    with_process(&run).await;
    drop(run);
    let told = host.until(worker_id, EventType::DIAGNOSTIC).await;
    assert_eq!(told["code"], Code::RunUnproven.as_str());
    is_held(&host, worker_id).await;
    host.script
        .plan(|plan| plan.proof = Say::AtOnce(Proof::Dead));
    let stop = StopReason::NoTerminator;
    host.ends(worker_id, "one", OutcomeKind::Interrupted, stop)
        .await;
    host.end().await;
}

#[tokio::test]
async fn a_submit_that_never_returns_does_not_keep_its_worker_from_ending() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    host.script.plan(|plan| plan.submit = Say::Ask);
    let run = host.start(worker_id, "one").await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let catalog = host.runtime.catalog();
    catalog
        .stop(worker_id, EndOptions::default())
        .await
        .unwrap();
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    assert!(run.reply.unwrap().is_closed(), "the call was given up");
    host.create(holding("src")).await;
    within("a close", host.runtime.close()).await.unwrap();
}

#[tokio::test]
async fn a_start_that_panics_holds_nothing() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    host.script.plan(|plan| plan.start = Say::Panic);
    host.send(worker_id, input("one")).await;
    let stop = StopReason::NoTerminator;
    host.ends(worker_id, "one", OutcomeKind::Interrupted, stop)
        .await;
    assert!(host.script.try_cancel().is_none(), "there is no backend");
    host.end().await;
}
