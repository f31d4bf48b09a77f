//! What goes with a Worker that is deleted or purged, and what a batch may not do to one that is there.

use bytes::Bytes;
use worker_runtime_core::{
    BlockId, Generation, Position, Seq, Stream, WorkerId,
    store::{
        Batch, BlockKind, Change, Checkpoint, GapCause, ReplayRequest, Store, StoreError,
        conformance::{Script, assert_same, receipt_record},
    },
};

use crate::{
    MemoryStore, StoreOptions,
    engine::{CommitMode, End, Rows},
    layout::{TABLES, Table, in_flight, input},
};

fn options() -> StoreOptions {
    StoreOptions {
        tails_bytes_max: 2 << 10,
        ..StoreOptions::memory()
    }
}

fn block(index: u32) -> BlockId {
    BlockId {
        generation: Generation(1),
        index,
    }
}

fn checkpoint(worker_id: WorkerId, index: u32, offset_bytes: u64, text: &str) -> Change {
    Change::Checkpoint(Checkpoint {
        worker_id,
        block: block(index),
        kind: BlockKind::Text,
        parent: None,
        offset_bytes,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    })
}

fn changes(changes: Vec<Change>) -> Batch {
    Batch {
        changes,
        ..Batch::default()
    }
}

/// Every row of a table whose key holds this Worker.
fn rows_of(store: &MemoryStore, table: Table, needle: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let all: (&[u8], &[u8]) = (&[], &[u8::MAX; 40]);
    let engine = &store.packed().shared().engine;
    let scanned = engine.read(|rows| {
        rows.scan(table, all, End::First, &mut |key, value| {
            if [key, value]
                .iter()
                .any(|bytes| bytes.windows(needle.len()).any(|at| at == needle))
            {
                found.push(key.to_vec());
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })
    });
    scanned.unwrap();
    found
}

const SECRET: &str = "the moon is made of green cheese";

/// Two Workers; the first writes its secret, small and large, some of it not flushed yet.
fn told() -> (MemoryStore, Script, [WorkerId; 2]) {
    let mut store = MemoryStore::new(options()).unwrap();
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    for round in 0..40 {
        let len = if round % 10 == 3 { 400 } else { 3 };
        let data = format!("{{\"t\":\"{}\"}}", SECRET.repeat(len));
        let kind = worker_runtime_core::EventType::BLOCK_FINISHED;
        let mut batch = script.batch(&ids[1..], 3, 200);
        batch.events.push(script.event(Some(ids[0]), kind, data));
        let digest = [round; 16];
        batch
            .changes
            .push(Change::Receipt(ids[0], digest, receipt_record(Seq(1))));
        batch
            .changes
            .push(Change::Receipt(ids[1], digest, receipt_record(Seq(1))));
        batch.changes.push(checkpoint(ids[0], 0, 0, SECRET));
        store.commit(&batch).unwrap();
        if round == 20 {
            store.idle().unwrap();
        }
    }
    (store, script, ids)
}

#[test]
fn a_purge_leaves_no_byte_of_text_and_both_streams_as_dense_as_before() {
    let (mut store, mut script, ids) = told();
    let holds = |store: &MemoryStore| {
        let tables = TABLES.iter();
        let held = tables.filter(|table| !rows_of(store, **table, SECRET.as_bytes()).is_empty());
        held.map(|table| table.name).collect::<Vec<_>>()
    };
    assert_eq!(holds(&store), ["log", "history", "large", "in_flight"]);
    let before = script.position();
    let mut batch = script.batch(&ids[..1], 1, 30);
    batch.changes.push(Change::Purge(ids[0]));
    store.commit(&batch).unwrap();
    assert_eq!(holds(&store), [""; 0]);
    for round in 0..3 {
        let reader = store.reader();
        let until = script.position();
        let events = Script::read(reader.as_ref(), Stream::Runtime, until, 7);
        let expected = script.events.iter().cloned().map(|mut event| {
            let is_purged = event.is_in(Stream::Worker(ids[0])) && event.position <= before;
            if is_purged {
                event.data = Bytes::from_static(b"{}");
            }
            event
        });
        assert_same(&events, &expected.collect::<Vec<_>>());
        let stream = Stream::Worker(ids[1]);
        let others = Script::read(reader.as_ref(), stream, until, 100);
        assert_same(&others, &script.of(stream));
        let request = ReplayRequest {
            stream: Stream::Worker(ids[0]),
            after: Position(0),
            until,
            events_max: 100,
            bytes_max: usize::MAX,
        };
        let page = reader.replay(&request).unwrap();
        assert_eq!(page.gap.unwrap().cause, GapCause::Retention);
        assert_same(&page.events, &script.of(Stream::Worker(ids[0]))[40..]);
        assert_eq!(
            reader.worker_head(ids[0]).unwrap().seq,
            script.head(ids[0]).0
        );
        assert_eq!(reader.receipt(ids[0], [3; 16]).unwrap(), None);
        assert!(reader.receipt(ids[1], [3; 16]).unwrap().is_some());
        store
            .commit(&script.batch(&ids[round % 2..], 3, 30))
            .unwrap();
        store.idle().unwrap();
    }
}

#[test]
fn a_worker_that_is_forgotten_has_no_receipts_and_keeps_its_events() {
    let (mut store, script, ids) = told();
    store
        .commit(&changes(vec![Change::Forget(ids[0])]))
        .unwrap();
    for table in [input::TABLE, in_flight::TABLE] {
        assert_eq!(rows_of(&store, table, &ids[0].to_bytes()).len(), 0);
    }
    assert_eq!(rows_of(&store, input::TABLE, &ids[1].to_bytes()).len(), 40);
    script.compare(&store);
}

#[test]
fn a_stream_that_is_there_does_not_begin_again() {
    for is_in_memory in [true, false] {
        let (mut store, script, ids) = told();
        if !is_in_memory {
            // The tails of these push theirs out of memory.
            let mut others = script.clone();
            let many: Vec<WorkerId> = (0..1500).map(|_| others.worker()).collect();
            store.commit(&others.batch(&many, 1500, 40)).unwrap();
            store.idle().unwrap();
        }
        let position = store.load().unwrap().position;
        let mut event = script.events[0].clone();
        let place = event.worker.as_mut().unwrap();
        (place.worker_id, place.seq) = (ids[0], Seq(1));
        event.position = position.next();
        let begun = store.commit(&Batch {
            events: vec![event],
            ..Batch::default()
        });
        assert!(
            matches!(
                begun,
                Err(StoreError::Damaged {
                    table: "history",
                    ..
                })
            ),
            "{begun:?}"
        );
        assert_eq!(store.load().unwrap().position, position);
    }
}

#[test]
fn a_damaged_block_is_left_out_and_goes_with_the_next_one_that_ends() {
    for ends in [Change::Finished, |id, _| Change::Fold(id, block(9))] {
        let mut store = MemoryStore::new(options()).unwrap();
        let id = Script::default().worker();
        let begun = (0..3).map(|index| checkpoint(id, index, 0, "some text"));
        store.commit(&changes(begun.collect())).unwrap();
        let key = in_flight::key(id, block(1), 0);
        let engine = &store.packed().shared().engine;
        let flipped = engine.write(CommitMode::Memory, &Default::default(), |rows| {
            let mut value = rows.get(in_flight::TABLE, key.as_bytes(), |value| {
                value.unwrap().to_vec()
            })?;
            value[12] ^= 1;
            rows.put(in_flight::TABLE, key.as_bytes(), &value)
        });
        flipped.unwrap();
        let blocks = store.reader().in_flight(id).unwrap();
        let found: Vec<u32> = blocks.iter().map(|block| block.block.index).collect();
        assert_eq!(found, [0, 2]);
        store.commit(&changes(vec![ends(id, Seq(1))])).unwrap();
        assert_eq!(rows_of(&store, in_flight::TABLE, &id.to_bytes()).len(), 2);
    }
}
