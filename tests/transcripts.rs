//! Transcripts: pages are bounded, join to the whole from both ends, and what is damaged never looks
//! as if it had not been said (I7, I9, I10).

use std::{fs, path::Path};

use worker_runtime_core::{
    BlockId, Code, Generation, Runtime, RuntimeOptions, TranscriptFrom, WorkerId,
    limits::Limits,
    open_read_only,
    run::StopReason,
    store::{Batch, BlockKind, Change, Checkpoint, GapCause, Store},
    view::{TranscriptItem, TranscriptPage},
};
use worker_runtime_persist::{FileOptions, FileStore, ReadStore};

use crate::support::{Host, Script, TakenRun, input, queued, scripted, within};

async fn say(run: &TakenRun, text: &str) {
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(block, text).await.unwrap();
    run.sink.finish_block(block).await.unwrap();
}

fn bytes_of(items: &[TranscriptItem]) -> usize {
    items.iter().map(|item| item.text.len()).sum()
}

#[tokio::test]
async fn pages_are_bounded_by_bytes_and_join_from_both_ends() {
    const PAGE_BYTES_MAX: usize = 4_000;
    let host = Host::limited(|limits| limits.page_bytes_max = PAGE_BYTES_MAX).await;
    let worker_id = host.worker().await;
    let run = host.start(worker_id, "one").await;
    for index in 0..30 {
        say(&run, &format!("{index} {}", "x".repeat(index * 50))).await;
    }
    say(&run, &"y".repeat(3 * PAGE_BYTES_MAX)).await;
    host.send(worker_id, queued("two")).await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    let last = host.script.run().await;

    let observation = host.observation();
    let read = |from| {
        let page = observation.transcript(worker_id, from, 1_000).unwrap();
        assert!(!page.items.is_empty(), "at least one is given");
        assert!(bytes_of(&page.items) <= PAGE_BYTES_MAX || page.items.len() == 1);
        assert!(page.items_total_exact && page.gap.is_none());
        page
    };
    let mut onwards: Vec<TranscriptItem> = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        let page = read(TranscriptFrom::Item(from));
        onwards.extend(page.items);
        next = page.next;
    }
    let mut back: Vec<TranscriptItem> = Vec::new();
    let mut page = read(TranscriptFrom::End);
    assert_eq!(page.next, None);
    loop {
        back.splice(0..0, page.items);
        match page.previous {
            Some(before) => page = read(TranscriptFrom::Before(before)),
            None => break,
        }
    }
    let numbers: Vec<u64> = onwards.iter().map(|item| item.item).collect();
    assert_eq!(numbers, (0..33).collect::<Vec<_>>());
    assert_eq!(onwards, back);

    // A backend reads in the same pages.
    let mut seen = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        let part = last.request.transcript.read(from, 1_000).unwrap();
        assert!(bytes_of(&part.items) <= PAGE_BYTES_MAX || part.items.len() == 1);
        assert_eq!(part.gap, None);
        seen.extend(part.items);
        next = part.next;
    }
    assert_eq!(seen, onwards);
    last.sink.finish(StopReason::EndTurn, None).await.unwrap();
    host.end().await;
}

async fn open(directory: &Path, script: &Script) -> Runtime {
    open_with(directory, script, FileOptions::default()).await
}

async fn open_with(directory: &Path, script: &Script, options: FileOptions) -> Runtime {
    let store = FileStore::open(&directory.join("state"), options).unwrap();
    let options = RuntimeOptions {
        backends: vec![script.factory()],
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::open(Box::new(store), options);
    within("an opening", runtime).await.unwrap()
}

/// Makes a Worker and gives it an input.
async fn begin(runtime: &Runtime, script: &Script) -> (WorkerId, TakenRun) {
    let created = runtime.catalog().create(scripted()).await.unwrap();
    let interaction = runtime.interaction();
    let sent = interaction.send_input(created.worker_id, input("one"));
    within("a receipt", sent).await.unwrap();
    (created.worker_id, script.run().await)
}

/// Changes one byte of a text wherever it stands in the closed store; how often.
fn flip(directory: &Path, text: &str) -> usize {
    let path = directory.join("state").join("runtime.redb");
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<usize> = (0..bytes.len() - text.len())
        .filter(|at| bytes[*at..].starts_with(text.as_bytes()))
        .collect();
    for at in &places {
        bytes[at + text.len() / 2] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
    places.len()
}

fn read_stopped(directory: &Path, worker_id: WorkerId, from: TranscriptFrom) -> TranscriptPage {
    read_with(directory, worker_id, from, Limits::default())
}

fn read_with(
    directory: &Path,
    worker_id: WorkerId,
    from: TranscriptFrom,
    limits: Limits,
) -> TranscriptPage {
    let store = ReadStore::open(&directory.join("state")).unwrap();
    let (loaded, reader) = (store.load().unwrap(), store.reader());
    let observation = open_read_only(loaded, reader, Vec::new(), limits).unwrap();
    observation.transcript(worker_id, from, 1_000).unwrap()
}

#[tokio::test]
async fn a_damaged_transcript_is_told_as_damaged_and_not_as_empty() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let script = Script::default();
    let runtime = open(directory, &script).await;
    let (worker_id, run) = begin(&runtime, &script).await;
    say(&run, "words that stand nowhere else").await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    within("a close", runtime.close()).await.unwrap();
    let whole = read_stopped(directory, worker_id, TranscriptFrom::End);
    assert_eq!((whole.items_total, whole.items_total_exact), (2, true));

    assert!(flip(directory, "words that stand nowhere else") >= 1);
    let starts = [
        TranscriptFrom::End,
        TranscriptFrom::Item(0),
        TranscriptFrom::Item(7),
        TranscriptFrom::Before(9),
    ];
    for from in starts {
        let page = read_stopped(directory, worker_id, from);
        let gap = page.gap.unwrap_or_else(|| panic!("{from:?} tells nothing"));
        assert_eq!(gap.cause, GapCause::Damaged);
        assert_eq!(gap.code, Some(Code::EventDamaged));
        assert!(!page.items_total_exact, "how many there are is not known");
        assert!(!whole.items.is_empty() && page.next.is_none());
        for item in &page.items {
            assert!(whole.items.contains(item));
        }
    }
    // It is told to who has it open as well.
    let script = Script::default();
    let runtime = open(directory, &script).await;
    let live = runtime
        .observation()
        .transcript(worker_id, TranscriptFrom::End, 100);
    let gap = live.unwrap().gap.unwrap();
    assert_eq!(gap.code, Some(Code::EventDamaged));
    within("a close", runtime.close()).await.unwrap();
}

#[tokio::test]
async fn a_damaged_end_is_told_also_where_the_front_was_trimmed() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let script = Script::default();
    let mut options = FileOptions::default();
    options.store.retention.worker_bytes_max = 2 << 20;
    let runtime = open_with(directory, &script, options).await;
    let (worker_id, run) = begin(&runtime, &script).await;
    for _ in 0..300 {
        say(&run, &"x".repeat(10_000)).await;
    }
    say(&run, "words that stand nowhere else").await;
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    within("a close", runtime.close()).await.unwrap();
    assert!(flip(directory, "words that stand nowhere else") >= 1);

    // In pages so large that one has both.
    let limits = Limits {
        page_bytes_max: 16 << 20,
        page_events_max: 1_000,
        ..Limits::default()
    };
    let mut gaps = Vec::new();
    let mut from = Some(0);
    while let Some(first) = from {
        let page = read_with(
            directory,
            worker_id,
            TranscriptFrom::Item(first),
            limits.clone(),
        );
        gaps.extend(page.gap);
        assert!(
            page.next.is_none_or(|next| next > first),
            "it comes to an end"
        );
        from = page.next;
    }
    let told: Vec<_> = gaps.iter().map(|gap| (gap.cause, gap.code)).collect();
    let damaged = (GapCause::Damaged, Some(Code::EventDamaged));
    assert_eq!(told, [(GapCause::Retention, None), damaged]);
}

#[tokio::test]
async fn damaged_output_that_had_not_ended_leaves_the_items_whole() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let script = Script::default();
    let runtime = open(directory, &script).await;
    let (worker_id, run) = begin(&runtime, &script).await;
    say(&run, "said").await;
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    // More than 16 KiB: it is checkpointed when this returns.
    let text = format!("half of it {}", "x".repeat(20_000));
    run.sink.append(block, &text).await.unwrap();
    // Its process is killed.
    tokio::task::spawn_blocking(move || drop(runtime))
        .await
        .unwrap();
    drop(run);
    let whole = read_stopped(directory, worker_id, TranscriptFrom::End);
    assert_eq!(whole.unfinished[0].text, text);
    assert_eq!(whole.unfinished_damaged, None);

    assert_eq!(flip(directory, "half of it"), 1);
    let page = read_stopped(directory, worker_id, TranscriptFrom::End);
    assert_eq!((page.items, page.gap), (whole.items, None));
    assert_eq!(page.unfinished, []);
    assert_eq!(page.unfinished_damaged, Some(Code::RecordDamaged));
}

#[tokio::test]
async fn what_an_earlier_run_left_is_not_shown_as_unfinished() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let script = Script::default();
    let runtime = open(directory, &script).await;
    let (worker_id, run) = begin(&runtime, &script).await;
    let now = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(now, &"x".repeat(20_000)).await.unwrap();
    tokio::task::spawn_blocking(move || drop(runtime))
        .await
        .unwrap();
    let state = directory.join("state");
    let mut store = FileStore::open(&state, FileOptions::default()).unwrap();
    let left = |generation| {
        Change::Checkpoint(Checkpoint {
            worker_id,
            block: BlockId {
                generation: Generation(generation),
                index: 7,
            },
            kind: BlockKind::Text,
            parent: None,
            offset_bytes: 0,
            bytes: b"of another run".as_slice().into(),
        })
    };
    let changes = [0, now.generation.0 + 1].map(left).into();
    let batch = Batch {
        changes,
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    Box::new(store).close().unwrap();
    let unfinished = read_stopped(directory, worker_id, TranscriptFrom::End).unfinished;
    let blocks: Vec<BlockId> = unfinished.iter().map(|block| block.block).collect();
    assert_eq!(blocks, [now]);
}
