use bytes::Bytes;

use super::*;
use crate::{Digest, EventType, Seq, Stream, Timestamp, WorkerId, event::WorkerPlace};

const A: WorkerId = WorkerId::from_bytes([1; 16]);
const B: WorkerId = WorkerId::from_bytes([2; 16]);

fn event(position: u64, worker_id: WorkerId, bytes: usize) -> Event {
    let data = Bytes::from(vec![b' '; bytes]);
    Event {
        position: Position(position),
        at: Timestamp::default(),
        worker: Some(WorkerPlace {
            worker_id,
            seq: Seq(position),
            item: None,
        }),
        kind: EventType::DIAGNOSTIC,
        run_id: None,
        data_digest: Digest::of(&data),
        data,
    }
}

fn asked(stream: Stream, after: u64, until: u64) -> ReplayRequest {
    ReplayRequest {
        stream,
        after: Position(after),
        until: Position(until),
        events_max: 10,
        bytes_max: 1_000,
    }
}

fn positions(page: &ReplayPage) -> Vec<u64> {
    page.events.iter().map(|event| event.position.0).collect()
}

fn recent(range: std::ops::RangeInclusive<u64>) -> Recent {
    let recent = Recent::default();
    recent.add(
        range
            .map(|at| event(at, [B, A][at as usize % 2], 10))
            .collect(),
    );
    recent
}

#[test]
fn what_is_all_there_is_given() {
    let recent = recent(5..=9);
    let page = recent.replay(&asked(Stream::Runtime, 4, 9)).unwrap();
    assert_eq!(positions(&page), [5, 6, 7, 8, 9]);
    assert_eq!((page.scanned_to, page.up_to_date), (Position(9), true));
    let page = recent.replay(&asked(Stream::Worker(A), 5, 8)).unwrap();
    assert_eq!(
        positions(&page),
        [7],
        "and nothing beyond what is published"
    );
    assert_eq!((page.scanned_to, page.up_to_date), (Position(8), true));
    let page = recent.replay(&asked(Stream::Worker(A), 9, 9)).unwrap();
    assert_eq!(page.events, []);
    assert_eq!((page.scanned_to, page.up_to_date), (Position(9), true));
}

#[test]
fn what_is_not_all_there_is_left_to_the_store() {
    let recent = recent(5..=9);
    assert_eq!(
        recent.replay(&asked(Stream::Runtime, 3, 9)),
        None,
        "4 is gone"
    );
    assert_eq!(
        recent.replay(&asked(Stream::Runtime, 7, 10)),
        None,
        "10 is not here yet"
    );
    assert_eq!(
        Recent::default().replay(&asked(Stream::Runtime, 0, 0)),
        None
    );
}

#[test]
fn a_page_is_as_large_as_was_asked_for() {
    let recent = recent(1..=30);
    let first = recent.replay(&asked(Stream::Worker(A), 0, 30)).unwrap();
    assert_eq!(positions(&first), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    assert_eq!((first.scanned_to, first.up_to_date), (Position(19), false));
    let rest = recent.replay(&asked(Stream::Worker(A), 19, 30)).unwrap();
    assert_eq!(positions(&rest), [21, 23, 25, 27, 29]);
    assert!(rest.up_to_date);
    let small = ReplayRequest {
        bytes_max: 25,
        ..asked(Stream::Runtime, 0, 30)
    };
    assert_eq!(positions(&recent.replay(&small).unwrap()), [1, 2]);
    let tiny = ReplayRequest {
        bytes_max: 1,
        ..asked(Stream::Runtime, 0, 30)
    };
    assert_eq!(
        positions(&recent.replay(&tiny).unwrap()),
        [1],
        "one at least"
    );
}

#[test]
fn old_ones_go_by_number_and_by_bytes() {
    let kept = |recent: &Recent| {
        let kept = recent.0.read().unwrap();
        let bytes: usize = kept.events.iter().map(|event| event.data.len()).sum();
        assert_eq!(bytes, kept.bytes);
        (
            kept.events.len(),
            kept.events.front().map(|event| event.position.0),
        )
    };
    let recent = Recent::default();
    for at in 1..=2_000 {
        recent.add(vec![event(at, A, 10)]);
    }
    assert_eq!(kept(&recent), (EVENTS_MAX, Some(977)));
    recent.add((2_001..=5_000).map(|at| event(at, A, 10)).collect());
    assert_eq!(kept(&recent), (EVENTS_MAX, Some(3_977)));
    recent.add(vec![event(5_001, A, BYTES_MAX - 5)]);
    assert_eq!(kept(&recent), (1, Some(5_001)));
    recent.add(vec![event(5_002, A, BYTES_MAX + 1)]);
    assert_eq!(kept(&recent), (0, None));
    recent.add(vec![event(5_003, A, 1)]);
    assert_eq!(kept(&recent), (1, Some(5_003)));
}

#[test]
fn a_position_that_was_left_out_begins_anew() {
    let recent = recent(1..=5);
    recent.add(vec![event(8, A, 10)]);
    assert_eq!(recent.replay(&asked(Stream::Runtime, 5, 8)), None);
    let page = recent.replay(&asked(Stream::Runtime, 7, 8)).unwrap();
    assert_eq!(positions(&page), [8]);
}
