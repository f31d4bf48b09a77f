//! The working state: every small record, each verified, and all of them counted (I7).
//!
//! A damaged row is named and left alone. A row that is *missing* shows in the count and the digest
//! that every commit keeps in its own transaction.

use std::{ops::ControlFlow, sync::Arc};

use serde::de::DeserializeOwned;
use worker_runtime_core::{
    LeaseId, OperationId, Seq, WorkerId,
    record::{
        AllocationRecord, IncarnationRecord, LeaseRecord, OperationRecord, RuntimeRecord,
        UnfinishedRecord, WorkerRecord,
    },
    sabotage::{self, Sabotage},
    store::{DamagedRecord, Loaded, StoreError},
};

use crate::{
    codec,
    cut::Cut,
    engine::{End, Rows},
    layout::{
        Table, allocation, incarnation, lease,
        meta::{self, State, TableSum},
        operation,
        pin::{self, Pin},
        unfinished, worker,
    },
};

/// Reads everything that the working state is made of.
pub(crate) fn load_all(rows: &mut impl Rows, state: &State) -> Result<Loaded, StoreError> {
    let mut damaged = Vec::new();
    let runtime = rows.get(meta::TABLE, meta::RUNTIME, |value| match value {
        Some(value) => codec::open_record::<RuntimeRecord>(meta::TABLE, meta::RUNTIME, value),
        None => Err("the Runtime's record is missing".into()),
    })?;
    let incarnations: Vec<IncarnationRecord> =
        load_table(rows, incarnation::TABLE, state, &mut damaged)?;
    let workers: Vec<Arc<WorkerRecord>> = load_table(rows, worker::TABLE, state, &mut damaged)?;
    let allocations: Vec<Arc<AllocationRecord>> =
        load_table(rows, allocation::TABLE, state, &mut damaged)?;
    let leases: Vec<Arc<LeaseRecord>> = load_table(rows, lease::TABLE, state, &mut damaged)?;
    let operations: Vec<Arc<OperationRecord>> =
        load_table(rows, operation::TABLE, state, &mut damaged)?;
    let unfinished: Vec<Arc<UnfinishedRecord>> =
        load_table(rows, unfinished::TABLE, state, &mut damaged)?;
    // Pins concern retention alone; a damaged one is named here all the same.
    let _: Vec<Pin> = load_table(rows, pin::TABLE, state, &mut damaged)?;
    Ok(Loaded {
        runtime: runtime.map_err(|damage| damage.in_table(meta::TABLE))?,
        incarnations,
        workers,
        allocations,
        leases,
        operations,
        unfinished,
        position: state.position,
        at: state.at,
        damaged,
        went_back: None,
    })
}

/// Every key is at most this.
const LAST_KEY: [u8; 40] = [u8::MAX; 40];

/// Reads one small table as a whole.
pub(super) fn load_table<T: DeserializeOwned>(
    rows: &mut impl Rows,
    table: Table,
    state: &State,
    damaged: &mut Vec<DamagedRecord>,
) -> Result<Vec<T>, StoreError> {
    let mut records = Vec::new();
    let mut found = TableSum::default();
    let mut is_whole = true;
    rows.scan(table, (&[], &LAST_KEY), End::First, &mut |key, value| {
        found.rows += 1;
        found.digest ^= codec::stored_checksum(value);
        match codec::open_record(table, key, value) {
            Ok(record) => records.push(record),
            Err(_) if table == lease::TABLE && sabotage::is(Sabotage::HideLostLease) => {
                is_whole = false;
            }
            Err(damage) => {
                is_whole = false;
                damaged.push(DamagedRecord {
                    table: table.name,
                    worker_id: worker_of(table, key),
                    lease_id: lease_of(table, key),
                    operation_id: operation_of(table, key),
                    seq: seq_of(table, key),
                    detail: damage.to_string(),
                });
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let expected = table.sum.and_then(|sum| state.sums.get(sum)).copied();
    let expected = expected.unwrap_or_default();
    // The checksum of a damaged row may be what is damaged: then only the count tells more.
    if found.rows != expected.rows || (is_whole && found.digest != expected.digest) {
        damaged.push(DamagedRecord {
            table: table.name,
            worker_id: None,
            lease_id: None,
            operation_id: None,
            seq: None,
            detail: format!(
                "{} rows were written last and {} are there, or a row is of an older commit",
                expected.rows, found.rows
            ),
        });
    }
    Ok(records)
}

fn worker_of(table: Table, key: &[u8]) -> Option<WorkerId> {
    let is_workers = [worker::TABLE, allocation::TABLE, unfinished::TABLE].contains(&table);
    let id = Cut::new(key).array().ok()?;
    is_workers.then(|| WorkerId::from_bytes(id))
}

fn lease_of(table: Table, key: &[u8]) -> Option<LeaseId> {
    let id = Cut::new(key).array().ok()?;
    (table == lease::TABLE).then(|| LeaseId::from_bytes(id))
}

fn operation_of(table: Table, key: &[u8]) -> Option<OperationId> {
    let id = Cut::new(key).array().ok()?;
    (table == operation::TABLE).then(|| OperationId(u64::from_be_bytes(id)))
}

/// Which input a row is about.
fn seq_of(table: Table, key: &[u8]) -> Option<Seq> {
    if table != unfinished::TABLE {
        return None;
    }
    let mut key = Cut::new(key);
    let _worker_id: [u8; 16] = key.array().ok()?;
    Some(Seq(u64::from_be_bytes(key.array().ok()?)))
}
