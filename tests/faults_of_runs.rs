//! The store fails while a run tells something: each input has one outcome and runs once, answers
//! and cancels arrive once, output is there once, and no scope is free too early (I4, I6).

use std::time::Duration;

use serde_json::json;
use worker_runtime_core::record::Lifecycle;
use worker_runtime_core::{
    Code, Entropy, EventType, SeededEntropy, WorkerId,
    backend::{ActionAnswer, BackendError, BackendErrorKind, Cancelled},
    run::{OutcomeKind, StopReason},
    store::BlockKind,
    worker::CreateWorker,
};

use crate::support::{
    Fault, Host, Say, action_id, assistant, input, poll_once, queued, scripted, within, write,
};

const UNKNOWN: [Fault; 2] = [Fault::UnknownBefore, Fault::UnknownAfter];

/// More than a sink waits before it says an end for the second time.
const SAID_AGAIN_WITHIN: Duration = Duration::from_millis(100);

fn texts(host: &Host, worker_id: WorkerId) -> Vec<String> {
    let from = worker_runtime_core::TranscriptFrom::Item(0);
    let page = host.observation().transcript(worker_id, from, 100).unwrap();
    assert_eq!(page.unfinished, [], "nothing is open");
    page.items.into_iter().map(|item| item.text).collect()
}

#[tokio::test]
async fn an_end_in_a_failed_commit_is_one_end_and_the_next_input_runs_once() {
    for fault in [
        Fault::UnknownBefore,
        Fault::UnknownAfter,
        Fault::Full,
        Fault::Bug,
    ] {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        host.send(worker_id, queued("two")).await;
        let block = run.sink.open_block(BlockKind::Text, None).unwrap();
        run.sink.append(block, "half a word").await.unwrap();
        host.faults.fail_next([fault]);
        // Whether it says that the run had ended already is open when its own end was written.
        let _ = run.sink.finish(StopReason::EndTurn, None).await;
        host.ends(
            worker_id,
            "one",
            OutcomeKind::Completed,
            StopReason::EndTurn,
        )
        .await;
        let next = host.script.run().await;
        assert_eq!(next.input_id(), "two", "after {fault:?}");
        assert!(next.sink.open_block(BlockKind::Text, None).is_ok());
        let stale = run.sink.append(block, "more").await;
        assert!(stale.is_err(), "the run is over after {fault:?}");
        next.sink.finish(StopReason::EndTurn, None).await.unwrap();
        assert!(host.script.try_run().is_none());
        assert_eq!(texts(&host, worker_id), ["do one", "do two", "half a word"]);
        host.end().await;
    }
}

#[tokio::test]
async fn an_end_that_was_durable_is_no_late_one_when_it_is_said_again_before_the_store_is_back() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    host.faults.fail_next([Fault::UnknownAfter]);
    host.faults.hold_recover();
    let mut finish = Box::pin(run.sink.finish(StopReason::EndTurn, None));
    assert!(poll_once(finish.as_mut()).await, "its commit is in doubt");
    host.faults.until_held().await;
    // It is said again, and waits for the writer: this time passes only when nobody can go on.
    tokio::time::pause();
    tokio::time::sleep(SAID_AGAIN_WITHIN).await;
    tokio::time::resume();
    host.faults.release();
    within("an end", finish).await.unwrap();
    let stop = StopReason::EndTurn;
    host.ends(worker_id, "one", OutcomeKind::Completed, stop)
        .await;
    assert_eq!(host.count(worker_id, EventType::RUN_FINISHED), 1);
    let late = run.sink.finish(StopReason::EndTurn, None).await;
    assert!(late.is_err(), "one that nobody is in doubt of is late");
    host.end().await;
}

#[tokio::test]
async fn the_end_of_the_last_run_in_a_failed_commit_leaves_nothing_open() {
    for fault in UNKNOWN {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        let block = run.sink.open_block(BlockKind::Text, None).unwrap();
        run.sink.append(block, "half a word").await.unwrap();
        host.faults.fail_next([fault]);
        let _ = run.sink.finish(StopReason::EndTurn, None).await;
        host.ends(
            worker_id,
            "one",
            OutcomeKind::Completed,
            StopReason::EndTurn,
        )
        .await;
        assert!(
            run.sink.append(block, "more").await.is_err(),
            "after {fault:?}"
        );
        assert_eq!(texts(&host, worker_id), ["do one", "half a word"]);
        host.end().await;
    }
}

#[tokio::test]
async fn a_block_that_ended_in_a_failed_commit_is_in_the_transcript_once() {
    for fault in UNKNOWN {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        let block = run.sink.open_block(BlockKind::Text, None).unwrap();
        run.sink.append(block, "a whole word").await.unwrap();
        host.faults.fail_next([fault]);
        let error = run.sink.finish_block(block).await.unwrap_err();
        assert_eq!(error.code(), Code::OutcomeUnknown);
        // The next answer comes when the state is made anew.
        host.create(assistant()).await;
        // A backend may try again, or not; the end of its run folds what is open.
        if fault == Fault::UnknownBefore {
            run.sink.finish_block(block).await.unwrap();
        } else {
            assert!(run.sink.finish_block(block).await.is_err(), "it has ended");
        }
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        assert_eq!(
            texts(&host, worker_id),
            ["do one", "a whole word"],
            "{fault:?}"
        );
        host.end().await;
    }
}

#[tokio::test]
async fn a_sink_that_is_dropped_while_the_store_fails_still_gives_the_outcome() {
    for fault in UNKNOWN {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        host.faults.fail_next([fault, fault]);
        drop(run);
        let stop = StopReason::NoTerminator;
        host.ends(worker_id, "one", OutcomeKind::Interrupted, stop)
            .await;
        host.faults.clear();
        host.complete(worker_id, "two").await;
        host.end().await;
    }
}

#[tokio::test]
async fn an_answer_in_a_failed_commit_reaches_the_backend_once() {
    for fault in UNKNOWN {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        let options = vec!["yes".to_owned()];
        let asked = run
            .sink
            .request_action(action_id("a"), options, None, json!({}));
        asked.await.unwrap();
        let interaction = host.runtime.interaction();
        let run_id = run.request.run_id;
        let answer = || interaction.answer(worker_id, run_id, action_id("a"), "yes".into());
        host.faults.fail_next([fault]);
        assert_eq!(answer().await.unwrap_err().code(), Code::OutcomeUnknown);
        let again = answer().await;
        assert_eq!(again.is_ok(), fault == Fault::UnknownBefore);
        let given = host.script.answer_given().await;
        assert_eq!(given.2, ActionAnswer::Chosen("yes".into()));
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        assert!(host.script.try_answer().is_none());
        assert_eq!(host.count(worker_id, EventType::RUN_ACTION_ANSWERED), 1);
        host.end().await;
    }
}

#[tokio::test]
async fn a_cancel_in_a_failed_commit_survives_when_it_was_written() {
    for fault in UNKNOWN {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        let interaction = host.runtime.interaction();
        let run_id = run.request.run_id;
        host.faults.fail_next([fault]);
        let error = interaction.cancel_run(worker_id, run_id).await.unwrap_err();
        assert_eq!(error.code(), Code::OutcomeUnknown);
        if fault == Fault::UnknownBefore {
            interaction.cancel_run(worker_id, run_id).await.unwrap();
        }
        assert_eq!(host.script.cancel_asked().await.0, run_id);
        host.ends(
            worker_id,
            "one",
            OutcomeKind::Cancelled,
            StopReason::Cancelled,
        )
        .await;
        assert_eq!(host.count(worker_id, EventType::RUN_CANCEL_REQUESTED), 1);
        host.end().await;
    }
}

#[tokio::test]
async fn a_stop_of_a_worker_in_a_failed_commit_ends_it_once() {
    for fault in UNKNOWN {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        host.send(worker_id, queued("two")).await;
        host.faults.fail_next([fault, fault]);
        let catalog = host.runtime.catalog();
        assert!(catalog.stop(worker_id, Default::default()).await.is_err());
        let stopped = async { while catalog.stop(worker_id, Default::default()).await.is_err() {} };
        within("a stop", stopped).await;
        host.until(worker_id, EventType::WORKER_STOPPED).await;
        assert_eq!(host.count(worker_id, EventType::WORKER_ENDING), 1);
        assert_eq!(host.count(worker_id, EventType::WORKER_STOPPED), 1);
        drop(run);
        host.end().await;
    }
}

#[tokio::test]
async fn a_backend_that_is_not_quiet_keeps_the_scope_although_its_word_was_in_a_failed_commit() {
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter, Fault::Full] {
        let host = Host::open().await;
        let request = CreateWorker {
            scope: write("src"),
            ..scripted()
        };
        let worker_id = host.create(request).await;
        host.script.plan(|plan| plan.stop = Say::Ask);
        host.complete(worker_id, "one").await;
        host.runtime
            .catalog()
            .stop(worker_id, Default::default())
            .await
            .unwrap();
        let (_, quiet) = host.script.stop_asked().await;
        host.faults.fail_next([fault]);
        let error = BackendError::new(BackendErrorKind::Broken, "pid 7 does not answer");
        quiet.unwrap().send(Err(error)).unwrap();
        let told = host.until(worker_id, EventType::DIAGNOSTIC).await;
        assert_eq!(told["code"], Code::RunUnproven.as_str());
        let other = CreateWorker {
            scope: write("src"),
            ..assistant()
        };
        let error = host.runtime.catalog().create(other).await.unwrap_err();
        assert_eq!(error.code(), Code::ScopeConflict, "after {fault:?}");
        assert_eq!(host.view(worker_id).lifecycle, Lifecycle::Active);
        assert_eq!(host.count(worker_id, EventType::DIAGNOSTIC), 1);
        host.end().await;
    }
}

#[tokio::test]
async fn a_backend_that_becomes_quiet_while_the_store_is_brought_back_ends_its_worker() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    host.script.plan(|plan| plan.stop = Say::Ask);
    host.complete(worker_id, "one").await;
    let catalog = host.runtime.catalog();
    catalog.stop(worker_id, Default::default()).await.unwrap();
    let (_, quiet) = host.script.stop_asked().await;
    host.faults.set_recovers_fail(true);
    host.faults.fail_next([Fault::UnknownBefore]);
    assert!(catalog.create(assistant()).await.is_err());
    let mut recovers = host.faults.recovers();
    within("a recovery", recovers.wait_for(|count| *count > 0))
        .await
        .unwrap();
    quiet.unwrap().send(Ok(())).unwrap();
    within("a recovery", recovers.wait_for(|count| *count > 2))
        .await
        .unwrap();
    host.faults.set_recovers_fail(false);
    host.until(worker_id, EventType::WORKER_STOPPED).await;
    host.end().await;
}

#[tokio::test]
async fn a_close_whose_first_commit_fails_ends_the_runs_all_the_same() {
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter, Fault::Full] {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        host.faults.fail_next([fault]);
        within("a close", host.runtime.close()).await.unwrap();
        drop(run);
        let host = host.crash().await;
        let stop = StopReason::RuntimeLost;
        host.ends(worker_id, "one", OutcomeKind::Interrupted, stop)
            .await;
        host.end().await;
    }
}

#[tokio::test]
async fn an_event_in_a_failed_commit_is_told_as_unknown_and_the_run_goes_on() {
    for fault in UNKNOWN {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        host.faults.fail_next([fault]);
        let error = run
            .sink
            .event(EventType::TOOL_CALL, &json!({}))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::OutcomeUnknown);
        run.sink
            .event(EventType::TOOL_RESULT, &json!({}))
            .await
            .unwrap();
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        let calls = host.count(worker_id, EventType::TOOL_CALL);
        assert_eq!(calls, usize::from(fault == Fault::UnknownAfter));
        host.end().await;
    }
}

#[tokio::test]
async fn a_cancel_that_waits_for_its_backend_is_asked_for_once_over_a_failed_commit() {
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
    host.faults.fail_next([Fault::UnknownBefore]);
    assert!(host.runtime.catalog().create(assistant()).await.is_err());
    host.create(assistant()).await;
    quiet.unwrap().send(Ok(Cancelled::Confirmed)).unwrap();
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Cancelled,
        StopReason::Cancelled,
    )
    .await;
    assert!(host.script.try_cancel().is_none());
    host.end().await;
}

/// Every commit may fail in every way, many times over: the seed is printed by a failure.
#[tokio::test]
async fn inputs_run_once_and_end_once_whatever_commits_fail() {
    for seed in 0..10 {
        println!("seed {seed}");
        inputs_over_faults(seed).await;
    }
}

async fn inputs_over_faults(seed: u64) {
    let mut random = SeededEntropy::new(seed);
    let mut pick = |count: u8| {
        let mut byte = [0];
        random.fill(&mut byte);
        byte[0] % count
    };
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let interaction = host.runtime.interaction();
    let kinds = [
        Fault::Passes,
        Fault::Passes,
        Fault::UnknownBefore,
        Fault::UnknownAfter,
        Fault::Full,
    ];
    for round in 0..6 {
        let faults: Vec<Fault> = (0..8).map(|_| kinds[usize::from(pick(5))]).collect();
        host.faults.fail_next(faults);
        let id = format!("input {round}");
        let send = async {
            while interaction
                .send_input(worker_id, queued(&id))
                .await
                .is_err()
            {}
        };
        within("an input to be taken", send).await;
        let run = host.script.run().await;
        assert_eq!(run.input_id(), id, "seed {seed}");
        match pick(3) {
            0 => drop(run),
            1 => {
                let sink = run.sink.clone();
                let mut finish = Box::pin(sink.finish(StopReason::EndTurn, None));
                // Beside what else the writer gets, not after it.
                if poll_once(finish.as_mut()).await {
                    let _ = within("an end", finish).await;
                }
            }
            _ => {
                let run_id = run.request.run_id;
                let cancel = async {
                    use worker_runtime_core::error::RunError::Unknown;
                    loop {
                        match interaction.cancel_run(worker_id, run_id).await {
                            Ok(_) | Err(Unknown { .. }) => return,
                            Err(_) => {}
                        }
                    }
                };
                within("a cancel to be taken", cancel).await;
            }
        }
        host.outcome(worker_id, &id).await;
        host.faults.clear();
    }
    host.send(worker_id, input("last")).await;
    assert_eq!(host.script.run().await.input_id(), "last", "seed {seed}");
    host.outcome(worker_id, "last").await;
    assert!(
        host.script.try_run().is_none(),
        "seed {seed}: an input ran twice"
    );
    host.end().await;
}
