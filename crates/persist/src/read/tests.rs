//! A reader beside a flush: what is flushed between its copy of the tail and its read transaction is
//! seen once.

#![allow(clippy::unwrap_used, reason = "tests")]

use worker_runtime_core::{
    Position, Stream,
    store::{
        ReplayRequest, Store,
        conformance::{Script, assert_same},
    },
};

use super::{Reader, replay};
use crate::{MemoryStore, StoreOptions};

fn request(stream: Stream, after: u64, until: Position) -> ReplayRequest {
    ReplayRequest {
        stream,
        after: Position(after),
        until,
        events_max: 10_000,
        bytes_max: usize::MAX,
    }
}

/// Reads with a copy of the tail that was taken before `between` happened.
fn read_around(
    store: &mut MemoryStore,
    stream: Stream,
    after: u64,
    until: Position,
    between: impl FnOnce(&mut MemoryStore),
) -> Vec<worker_runtime_core::Event> {
    let request = request(stream, after, until);
    let reader = Reader::new(std::sync::Arc::clone(store.packed().shared()));
    let snapshot = reader.snapshot(stream, request.after);
    between(store);
    let engine = &store.packed().shared().engine;
    let page = engine
        .read(|rows| replay::page(rows, &request, snapshot))
        .unwrap();
    assert_eq!(page.gap, None);
    assert!(page.up_to_date);
    page.events
}

#[test]
fn what_is_flushed_between_the_copy_and_the_read_is_seen_once() {
    for batches in [1, 3, 9] {
        for after in [0, 7, 30, 60] {
            let mut store = MemoryStore::new(StoreOptions::memory()).unwrap();
            let mut script = Script::default();
            let ids = [script.worker(), script.worker()];
            for _ in 0..batches {
                store.commit(&script.batch(&ids, 30, 400)).unwrap();
            }
            let until = script.position();
            for id in ids {
                let stream = Stream::Worker(id);
                let mut expected = script.of(stream);
                expected.retain(|event| event.position.0 > after && event.position <= until);
                let events = read_around(&mut store, stream, after.min(until.0), until, |store| {
                    store.idle().unwrap();
                    store.commit(&script.batch(&ids, 200, 900)).unwrap();
                    store.idle().unwrap();
                });
                assert_same(&events, &expected);
            }
        }
    }
}

#[test]
fn a_worker_that_is_new_between_the_copy_and_the_read_does_no_harm() {
    let mut store = MemoryStore::new(StoreOptions::memory()).unwrap();
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    store.commit(&script.batch(&ids[..1], 3, 40)).unwrap();
    let until = script.position();
    let events = read_around(&mut store, Stream::Worker(ids[1]), 0, until, |store| {
        store.commit(&script.batch(&ids[1..], 300, 900)).unwrap();
        store.idle().unwrap();
    });
    assert_same(&events, &[]);
}
