//! A stopped store is damaged through redb, and opened again: what can be isolated is, what can't is
//! refused and named (I7).

use std::path::Path;

use redb::{ReadableDatabase, ReadableTable};
use worker_runtime_core::{
    Event, ItemIndex, Position, Seq, Stream, WorkerId, WorkerPlace,
    store::{
        Batch, GapCause, ReplayRequest, Store, StoreError,
        conformance::{Script, assert_same},
    },
};

use super::{close, crashed_copy, open, options};
use crate::{
    FileStore, ReadStore,
    layout::{Table, history, log},
};

/// Flips a bit of the last row whose key begins like this; returns its key.
fn flip_last(directory: &Path, table: Table, prefix: &[u8]) -> Vec<u8> {
    let db = redb::Database::open(directory.join("runtime.redb")).unwrap();
    let read = db.begin_read().unwrap();
    let rows = read.open_table(table.definition()).unwrap();
    let mut found = None;
    for row in rows.iter().unwrap() {
        let (key, value) = row.unwrap();
        if key.value().starts_with(prefix) {
            found = Some((key.value().to_vec(), value.value().to_vec()));
        }
    }
    let (key, mut value) = found.unwrap();
    let middle = value.len() / 2;
    value[middle] ^= 4;
    drop((rows, read));
    let write = db.begin_write().unwrap();
    write
        .open_table(table.definition())
        .unwrap()
        .insert(key.as_slice(), value.as_slice())
        .unwrap();
    write.commit().unwrap();
    key
}

#[test]
fn a_damaged_last_pack_refuses_that_worker_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options();
    options.store.retention.log_bytes_max = 1;
    let mut store = FileStore::open(directory.path(), options).unwrap();
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    store.commit(&script.batch(&ids, 300, 100)).unwrap();
    store.idle().unwrap();
    store.commit(&script.batch(&ids[..1], 1, 100)).unwrap();
    close(store);
    flip_last(directory.path(), history::TABLE, &ids[1].to_bytes());
    let mut store = open(directory.path());
    let reader = store.reader();
    let head = reader.worker_head(ids[1]);
    assert!(matches!(head, Err(StoreError::Damaged { .. })), "{head:?}");
    // What is before the damage can still be asked for.
    let bounds = reader.bounds(Stream::Worker(ids[1])).unwrap();
    assert_eq!(bounds.tail, script.position());
    let mut other = script.clone();
    let refused = store.commit(&other.batch(&ids[1..], 1, 10));
    assert!(
        matches!(refused, Err(StoreError::Damaged { .. })),
        "{refused:?}"
    );
    store.commit(&script.batch(&ids[..1], 10, 10)).unwrap();
    let stream = Stream::Worker(ids[0]);
    let events = Script::read(reader.as_ref(), stream, script.position(), 100);
    assert_eq!(events.len(), 161);
}

#[test]
fn a_damaged_last_pack_is_made_again_from_the_log_and_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    store.commit(&script.batch(&ids, 300, 100)).unwrap();
    close(store);
    for round in 0..3 {
        let crashed = crashed_copy(directory.path());
        for path in [directory.path(), crashed.path()] {
            flip_last(path, history::TABLE, &ids[1].to_bytes());
        }
        script.compare(&open(crashed.path()));
        let mut store = open(directory.path());
        script.compare(&store);
        let others = &ids[round % 2..round % 2 + 1];
        store.commit(&script.batch(others, 3, 100)).unwrap();
        store.commit(&script.batch(&ids, 4, 100)).unwrap();
        close(store);
        let store = open(directory.path());
        script.compare(&store);
        let sums = store.packed().sums_as_stored();
        assert_eq!(sums.0, sums.1, "rows and digests of every table");
        close(store);
    }
}

#[test]
fn after_a_clean_close_damage_at_the_end_of_the_log_is_a_gap_and_the_store_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut script = Script::default();
    let ids = [script.worker()];
    store.commit(&script.batch(&ids, 300, 100)).unwrap();
    close(store);
    flip_last(directory.path(), log::TABLE, &[]);
    for _ in 0..2 {
        let mut store = open(directory.path());
        store.commit(&script.batch(&ids, 30, 100)).unwrap();
        let reader = store.reader();
        let stream = Stream::Worker(ids[0]);
        let events = Script::read(reader.as_ref(), stream, script.position(), 100);
        assert_eq!(events, script.of(stream), "no Worker loses anything");
        let page = reader
            .replay(&ReplayRequest {
                stream: Stream::Runtime,
                after: Position(0),
                until: script.position(),
                events_max: 10_000,
                bytes_max: usize::MAX,
            })
            .unwrap();
        assert!(!page.up_to_date, "there is a gap after the first events");
        close(store);
    }
}

/// Replays a Worker's stream: events, and the seqs that were told to be missing.
fn told(store: &FileStore, id: WorkerId, until: Position) -> (Vec<Event>, Vec<(Seq, Seq)>) {
    let (mut events, mut gaps, mut after) = (Vec::new(), Vec::new(), Position(0));
    loop {
        let request = ReplayRequest {
            stream: Stream::Worker(id),
            after,
            until,
            events_max: 50,
            bytes_max: usize::MAX,
        };
        let page = store.reader().replay(&request).unwrap();
        events.extend(page.events);
        if let Some(gap) = page.gap {
            assert_eq!(gap.cause, GapCause::Damaged);
            gaps.push(gap.seqs.unwrap());
        }
        if page.up_to_date {
            return (events, gaps);
        }
        after = page.scanned_to;
    }
}

#[test]
fn after_a_crash_damage_in_the_part_of_the_log_that_nothing_else_has_costs_those_events_alone() {
    for from_end in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let mut script = Script::default();
        let ids: Vec<WorkerId> = (0..4).map(|_| script.worker()).collect();
        store.commit(&script.batch(&ids, 400, 300)).unwrap();
        store.idle().unwrap();
        store.commit(&script.batch(&ids[..3], 400, 300)).unwrap();
        store.commit(&script.batch(&ids[..1], 80, 300)).unwrap();
        let copy = crashed_copy(directory.path());
        drop(store);
        let (from, to) = flip_pack(copy.path(), from_end);
        let reading = ReadStore::open(copy.path()).unwrap();
        let damaged = reading.load().unwrap().damaged;
        assert_eq!((damaged.len(), damaged[0].table), (1, "log"));
        drop(reading);

        let mut store = open(copy.path());
        assert_eq!(store.load().unwrap().damaged, damaged);
        // Each Worker goes on behind everything that it may have had.
        let mut next = script.position();
        let (mut later, newcomer) = (Vec::new(), script.worker());
        for round in 0..3 {
            for id in &ids {
                let head = store.reader().worker_head(*id).unwrap();
                let had = script.head(*id);
                assert!(round > 0 || head.seq >= had.0 && head.items >= had.1);
                let mut event = script.clone().batch(&[*id], 1, 40).events.remove(0);
                let place = event.worker.as_mut().unwrap();
                (place.seq, place.item) = (head.seq.next(), Some(head.items));
                next = next.next();
                event.position = next;
                let batch = Batch {
                    events: vec![event.clone()],
                    ..Batch::default()
                };
                store.commit(&batch).unwrap();
                later.push(event);
            }
            if round == 0 {
                // One that begins now has lost nothing; it is read from the log after the next kill.
                assert!(!store.reader().has_events(newcomer).unwrap());
                assert!(store.reader().has_events(ids[3]).unwrap());
                let mut event = script.clone().batch(&ids[..1], 1, 40).events.remove(0);
                next = next.next();
                event.position = next;
                event.worker = Some(WorkerPlace {
                    worker_id: newcomer,
                    seq: Seq(1),
                    item: Some(ItemIndex(0)),
                });
                let batch = Batch {
                    events: vec![event.clone()],
                    ..Batch::default()
                };
                store.commit(&batch).unwrap();
                let killed = crashed_copy(copy.path());
                let killed = open(killed.path());
                assert_eq!(told(&killed, newcomer, next), (vec![event], vec![]));
                assert_eq!(killed.reader().worker_head(newcomer).unwrap().seq, Seq(1));
            }
            if round == 1 {
                close(store);
                store = open(copy.path());
                assert_eq!(store.load().unwrap().damaged, []);
            }
        }
        for id in &ids {
            let (events, gaps) = told(&store, *id, next);
            let mut expected = script.of(Stream::Worker(*id));
            let is_found = |event: &Event| events.iter().any(|found| found == event);
            expected.retain(|event| !(from..=to).contains(&event.position) || is_found(event));
            let later = later
                .iter()
                .filter(|event| event.is_in(Stream::Worker(*id)));
            expected.extend(later.cloned());
            assert_same(&events, &expected);
            // Seqs are dense but for what was told.
            let mut seq = Seq(1);
            let mut gaps = gaps.into_iter();
            for event in &events {
                let place = event.worker.unwrap();
                if place.seq != seq {
                    assert_eq!(gaps.next(), Some((seq, Seq(place.seq.0 - 1))));
                }
                seq = place.seq.next();
            }
            assert_eq!(gaps.next(), None);
        }
        let sums = store.packed().sums_as_stored();
        assert_eq!(sums.0[7], sums.1[7], "history");
        close(store);
    }
}

/// Flips a bit of a pack of the log, counted from the newest; tells which positions it had.
fn flip_pack(directory: &Path, from_end: usize) -> (Position, Position) {
    let firsts: Vec<Position> = {
        let db = redb::Database::open(directory.join("runtime.redb")).unwrap();
        let read = db.begin_read().unwrap();
        let rows = read.open_table(log::TABLE.definition()).unwrap();
        let keys = rows
            .iter()
            .unwrap()
            .map(|row| row.unwrap().0.value().to_vec());
        keys.map(|key| log::parse(&key).unwrap()).collect()
    };
    let at = firsts.len() - 1 - from_end;
    let key = flip_last(directory, log::TABLE, log::key(firsts[at]).as_bytes());
    assert_eq!(log::parse(&key).unwrap(), firsts[at]);
    let last = firsts.get(at + 1).map_or(u64::MAX, |next| next.0 - 1);
    (firsts[at], Position(last))
}
