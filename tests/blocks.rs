//! Blocks of output: appended, replaced, finished, bounded, checkpointed, and read back as a
//! transcript from both ends.

use std::time::Duration;

use worker_runtime_core::{
    BlockId, EventType, Generation, Stream, TranscriptFrom, WorkerId,
    error::SinkError,
    run::{OutcomeKind, StopReason},
    store::BlockKind,
    view::TranscriptPage,
};

use crate::support::{Host, TakenRun, data, input, queued, within};

fn page(host: &Host, worker_id: WorkerId, from: TranscriptFrom, count: usize) -> TranscriptPage {
    host.observation()
        .transcript(worker_id, from, count)
        .unwrap()
}

fn texts(page: &TranscriptPage) -> Vec<&str> {
    page.items.iter().map(|item| item.text.as_str()).collect()
}

async fn open_with(run: &TakenRun, text: &str) -> BlockId {
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(block, text).await.unwrap();
    block
}

#[tokio::test]
async fn a_block_is_appended_replaced_and_finished_as_one_event() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let parent = open_with(&run, "thinking").await;
    let block = run
        .sink
        .open_block(BlockKind::ToolCall, Some(parent))
        .unwrap();
    run.sink.append(block, "héllo").await.unwrap();
    run.sink.append(block, " wörld").await.unwrap();
    let open = page(&host, worker_id, TranscriptFrom::End, 10).unfinished;
    assert_eq!(open.len(), 2);
    assert_eq!(
        (open[1].block, open[1].text.as_str()),
        (block, "héllo wörld")
    );
    assert_eq!(open[1].offset_bytes, 13);
    run.sink.replace(block, "done").await.unwrap();
    run.sink.append(block, "!").await.unwrap();
    let position = run.sink.finish_block(block).await.unwrap();
    let told = host.until(worker_id, EventType::BLOCK_FINISHED).await;
    assert_eq!(told["text"], "done!");
    assert_eq!(told["kind"], "tool_call");
    assert_eq!(told["parent"], parent.to_string());
    assert!(position <= host.runtime.management().status().position);
    let again = run.sink.finish_block(block).await;
    assert_eq!(again.unwrap_err(), SinkError::BlockUnknown(block));
    let after = run.sink.append(block, "x").await;
    assert_eq!(after.unwrap_err(), SinkError::BlockUnknown(block));
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let all = page(&host, worker_id, TranscriptFrom::Item(0), 10);
    assert_eq!(texts(&all), ["do one", "done!", "thinking"]);
    assert!(all.unfinished.is_empty() && all.items.iter().all(|item| item.marks.is_empty()));
    host.end().await;
}

#[tokio::test]
async fn what_had_not_ended_is_kept_and_marked_unless_the_run_completed() {
    let cases = [
        (StopReason::EndTurn, vec![]),
        (StopReason::Timeout, vec!["failed"]),
        (StopReason::Cancelled, vec!["cancelled"]),
        (StopReason::NoTerminator, vec!["interrupted"]),
    ];
    for (stop, marks) in cases {
        let host = Host::open().await;
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        open_with(&run, "half").await;
        run.sink.open_block(BlockKind::Text, None).unwrap();
        run.sink.finish(stop, None).await.unwrap();
        let items = page(&host, worker_id, TranscriptFrom::End, 10).items;
        assert_eq!(items.len(), 2, "an empty block is no item");
        assert_eq!(
            (items[1].text.as_str(), &items[1].marks[..]),
            (
                "half",
                &marks[..]
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()[..]
            )
        );
        host.end().await;
    }
}

#[tokio::test]
async fn open_blocks_and_the_bytes_of_a_block_are_bounded() {
    let host = Host::limited(|limits| {
        limits.blocks_open_max = 2;
        limits.block_bytes_max = 10;
    })
    .await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let first = open_with(&run, "12345").await;
    open_with(&run, "1234567890").await;
    let third = run.sink.open_block(BlockKind::Text, None);
    assert!(matches!(third, Err(SinkError::Limit { max: 2, .. })));
    let more = run.sink.append(first, "678901").await;
    assert!(matches!(more, Err(SinkError::Limit { max: 10, .. })));
    run.sink.replace(first, "1234567890").await.unwrap();
    let more = run.sink.replace(first, "12345678901").await;
    assert!(matches!(more, Err(SinkError::Limit { .. })));
    run.sink.finish_block(first).await.unwrap();
    run.sink.open_block(BlockKind::Text, None).unwrap();
    let unknown = BlockId {
        generation: Generation(1),
        index: 99,
    };
    let none = run.sink.append(unknown, "x").await;
    assert_eq!(none.unwrap_err(), SinkError::BlockUnknown(unknown));
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn events_that_a_backend_may_not_tell_or_that_are_too_large_are_refused() {
    let host = Host::limited(|limits| limits.event_bytes_max = 8 << 10).await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    for kind in [
        "run.finished",
        "block.finished",
        "worker.stopped",
        "input.finished",
    ] {
        let told = run
            .sink
            .event(EventType::from_text(kind), &serde_json::json!({}))
            .await;
        assert!(matches!(told, Err(SinkError::Invalid { .. })), "{kind}");
    }
    let told = run
        .sink
        .event(EventType::TOOL_CALL, &serde_json::json!([1]))
        .await;
    assert!(matches!(told, Err(SinkError::Invalid { .. })), "no object");
    let long = serde_json::json!({ "x": "y".repeat(8 << 10) });
    let told = run.sink.event(EventType::TOOL_CALL, &long).await;
    assert!(matches!(told, Err(SinkError::Limit { max: 8192, .. })));
    run.sink
        .event(EventType::from_text("my.kind"), &serde_json::json!({}))
        .await
        .unwrap();
    assert_eq!(host.types(worker_id).last().unwrap(), "my.kind");
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

/// Bytes are checkpointed at 16 KiB, before the block ends: a crash keeps them.
#[tokio::test]
async fn a_block_survives_a_crash_from_16_kib_on_and_is_marked() {
    let host = Host::limited(|limits| limits.checkpoint_every = Duration::from_secs(3600)).await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let kept = "k".repeat(16 << 10);
    open_with(&run, &kept).await;
    let small = open_with(&run, "not checkpointed").await;
    let host = host.crash().await;
    assert!(
        run.sink.append(small, "late").await.is_ok() || run.sink.finish_block(small).await.is_err()
    );
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Interrupted,
        StopReason::RuntimeLost,
    )
    .await;
    let items = page(&host, worker_id, TranscriptFrom::End, 10).items;
    assert_eq!(items.len(), 2);
    assert!(items[1].text == kept, "all that was checkpointed");
    assert_eq!(items[1].marks, ["interrupted"]);
    host.complete(worker_id, "two").await;
    host.end().await;
}

#[tokio::test]
async fn a_block_is_checkpointed_within_the_tick_too() {
    let host = Host::limited(|limits| limits.checkpoint_every = Duration::from_millis(5)).await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    let before = host.faults.commits();
    let block = open_with(&run, "a few").await;
    let commits = async {
        while host.faults.commits() == before {
            tokio::task::yield_now().await;
        }
    };
    within("a checkpoint", commits).await;
    run.sink.replace(block, "other").await.unwrap();
    run.sink.append(block, " words").await.unwrap();
    let before = host.faults.commits();
    let commits = async {
        while host.faults.commits() < before + 1 {
            tokio::task::yield_now().await;
        }
    };
    within("a checkpoint", commits).await;
    let host = host.crash().await;
    host.ends(
        worker_id,
        "one",
        OutcomeKind::Interrupted,
        StopReason::RuntimeLost,
    )
    .await;
    let items = page(&host, worker_id, TranscriptFrom::End, 10).items;
    assert!("other words".starts_with(&items[1].text) && !items[1].text.is_empty());
    host.end().await;
}

#[tokio::test]
async fn a_transcript_is_paged_from_both_ends_and_items_keep_their_numbers() {
    let host = Host::open().await;
    let worker_id = host.worker().await;
    for index in 0..6 {
        host.complete(worker_id, &format!("{index}")).await;
    }
    let run = host.start(worker_id, "6").await;
    open_with(&run, "still").await;
    let end = page(&host, worker_id, TranscriptFrom::End, 3);
    assert_eq!(texts(&end), ["do 4", "do 5", "do 6"]);
    assert_eq!(
        (end.items_total, end.unfinished[0].text.as_str()),
        (7, "still")
    );
    let before = page(
        &host,
        worker_id,
        TranscriptFrom::Before(end.items[0].item),
        3,
    );
    assert_eq!(texts(&before), ["do 1", "do 2", "do 3"]);
    let first = page(
        &host,
        worker_id,
        TranscriptFrom::Before(before.items[0].item),
        3,
    );
    assert_eq!(texts(&first), ["do 0"]);
    let mut items = first.items;
    items.extend(before.items);
    items.extend(end.items);
    let all = page(&host, worker_id, TranscriptFrom::Item(0), 100);
    assert_eq!(all.items, items);
    let numbers: Vec<u64> = items.iter().map(|item| item.item).collect();
    assert_eq!(numbers, (0..7).collect::<Vec<_>>());
    assert!(
        items
            .iter()
            .all(|item| item.role == "user" && item.kind == "input")
    );
    assert_eq!(
        page(&host, worker_id, TranscriptFrom::Item(99), 3).items,
        []
    );
    assert_eq!(
        page(&host, worker_id, TranscriptFrom::Before(0), 3).items,
        []
    );
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    // The page's cursor joins the stream without gap or repeat.
    let mut stream = host.observe(
        Stream::Worker(worker_id),
        worker_runtime_core::cursor::From::After(end.cursor),
    );
    let next = crate::support::Told::event(&mut stream).await;
    assert_eq!(data(&next)["text"], "still");
    host.end().await;
}

#[tokio::test]
async fn a_latest_wins_fact_is_seen_in_the_view_and_bounded() {
    let host = Host::limited(|limits| limits.status_fields_max = 2).await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    run.sink.status("mode", &"plan").await.unwrap();
    run.sink.status("mode", &"act").await.unwrap();
    run.sink.status("commands", &["a", "b"]).await.unwrap();
    let third = run.sink.status("more", &1).await;
    assert!(matches!(third, Err(SinkError::Limit { max: 2, .. })));
    let status = host.view(worker_id).status;
    assert_eq!(status["mode"], "act");
    assert_eq!(status["commands"], serde_json::json!(["a", "b"]));
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.send(worker_id, queued("two")).await;
    host.script.run().await;
    host.outcome(worker_id, "two").await;
    assert_eq!(
        host.view(worker_id).status["mode"],
        "act",
        "it outlives its run"
    );
    assert!(host.send(worker_id, input("two")).await.repeated);
    host.end().await;
}
