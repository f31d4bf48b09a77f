//! A block ends once, and what was withdrawn stays withdrawn, whatever the store and the caller's
//! own future do meanwhile (I2).

use std::time::Duration;

use serde_json::json;
use worker_runtime_core::{
    BlockId, EventType, ObserveOptions, Observed, Stream, TranscriptFrom, WorkerId,
    cursor::From as Start,
    error::SinkError,
    run::{OutcomeKind, StopReason},
    store::BlockKind,
};

use crate::support::{Fault, Host, TakenRun, Told, assistant, poll_once, within};

const UNKNOWN: [Fault; 2] = [Fault::UnknownBefore, Fault::UnknownAfter];

fn texts(host: &Host, worker_id: WorkerId) -> Vec<String> {
    let from = TranscriptFrom::Item(0);
    let page = host.observation().transcript(worker_id, from, 100).unwrap();
    page.items.into_iter().map(|item| item.text).collect()
}

async fn open_with(run: &TakenRun, text: &str) -> BlockId {
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(block, text).await.unwrap();
    block
}

/// Ends a block, but lets go of the answer before it comes.
async fn finish_unheard(host: &Host, run: &TakenRun, block: BlockId) {
    host.faults.hold();
    let mut finish = Box::pin(run.sink.finish_block(block));
    assert!(poll_once(finish.as_mut()).await, "it is not durable yet");
    host.faults.until_held().await;
    drop(finish);
    host.faults.release();
}

#[tokio::test]
async fn a_block_whose_end_nobody_waited_for_ends_once_although_a_later_commit_fails() {
    for fault in UNKNOWN {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        let block = open_with(&run, "a whole word").await;
        finish_unheard(&host, &run, block).await;
        host.until(worker_id, EventType::BLOCK_FINISHED).await;
        let options = ObserveOptions {
            deltas: true,
            ..ObserveOptions::default()
        };
        let stream = Stream::Worker(worker_id);
        let observed = host.observation().observe(stream, Start::Now, options);
        let mut observed = observed.unwrap();
        while !matches!(observed.observed().await, Observed::UpToDate(_)) {}

        host.faults.fail_next([fault]);
        let told = run.sink.event(EventType::TOOL_CALL, &json!({})).await;
        assert!(told.is_err(), "{fault:?}");
        // The next answer comes when the state is made anew.
        host.create(assistant()).await;
        let from = TranscriptFrom::End;
        let page = host.observation().transcript(worker_id, from, 9).unwrap();
        assert_eq!(page.unfinished, [], "what has ended is not open again");
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        assert_eq!(host.count(worker_id, EventType::BLOCK_FINISHED), 1);
        assert_eq!(texts(&host, worker_id)[..2], ["do one", "a whole word"]);
        loop {
            match observed.observed().await {
                Observed::Delta(ghost) => panic!("{ghost:?}"),
                Observed::Event(_, event) if event.kind == EventType::RUN_FINISHED => break,
                _ => {}
            }
        }
        host.end().await;
    }
}

#[tokio::test]
async fn only_what_ended_in_the_failed_batch_is_open_again() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let (before, lost) = (
        open_with(&run, "before").await,
        open_with(&run, "lost").await,
    );
    finish_unheard(&host, &run, before).await;
    host.until(worker_id, EventType::BLOCK_FINISHED).await;
    host.faults.fail_next([Fault::UnknownBefore]);
    assert!(run.sink.finish_block(lost).await.is_err());
    host.create(assistant()).await;
    run.sink.append(lost, " and found").await.unwrap();
    run.sink.finish_block(lost).await.unwrap();
    assert!(run.sink.finish_block(before).await.is_err(), "it has ended");
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    assert_eq!(
        texts(&host, worker_id),
        ["do one", "before", "lost and found"]
    );
    host.end().await;
}

#[tokio::test]
async fn an_end_that_is_asked_for_again_before_it_is_durable_is_one_end() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let block = open_with(&run, "a whole word").await;
    host.faults.hold();
    // The writer waits with something else, so that both ends come into one batch.
    let nothing = json!({});
    let mut held = Box::pin(run.sink.event(EventType::TOOL_CALL, &nothing));
    assert!(poll_once(held.as_mut()).await, "it is not durable yet");
    host.faults.until_held().await;
    let mut given_up = Box::pin(run.sink.finish_block(block));
    assert!(poll_once(given_up.as_mut()).await, "it is not durable yet");
    drop(given_up);
    let mut again = Box::pin(run.sink.finish_block(block));
    assert!(poll_once(again.as_mut()).await, "nor is it now");
    host.faults.release();
    held.await.unwrap();
    assert_eq!(again.await.unwrap_err(), SinkError::BlockUnknown(block));
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    assert_eq!(host.count(worker_id, EventType::BLOCK_FINISHED), 1);
    host.end().await;
}

/// Waits until `count` more commits than `before` were tried; a look at one does not hold the next.
async fn commits(host: &Host, before: u64, count: u64) {
    let tried = async {
        while host.faults.commits() < before + count {
            tokio::task::yield_now().await;
        }
    };
    within("a commit", tried).await;
}

#[tokio::test]
async fn a_text_that_was_withdrawn_does_not_come_back_after_a_crash() {
    // By itself within the tick, and together with another failed commit.
    for fault in [None, Some(Fault::UnknownBefore), Some(Fault::UnknownAfter)] {
        let host = Host::limited(|limits| {
            limits.checkpoint_every = Duration::from_millis(5);
            limits.idle_after = Duration::from_secs(3600);
        })
        .await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        let before = host.faults.commits();
        let block = open_with(&run, "a secret that must not be kept").await;
        commits(&host, before, 1).await;
        // The first look comes after the commit: an answer is given when its batch is durable.
        host.create(assistant()).await;
        let before = host.faults.commits();
        host.faults.fail_next(fault);
        run.sink.replace(block, "").await.unwrap();
        commits(&host, before, 1 + u64::from(fault.is_some())).await;
        host.create(assistant()).await;
        let host = host.crash().await;
        host.ends(
            worker_id,
            "one",
            OutcomeKind::Interrupted,
            StopReason::RuntimeLost,
        )
        .await;
        assert_eq!(texts(&host, worker_id), ["do one"], "{fault:?}");
        host.end().await;
    }
}
