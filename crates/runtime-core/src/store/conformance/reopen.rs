//! A store that is closed and opened again is the same store, in its next incarnation.

use std::sync::Arc;

use super::{Harness, Script, receipt_record, unfinished_record, worker_record};
use crate::{
    Seq, WorkerId,
    store::{Change, Store},
};

fn filled(harness: &mut dyn Harness) -> (Box<dyn Store>, Script, Vec<WorkerId>) {
    let mut store = harness.open();
    let mut script = Script::default();
    let ids: Vec<WorkerId> = (0..5).map(|_| script.worker()).collect();
    for index in 0..30 {
        let mut batch = script.batch(&ids, 50, 120 + index);
        let id = ids[index % ids.len()];
        batch.changes = vec![
            Change::Worker(Arc::new(worker_record(id))),
            Change::Receipt(id, [index as u8; 16], receipt_record(Seq(1))),
            Change::Unfinished(Arc::new(unfinished_record(id, Seq(index as u64)))),
        ];
        store.commit(&batch).unwrap();
    }
    (store, script, ids)
}

pub(super) fn same(harness: &mut dyn Harness) {
    let (mut store, script, ids) = filled(harness);
    let before = store.load().unwrap();
    let Some(mut store) = harness.reopen(store) else {
        return;
    };
    let after = store.load().unwrap();
    script.compare(store.as_ref());
    assert_eq!(after.runtime, before.runtime);
    assert_eq!(after.workers, before.workers);
    assert_eq!(after.unfinished, before.unfinished);
    assert_eq!(after.position, before.position);
    assert_eq!((after.at, &after.damaged), (before.at, &Vec::new()));
    assert_eq!(after.went_back, None);
    assert_eq!(after.incarnations.len(), before.incarnations.len() + 1);
    let (Some(old), Some(new)) = (before.incarnations.last(), after.incarnations.last()) else {
        panic!("both have an incarnation");
    };
    assert_eq!(new.incarnation.number, old.incarnation.number + 1);
    assert_ne!(new.incarnation.id, old.incarnation.id);
    assert_eq!(new.first_position, before.position.next());
    let receipt = store.reader().receipt(ids[0], [0; 16]).unwrap();
    assert_eq!(receipt, Some(receipt_record(Seq(1))));
}

pub(super) fn goes_on(harness: &mut dyn Harness) {
    let (mut store, mut script, ids) = filled(harness);
    for id in ids.into_iter().take(4) {
        let Some(reopened) = harness.reopen(store) else {
            return;
        };
        store = reopened;
        let batch = script.batch(&[id], 7, 3000);
        store.commit(&batch).unwrap();
        script.compare(store.as_ref());
    }
}

pub(super) fn idle(harness: &mut dyn Harness) {
    let (mut store, mut script, ids) = filled(harness);
    for _ in 0..3 {
        store.idle().unwrap();
        script.compare(store.as_ref());
        let batch = script.batch(&ids, 7, 90);
        store.commit(&batch).unwrap();
    }
    script.compare(store.as_ref());
}
