//! What a crash leaves is opened as it was acknowledged, at every commit.

use worker_runtime_core::{
    Position, Stream,
    store::{Store, conformance::Script},
};

use super::{crashed_copy, open, options, small};
use crate::FileStore;

#[test]
fn after_a_crash_at_any_commit_everything_acknowledged_is_there() {
    for options in [options, small] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = FileStore::open(directory.path(), options()).unwrap();
        let mut script = Script::default();
        let ids: Vec<_> = (0..20).map(|_| script.worker()).collect();
        for round in 0..25 {
            let batch = script.batch(&ids, 60, 400);
            store.commit(&batch).unwrap();
            if round % 8 == 3 {
                store.idle().unwrap();
            }
            if round % 3 == 0 {
                let copy = crashed_copy(directory.path());
                let mut reopened = FileStore::open(copy.path(), options()).unwrap();
                script.compare(&reopened);
                assert_eq!(reopened.load().unwrap().went_back, None);
                let mut on = Script::new(9);
                on.events.clone_from(&script.events);
                let event = on.event(
                    None,
                    worker_runtime_core::EventType::DIAGNOSTIC,
                    "{}".into(),
                );
                let batch = worker_runtime_core::store::Batch {
                    events: vec![event],
                    changes: Vec::new(),
                    must_happen: false,
                };
                reopened.commit(&batch).unwrap();
            }
        }
    }
}

#[test]
fn a_store_that_was_dropped_without_a_close_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    for _ in 0..5 {
        let mut store = open(directory.path());
        script.compare(&store);
        let batch = script.batch(&ids, 300, 90);
        store.commit(&batch).unwrap();
        drop(store);
    }
}

#[test]
fn what_was_flushed_twice_is_not_seen_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut script = Script::default();
    let ids = [script.worker()];
    for _ in 0..6 {
        // Each idle writes the same partial pack again, a little longer.
        let batch = script.batch(&ids, 5, 60);
        store.commit(&batch).unwrap();
        store.idle().unwrap();
        let copy = crashed_copy(directory.path());
        script.compare(&open(copy.path()));
    }
    let reader = store.reader();
    let events = Script::read(reader.as_ref(), Stream::Worker(ids[0]), Position(30), 4);
    assert_eq!(events.len(), 30);
}
