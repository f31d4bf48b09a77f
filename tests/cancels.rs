//! The end of a run that somebody asked for: it comes when all is quiet, and once (I4, I6).

use serde_json::json;
use worker_runtime_core::{
    EventType, RunId,
    backend::{BackendError, BackendErrorKind, Cancelled, Submitted},
    error::{RunError, SinkError},
    run::{
        OutcomeKind::{Cancelled as IsCancelled, Completed},
        StopReason,
    },
};

use crate::support::{Host, Say, input, queued};

fn broken(message: &str) -> BackendError {
    BackendError::new(BackendErrorKind::Broken, message)
}

#[tokio::test]
async fn a_cancelled_run_ends_when_its_backend_is_quiet_and_not_before() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let run = host.start(worker_id, "one").await;
    let run_id = run.request.run_id;
    let interaction = host.runtime.interaction();
    let first = interaction.cancel_run(worker_id, run_id).await.unwrap();
    let again = interaction.cancel_run(worker_id, run_id).await.unwrap();
    assert_eq!((first.repeated, again.repeated), (false, true));
    assert_eq!(first.requested_at, again.requested_at);
    let (cancelled, quiet) = host.script.cancel_asked().await;
    assert_eq!(cancelled, run_id);
    run.sink
        .event(EventType::TOOL_UPDATE, &json!({"n": 1}))
        .await
        .unwrap();
    assert_eq!(host.count(worker_id, EventType::RUN_FINISHED), 0);
    quiet.unwrap().send(Ok(Cancelled::Escalated)).unwrap();
    host.ends(worker_id, "one", IsCancelled, StopReason::Cancelled)
        .await;
    assert!(host.script.try_cancel().is_none(), "cancelled once");
    host.end().await;
}

#[tokio::test]
async fn an_explicit_end_that_was_reached_before_the_cancel_was_noticed_stays() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let run = host.start(worker_id, "one").await;
    let interaction = host.runtime.interaction();
    interaction
        .cancel_run(worker_id, run.request.run_id)
        .await
        .unwrap();
    let (_, quiet) = host.script.cancel_asked().await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
    host.ends(worker_id, "one", Completed, StopReason::EndTurn)
        .await;
    let over = interaction.cancel_run(worker_id, run.request.run_id).await;
    assert!(matches!(over, Err(RunError::Unknown { .. })));
    host.end().await;
}

#[tokio::test]
async fn a_run_that_stops_somehow_after_its_cancel_was_asked_for_is_cancelled() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let stop = StopReason::Exit {
        code: None,
        signal: Some(15),
    };
    let run = host.start(worker_id, "one").await;
    let interaction = host.runtime.interaction();
    interaction
        .cancel_run(worker_id, run.request.run_id)
        .await
        .unwrap();
    let (_, quiet) = host.script.cancel_asked().await;
    run.sink.finish(stop.clone(), None).await.unwrap();
    quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
    host.ends(worker_id, "one", IsCancelled, stop).await;
    host.complete(worker_id, "two").await;
    let late = host.runtime.management().status().late_messages;
    assert_eq!(late, 0, "the Runtime's own word is no late message");
    host.end().await;
}

#[tokio::test]
async fn a_cancel_while_the_backend_starts_needs_no_answer_from_it() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.start = Say::Ask);
    host.send(worker_id, input("one")).await;
    let (_, started) = host.script.start_asked().await;
    let run_id = host.view(worker_id).activity.run_id.unwrap();
    let interaction = host.runtime.interaction();
    interaction.cancel_run(worker_id, run_id).await.unwrap();
    host.ends(worker_id, "one", IsCancelled, StopReason::Cancelled)
        .await;
    assert!(started.unwrap().is_closed(), "the start was let go");
    assert!(host.script.try_run().is_none(), "nothing was submitted");
    host.script.plan(|plan| plan.start = Say::AtOnce(Ok(())));
    host.complete(worker_id, "two").await;
    host.end().await;
}

#[tokio::test]
async fn a_cancel_while_an_input_is_submitted_reaches_the_backend_after_it() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.submit = Say::Ask);
    host.send(worker_id, input("one")).await;
    let run = host.script.run().await;
    let interaction = host.runtime.interaction();
    interaction
        .cancel_run(worker_id, run.request.run_id)
        .await
        .unwrap();
    assert!(
        host.script.try_cancel().is_none(),
        "it has not taken the run yet"
    );
    run.reply.unwrap().send(Submitted::Accepted).unwrap();
    assert_eq!(host.script.cancel_asked().await.0, run.request.run_id);
    host.ends(worker_id, "one", IsCancelled, StopReason::Cancelled)
        .await;
    host.end().await;
}

#[tokio::test]
async fn cancels_of_many_workers_at_once_each_end_their_run() {
    let host = Host::open().await;
    let mut runs = Vec::new();
    for index in 0..20 {
        let worker_id = host.worker().await;
        let id = format!("input {index}");
        host.send(worker_id, input(&id)).await;
        // No wait for the backend: some are cancelled before they start, some after.
        let run_id = host.view(worker_id).activity.run_id.unwrap();
        let interaction = host.runtime.interaction();
        interaction.cancel_run(worker_id, run_id).await.unwrap();
        runs.push((worker_id, id));
    }
    for (worker_id, id) in runs {
        host.ends(worker_id, &id, IsCancelled, StopReason::Cancelled)
            .await;
    }
    host.end().await;
}

#[tokio::test]
async fn a_cancel_that_cannot_be_confirmed_keeps_the_run_and_says_so() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script
        .plan(|plan| plan.cancel = Say::AtOnce(Err(broken("pid 1 is still there"))));
    let run = host.start(worker_id, "one").await;
    let interaction = host.runtime.interaction();
    interaction
        .cancel_run(worker_id, run.request.run_id)
        .await
        .unwrap();
    let told = host.until(worker_id, EventType::DIAGNOSTIC).await;
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("pid 1 is still there")
    );
    assert_eq!(host.count(worker_id, EventType::RUN_FINISHED), 0);
    run.sink
        .finish(StopReason::NoTerminator, None)
        .await
        .unwrap();
    host.ends(worker_id, "one", IsCancelled, StopReason::NoTerminator)
        .await;
    host.end().await;
}

#[tokio::test]
async fn a_cancel_that_failed_is_tried_again_until_all_is_quiet() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script
        .plan(|plan| plan.cancel = Say::AtOnce(Err(broken("pid 1 is still there"))));
    let run = host.start(worker_id, "one").await;
    let interaction = host.runtime.interaction();
    let run_id = run.request.run_id;
    interaction.cancel_run(worker_id, run_id).await.unwrap();
    host.until(worker_id, EventType::DIAGNOSTIC).await;
    host.script
        .plan(|plan| plan.cancel = Say::AtOnce(Ok(Cancelled::Escalated)));
    host.ends(worker_id, "one", IsCancelled, StopReason::Cancelled)
        .await;
    host.complete(worker_id, "two").await;
    host.end().await;
}

#[tokio::test]
async fn a_cancel_that_panics_keeps_the_run_and_says_so() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.cancel = Say::Panic);
    let run = host.start(worker_id, "one").await;
    let interaction = host.runtime.interaction();
    interaction
        .cancel_run(worker_id, run.request.run_id)
        .await
        .unwrap();
    let told = host.until(worker_id, EventType::DIAGNOSTIC).await;
    assert!(told["message"].as_str().unwrap().contains("can't be shown"));
    run.sink.finish(StopReason::Cancelled, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn a_run_that_is_not_the_current_one_cannot_be_cancelled() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let interaction = host.runtime.interaction();
    let other = RunId::from_bytes([3; 16]);
    let error = interaction.cancel_run(worker_id, other).await.unwrap_err();
    assert_eq!(
        error,
        RunError::Unknown {
            worker_id,
            run_id: other
        }
    );
    let another = host.worker().await;
    let error = interaction.cancel_run(another, run.request.run_id).await;
    assert!(error.is_err());
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn the_next_input_starts_when_the_cancelled_one_has_ended() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    let interaction = host.runtime.interaction();
    interaction
        .cancel_run(worker_id, run.request.run_id)
        .await
        .unwrap();
    let next = host.script.run().await;
    assert_eq!(next.input_id(), "two");
    assert!(next.request.generation > run.request.generation);
    // The old run's sink tells nothing about the new one.
    let late = run.sink.finish(StopReason::EndTurn, None).await;
    assert!(matches!(late, Err(SinkError::Stale { .. })));
    next.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.ends(worker_id, "two", Completed, StopReason::EndTurn)
        .await;
    host.end().await;
}
