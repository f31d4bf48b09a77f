//! Every way in which a run may end gives exactly one outcome (I4).

use std::time::Duration;

use serde_json::json;
use worker_runtime_core::{
    Code, EventType,
    backend::{BackendError, BackendErrorKind, Cancelled, IncapableReason, Submitted},
    error::SinkError,
    input::{Budget, SubmitInput},
    run::{
        OutcomeKind::{self, Cancelled as IsCancelled, Completed, Failed, Interrupted},
        StopReason, Usage,
    },
};

use crate::support::{Host, Say, input};

fn failed(code: &str, message: &str) -> StopReason {
    StopReason::Error {
        code: Some(code.to_owned()),
        message: message.to_owned(),
    }
}

fn broken(message: &str) -> BackendError {
    BackendError::new(BackendErrorKind::Broken, message)
}

#[tokio::test]
async fn each_stop_reason_gives_its_outcome() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let other = StopReason::Other {
        reason: "bored".into(),
    };
    let exit = |code, signal| StopReason::Exit { code, signal };
    let cases: Vec<(StopReason, OutcomeKind)> = vec![
        (StopReason::EndTurn, Completed),
        (StopReason::MaxTokens, Completed),
        (StopReason::MaxTurns, Completed),
        (StopReason::Refusal, Completed),
        (other, Completed),
        (exit(Some(0), None), Completed),
        (exit(Some(1), None), Failed),
        (exit(None, Some(9)), Failed),
        (failed("x", "it broke"), Failed),
        (StopReason::Timeout, Failed),
        (StopReason::Cancelled, IsCancelled),
        (StopReason::NoTerminator, Interrupted),
        (StopReason::RuntimeLost, Interrupted),
    ];
    for (index, (stop, kind)) in cases.into_iter().enumerate() {
        let id = format!("input {index}");
        let run = host.start(worker_id, &id).await;
        run.sink.finish(stop.clone(), None).await.unwrap();
        host.ends(worker_id, &id, kind, stop.clone()).await;
        let last = host.view(worker_id).last_run.unwrap();
        assert_eq!(
            (last.input_id.as_str(), last.outcome.kind),
            (id.as_str(), kind)
        );
        let again = run.sink.finish(StopReason::EndTurn, None).await;
        assert!(
            matches!(again, Err(SinkError::Stale { .. })),
            "a run ends once"
        );
    }
    host.end().await;
}

#[tokio::test]
async fn a_start_that_fails_fails_the_input_and_the_next_one_starts_again() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let error = BackendError::new(BackendErrorKind::Start, "no such command");
    host.script
        .plan(|plan| plan.start = Say::AtOnce(Err(error)));
    host.send(worker_id, input("one")).await;
    let stop = failed(Code::RunStartFailed.as_str(), "no such command");
    host.ends(worker_id, "one", Failed, stop).await;
    host.script.plan(|plan| plan.start = Say::AtOnce(Ok(())));
    host.complete(worker_id, "two").await;
    host.end().await;
}

#[tokio::test]
async fn what_the_backend_does_not_take_fails_with_its_words() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let error = broken("not today");
    let start = BackendError::new(BackendErrorKind::Start, "no such command");
    let cases = [
        (
            Submitted::Errored(start),
            Code::RunStartFailed.as_str(),
            "no such command",
        ),
        (Submitted::Rejected(error.clone()), "rejected", "not today"),
        (Submitted::Errored(error.clone()), "errored", "not today"),
        (Submitted::Unsupported(error), "unsupported", "not today"),
        (
            Submitted::Busy,
            "backend_busy",
            "the backend runs another input",
        ),
    ];
    for (submitted, code, message) in cases {
        host.script
            .plan(|plan| plan.submit = Say::AtOnce(submitted));
        let run = host.start(worker_id, code).await;
        host.ends(worker_id, code, Failed, failed(code, message))
            .await;
        let late = run.sink.event(EventType::TOOL_CALL, &json!({})).await;
        assert!(matches!(late, Err(SinkError::Stale { .. })));
    }
    assert_eq!(host.runtime.management().status().late_messages, 5);
    host.end().await;
}

#[tokio::test]
async fn a_backend_that_panics_leaves_its_input_interrupted_and_the_worker_usable() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.submit = Say::Panic);
    host.send(worker_id, input("one")).await;
    drop(host.script.run().await);
    host.ends(worker_id, "one", Interrupted, StopReason::NoTerminator)
        .await;
    host.script
        .plan(|plan| plan.submit = Say::AtOnce(Submitted::Accepted));
    host.script.plan(|plan| plan.start = Say::Panic);
    host.complete(worker_id, "two").await;
    let other = host.worker().await;
    host.send(other, input("three")).await;
    host.ends(other, "three", Interrupted, StopReason::NoTerminator)
        .await;
    host.end().await;
}

#[tokio::test]
async fn a_sink_that_is_dropped_without_a_word_interrupts_its_run() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let kept = run.sink.clone();
    drop(run);
    kept.event(EventType::TOOL_CALL, &json!({})).await.unwrap();
    drop(kept);
    host.ends(worker_id, "one", Interrupted, StopReason::NoTerminator)
        .await;
    host.complete(worker_id, "two").await;
    host.end().await;
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_cancelled_and_has_failed() {
    let (host, clock) = Host::at_rest().await;
    let worker_id = host.worker().await;
    let budget = Budget {
        time_ms: Some(20),
        ..Budget::default()
    };
    host.send(
        worker_id,
        SubmitInput {
            budget,
            ..input("one")
        },
    )
    .await;
    let run = host.script.run().await;
    assert_eq!(run.request.time_ms, Some(20));
    clock.advance(Duration::from_millis(19));
    host.complete(host.worker().await, "meanwhile").await;
    assert_eq!(host.count(worker_id, EventType::RUN_CANCEL_REQUESTED), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(host.script.cancel_asked().await.0, run.request.run_id);
    host.ends(worker_id, "one", Failed, StopReason::Timeout)
        .await;
    let requested = host.until(worker_id, EventType::RUN_CANCEL_REQUESTED).await;
    assert_eq!(requested["cause"], "timeout");
    host.end().await;
}

#[tokio::test]
async fn a_run_that_took_too_long_has_failed_whatever_its_backend_then_says() {
    let stops = [StopReason::EndTurn, StopReason::Cancelled];
    for stop in stops {
        let (host, clock) = Host::at_rest().await;
        host.script.plan(|plan| plan.cancel = Say::Ask);
        let worker_id = host.worker().await;
        let budget = Budget {
            time_ms: Some(20),
            ..Budget::default()
        };
        let sent = SubmitInput {
            budget,
            ..input("one")
        };
        host.send(worker_id, sent).await;
        let run = host.script.run().await;
        clock.advance(Duration::from_millis(20));
        let (_, quiet) = host.script.cancel_asked().await;
        run.sink.finish(stop, None).await.unwrap();
        quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
        host.ends(worker_id, "one", Failed, StopReason::Timeout)
            .await;
        host.end().await;
    }
}

#[tokio::test]
async fn usage_is_summed_over_runs_by_the_last_word_of_each() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let used = |input_tokens, output_tokens| Usage {
        input_tokens,
        output_tokens,
        ..Usage::default()
    };
    let run = host.start(worker_id, "one").await;
    run.sink.usage(used(10, 1)).await.unwrap();
    run.sink.usage(used(20, 2)).await.unwrap();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let run = host.start(worker_id, "two").await;
    run.sink.usage(used(1, 1)).await.unwrap();
    run.sink
        .finish(StopReason::EndTurn, Some(used(100, 10)))
        .await
        .unwrap();
    assert_eq!(host.view(worker_id).usage, used(120, 12));
    assert_eq!(host.count(worker_id, EventType::USAGE), 3);
    host.end().await;
}

#[tokio::test]
async fn the_last_words_of_a_run_are_cut_and_its_end_is_taken() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let message = "é".repeat(100_000);
    run.sink.finish(failed("x", &message), None).await.unwrap();
    let kept = "é".repeat(32 << 10);
    host.ends(worker_id, "one", Failed, failed("x", &kept))
        .await;
    host.end().await;
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_a_reason_and_no_crash() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let detail = "the model is gone".to_owned();
    let reason = IncapableReason::ProviderMissing { detail };
    host.script.plan(|plan| plan.capable = Err(reason.clone()));
    assert_eq!(host.view(worker_id).input_capable.reason, Some(reason));
    host.end().await;
}
