//! A reader beside a commit, in every schedule that a seed reaches (`--cfg shuttle`): what stands in a
//! tail, in history or in the log is read once, never twice and never not at all (I10); and the whole
//! Runtime over this store (`worker_runtime_core::schedules`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use shuttle::thread;
use worker_runtime_core::{
    Event, ItemIndex, ManualClock, Position, SeededEntropy, Stream, WorkerId,
    schedules::{explore, scenarios, spied::Truth},
    store::{
        Batch, ReplayRequest, Store, StoreReader,
        conformance::{Script, all_items, assert_same},
    },
};

use crate::{MemoryStore, RetentionPolicy, StoreOptions};

/// Everything is flushed all the time, and nothing is made again from a log that is hardly there.
fn store() -> MemoryStore {
    MemoryStore::new(StoreOptions {
        retention: RetentionPolicy {
            log_bytes_max: 1,
            ..RetentionPolicy::MEMORY
        },
        cache_bytes: 1 << 20,
        tails_bytes_max: 500,
        log_window_bytes: 1,
        clock: Arc::new(ManualClock::default()),
        entropy: Box::new(SeededEntropy::new(3)),
    })
    .unwrap()
}

/// The same with the whole log, for the Runtime's stream.
fn store_with_log() -> Box<dyn Store> {
    let store = MemoryStore::new(StoreOptions {
        cache_bytes: 1 << 20,
        tails_bytes_max: 500,
        log_window_bytes: 1,
        clock: Arc::new(ManualClock::default()),
        entropy: Box::new(SeededEntropy::new(3)),
        ..StoreOptions::memory()
    });
    Box::new(store.unwrap())
}

/// What is written, and how much of it is committed.
struct Written {
    ids: [WorkerId; 2],
    script: Script,
    batches: Vec<Batch>,
    committed: AtomicU64,
}

impl Written {
    fn new() -> Self {
        let mut script = Script::default();
        let ids = [script.worker(), script.worker()];
        // The second alone, too, so that tails grow at different rates.
        let batches = vec![
            script.batch(&ids, 4, 120),
            script.batch(&ids[1..], 3, 150),
            script.batch(&ids, 3, 120),
            script.batch(&ids[..1], 2, 120),
        ];
        Self {
            ids,
            script,
            batches,
            committed: AtomicU64::new(0),
        }
    }

    fn committed(&self) -> Position {
        Position(self.committed.load(Ordering::SeqCst))
    }

    fn write(&self, store: &mut dyn Store) {
        for (index, batch) in self.batches.iter().enumerate() {
            store.commit(batch).unwrap();
            let last = batch.events.last().unwrap().position;
            self.committed.store(last.0, Ordering::SeqCst);
            if index == 2 {
                store.idle().unwrap();
            }
        }
    }

    fn until(&self, stream: Stream, until: Position) -> Vec<Event> {
        let mut events = self.script.of(stream);
        events.retain(|event| event.position <= until);
        events
    }

    /// Reads a stream as far as it goes: at least what was committed before, and a beginning of what
    /// is written, each event once.
    fn read_stream(&self, reader: &dyn StoreReader, stream: Stream) {
        let before = self.committed();
        let page = reader
            .replay(&ReplayRequest {
                stream,
                after: Position(0),
                until: Position(u64::MAX),
                events_max: usize::MAX,
                bytes_max: usize::MAX,
            })
            .unwrap();
        assert_eq!(page.gap, None, "nothing is missing");
        let all = self.script.of(stream);
        let count = page.events.len();
        assert!(count <= all.len(), "{count} events of {}", all.len());
        assert_same(&page.events, &all[..count]);
        let least = self.until(stream, before).len();
        assert!(count >= least, "{count} events, and {least} were committed");
    }

    fn read_worker(&self, reader: &dyn StoreReader, worker_id: WorkerId) {
        let stream = Stream::Worker(worker_id);
        self.read_stream(reader, stream);
        let until = self.committed();
        let events = self.until(stream, until);
        let items: Vec<Event> = events
            .iter()
            .filter(|event| event.worker.unwrap().item.is_some())
            .cloned()
            .collect();
        let count = ItemIndex(items.len() as u64);
        let wanted = all_items(worker_id, ItemIndex(0)..count, until);
        let slice = reader.transcript(&wanted).unwrap();
        assert_eq!(
            (slice.gap, slice.end_gap),
            (None, None),
            "nothing is missing"
        );
        assert_same(&slice.events, &items);
        let head = reader.worker_head(worker_id).unwrap();
        let least = events.last().map(|event| event.worker.unwrap().seq);
        assert!(Some(head.seq) >= least, "{} of {least:?}", head.seq);
        let bounds = reader.bounds(stream).unwrap();
        assert_eq!(bounds.trimmed_to, Position(0));
        assert!(bounds.tail >= events.last().map_or(Position(0), |event| event.position));
    }
}

fn readers_beside_a_writer(mut store: Box<dyn Store>, of_runtime: bool) {
    let written = Arc::new(Written::new());
    let readers: Vec<_> = (0..2)
        .map(|index| {
            let (written, reader) = (written.clone(), store.reader());
            thread::spawn(move || {
                for _ in 0..3 {
                    match of_runtime {
                        true => written.read_stream(&*reader, Stream::Runtime),
                        false => written.read_worker(&*reader, written.ids[index]),
                    }
                }
            })
        })
        .collect();
    written.write(&mut *store);
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn a_reader_beside_a_flush_sees_each_event_once() {
    explore("a Worker's readers beside flushes", 1_500, || {
        readers_beside_a_writer(Box::new(store()), false);
    });
}

#[test]
fn a_reader_of_the_log_beside_a_commit_sees_each_event_once() {
    explore("the log's readers beside commits", 1_500, || {
        readers_beside_a_writer(store_with_log(), true);
    });
}

#[test]
fn every_observer_of_a_runtime_over_this_store_sees_every_event_once() {
    explore("a Runtime over the store", 1_000, || {
        scenarios::everyone_sees_all(store_with_log(), None);
    });
    explore(
        "a Runtime over the store, with a failed commit",
        1_000,
        || {
            scenarios::everyone_sees_all(store_with_log(), Some((3, Truth::Lost)));
        },
    );
}

#[test]
fn who_comes_and_goes_at_a_runtime_over_this_store_loses_nothing() {
    explore("comings and goings over the store", 1_000, || {
        scenarios::who_comes_and_goes_loses_and_leaves_nothing(store_with_log());
    });
    explore("a close over the store", 1_000, || {
        scenarios::a_close_is_told_to_everyone(store_with_log());
    });
}
