//! Records: what a batch changes is loaded, found, and gone when it should be.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Harness, Script, lease_record, operation_record, receipt_record, unfinished_record,
    worker_record,
};
use crate::{
    BlockId, EventType, Generation, LeaseId, OperationId, Position, Seq,
    store::{Batch, BlockKind, Change, Checkpoint, StoreError},
};

fn changes(changes: Vec<Change>) -> Batch {
    Batch {
        events: Vec::new(),
        changes,
        must_happen: false,
    }
}

pub(super) fn new(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.incarnations.len(), 1);
    assert_eq!(loaded.position, Position(0));
    assert_eq!(loaded.incarnations[0].first_position, Position(1));
    assert!(loaded.workers.is_empty() && loaded.damaged.is_empty());
    assert_eq!(loaded.went_back, None);
}

pub(super) fn loaded(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    let records = ids.map(|id| Arc::new(worker_record(id)));
    let mut runtime = store.load().unwrap().runtime;
    runtime.stopped = true;
    let mut batch = script.batch(&ids, 4, 100);
    batch.changes = vec![
        Change::Worker(Arc::clone(&records[0])),
        Change::Worker(Arc::clone(&records[1])),
        Change::Runtime(runtime.clone()),
    ];
    store.commit(&batch).unwrap();
    let loaded = store.load().unwrap();
    let mut expected = records.to_vec();
    expected.sort_by_key(|record| record.worker_id);
    assert_eq!(loaded.workers, expected);
    assert_eq!(loaded.runtime, runtime);
    assert_eq!(loaded.position, script.position());
    assert_eq!(loaded.at, batch.events[3].at);
    assert_eq!(loaded.damaged, []);

    let mut later = worker_record(ids[0]);
    later.paused = true;
    store
        .commit(&changes(vec![
            Change::Worker(Arc::clone(&records[0])),
            Change::Worker(Arc::new(later.clone())),
        ]))
        .unwrap();
    let loaded = store.load().unwrap();
    let found = loaded.workers.iter().find(|one| one.worker_id == ids[0]);
    assert_eq!(**found.unwrap(), later, "a later change of a record wins");
    assert_eq!(loaded.damaged, []);
}

pub(super) fn receipts(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let mut script = Script::default();
    let (a, b) = (script.worker(), script.worker());
    let receipt = receipt_record(Seq(2));
    store
        .commit(&changes(vec![Change::Receipt(a, [9; 16], receipt)]))
        .unwrap();
    let reader = store.reader();
    assert_eq!(reader.receipt(a, [9; 16]).unwrap(), Some(receipt));
    assert_eq!(reader.receipt(b, [9; 16]).unwrap(), None);
    assert_eq!(reader.receipt(a, [8; 16]).unwrap(), None);
}

pub(super) fn unfinished(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let mut script = Script::default();
    let worker_id = script.worker();
    let records = [Seq(2), Seq(300)].map(|seq| Arc::new(unfinished_record(worker_id, seq)));
    let put = |index: usize| Change::Unfinished(Arc::clone(&records[index]));
    store.commit(&changes(vec![put(1), put(0)])).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.unfinished, records, "by acceptance");
    store
        .commit(&changes(vec![Change::Finished(worker_id, Seq(2))]))
        .unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.unfinished, [Arc::clone(&records[1])]);
    assert_eq!(loaded.damaged, []);
}

pub(super) fn leases(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let records = [7, 3].map(|id| Arc::new(lease_record(LeaseId::from_bytes([id; 16]))));
    let put = records.clone().map(Change::Lease);
    store.commit(&changes(put.into())).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.leases, [records[1].clone(), records[0].clone()]);
    assert_eq!(loaded.damaged, []);
    let mut store = harness.reopen(store).unwrap_or_else(|| harness.open());
    let put = records.clone().map(Change::Lease);
    store.commit(&changes(put.into())).unwrap();
    let ended = Change::EndLease(records[1].lease_id);
    store.commit(&changes(vec![ended])).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.leases, [records[0].clone()]);
    assert_eq!(loaded.damaged, []);
}

pub(super) fn operations(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let records = [1, 2, 300].map(|id| Arc::new(operation_record(OperationId(id))));
    let put = records.clone().map(Change::Operation);
    store.commit(&changes(put.into())).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.operations, records, "by number");
    assert_eq!(loaded.damaged, []);
    let mut store = harness.reopen(store).unwrap_or_else(|| harness.open());
    let put = records.clone().map(Change::Operation);
    store.commit(&changes(put.into())).unwrap();
    let forgotten = Change::ForgetOperation(OperationId(1));
    store.commit(&changes(vec![forgotten])).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.operations, records[1..]);
    assert_eq!(loaded.damaged, []);
}

pub(super) fn in_flight(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let mut script = Script::default();
    let worker_id = script.worker();
    let block = |index| BlockId {
        generation: Generation(4),
        index,
    };
    let checkpoint = |index, offset_bytes, bytes: &[u8]| {
        Change::Checkpoint(Checkpoint {
            worker_id,
            block: block(index),
            kind: BlockKind::Text,
            parent: (index > 0).then(|| block(0)),
            offset_bytes,
            bytes: Bytes::copy_from_slice(bytes),
        })
    };
    let long = vec![b'x'; 70_000];
    store
        .commit(&changes(vec![
            checkpoint(0, 0, b"hello "),
            checkpoint(1, 0, &long),
            checkpoint(0, 6, b"world"),
        ]))
        .unwrap();
    store
        .commit(&changes(vec![checkpoint(1, 70_000, b"y")]))
        .unwrap();
    let reader = store.reader();
    let blocks = reader.in_flight(worker_id).unwrap();
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[0].bytes, "hello world");
    assert_eq!(blocks[1].bytes.len(), 70_001);
    assert_eq!(blocks[1].parent, Some(block(0)));

    store
        .commit(&changes(vec![checkpoint(0, 0, b"anew")]))
        .unwrap();
    assert_eq!(reader.in_flight(worker_id).unwrap()[0].bytes, "anew");
    // What was withdrawn whole is gone, also when nothing came instead.
    store.commit(&changes(vec![checkpoint(0, 0, b"")])).unwrap();
    assert_eq!(reader.in_flight(worker_id).unwrap()[0].block, block(1));
    store
        .commit(&changes(vec![Change::Fold(worker_id, block(0))]))
        .unwrap();
    let blocks = reader.in_flight(worker_id).unwrap();
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].block, block(1));
}

pub(super) fn not_dense(harness: &mut dyn Harness) {
    let mut store = harness.open();
    let mut script = Script::default();
    let worker_id = script.worker();
    let first = script.batch(&[worker_id], 3, 50);
    store.commit(&first).unwrap();
    let mut skipped = Script::new(2);
    skipped.events.clone_from(&script.events);
    let mut event = skipped.event(Some(worker_id), EventType::USAGE, "{}".to_owned());
    event.worker.as_mut().unwrap().seq = Seq(9);
    let refused = store.commit(&Batch {
        events: vec![event],
        changes: Vec::new(),
        must_happen: false,
    });
    assert!(
        matches!(refused, Err(StoreError::Bug { .. })),
        "{refused:?}"
    );
    let next = script.batch(&[worker_id], 3, 50);
    store.commit(&next).unwrap();
    script.compare(store.as_ref());
}
