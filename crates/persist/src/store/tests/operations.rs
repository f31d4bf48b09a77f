//! A damaged operation is named by its number and costs no other, and it can be removed (I7).

use std::sync::Arc;

use worker_runtime_core::{
    OperationId,
    store::{Batch, Change, Store, conformance::operation_record},
};

use super::damage::{flip, keys};
use crate::{MemoryStore, StoreOptions, layout::operation};

#[test]
fn a_damaged_operation_is_named_by_its_number_and_can_be_removed() {
    let mut store = MemoryStore::new(StoreOptions::memory()).unwrap();
    let record = |id| Arc::new(operation_record(OperationId(id)));
    let commit = |store: &mut MemoryStore, changes: Vec<Change>| {
        let batch = Batch {
            changes,
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
    };
    let put = [1, 2, 3].map(|id| Change::Operation(record(id)));
    commit(&mut store, put.into());
    let keys = keys(&store, operation::TABLE, &[]);
    for bit in [65, 400] {
        flip(&store, operation::TABLE, &keys[1], bit);
        let loaded = store.load().unwrap();
        assert_eq!(loaded.operations, [record(1), record(3)]);
        assert_eq!(loaded.damaged.len(), 1, "{:?}", loaded.damaged);
        let damaged = &loaded.damaged[0];
        let named = (damaged.table, damaged.operation_id);
        assert_eq!(named, ("operation", Some(OperationId(2))));
        assert_eq!((damaged.worker_id, damaged.lease_id), (None, None));
        flip(&store, operation::TABLE, &keys[1], bit);
    }
    flip(&store, operation::TABLE, &keys[1], 400);
    commit(&mut store, vec![Change::ForgetOperation(OperationId(2))]);
    let loaded = store.load().unwrap();
    assert_eq!((loaded.operations.len(), loaded.damaged), (2, Vec::new()));
}
