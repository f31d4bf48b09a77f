//! One byte changed in a closed store, wherever the same text stands in the file: one Worker is
//! told as damaged, by code, and no other one changes (I7, I10).

use std::{fs, path::Path};

use worker_runtime_core::{
    Code, Cursor, Event, ListOrder, Mounts, Observation, PageSize, Permission, Runtime,
    RuntimeOptions, Scope, ScopeRule, Stream, WorkerFilter, WorkerId,
    backend::IncapableReason,
    cursor::From as Start,
    error::{CreateError, WorkerError},
    limits::Limits,
    open_read_only,
    run::StopReason,
    store::{BlockKind, Gap},
    worker::CreateWorker,
};
use worker_runtime_persist::{FileOptions, FileStore, ReadStore};

use crate::support::{Script, input, queued, scripted, within};

const WORKERS: usize = 4;
/// More than a few packs of each Worker.
const INPUTS: usize = 60;
const MOUNT: &str = "repo";

/// Text that stands nowhere else.
fn payload(worker: usize, number: usize) -> String {
    let unique = format!("payload of worker {worker} number {number:03}");
    format!("{unique} {}", "x".repeat(700))
}

fn name(worker: usize) -> String {
    format!("unique-name-{worker}")
}

fn request(worker: usize) -> CreateWorker {
    CreateWorker {
        display_name: Some(name(worker)),
        scope: Scope {
            allow: vec![ScopeRule {
                mount: MOUNT.to_owned(),
                path: format!("part-{worker}"),
                permission: Permission::Write,
                recursive: true,
            }],
            deny: Vec::new(),
        },
        ..scripted()
    }
}

async fn open(directory: &Path, script: &Script) -> Runtime {
    let store = FileStore::open(&directory.join("state"), FileOptions::default()).unwrap();
    let mut mounts = Mounts::default();
    mounts.set(MOUNT, directory).unwrap();
    let options = RuntimeOptions {
        backends: vec![script.factory()],
        mounts,
        ..RuntimeOptions::default()
    };
    within("an opening", Runtime::open(Box::new(store), options))
        .await
        .unwrap()
}

/// Sends an input and has its run write this.
async fn write(runtime: &Runtime, script: &Script, worker_id: WorkerId, id: &str, text: &str) {
    let interaction = runtime.interaction();
    let sent = interaction.send_input(worker_id, input(id));
    within("a receipt", sent).await.unwrap();
    let run = script.run().await;
    let block = run.sink.open_block(BlockKind::Text, None).unwrap();
    run.sink.append(block, text).await.unwrap();
    run.sink.finish_block(block).await.unwrap();
    run.sink.finish(StopReason::EndTurn, None).await.unwrap();
}

/// A store with Workers that took turns, closed.
async fn fill(directory: &Path) -> Vec<WorkerId> {
    let script = Script::default();
    let runtime = open(directory, &script).await;
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let created = runtime.catalog().create(request(worker)).await.unwrap();
        workers.push(created.worker_id);
    }
    for number in 0..INPUTS {
        for (worker, worker_id) in workers.iter().enumerate() {
            let text = payload(worker, number);
            write(&runtime, &script, *worker_id, &format!("{number}"), &text).await;
        }
    }
    within("a close", runtime.close()).await.unwrap();
    workers
}

/// Changes one byte of a text wherever it stands in the file and the choice says so; how often.
fn flip(directory: &Path, text: &str, chosen: impl Fn(Option<u8>) -> bool) -> usize {
    let path = directory.join("state").join("runtime.redb");
    let mut bytes = fs::read(&path).unwrap();
    let length = text.len();
    let places: Vec<usize> = (0..bytes.len() - length)
        .filter(|at| bytes[*at..].starts_with(text.as_bytes()))
        .filter(|at| chosen(at.checked_sub(1).map(|before| bytes[before])))
        .collect();
    for at in &places {
        bytes[at + length / 2] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
    places.len()
}

/// All that a stream tells, gaps included.
#[derive(Debug, PartialEq)]
struct Told {
    events: Vec<(Cursor, Event)>,
    gaps: Vec<Gap>,
}

fn read(observation: &Observation, stream: Stream) -> Told {
    let mut told = Told {
        events: Vec::new(),
        gaps: Vec::new(),
    };
    let mut start = Start::Beginning;
    loop {
        let size = PageSize::default();
        let page = observation.events(stream, start, size).unwrap();
        told.gaps.extend(page.gap);
        told.events.extend(page.events);
        if page.up_to_date {
            return told;
        }
        start = Start::After(page.next);
    }
}

fn read_stopped(directory: &Path, read: impl FnOnce(&Observation)) {
    let store = ReadStore::open(&directory.join("state")).unwrap();
    let (loaded, reader) = (store.load().unwrap(), store.reader());
    read(&open_read_only(loaded, reader, Vec::new(), Limits::default()).unwrap());
}

fn read_workers(directory: &Path, workers: &[WorkerId]) -> Vec<Told> {
    let mut told = Vec::new();
    read_stopped(directory, |observation| {
        let streams = workers.iter().map(|worker_id| Stream::Worker(*worker_id));
        told = streams.map(|stream| read(observation, stream)).collect();
    });
    told
}

/// What is missing is told, with its code and exactly once; the rest is what it was.
fn only_told_missing(before: &Told, after: &Told, payload: &str) {
    let missing: Vec<&Event> = before
        .events
        .iter()
        .filter(|event| !after.events.contains(event))
        .map(|(_, event)| event)
        .collect();
    let holds = |event: &Event| {
        event
            .data
            .windows(payload.len())
            .any(|part| part == payload.as_bytes())
    };
    assert!(missing.iter().any(|event| holds(event)), "it is not served");
    assert!(
        after
            .events
            .iter()
            .all(|event| before.events.contains(event))
    );
    assert!(!after.gaps.is_empty(), "a gap is told");
    for gap in &after.gaps {
        assert_eq!(gap.code, Some(Code::EventDamaged), "{gap:?}");
    }
    for event in &missing {
        let told = after.gaps.iter();
        let told = told.filter(|gap| (gap.from..=gap.to).contains(&event.position));
        assert_eq!(told.count(), 1, "{event:?} is in one gap");
    }
    for (_, event) in &after.events {
        let told = after.gaps.iter();
        let mut told = told.filter(|gap| (gap.from..=gap.to).contains(&event.position));
        assert_eq!(told.next(), None, "{event:?} is in no gap");
    }
}

#[test]
fn a_changed_byte_of_an_event_is_a_told_gap_of_one_worker() {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let workers = threads.block_on(fill(directory));
    let before = read_workers(directory, &workers);
    assert!(before.iter().all(|told| told.gaps.is_empty()));

    let damaged = payload(1, INPUTS / 2);
    let places = flip(directory, &damaged, |_| true);
    assert!(places >= 2, "history and log hold it: {places}");

    let after = read_workers(directory, &workers);
    for worker in [0, 2, 3] {
        assert_eq!(after[worker], before[worker], "of Worker {worker}");
    }
    only_told_missing(&before[1], &after[1], &damaged);
    for gap in &after[1].gaps {
        let missing = before[1].events.iter().map(|(_, event)| event);
        let missing = missing.filter(|event| (gap.from..=gap.to).contains(&event.position));
        let missing: Vec<_> = missing.map(|event| event.worker.unwrap().seq).collect();
        let told = (missing[0], *missing.last().unwrap());
        assert_eq!(gap.seqs, Some(told), "its neighbours tell which");
    }
    let last = before[1].events.last();
    assert_eq!(after[1].events.last(), last, "the stream goes on after it");

    threads.block_on(async {
        let script = Script::default();
        let runtime = open(directory, &script).await;
        let observation = runtime.observation();
        // What the opening itself told comes after.
        let until = last.unwrap().1.position;
        let mut live = read(&observation, Stream::Worker(workers[1]));
        live.events.retain(|(_, event)| event.position <= until);
        assert_eq!(live.gaps, after[1].gaps);
        assert_eq!(live.events, after[1].events);
        let all = read(&observation, Stream::Runtime);
        let gaps = all.gaps.iter();
        assert!(
            gaps.clone().count() > 0,
            "the Runtime's stream tells it too"
        );
        assert!(gaps.clone().all(|gap| gap.code == Some(Code::EventDamaged)));
        // The Worker takes input and tells what comes.
        write(&runtime, &script, workers[1], "after", "what came after").await;
        let more = read(&observation, Stream::Worker(workers[1]));
        assert!(more.events.len() > after[1].events.len());
        within("a close", runtime.close()).await.unwrap();
    });
}

#[test]
fn a_changed_byte_of_a_workers_newest_event_is_a_told_gap_too() {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let workers = threads.block_on(fill(directory));
    let before = read_workers(directory, &workers);
    let damaged = payload(1, INPUTS - 1);
    assert!(flip(directory, &damaged, |_| true) >= 1);
    let after = read_workers(directory, &workers);
    for worker in [0, 2, 3] {
        assert_eq!(after[worker], before[worker], "of Worker {worker}");
    }
    only_told_missing(&before[1], &after[1], &damaged);
    threads.block_on(async {
        let script = Script::default();
        let runtime = open(directory, &script).await;
        // Nobody knows where its stream goes on, so it takes nothing; the others do.
        let interaction = runtime.interaction();
        let sent = interaction.send_input(workers[1], input("more"));
        let refused = within("a refusal", sent).await.unwrap_err();
        assert_eq!(refused.code(), Code::WorkerDamaged, "{refused}");
        let capable = |worker| runtime.observation().worker(worker).unwrap().input_capable;
        let told = capable(workers[1]);
        assert_eq!(
            (told.capable, told.reason),
            (false, Some(IncapableReason::Damaged))
        );
        assert!(capable(workers[0]).capable);
        for worker_id in [workers[0], workers[2], workers[3]] {
            write(&runtime, &script, worker_id, "after", "what came after").await;
        }
        within("a close", runtime.close()).await.unwrap();
    });
}

#[test]
fn a_damaged_worker_whose_input_waits_keeps_no_other_one_waiting() {
    let last_words = |worker: usize| format!("last words of worker {worker}");
    let threads = tokio::runtime::Runtime::new().unwrap();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let workers = threads.block_on(async {
        let workers = fill(directory).await;
        let script = Script::default();
        let runtime = open(directory, &script).await;
        // A run whose sink is dropped has ended, and the next one would begin.
        let mut running = Vec::new();
        for (worker, worker_id) in workers[..3].iter().enumerate() {
            let interaction = runtime.interaction();
            for input in [input("runs"), queued("waits")] {
                let sent = interaction.send_input(*worker_id, input);
                within("a receipt", sent).await.unwrap();
            }
            let sink = script.run().await.sink;
            let block = sink.open_block(BlockKind::Text, None).unwrap();
            sink.append(block, &last_words(worker)).await.unwrap();
            sink.finish_block(block).await.unwrap();
            running.push(sink);
        }
        within("a close", runtime.close()).await.unwrap();
        workers
    });
    assert!(flip(directory, &last_words(1), |_| true) >= 1);
    let told = read_workers(directory, &workers);
    let told_of_damaged = &told[1];
    assert!(told[0].gaps.is_empty() && !told_of_damaged.gaps.is_empty());

    threads.block_on(async {
        let script = Script::default();
        let runtime = open(directory, &script).await;
        for _ in 0..2 {
            let run = script.run().await;
            assert_eq!(run.input_id(), "waits");
            run.sink.finish(StopReason::EndTurn, None).await.unwrap();
        }
        write(&runtime, &script, workers[3], "after", "what came after").await;
        let observation = runtime.observation();
        let refused = observation.worker(workers[1]).unwrap_err();
        assert_eq!(refused.code(), Code::WorkerDamaged);
        lists_all(&observation, &workers);
        let mut diagnostics = observation.diagnostics().into_iter();
        let told = diagnostics.find(|told| told.worker_id == Some(workers[1]));
        assert_eq!(told.unwrap().code, Code::EventDamaged);
        let read_live = read(&observation, Stream::Worker(workers[1]));
        assert_eq!(read_live.events, told_of_damaged.events);
        let rival = CreateWorker {
            display_name: None,
            ..request(1)
        };
        let refused = runtime.catalog().create(rival).await.unwrap_err();
        assert_eq!(refused.code(), Code::ScopeConflict);
        within("a close", runtime.close()).await.unwrap();
    });
}

#[test]
fn a_changed_byte_of_a_worker_record_is_told_and_its_events_stay_readable() {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let workers = threads.block_on(fill(directory));
    let before = read_workers(directory, &workers);
    // In an event the name stands in quotes; in the record it does not.
    let places = flip(directory, &name(1), |previous| previous != Some(b'"'));
    assert!(places >= 1, "the record is there");

    assert_eq!(read_workers(directory, &workers), before, "events");
    read_stopped(directory, |observation| is_told(observation, &workers));

    threads.block_on(async {
        let script = Script::default();
        let runtime = open(directory, &script).await;
        is_told(&runtime.observation(), &workers);
        let told = read(&runtime.observation(), Stream::Worker(workers[1]));
        assert_eq!(told, before[1]);
        let interaction = runtime.interaction();
        let sent = interaction.send_input(workers[1], input("more"));
        let refused = sent.await.unwrap_err();
        assert_eq!(refused.code(), Code::WorkerDamaged);
        let rival = CreateWorker {
            display_name: None,
            ..request(1)
        };
        let refused = runtime.catalog().create(rival).await.unwrap_err();
        let CreateError::ScopeRefused(refusal) = &refused else {
            panic!("{refused}");
        };
        assert_eq!(
            refusal.owners()[0].holder.worker_id().unwrap(),
            workers[1],
            "what it held is still its own"
        );
        for worker_id in [workers[0], workers[2], workers[3]] {
            write(&runtime, &script, worker_id, "after", "what came after").await;
        }
        within("a close", runtime.close()).await.unwrap();
    });
}

/// One Worker is damaged, and the others are as they were.
fn is_told(observation: &Observation, workers: &[WorkerId]) {
    let refused = observation.worker(workers[1]).unwrap_err();
    assert!(matches!(refused, WorkerError::Damaged { worker_id, .. } if worker_id == workers[1]));
    assert_eq!(refused.code(), Code::WorkerDamaged);
    for worker in [0, 2, 3] {
        let view = observation.worker(workers[worker]).unwrap();
        assert_eq!(view.display_name, Some(name(worker)));
    }
    lists_all(observation, workers);
    let diagnostics = observation.diagnostics();
    let told = diagnostics.iter();
    let told: Vec<Option<WorkerId>> = told
        .filter(|told| told.code == Code::WorkerDamaged)
        .map(|told| told.worker_id)
        .collect();
    assert_eq!(told, [Some(workers[1])]);
}

/// A list has the damaged Worker apart, and the others as ever; also when the filter takes none.
fn lists_all(observation: &Observation, workers: &[WorkerId]) {
    let none = WorkerFilter {
        lifecycles: vec!["cancelled".to_owned()],
        ..WorkerFilter::default()
    };
    for (filter, shown) in [(WorkerFilter::default(), WORKERS - 1), (none, 0)] {
        let list = observation.workers(&filter, ListOrder::Created, 0, 100);
        assert_eq!((list.workers.len(), list.total), (shown, shown));
        let damaged: Vec<_> = list
            .damaged
            .iter()
            .map(|damaged| damaged.worker_id)
            .collect();
        assert_eq!(damaged, [Some(workers[1])]);
    }
}
