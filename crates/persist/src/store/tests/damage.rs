//! One bit of a stored value is changed, through redb itself: the value is never served, it is
//! named, and everything else goes on (I7, I10).

use std::sync::Arc;

use worker_runtime_core::{
    Code, Event, ItemIndex, LeaseId, Position, Seq, Stream, WorkerId,
    store::{
        Batch, Change, Gap, GapCause, ReplayRequest, Store, StoreError, StoreReader,
        conformance::{
            Script, all_items, assert_same, lease_record, receipt_record, unfinished_record,
            worker_record,
        },
    },
};

use crate::{
    MemoryStore, RetentionPolicy, StoreOptions, codec,
    engine::{CommitMode, End, Rows},
    layout::{Table, history, input, large, lease, log, meta, unfinished, worker},
    pack::HEADER_LEN_BYTES,
};

/// Packs of one Worker go to history soon.
fn options() -> StoreOptions {
    StoreOptions {
        tails_bytes_max: 1,
        ..StoreOptions::memory()
    }
}

/// The log keeps next to nothing, so that it can't stand in for a damaged pack.
fn without_log() -> StoreOptions {
    StoreOptions {
        retention: RetentionPolicy {
            log_bytes_max: 1,
            ..RetentionPolicy::MEMORY
        },
        ..options()
    }
}

struct Filled {
    store: MemoryStore,
    script: Script,
    ids: Vec<WorkerId>,
}

fn filled(options: StoreOptions) -> Filled {
    let mut store = MemoryStore::new(options).unwrap();
    let mut script = Script::default();
    let ids: Vec<WorkerId> = (0..3).map(|_| script.worker()).collect();
    for index in 0..20 {
        let mut batch = script.batch(&ids, 60, 300);
        if index == 0 {
            for id in &ids {
                let record = worker_record(*id);
                batch.changes.push(Change::Worker(Arc::new(record)));
                let waiting = unfinished_record(*id, Seq(1));
                batch.changes.push(Change::Unfinished(Arc::new(waiting)));
                let receipt = receipt_record(Seq(1));
                batch.changes.push(Change::Receipt(*id, [1; 16], receipt));
            }
        }
        store.commit(&batch).unwrap();
        store.idle().unwrap();
    }
    Filled { store, script, ids }
}

/// All rows of a table whose key begins like this.
pub(super) fn keys(store: &MemoryStore, table: Table, prefix: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let last = [u8::MAX; 40];
    let engine = &store.packed().shared().engine;
    engine
        .read(|rows| {
            rows.scan(table, (prefix, &last), End::First, &mut |key, _| {
                if key.starts_with(prefix) {
                    keys.push(key.to_vec());
                }
                Ok(std::ops::ControlFlow::Continue(()))
            })
        })
        .unwrap();
    keys
}

/// Rewrites a row through redb; the sums of the table are left as they were.
fn rewrite(store: &MemoryStore, table: Table, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
    let engine = &store.packed().shared().engine;
    let sums = Default::default();
    engine
        .write(CommitMode::Memory, &sums, |rows| {
            let mut value = rows.get(table, key, |value| value.unwrap().to_vec())?;
            change(&mut value);
            rows.put(table, key, &value)
        })
        .unwrap();
}

pub(super) fn flip(store: &MemoryStore, table: Table, key: &[u8], bit: usize) {
    rewrite(store, table, key, |value| {
        let at = (bit / 8) % value.len();
        value[at] ^= 1 << (bit % 8);
    });
}

fn remove(store: &MemoryStore, table: Table, key: &[u8]) {
    let engine = &store.packed().shared().engine;
    let removed = engine.write(CommitMode::Memory, &Default::default(), |rows| {
        rows.remove(table, key)
    });
    assert!(removed.unwrap().is_some());
}

/// Everything of a stream, and what is missing.
fn read(
    reader: &dyn StoreReader,
    stream: Stream,
    until: Position,
    events_max: usize,
) -> (Vec<Event>, Vec<Gap>) {
    let (mut events, mut gaps) = (Vec::new(), Vec::new());
    let mut after = Position(0);
    loop {
        let page = reader
            .replay(&ReplayRequest {
                stream,
                after,
                until,
                events_max,
                bytes_max: usize::MAX,
            })
            .unwrap();
        if let (Some(gap), Some(first)) = (&page.gap, page.events.first()) {
            assert!(gap.to < first.position, "a gap is before the events");
        }
        events.extend(page.events);
        gaps.extend(page.gap);
        if page.up_to_date {
            return (events, gaps);
        }
        assert!(page.scanned_to > after);
        after = page.scanned_to;
    }
}

/// What is there and what is told to be missing add up to what was written.
fn account(script: &Script, stream: Stream, events: &[Event], gaps: &[Gap]) {
    let told = |event: &Event| {
        let mut of = gaps.iter();
        of.any(|gap| gap.from <= event.position && event.position <= gap.to)
    };
    let expected = script.of(stream).into_iter().filter(|event| !told(event));
    assert_same(events, &expected.collect::<Vec<_>>());
    for gap in gaps {
        assert_eq!(gap.cause, GapCause::Damaged);
        assert_eq!(gap.code, Some(Code::EventDamaged));
    }
}

#[test]
fn a_flipped_bit_in_one_workers_history_costs_that_pack_alone() {
    let found = filled(without_log());
    let (store, script) = (&found.store, &found.script);
    let owner = found.ids[1];
    let keys = keys(store, history::TABLE, &owner.to_bytes());
    assert!(keys.len() > 6, "{}", keys.len());
    let reader = store.reader();
    for (index, bit) in [(0, 5), (2, 70), (3, 8_000), (keys.len() - 1, 900)] {
        flip(store, history::TABLE, &keys[index], bit);
        for events_max in [1, 13, 1000] {
            let stream = Stream::Worker(owner);
            let (events, gaps) = read(reader.as_ref(), stream, script.position(), events_max);
            account(script, stream, &events, &gaps);
            assert_eq!(gaps.len(), 1, "pack {index}: {gaps:?}");
            {
                let (first, last) = gaps[0].seqs.unwrap();
                let of_worker = script.of(stream);
                let missing = of_worker.len() - events.len();
                assert_eq!(last.0 - first.0 + 1, missing as u64);
            }
        }
        for id in [found.ids[0], found.ids[2]] {
            let stream = Stream::Worker(id);
            let (events, gaps) = read(reader.as_ref(), stream, script.position(), 100);
            assert_eq!(gaps, []);
            assert_same(&events, &script.of(stream));
        }
        flip(store, history::TABLE, &keys[index], bit);
    }
}

#[test]
fn a_pack_that_vanished_is_told_and_one_at_another_place_is_not_taken() {
    let found = filled(without_log());
    let (store, script) = (&found.store, &found.script);
    let stream = Stream::Worker(found.ids[0]);
    let keys = keys(store, history::TABLE, &found.ids[0].to_bytes());
    let reader = store.reader();
    let moved = store
        .packed()
        .shared()
        .engine
        .read(|rows| rows.get(history::TABLE, &keys[1], |value| value.unwrap().to_vec()));
    let moved = moved.unwrap();
    remove(store, history::TABLE, &keys[3]);
    for events_max in [1, 7, 1000] {
        let (events, gaps) = read(reader.as_ref(), stream, script.position(), events_max);
        account(script, stream, &events, &gaps);
        assert_eq!(gaps.len(), 1);
        assert!(gaps[0].seqs.is_some());
    }
    rewrite(store, history::TABLE, &keys[5], |value| *value = moved);
    let (events, gaps) = read(reader.as_ref(), stream, script.position(), 1000);
    account(script, stream, &events, &gaps);
    assert_eq!(gaps.len(), 2);
}

#[test]
fn a_damaged_pack_of_history_is_served_from_the_log_while_it_can_be() {
    let mut found = filled(options());
    let owner = found.ids[1];
    let stream = Stream::Worker(owner);
    let keys = keys(&found.store, history::TABLE, &owner.to_bytes());
    let until = found.script.position();
    let reader = found.store.reader();
    for (index, key) in keys.iter().enumerate() {
        flip(&found.store, history::TABLE, key, 777 * (index + 1));
        for events_max in [60, 1000] {
            let (events, gaps) = read(reader.as_ref(), stream, until, events_max);
            assert_eq!(gaps, [], "pack {index}");
            assert_same(&events, &found.script.of(stream));
        }
        let all = ItemIndex(0)..ItemIndex(u64::MAX);
        let slice = reader.transcript(&all_items(owner, all, until)).unwrap();
        assert_eq!((slice.gap, slice.events.len()), (None, 200));
    }
    // All packs are damaged now, and the log alone has everything; one pack of it is damaged too.
    let (events, gaps) = read(reader.as_ref(), stream, until, 50);
    assert_eq!(gaps, []);
    assert_same(&events, &found.script.of(stream));
    let log_keys = self::keys(&found.store, log::TABLE, &[]);
    flip(&found.store, log::TABLE, &log_keys[log_keys.len() / 2], 99);
    let (events, gaps) = read(reader.as_ref(), stream, until, 50);
    account(&found.script, stream, &events, &gaps);
    assert!(!gaps.is_empty());
    found
        .store
        .commit(&found.script.batch(&[owner], 3, 9))
        .unwrap();
}

#[test]
fn what_the_log_has_is_not_served_for_a_worker_when_its_chain_does_not_fit() {
    let found = filled(options());
    let log_keys = keys(&found.store, log::TABLE, &[]);
    let key = &log_keys[log_keys.len() / 2];
    let first = log::parse(key).unwrap();
    let altered = &found.script.events[first.0 as usize - 1];
    let owner = altered.worker.unwrap().worker_id;
    // The time of the pack's first event, with a checksum that fits.
    rewrite(&found.store, log::TABLE, key, |value| {
        value[codec::SEAL_LEN_BYTES + HEADER_LEN_BYTES + 1] ^= 1;
        codec::finish(log::TABLE, key, value);
    });
    let keys = keys(&found.store, history::TABLE, &owner.to_bytes());
    let firsts = keys.iter().map(|key| history::parse(key).unwrap().1);
    let holder = firsts.filter(|begin| *begin <= first).count() - 1;
    flip(&found.store, history::TABLE, &keys[holder], 4_000);
    let stream = Stream::Worker(owner);
    let reader = found.store.reader();
    let (events, gaps) = read(reader.as_ref(), stream, found.script.position(), 100);
    account(&found.script, stream, &events, &gaps);
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].from <= altered.position && altered.position <= gaps[0].to);
}

#[test]
fn a_flipped_bit_in_the_log_is_a_gap_of_the_runtimes_stream_alone() {
    let found = filled(options());
    let (store, script) = (&found.store, &found.script);
    let keys = keys(store, log::TABLE, &[]);
    let reader = store.reader();
    flip(store, log::TABLE, &keys[4], 4_000);
    for events_max in [1, 50, 5000] {
        let (events, gaps) = read(
            reader.as_ref(),
            Stream::Runtime,
            script.position(),
            events_max,
        );
        account(script, Stream::Runtime, &events, &gaps);
        assert_eq!(gaps.len(), 1);
        let missing = gaps[0].to.0 - gaps[0].from.0 + 1;
        assert_eq!(missing as usize, script.events.len() - events.len());
    }
    for id in &found.ids {
        let (events, gaps) = read(
            reader.as_ref(),
            Stream::Worker(*id),
            script.position(),
            1000,
        );
        assert_eq!(gaps, []);
        assert_same(&events, &script.of(Stream::Worker(*id)));
    }
}

#[test]
fn a_flipped_bit_in_a_large_payload_costs_that_event_alone() {
    let mut store = MemoryStore::new(options()).unwrap();
    let mut script = Script::default();
    let id = script.worker();
    for _ in 0..5 {
        let batch = script.batch(&[id], 3, 30_000);
        store.commit(&batch).unwrap();
    }
    let keys = keys(&store, large::TABLE, &[]);
    let reader = store.reader();
    let middle = &keys[keys.len() / 2];
    for bit in [3, 100, 20_000] {
        flip(&store, large::TABLE, middle, bit);
        for stream in [Stream::Runtime, Stream::Worker(id)] {
            let (events, gaps) = read(reader.as_ref(), stream, script.position(), 4);
            account(&script, stream, &events, &gaps);
            assert_eq!((events.len(), gaps.len()), (14, 1));
        }
        let all = ItemIndex(0)..ItemIndex(100);
        let slice = reader
            .transcript(&all_items(id, all, script.position()))
            .unwrap();
        assert!(slice.gap.is_some() || slice.events.len() == slice.items.0 as usize);
        flip(&store, large::TABLE, middle, bit);
    }
    remove(&store, large::TABLE, middle);
    let stream = Stream::Worker(id);
    let (events, gaps) = read(reader.as_ref(), stream, script.position(), 4);
    account(&script, stream, &events, &gaps);
    assert_eq!((events.len(), gaps.len()), (14, 1));
}

#[test]
fn a_damaged_record_is_named_and_the_others_are_loaded() {
    let mut found = filled(options());
    let tables = [worker::TABLE, unfinished::TABLE];
    for table in tables {
        let keys = keys(&found.store, table, &[]);
        for bit in [0, 65, 400] {
            flip(&found.store, table, &keys[1], bit);
            let loaded = found.store.load().unwrap();
            assert_eq!(loaded.damaged.len(), 1, "{:?}", loaded.damaged);
            assert_eq!(loaded.damaged[0].table, table.name);
            let mut ids = found.ids.clone();
            ids.sort_unstable();
            assert_eq!(loaded.damaged[0].worker_id, Some(ids[1]));
            let whole = if table == worker::TABLE {
                loaded.workers.len()
            } else {
                loaded.unfinished.len()
            };
            assert_eq!(whole, 2);
            flip(&found.store, table, &keys[1], bit);
            assert_eq!(found.store.load().unwrap().damaged, []);
        }
    }
}

#[test]
fn a_damaged_lease_is_named_by_its_id_and_can_be_removed() {
    let mut found = filled(options());
    let ids = [3, 5].map(|id| LeaseId::from_bytes([id; 16]));
    let put = ids.map(|id| Change::Lease(Arc::new(lease_record(id))));
    let commit = |store: &mut MemoryStore, changes: Vec<Change>| {
        let batch = Batch {
            changes,
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
    };
    commit(&mut found.store, put.into());
    let keys = keys(&found.store, lease::TABLE, &[]);
    for bit in [65, 400] {
        flip(&found.store, lease::TABLE, &keys[1], bit);
        let loaded = found.store.load().unwrap();
        assert_eq!(loaded.leases, [Arc::new(lease_record(ids[0]))]);
        assert_eq!(loaded.damaged.len(), 1, "{:?}", loaded.damaged);
        let damaged = &loaded.damaged[0];
        assert_eq!((damaged.table, damaged.lease_id), ("lease", Some(ids[1])));
        assert_eq!(damaged.worker_id, None);
        flip(&found.store, lease::TABLE, &keys[1], bit);
    }
    flip(&found.store, lease::TABLE, &keys[1], 400);
    commit(&mut found.store, vec![Change::EndLease(ids[1])]);
    let loaded = found.store.load().unwrap();
    assert_eq!((loaded.leases.len(), loaded.damaged), (1, Vec::new()));
}

#[test]
fn a_missing_row_and_a_row_of_an_older_commit_are_noticed() {
    let mut found = filled(options());
    let keys = keys(&found.store, worker::TABLE, &[]);
    let older = found
        .store
        .packed()
        .shared()
        .engine
        .read(|rows| rows.get(worker::TABLE, &keys[0], |value| value.unwrap().to_vec()));
    let mut ids = found.ids.clone();
    ids.sort_unstable();
    let mut record = worker_record(ids[0]);
    record.paused = true;
    let batch = Batch {
        events: Vec::new(),
        changes: vec![Change::Worker(Arc::new(record))],
        must_happen: false,
    };
    found.store.commit(&batch).unwrap();
    assert_eq!(found.store.load().unwrap().damaged, []);
    let older = older.unwrap();
    rewrite(&found.store, worker::TABLE, &keys[0], |value| {
        *value = older
    });
    let loaded = found.store.load().unwrap();
    assert_eq!((loaded.workers.len(), loaded.damaged.len()), (3, 1));
    found.store.commit(&batch).unwrap();

    let mut found = filled(options());
    remove(&found.store, worker::TABLE, &keys[2]);
    let loaded = found.store.load().unwrap();
    assert_eq!((loaded.workers.len(), loaded.damaged.len()), (2, 1));
    assert_eq!(loaded.damaged[0].worker_id, None);
    flip(&found.store, worker::TABLE, &keys[1], 300);
    let loaded = found.store.load().unwrap();
    assert_eq!((loaded.workers.len(), loaded.damaged.len()), (1, 2));
}

#[test]
fn damaged_packs_at_the_front_are_trimmed_like_others() {
    let mut found = filled(without_log());
    let owner = found.ids[0];
    let keys = keys(&found.store, history::TABLE, &owner.to_bytes());
    for key in &keys[..3] {
        flip(&found.store, history::TABLE, key, 1_000);
    }
    let stream = Stream::Worker(owner);
    let all = found.script.of(stream);
    let fourth = history::parse(&keys[3]).unwrap().1;
    let seq = all.iter().find(|event| event.position == fourth).unwrap();
    let seq = Seq(seq.worker.unwrap().seq.0 - 1);
    let batch = Batch {
        events: Vec::new(),
        changes: vec![Change::Trim(owner, seq)],
        must_happen: false,
    };
    found.store.commit(&batch).unwrap();
    let reader = found.store.reader();
    let bounds = reader.bounds(stream).unwrap();
    assert_eq!(bounds.trimmed_to_seq, seq);
    let request = ReplayRequest {
        stream,
        after: bounds.trimmed_to,
        until: found.script.position(),
        events_max: 1000,
        bytes_max: usize::MAX,
    };
    let page = reader.replay(&request).unwrap();
    assert_eq!(page.gap, None);
    assert_same(&page.events, &all[seq.0 as usize..]);
}

#[test]
fn a_damaged_receipt_is_an_error_and_not_a_miss() {
    let found = filled(options());
    let keys = keys(&found.store, input::TABLE, &found.ids[0].to_bytes());
    flip(&found.store, input::TABLE, &keys[0], 200);
    let reader = found.store.reader();
    let damaged = reader.receipt(found.ids[0], [1; 16]);
    assert!(
        matches!(damaged, Err(StoreError::Damaged { table: "input", .. })),
        "{damaged:?}"
    );
    assert!(reader.receipt(found.ids[1], [1; 16]).unwrap().is_some());
}

#[test]
fn damaged_state_stops_the_opening_and_names_the_table() {
    let mut found = filled(options());
    flip(&found.store, meta::TABLE, meta::RUNTIME, 99);
    let loaded = found.store.load();
    assert!(
        matches!(loaded, Err(StoreError::Damaged { table: "meta", .. })),
        "{loaded:?}"
    );
}
