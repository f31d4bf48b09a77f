//! A stopped store is damaged through redb, and opened again: what can be isolated is, what can't is
//! refused and named (I7).

use std::path::Path;

use redb::{ReadableDatabase, ReadableTable};
use worker_runtime_core::{
    Stream,
    store::{Store, StoreError, conformance::Script},
};

use super::{close, crashed_copy, open, options};
use crate::{
    FileStore, OpenError,
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
            .replay(&worker_runtime_core::store::ReplayRequest {
                stream: Stream::Runtime,
                after: worker_runtime_core::Position(0),
                until: script.position(),
                events_max: 10_000,
                bytes_max: usize::MAX,
            })
            .unwrap();
        assert!(!page.up_to_date, "there is a gap after the first events");
        close(store);
    }
}

#[test]
fn after_a_crash_damage_in_the_part_of_the_log_that_nothing_else_has_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut script = Script::default();
    let ids = [script.worker()];
    store.commit(&script.batch(&ids, 30, 100)).unwrap();
    let copy = crashed_copy(directory.path());
    flip_last(copy.path(), log::TABLE, &[]);
    let refused = FileStore::open(copy.path(), options());
    let Err(OpenError::Store(StoreError::Damaged { table, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(table, "log");
}
