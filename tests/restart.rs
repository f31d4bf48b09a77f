//! An end of the process and the next opening: each unfinished run has its outcome, what waited
//! waits, what a user decided stays, and scopes are free when that is proven (I4, I6).

use serde_json::json;
use worker_runtime_core::record::Lifecycle;
use worker_runtime_core::{
    Code, EndOptions, EventType,
    backend::Proof,
    error::SubmitError,
    record::{ProcessLife, ProcessRecord},
    run::{OutcomeKind, StopReason, Usage},
    store::BlockKind,
    view::Phase,
    worker::CreateWorker,
};

use crate::support::{
    Host, Say, TakenRun, Told, action_id, assistant, data, input, queued, scripted, within, write,
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

#[tokio::test]
async fn a_close_interrupts_what_runs_and_keeps_what_waits() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    host.send(worker_id, queued("two")).await;
    within("a close", host.runtime.close()).await.unwrap();
    let closed = host.runtime.interaction();
    let error = closed
        .send_input(worker_id, input("three"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::RuntimeClosed);
    assert!(host.runtime.close().await.is_err(), "a second close");
    drop(run);
    let host = host.crash().await;
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Interrupted,
        StopReason::RuntimeLost,
    )
    .await;
    assert_eq!(host.script.run().await.input_id(), "two");
    host.outcome(worker_id, "two").await;
    host.end().await;
}

#[tokio::test]
async fn a_crash_interrupts_what_ran_once_and_runs_what_waited() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    let run = host.start(worker_id, "one").await;
    let asked = run
        .sink
        .request_action(action_id("a"), vec![], None, json!({}));
    asked.await.unwrap();
    let first = host.send(worker_id, queued("two")).await;
    let host = host.crash().await;
    assert!(
        run.sink.finish(StopReason::EndTurn, None).await.is_err(),
        "its Runtime is gone"
    );
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Interrupted,
        StopReason::RuntimeLost,
    )
    .await;
    assert!(
        host.send(worker_id, input("one")).await.repeated,
        "never run again by itself"
    );
    let again = host.send(worker_id, queued("two")).await;
    assert_eq!(again.accepted, first.accepted);
    let next = host.script.run().await;
    assert_eq!(next.input_id(), "two");
    assert!(next.request.generation > run.request.generation);
    assert!(next.request.fence > run.request.fence);
    next.sink.finish(StopReason::EndTurn, None).await.unwrap();
    assert!(host.script.try_run().is_none());
    host.end().await;
}

#[tokio::test]
async fn what_waited_behind_a_pause_and_what_a_user_stopped_stay_so() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.runtime.catalog().pause(worker_id).await.unwrap();
    host.send(worker_id, queued("one")).await;
    let host = host.crash().await;
    assert_eq!(host.view(worker_id).activity.phase, Some(Phase::Queued));
    assert!(host.script.try_run().is_none());
    host.runtime
        .management()
        .stop(Some("night".into()))
        .await
        .unwrap();
    let host = host.crash().await;
    assert!(host.runtime.management().status().stopped);
    host.runtime.catalog().resume(worker_id).await.unwrap();
    assert_eq!(host.view(worker_id).activity.phase, Some(Phase::Queued));
    host.runtime.management().start().await.unwrap();
    assert_eq!(host.script.run().await.input_id(), "one");
    host.outcome(worker_id, "one").await;
    host.end().await;
}

#[tokio::test]
async fn a_cancel_that_was_asked_for_before_the_crash_is_the_outcome_after_it() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.cancel = Say::Ask);
    let run = host.start(worker_id, "one").await;
    let interaction = host.runtime.interaction();
    interaction
        .cancel_run(worker_id, run.request.run_id)
        .await
        .unwrap();
    let host = host.crash().await;
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Cancelled,
        StopReason::RuntimeLost,
    )
    .await;
    host.end().await;
}

#[tokio::test]
async fn a_worker_whose_end_was_asked_for_before_the_crash_has_ended_after_it() {
    for runs in [true, false] {
        let host = Host::open().await;
        let worker_id = host.create(holding("src")).await;
        host.script.plan(|plan| {
            plan.stop = Say::Ask;
            plan.cancel = Say::Ask;
        });
        host.complete(worker_id, "one").await;
        if runs {
            host.start(worker_id, "two").await;
        }
        let catalog = host.runtime.catalog();
        catalog
            .stop(worker_id, EndOptions::default())
            .await
            .unwrap();
        assert_eq!(
            host.view(worker_id).lifecycle,
            Lifecycle::Active,
            "its backend is not quiet"
        );
        let host = host.crash().await;
        let view = host.view(worker_id);
        assert_eq!(
            view.lifecycle,
            Lifecycle::Stopped,
            "nothing of it lives on (it ran: {runs})"
        );
        assert_eq!(view.fence, None);
        host.create(holding("src")).await;
        host.end().await;
    }
}

#[tokio::test]
async fn processes_that_cannot_be_shown_to_be_dead_keep_run_and_scope_until_an_operator_says_so() {
    for says in [
        Say::AtOnce(Proof::Unproven {
            reason: "another boot".into(),
        }),
        Say::Panic,
    ] {
        let host = Host::open().await;
        let worker_id = host.create(holding("src")).await;
        let run = host.start(worker_id, "one").await;
        with_process(&run).await;
        host.send(worker_id, queued("two")).await;
        let other = host.worker().await;
        let beside = host.start(other, "beside").await;
        let host = host
            .crash_and(|script| script.plan(|plan| plan.proof = says))
            .await;
        drop(beside);
        // One Worker that fails does not stop the others.
        host.ends(
            other,
            "beside",
            OutcomeKind::Interrupted,
            StopReason::RuntimeLost,
        )
        .await;
        let found = host.runtime.management().diagnostics();
        assert_eq!(
            (found[0].code, found[0].worker_id),
            (Code::RunUnproven, Some(worker_id))
        );
        assert!(
            found[0]
                .command
                .as_deref()
                .unwrap()
                .contains("--assume-dead")
        );
        assert_eq!(host.count(worker_id, EventType::RUN_FINISHED), 0);
        let refused = host.runtime.catalog().create(holding("src")).await;
        assert_eq!(refused.unwrap_err().code(), Code::ScopeConflict);
        assert!(host.script.try_run().is_none());
        let options = EndOptions {
            assume_dead: true,
            ..EndOptions::default()
        };
        host.runtime
            .catalog()
            .stop(worker_id, options)
            .await
            .unwrap();
        host.until(worker_id, EventType::WORKER_STOPPED).await;
        let outcome = host.outcome(worker_id, "one").await;
        assert_eq!(outcome.kind, OutcomeKind::Cancelled);
        host.ends(
            worker_id,
            "two",
            OutcomeKind::Cancelled,
            StopReason::Cancelled,
        )
        .await;
        host.create(holding("src")).await;
        host.end().await;
    }
}

#[tokio::test]
async fn processes_that_are_proven_dead_by_a_later_opening_free_their_worker() {
    let host = Host::open().await;
    let worker_id = host.create(holding("src")).await;
    let run = host.start(worker_id, "one").await;
    with_process(&run).await;
    let unproven = Say::AtOnce(Proof::Unproven {
        reason: "it hangs".into(),
    });
    let host = host
        .crash_and(|script| script.plan(|plan| plan.proof = unproven))
        .await;
    let view = host.view(worker_id);
    assert_eq!(view.activity.run_id, Some(run.request.run_id));
    // It is shown as it is refused, and nobody runs it.
    assert_eq!(view.activity.phase, Some(Phase::Unproven));
    assert!(view.unproven);
    let interaction = host.runtime.interaction();
    let refused = interaction.send_input(worker_id, input("two")).await;
    let Err(SubmitError::Busy { phase, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(phase, Phase::Unproven);
    let status = host.runtime.management().status();
    assert_eq!((status.busy, status.unproven), (0, 1));
    let host = host.crash().await;
    assert!(!host.view(worker_id).unproven);
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Interrupted,
        StopReason::RuntimeLost,
    )
    .await;
    host.complete(worker_id, "two").await;
    host.end().await;
}

#[tokio::test]
async fn a_conversation_that_is_taken_up_or_lost_is_told() {
    for (lost, told) in [(false, 0), (true, 1)] {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        run.sink
            .resume_reference(b"session 7".to_vec())
            .await
            .unwrap();
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        let host = host
            .crash_and(|script| script.plan(|plan| plan.restore = Some(lost)))
            .await;
        host.complete(worker_id, "two").await;
        assert_eq!(host.count(worker_id, EventType::CONTEXT_LOST), told);
        host.end().await;
    }
}

#[tokio::test]
async fn many_crashes_leave_each_input_with_one_outcome() {
    let mut host = Host::open().await;
    let worker_id = host.worker().await;
    for index in 0..8 {
        let id = format!("{index}");
        host.send(worker_id, queued(&id)).await;
        if index % 2 == 0 {
            assert_eq!(host.script.run().await.input_id(), id);
        }
        host = host.crash().await;
        host.audit();
        host.outcome(worker_id, &id).await;
        assert!(host.script.try_run().is_none(), "nothing runs twice");
    }
    host.create(assistant()).await;
    host.end().await;
}

/// Only who outlived a run knew what it had used: of a run that its Runtime did not outlive, what it had
/// told, durably, was not in its end and not in its Worker's sum. It is in the run's record now.
#[tokio::test]
async fn what_a_run_said_that_it_has_used_counts_when_its_runtime_dies() {
    let used = |input_tokens| Usage {
        input_tokens,
        ..Usage::default()
    };
    let dead = Say::AtOnce(Proof::Dead);
    let unknown = Say::AtOnce(Proof::Unproven {
        reason: "another boot".into(),
    });
    for says in [dead, unknown] {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        run.sink.usage(used(5)).await.unwrap();
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        let run = host.start(worker_id, "two").await;
        with_process(&run).await;
        run.sink.usage(used(10)).await.unwrap();
        run.sink.usage(used(30)).await.unwrap();
        let host = host
            .crash_and(|script| script.plan(|plan| plan.proof = says))
            .await;
        let is_unproven = host.count(worker_id, EventType::RUN_FINISHED) == 1;
        if is_unproven {
            let options = EndOptions {
                assume_dead: true,
                ..EndOptions::default()
            };
            let catalog = host.runtime.catalog();
            catalog.stop(worker_id, options).await.unwrap();
        }
        host.outcome(worker_id, "two").await;
        let mut stream = host.stream(worker_id);
        let of_two = |data: &serde_json::Value| data["input_id"] == "two";
        let ended = stream.event_of(EventType::RUN_FINISHED, of_two).await;
        assert_eq!(data(&ended)["usage"]["input_tokens"], 30);
        assert_eq!(host.view(worker_id).usage, used(35));
        host.end().await;
    }
}

/// An opening that could not show a run to be dead left its output in the store, and who freed its Worker
/// later ended the run without looking there: what had been checkpointed went with it.
#[tokio::test]
async fn output_is_kept_when_an_operator_frees_what_an_opening_could_not_show_to_be_dead() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    with_process(&run).await;
    let kept = "k".repeat(16 << 10);
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(block, &kept).await.unwrap();
    let unknown = Say::AtOnce(Proof::Unproven {
        reason: "another boot".into(),
    });
    let host = host
        .crash_and(|script| script.plan(|plan| plan.proof = unknown))
        .await;
    assert_eq!(host.count(worker_id, EventType::BLOCK_FINISHED), 0);
    let options = EndOptions {
        assume_dead: true,
        ..EndOptions::default()
    };
    let catalog = host.runtime.catalog();
    catalog.stop(worker_id, options).await.unwrap();
    let told = host.until(worker_id, EventType::BLOCK_FINISHED).await;
    assert!(told["text"] == kept.as_str(), "all that was checkpointed");
    assert_eq!(told["marks"], json!(["cancelled"]));
    host.outcome(worker_id, "one").await;
    host.end().await;
}
