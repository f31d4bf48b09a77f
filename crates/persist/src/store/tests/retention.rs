//! Retention trims whole packs from the front, tells what went, and never what must stay.

use std::time::Duration;

use worker_runtime_core::{
    ManualClock, Position, Seq, Stream, Timestamp, WorkerId,
    store::{
        Change, Gap, GapCause, ReplayRequest, Store, StoreReader,
        conformance::{Script, assert_same},
    },
};

use crate::{MemoryStore, RetentionPolicy, StoreOptions};

const NO_LIMIT: RetentionPolicy = RetentionPolicy {
    worker_bytes_max: u64::MAX,
    runtime_bytes_max: u64::MAX,
    age_ms_max: None,
    log_bytes_max: u64::MAX,
};

fn store(retention: RetentionPolicy) -> MemoryStore {
    MemoryStore::new(StoreOptions {
        retention,
        ..StoreOptions::memory()
    })
    .unwrap()
}

fn fill(store: &mut MemoryStore, script: &mut Script, ids: &[WorkerId], batches: usize) {
    for _ in 0..batches {
        store.commit(&script.batch(ids, 50, 500)).unwrap();
    }
}

/// What is left of a stream, after checking that it is the end of what was written, and what the
/// first page and the bounds say of the rest.
fn left(reader: &dyn StoreReader, script: &Script, stream: Stream) -> (usize, Option<Gap>) {
    let request = ReplayRequest {
        stream,
        after: Position(0),
        until: script.position(),
        events_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let page = reader.replay(&request).unwrap();
    let all = script.of(stream);
    let trimmed = all.len() - page.events.len();
    assert_same(&page.events, &all[trimmed..]);
    let bounds = reader.bounds(stream).unwrap();
    let last = all[..trimmed].last().map(|event| event.position);
    assert_eq!(bounds.trimmed_to, last.unwrap_or_default());
    if let Some(gap) = &page.gap {
        assert_eq!(gap.cause, GapCause::Retention);
        assert_eq!(gap.to, bounds.trimmed_to);
    }
    assert_eq!(page.gap.is_some(), trimmed > 0);
    (page.events.len(), page.gap)
}

#[test]
fn a_worker_over_its_limit_loses_its_oldest_packs_and_others_nothing() {
    let mut store = store(RetentionPolicy {
        worker_bytes_max: 100_000,
        ..NO_LIMIT
    });
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    fill(&mut store, &mut script, &ids, 2);
    fill(&mut store, &mut script, &ids[..1], 40);
    let reader = store.reader();
    let (events, gap) = left(reader.as_ref(), &script, Stream::Worker(ids[0]));
    assert!(gap.is_some());
    let bytes = events * 500;
    assert!((80_000..140_000).contains(&bytes), "{bytes}");
    let (events, gap) = left(reader.as_ref(), &script, Stream::Worker(ids[1]));
    assert_eq!((events, gap), (50, None));
    let (_, gap) = left(reader.as_ref(), &script, Stream::Runtime);
    assert_eq!(gap, None, "the log has a limit of its own");
}

#[test]
fn large_payloads_count_and_go_with_their_events() {
    let mut store = store(RetentionPolicy {
        worker_bytes_max: 3_000_000,
        ..NO_LIMIT
    });
    let mut script = Script::default();
    let ids = [script.worker()];
    for _ in 0..100 {
        store.commit(&script.batch(&ids, 1, 100_000)).unwrap();
    }
    let reader = store.reader();
    let (events, _) = left(reader.as_ref(), &script, Stream::Worker(ids[0]));
    assert!((20..45).contains(&events), "{events}");
    let tables = store.packed().rows_by_table();
    let pieces = tables["large"] as usize;
    assert!(pieces < 45 * 8, "{pieces} pieces are left");
}

#[test]
fn the_oldest_packs_of_the_runtime_go_first() {
    let mut store = store(RetentionPolicy {
        runtime_bytes_max: 300_000,
        ..NO_LIMIT
    });
    let mut script = Script::default();
    let ids: Vec<_> = (0..4).map(|_| script.worker()).collect();
    for id in &ids {
        fill(&mut store, &mut script, std::slice::from_ref(id), 8);
    }
    let reader = store.reader();
    let of = |id: WorkerId| left(reader.as_ref(), &script, Stream::Worker(id)).0;
    let counts: Vec<_> = ids.iter().map(|id| of(*id)).collect();
    assert!(counts[0] < 60, "the oldest Worker lost most: {counts:?}");
    assert_eq!(counts[3], 400, "the newest lost nothing: {counts:?}");
    let total: usize = counts.iter().sum();
    assert!((400..750).contains(&total), "{counts:?}");
}

#[test]
fn a_jump_of_the_clock_trims_nothing_and_time_that_passed_does() {
    let clock = ManualClock::at(Timestamp::from_unix_ms(1_000));
    let mut store = MemoryStore::new(StoreOptions {
        retention: RetentionPolicy {
            age_ms_max: Some(60_000),
            ..NO_LIMIT
        },
        clock: std::sync::Arc::new(clock.clone()),
        ..StoreOptions::memory()
    })
    .unwrap();
    let mut script = Script::default();
    let ids = [script.worker()];
    fill(&mut store, &mut script, &ids, 10);
    clock.jump_to(Timestamp::from_unix_ms(u64::MAX / 2));
    fill(&mut store, &mut script, &ids, 10);
    let reader = store.reader();
    let stream = Stream::Worker(ids[0]);
    assert_eq!(left(reader.as_ref(), &script, stream), (1000, None));
    clock.advance(Duration::from_secs(61));
    fill(&mut store, &mut script, &ids, 10);
    let (events, gap) = left(reader.as_ref(), &script, stream);
    assert!(gap.is_some());
    assert!((500..560).contains(&events), "{events}");
}

#[test]
fn the_log_is_trimmed_but_never_what_stands_only_there() {
    let mut store = store(RetentionPolicy {
        log_bytes_max: 60_000,
        ..NO_LIMIT
    });
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    // One small event of the second Worker stays unflushed, so the log behind it must stay.
    store.commit(&script.batch(&ids[1..], 1, 30)).unwrap();
    fill(&mut store, &mut script, &ids[..1], 30);
    let reader = store.reader();
    assert_eq!(left(reader.as_ref(), &script, Stream::Runtime).1, None);
    store.idle().unwrap();
    fill(&mut store, &mut script, &ids[..1], 1);
    let (events, gap) = left(reader.as_ref(), &script, Stream::Runtime);
    assert!(gap.is_some());
    assert!((60..140).contains(&events), "{events}");
    for id in ids {
        let (_, gap) = left(reader.as_ref(), &script, Stream::Worker(id));
        assert_eq!(gap, None);
    }
}

#[test]
fn what_is_pinned_stays_until_it_is_let_go() {
    let mut store = store(RetentionPolicy {
        worker_bytes_max: 50_000,
        log_bytes_max: 50_000,
        ..NO_LIMIT
    });
    let mut script = Script::default();
    let ids = [script.worker()];
    let pin = store.pin(Position(1)).unwrap();
    fill(&mut store, &mut script, &ids, 20);
    let reader = store.reader();
    for stream in [Stream::Worker(ids[0]), Stream::Runtime] {
        assert_eq!(left(reader.as_ref(), &script, stream), (1000, None));
    }
    store.unpin(pin).unwrap();
    store.idle().unwrap();
    fill(&mut store, &mut script, &ids, 2);
    for stream in [Stream::Worker(ids[0]), Stream::Runtime] {
        assert!(left(reader.as_ref(), &script, stream).1.is_some());
    }
}

/// A trim that ended inside the pack that was being filled left the writer with the account of the
/// whole pack. When the same commit then went over a limit, what it trimmed was taken from that
/// account: the stream was told to start where it no longer had anything.
#[test]
fn a_trim_and_a_limit_in_one_commit_leave_one_account() {
    let mut store = store(RetentionPolicy {
        worker_bytes_max: 20_000,
        ..NO_LIMIT
    });
    let mut script = Script::default();
    let ids = [script.worker()];
    store.commit(&script.batch(&ids, 5, 100)).unwrap();
    let mut batch = script.batch(&ids, 3, 30_000);
    batch.changes.push(Change::Trim(ids[0], Seq(2)));
    store.commit(&batch).unwrap();
    let reader = store.reader();
    left(reader.as_ref(), &script, Stream::Worker(ids[0]));
    let (seq, items) = script.head(ids[0]);
    let head = reader.worker_head(ids[0]).unwrap();
    assert_eq!((head.seq, head.items), (seq, items));
    store.commit(&script.batch(&ids, 5, 100)).unwrap();
    left(reader.as_ref(), &script, Stream::Worker(ids[0]));
}

/// A batch that wrote a pack and went over a limit by it lost what it had written in its own commit: who
/// read after each commit was told of a gap all the same, and what had been acknowledged was never there.
#[test]
fn what_a_commit_wrote_is_there_after_it_whatever_the_limits() {
    let mut store = MemoryStore::new(StoreOptions {
        retention: RetentionPolicy {
            worker_bytes_max: 10_000,
            runtime_bytes_max: 15_000,
            age_ms_max: None,
            log_bytes_max: 10_000,
        },
        tails_bytes_max: 1 << 10,
        log_window_bytes: 1 << 10,
        ..StoreOptions::memory()
    })
    .unwrap();
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    let reader = store.reader();
    for round in 0..40 {
        let before = script.position();
        let (count, len) = [(3, 30_000), (60, 500), (1, 10)][round % 3];
        let batch = script.batch(&ids[..=round % 2], count, len);
        store.commit(&batch).unwrap();
        let streams = ids.map(Stream::Worker);
        for stream in streams.into_iter().chain([Stream::Runtime]) {
            let request = ReplayRequest {
                stream,
                after: before,
                until: script.position(),
                events_max: usize::MAX,
                bytes_max: usize::MAX,
            };
            let page = reader.replay(&request).unwrap();
            assert_eq!(page.gap, None, "in round {round}, of {stream:?}");
            let written = script.of(stream).into_iter();
            let written: Vec<_> = written.filter(|event| event.position > before).collect();
            assert_same(&page.events, &written);
        }
    }
    store.idle().unwrap();
    store.commit(&script.batch(&ids, 1, 10)).unwrap();
    for id in ids {
        let (events, _) = left(reader.as_ref(), &script, Stream::Worker(id));
        assert!(events < 100, "{events} of {id} are left");
    }
}
