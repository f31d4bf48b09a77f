//! Input: accepted once, refused with a reason, run one at a time in order (I4, I5, I8).

use worker_runtime_core::{
    Code, WorkerId,
    backend::{Cancelled, IncapableReason},
    error::SubmitError,
    input::{Segment, SubmitInput},
    run::{OutcomeKind, StopReason},
    view::Phase,
};

use crate::support::{Host, assistant, input, queued, scripted};

async fn refused(host: &Host, worker_id: WorkerId, input: SubmitInput) -> SubmitError {
    let position = host.runtime.management().status().position;
    let error = host
        .runtime
        .interaction()
        .send_input(worker_id, input)
        .await
        .unwrap_err();
    let now = host.runtime.management().status().position;
    assert_eq!(now, position, "a refusal writes nothing");
    error
}

#[tokio::test]
async fn the_same_id_gives_the_first_receipt_before_during_and_after_its_run() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let blocker = host.start(worker_id, "blocker").await;
    let first = host.send(worker_id, queued("one")).await;
    assert!(!first.repeated && !first.content_differs);
    let same = |again: worker_runtime_core::input::InputReceipt| {
        assert!(again.repeated && !again.content_differs);
        assert_eq!(
            (again.accepted, again.cursor),
            (first.accepted, first.cursor)
        );
    };
    same(host.send(worker_id, queued("one")).await);
    // The mode is no part of the content: while its run is busy with itself it is not refused.
    same(host.send(worker_id, input("one")).await);
    blocker
        .sink
        .finish(StopReason::EndTurn, None)
        .await
        .unwrap();
    let run = host.script.run().await;
    same(host.send(worker_id, input("one")).await);
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    same(host.send(worker_id, input("one")).await);
    assert!(host.script.try_run().is_none(), "it ran once");
    host.end().await;
}

#[tokio::test]
async fn the_same_id_with_other_content_gets_the_first_receipt_marked() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.complete(worker_id, "one").await;
    let other = SubmitInput::text("something else").with_id(crate::support::input_id("one"));
    let receipt = host.send(worker_id, other).await;
    assert!(receipt.repeated && receipt.content_differs);
    assert!(host.script.try_run().is_none());
    host.end().await;
}

#[tokio::test]
async fn the_same_id_at_two_workers_is_two_inputs() {
    let host = Host::open().await;
    let (a, b) = (host.worker().await, host.worker().await);
    host.complete(a, "one").await;
    host.complete(b, "one").await;
    assert!(!host.send(a, input("two")).await.repeated);
    host.script.run().await;
    host.outcome(a, "two").await;
    host.end().await;
}

#[tokio::test]
async fn two_equal_inputs_at_once_run_once() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let interaction = host.runtime.interaction();
    let (a, b) = tokio::join!(
        interaction.send_input(worker_id, input("one")),
        interaction.send_input(worker_id, input("one"))
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.accepted, b.accepted);
    assert_ne!(a.repeated, b.repeated);
    let run = host.script.run().await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    assert!(host.script.try_run().is_none());
    host.end().await;
}

#[tokio::test]
async fn while_busy_an_input_is_refused_by_which_since_when_and_how_far_and_keeps_its_id() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let error = refused(&host, worker_id, input("two")).await;
    let started_at = host.view(worker_id).activity.since.unwrap();
    let SubmitError::Busy {
        input_id,
        since,
        phase,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (input_id.as_str(), since, phase),
        ("one", started_at, Phase::Running)
    );
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let receipt = host.send(worker_id, input("two")).await;
    assert!(!receipt.repeated, "a refusal uses up no id");
    host.script.run().await;
    host.outcome(worker_id, "two").await;
    host.end().await;
}

#[tokio::test]
async fn the_phase_follows_the_run() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script
        .plan(|plan| plan.cancel = crate::support::Say::Ask);
    let phase = |host: &Host| host.view(worker_id).activity.phase;
    assert_eq!(phase(&host), None);
    let run = host.start(worker_id, "one").await;
    assert_eq!(phase(&host), Some(Phase::Running));
    let action = worker_runtime_core::ActionId::new("ask").unwrap();
    let options = vec!["yes".to_owned()];
    let asked = run
        .sink
        .request_action(action.clone(), options, None, serde_json::json!({}));
    asked.await.unwrap();
    assert_eq!(phase(&host), Some(Phase::RequiresAction));
    let error = refused(&host, worker_id, input("two")).await;
    assert!(matches!(
        error,
        SubmitError::Busy {
            phase: Phase::RequiresAction,
            ..
        }
    ));
    let interaction = host.runtime.interaction();
    let run_id = run.request.run_id;
    interaction
        .answer(worker_id, run_id, action, "yes".into())
        .await
        .unwrap();
    assert_eq!(phase(&host), Some(Phase::Running));
    interaction.cancel_run(worker_id, run_id).await.unwrap();
    assert_eq!(phase(&host), Some(Phase::Cancelling));
    let (_, quiet) = host.script.cancel_asked().await;
    run.sink.finish(StopReason::Cancelled, None).await.unwrap();
    assert_eq!(phase(&host), None);
    quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
    host.end().await;
}

#[tokio::test]
async fn queued_inputs_run_in_order_one_at_a_time_and_their_number_is_bounded() {
    let host = Host::limited(|limits| limits.inputs_unfinished_max = 4).await;
    let worker_id = host.worker().await;
    for id in ["one", "two", "three", "four"] {
        host.send(worker_id, queued(id)).await;
    }
    let error = refused(&host, worker_id, queued("five")).await;
    assert!(
        matches!(error, SubmitError::QueueFull { waiting: 4, .. }),
        "{error}"
    );
    assert_eq!(host.view(worker_id).activity.queued, 3);
    for id in ["one", "two", "three", "four"] {
        let run = host.script.run().await;
        assert_eq!(run.input_id(), id);
        assert!(host.script.try_run().is_none(), "one at a time");
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    }
    assert_eq!(host.view(worker_id).input_count, 4);
    host.end().await;
}

#[tokio::test]
async fn what_is_empty_or_too_large_or_faulty_is_refused() {
    let host = Host::limited(|limits| limits.input_bytes_max = 100).await;
    let worker_id = host.worker().await;
    let with = |segments| SubmitInput {
        segments,
        ..input("one")
    };
    let cases = [
        (Code::InputEmpty, with(vec![])),
        (
            Code::InputEmpty,
            with(vec![Segment::text(""), Segment::text("")]),
        ),
        (
            Code::InputTooLarge,
            with(vec![Segment::text("x".repeat(100))]),
        ),
        (
            Code::FieldInvalid,
            with(vec![serde_json::from_str(r#"{"type":"text"}"#).unwrap()]),
        ),
        (
            Code::FieldInvalid,
            with(vec![serde_json::from_str("{}").unwrap()]),
        ),
    ];
    for (code, input) in cases {
        let error = refused(&host, worker_id, input).await;
        assert_eq!(error.code(), code, "{error}");
    }
    // 2 brackets, 25 around the text.
    host.send(worker_id, with(vec![Segment::text("x".repeat(73))]))
        .await;
    host.script.run().await;
    host.outcome(worker_id, "one").await;
    host.end().await;
}

#[tokio::test]
async fn a_segment_of_a_kind_that_is_not_known_reaches_the_backend_as_it_came() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let other: Segment = serde_json::from_str(r#"{"type":"sketch","strokes":[1,2]}"#).unwrap();
    let sent = SubmitInput {
        segments: vec![other.clone()],
        ..input("one")
    };
    host.send(worker_id, sent).await;
    let run = host.script.run().await;
    assert_eq!(run.request.input.segments.0, [other]);
    host.end().await;
}

#[tokio::test]
async fn an_unknown_worker_and_a_stopped_runtime_take_nothing() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let unknown = WorkerId::from_bytes([9; 16]);
    assert_eq!(
        refused(&host, unknown, input("one")).await.code(),
        Code::WorkerUnknown
    );
    host.runtime.management().stop(None).await.unwrap();
    let error = refused(&host, worker_id, input("one")).await;
    assert_eq!(error.code(), Code::RuntimeStopped);
    host.end().await;
}

#[tokio::test]
async fn a_worker_that_cannot_execute_refuses_and_says_why() {
    let host = Host::open().await;
    let worker_id = host.create(assistant()).await;
    let error = refused(&host, worker_id, input("one")).await;
    let SubmitError::Incapable { reason, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, IncapableReason::NoBackend);
    let view = host.view(worker_id).input_capable;
    assert_eq!(
        (view.capable, view.reason),
        (false, Some(IncapableReason::NoBackend))
    );
    let found = host.runtime.management().diagnostics();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].code, found[0].worker_id),
        (Code::InputIncapable, Some(worker_id))
    );
    assert!(
        found[0]
            .command
            .as_deref()
            .unwrap()
            .contains(&worker_id.to_string())
    );
    host.end().await;
}

#[tokio::test]
async fn what_waits_for_a_backend_that_lost_its_secret_waits_on() {
    let host = Host::open().await;
    let worker_id = host.create(scripted()).await;
    let run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    let reason = IncapableReason::SecretMissing { name: "KEY".into() };
    host.script.plan(|plan| plan.capable = Err(reason.clone()));
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    assert_eq!(host.view(worker_id).activity.phase, Some(Phase::Queued));
    let error = refused(&host, worker_id, queued("three")).await;
    assert_eq!(error.code(), Code::InputIncapable);
    host.script.plan(|plan| plan.capable = Ok(()));
    // It is looked at again with the next thing that happens to the Worker.
    host.runtime.catalog().pause(worker_id).await.unwrap();
    host.runtime.catalog().resume(worker_id).await.unwrap();
    let run = host.script.run().await;
    assert_eq!(run.input_id(), "two");
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.ends(
        worker_id,
        "two",
        OutcomeKind::Completed,
        StopReason::EndTurn,
    )
    .await;
    host.end().await;
}

#[tokio::test]
async fn a_worker_takes_no_more_inputs_than_it_may_ever() {
    let host = Host::limited(|limits| limits.inputs_per_worker_max = 2).await;
    let worker_id = host.worker().await;
    host.complete(worker_id, "one").await;
    host.complete(worker_id, "two").await;
    let error = refused(&host, worker_id, input("three")).await;
    assert!(
        matches!(error, SubmitError::Quota { accepted: 2, .. }),
        "{error}"
    );
    assert!(
        host.send(worker_id, input("one")).await.repeated,
        "receipts stay"
    );
    host.end().await;
}

#[tokio::test]
async fn the_backend_reads_the_transcript_up_to_the_input_and_no_further() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let kind = worker_runtime_core::store::BlockKind::Text;
    let block = run.sink.open_block(kind, None).unwrap();
    run.sink.append(block, "hello").await.unwrap();
    run.sink.finish_block(block).await.unwrap();
    host.send(worker_id, queued("two")).await;
    host.send(worker_id, queued("three")).await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let run = host.script.run().await;
    let transcript = &run.request.transcript;
    let texts: Vec<String> = transcript
        .read(0, 100)
        .unwrap()
        .items
        .into_iter()
        .map(|item| item.text)
        .collect();
    assert_eq!(texts, ["do one", "hello", "do two"]);
    assert_eq!(transcript.len().unwrap(), 3);
    host.end().await;
}
