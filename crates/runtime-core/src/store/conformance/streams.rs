//! Streams: what is replayed is what was committed, in pages of any size, beside a writer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use super::{Harness, Script, all_items, assert_same, script::json};
use crate::{
    EventType, ItemIndex, Position, Seq, Stream, WorkerId,
    store::{
        Batch, Change, GapCause, KeepItems, ReplayRequest, Store, StoreReader, TranscriptRequest,
    },
};

fn filled(
    harness: &mut dyn Harness,
    workers: usize,
    batches: usize,
) -> (Box<dyn Store>, Script, Vec<WorkerId>) {
    let mut store = harness.open();
    let mut script = Script::default();
    let ids: Vec<WorkerId> = (0..workers).map(|_| script.worker()).collect();
    for index in 0..batches {
        let mut batch = script.batch(&ids, 60, 100 + index);
        let fact = script.event(None, EventType::DIAGNOSTIC, json(index, 80));
        batch.events.push(fact);
        store.commit(&batch).unwrap();
    }
    (store, script, ids)
}

pub(super) fn replay(harness: &mut dyn Harness) {
    let (store, script, _) = filled(harness, 3, 20);
    script.compare(store.as_ref());
}

pub(super) fn pages(harness: &mut dyn Harness) {
    let (store, script, ids) = filled(harness, 2, 12);
    let reader = store.reader();
    let until = script.position();
    for stream in [Stream::Runtime, Stream::Worker(ids[1])] {
        for events_max in [1, 7, 100] {
            let events = Script::read(reader.as_ref(), stream, until, events_max);
            assert_same(&events, &script.of(stream));
        }
    }
}

pub(super) fn until(harness: &mut dyn Harness) {
    let (store, script, ids) = filled(harness, 2, 12);
    let reader = store.reader();
    // Near the end too, where some of it is in memory and some of it is not.
    let last = script.position().0;
    for until in [1, 61, 62, 400, last - 90, last - 3, last] {
        let until = Position(until);
        for stream in [Stream::Runtime, Stream::Worker(ids[0])] {
            let events = Script::read(reader.as_ref(), stream, until, 1000);
            let mut expected = script.of(stream);
            expected.retain(|event| event.position <= until);
            assert_same(&events, &expected);
        }
        let all = ItemIndex(0)..ItemIndex(u64::MAX);
        let slice = reader.transcript(&all_items(ids[0], all, until)).unwrap();
        let items = script.of(Stream::Worker(ids[0])).into_iter();
        let items = items.filter(|event| event.kind.in_transcript() && event.position <= until);
        assert_same(&slice.events, &items.collect::<Vec<_>>());
        assert_eq!(slice.items.0, slice.events.len() as u64);
    }
}

pub(super) fn bytes(harness: &mut dyn Harness) {
    let (store, script, _) = filled(harness, 2, 3);
    let request = ReplayRequest {
        stream: Stream::Runtime,
        after: Position(0),
        until: script.position(),
        events_max: 1000,
        bytes_max: 1000,
    };
    let page = store.reader().replay(&request).unwrap();
    let bytes: usize = page.events.iter().map(|event| event.data.len()).sum();
    assert!(bytes <= 1000 && page.events.len() > 1);
    assert!(!page.up_to_date);
    let request = ReplayRequest {
        bytes_max: 1,
        ..request
    };
    let page = store.reader().replay(&request).unwrap();
    assert_eq!(page.events.len(), 1, "at least one event is given");
    assert_eq!(page.scanned_to, Position(1));
}

pub(super) fn large(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let mut script = Script::default();
    let worker_id = script.worker();
    for len in [2_000, 2_049, 4_096, 40_000, 300_000] {
        let of_worker = script.event(Some(worker_id), EventType::TOOL_RESULT, json(len, len));
        let of_runtime = script.event(None, EventType::DIAGNOSTIC, json(len + 1, len));
        let batch = Batch {
            events: vec![of_worker, of_runtime],
            changes: Vec::new(),
            must_happen: false,
        };
        store.commit(&batch).unwrap();
    }
    script.compare(store.as_ref());
    let all = ItemIndex(0)..ItemIndex(9);
    let slice = store
        .reader()
        .transcript(&all_items(worker_id, all, script.position()))
        .unwrap();
    assert_same(&slice.events, &script.of(Stream::Worker(worker_id)));
}

pub(super) fn transcript(harness: &mut dyn Harness) {
    let (store, script, ids) = filled(harness, 1, 40);
    let reader = store.reader();
    let until = script.position();
    let mut items = script.of(Stream::Worker(ids[0]));
    items.retain(|event| event.kind.in_transcript());
    let count = items.len();
    for range in [
        0..5,
        0..1,
        count - 7..count,
        500..517,
        count - 1..count + 10,
    ] {
        let wanted = ItemIndex(range.start as u64)..ItemIndex(range.end as u64);
        let slice = reader
            .transcript(&all_items(ids[0], wanted.clone(), until))
            .unwrap();
        assert_eq!(slice.covered, wanted.start..wanted.end.min(slice.items));
        assert_eq!(slice.items, ItemIndex(count as u64));
        assert_eq!(slice.gap, None);
        assert_same(&slice.events, &items[range.start..range.end.min(count)]);
    }
    let beyond = ItemIndex(count as u64)..ItemIndex(count as u64 + 1);
    let slice = reader
        .transcript(&all_items(ids[0], beyond, until))
        .unwrap();
    assert!(slice.events.is_empty());
}

/// Pages of a transcript that are bounded by bytes join to the whole, in both directions.
pub(super) fn transcript_bytes(harness: &mut dyn Harness) {
    let (store, script, ids) = filled(harness, 1, 3);
    let reader = store.reader();
    let mut items = script.of(Stream::Worker(ids[0]));
    items.retain(|event| event.kind.in_transcript());
    let count = ItemIndex(items.len() as u64);
    for bytes_max in [0, 1, 500, 5_000] {
        for keep in [KeepItems::First, KeepItems::Last] {
            let (mut left, mut joined) = (ItemIndex(0)..count, Vec::new());
            while left.start < left.end {
                let request = TranscriptRequest {
                    bytes_max,
                    keep,
                    ..all_items(ids[0], left.clone(), script.position())
                };
                let slice = reader.transcript(&request).unwrap();
                let bytes: usize = slice.events.iter().map(|event| event.data.len()).sum();
                assert!(bytes <= bytes_max || slice.events.len() == 1);
                assert!(!slice.events.is_empty(), "at least one is given");
                assert_eq!((slice.items, slice.gap), (count, None));
                match keep {
                    KeepItems::First => {
                        assert_eq!(slice.covered.start, left.start);
                        left.start = slice.covered.end;
                        joined.extend(slice.events);
                    }
                    KeepItems::Last => {
                        assert_eq!(slice.covered.end, left.end);
                        left.end = slice.covered.start;
                        joined.splice(0..0, slice.events);
                    }
                }
            }
            assert_same(&joined, &items);
        }
    }
}

pub(super) fn trim(harness: &mut dyn Harness) {
    let (mut store, mut script, ids) = filled(harness, 2, 40);
    let stream = Stream::Worker(ids[0]);
    let reader = store.reader();
    for seq in [Seq(5), Seq(700), Seq(1199)] {
        let batch = Batch {
            events: Vec::new(),
            changes: vec![Change::Trim(ids[0], seq)],
            must_happen: false,
        };
        store.commit(&batch).unwrap();
        let left: Vec<_> = script.of(stream).split_off(seq.0 as usize);
        let bounds = reader.bounds(stream).unwrap();
        let last_gone = script.of(stream)[seq.0 as usize - 1].position;
        assert_eq!(bounds.trimmed_to, last_gone);
        assert_eq!(bounds.trimmed_to_seq, seq);
        assert_eq!(bounds.tail, script.of(stream).last().unwrap().position);
        let request = ReplayRequest {
            stream,
            after: Position(0),
            until: script.position(),
            events_max: 10_000,
            bytes_max: usize::MAX,
        };
        let page = reader.replay(&request).unwrap();
        let gap = page.gap.unwrap();
        assert_eq!(gap.cause, GapCause::Retention);
        assert_eq!((gap.from, gap.to), (Position(1), last_gone));
        assert_same(&page.events, &left);
        let on = ReplayRequest {
            after: last_gone,
            ..request
        };
        let page = reader.replay(&on).unwrap();
        assert_eq!(page.gap, None, "nothing is missing after what was trimmed");
        assert_same(&page.events, &left);
    }
    let batch = script.batch(&ids, 9, 100);
    store.commit(&batch).unwrap();
    let head = reader.worker_head(ids[0]).unwrap();
    assert_eq!((head.seq, head.items), script.head(ids[0]));
    let other = Script::read(
        reader.as_ref(),
        Stream::Worker(ids[1]),
        script.position(),
        99,
    );
    assert_eq!(
        other,
        script.of(Stream::Worker(ids[1])),
        "others keep theirs"
    );
}

pub(super) fn trim_all(harness: &mut dyn Harness) {
    let (mut store, mut script, ids) = filled(harness, 1, 10);
    let (seq, items) = script.head(ids[0]);
    let mut batch = script.batch(&ids, 2, 5_000);
    batch.changes.push(Change::Trim(ids[0], Seq(seq.0 + 2)));
    store.commit(&batch).unwrap();
    let reader = store.reader();
    let head = reader.worker_head(ids[0]).unwrap();
    assert_eq!((head.seq, head.items), (Seq(seq.0 + 2), items.next()));
    let batch = script.batch(&ids, 3, 100);
    store.commit(&batch).unwrap();
    let bounds = reader.bounds(Stream::Worker(ids[0])).unwrap();
    let request = ReplayRequest {
        stream: Stream::Worker(ids[0]),
        after: bounds.trimmed_to,
        until: script.position(),
        events_max: 10,
        bytes_max: usize::MAX,
    };
    let page = reader.replay(&request).unwrap();
    assert_eq!((page.gap, page.events), (None, batch.events));
}

pub(super) fn concurrent(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let mut script = Script::default();
    let ids: Vec<WorkerId> = (0..2).map(|_| script.worker()).collect();
    let published = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let followers: Vec<_> = [Stream::Runtime, Stream::Worker(ids[0])]
        .into_iter()
        .map(|stream| {
            let follow = Follow {
                reader: store.reader(),
                stream,
                published: Arc::clone(&published),
                done: Arc::clone(&done),
            };
            thread::spawn(move || follow.run())
        })
        .collect();
    for index in 0..150 {
        let batch = script.batch(&ids, 40, 150 + index);
        store.commit(&batch).unwrap();
        published.store(script.position().0, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for (follower, stream) in followers
        .into_iter()
        .zip([Stream::Runtime, Stream::Worker(ids[0])])
    {
        assert_same(&follower.join().unwrap(), &script.of(stream));
    }
}

struct Follow {
    reader: Arc<dyn StoreReader>,
    stream: Stream,
    published: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Follow {
    fn run(self) -> Vec<crate::Event> {
        let mut events = Vec::new();
        let mut after = Position(0);
        loop {
            let is_last = self.done.load(Ordering::SeqCst);
            let until = Position(self.published.load(Ordering::SeqCst));
            let page = self
                .reader
                .replay(&ReplayRequest {
                    stream: self.stream,
                    after,
                    until,
                    events_max: 64,
                    bytes_max: usize::MAX,
                })
                .unwrap();
            assert_eq!(page.gap, None, "after {after}");
            after = page.scanned_to;
            events.extend(page.events);
            if is_last && page.up_to_date {
                return events;
            }
            if page.up_to_date {
                thread::yield_now();
            }
        }
    }
}
