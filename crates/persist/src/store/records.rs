//! Changes of records, as rows. Each is in the transaction of the events that tell of it (I3).

use worker_runtime_core::{
    BlockId, WorkerId,
    store::{Change, Checkpoint, StoreError},
};

use crate::{
    engine::Writing,
    layout::{
        allocation,
        in_flight::{self, Piece},
        input, lease, meta, operation, unfinished, worker,
    },
};

/// A checkpoint's bytes are kept in pieces that fit a page run of the engine.
const PIECE_LEN_MAX_BYTES: usize = 16_000;

/// Applies any change but those that concern packs.
pub(super) fn apply(rows: &mut Writing<'_>, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Runtime(record) => rows.put_record(meta::TABLE, meta::RUNTIME, record),
        Change::Worker(record) => {
            let key = worker::key(record.worker_id);
            rows.put_record(worker::TABLE, key.as_bytes(), record)
        }
        Change::Allocation(record) => {
            let key = allocation::key(record.worker_id);
            rows.put_record(allocation::TABLE, key.as_bytes(), record)
        }
        Change::Release(worker_id) => {
            let key = allocation::key(*worker_id);
            rows.remove(allocation::TABLE, key.as_bytes()).map(|_| ())
        }
        Change::Lease(record) => {
            let key = lease::key(record.lease_id);
            rows.put_record(lease::TABLE, key.as_bytes(), record)
        }
        Change::EndLease(lease_id) => {
            let key = lease::key(*lease_id);
            rows.remove(lease::TABLE, key.as_bytes()).map(|_| ())
        }
        Change::Operation(record) => {
            let key = operation::key(record.operation_id);
            rows.put_record(operation::TABLE, key.as_bytes(), record)
        }
        Change::ForgetOperation(operation_id) => {
            let key = operation::key(*operation_id);
            rows.remove(operation::TABLE, key.as_bytes()).map(|_| ())
        }
        Change::Receipt(worker_id, digest, record) => {
            let key = input::key(*worker_id, *digest);
            rows.put_record(input::TABLE, key.as_bytes(), record)
        }
        Change::Unfinished(record) => {
            let key = unfinished::key(record.worker_id, record.accepted.seq);
            rows.put_record(unfinished::TABLE, key.as_bytes(), record)
        }
        Change::Finished(worker_id, seq) => {
            let key = unfinished::key(*worker_id, *seq);
            rows.remove(unfinished::TABLE, key.as_bytes())?;
            remove_damaged(rows, *worker_id)
        }
        Change::Checkpoint(checkpoint) => insert(rows, checkpoint),
        Change::Fold(worker_id, block) => {
            fold(rows, *worker_id, *block)?;
            remove_damaged(rows, *worker_id)
        }
        Change::Trim(..) | Change::Forget(_) | Change::Purge(_) => Err(StoreError::Bug {
            invariant: "what concerns packs is not a change of a record".to_owned(),
        }),
    }
}

fn insert(rows: &mut Writing<'_>, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    if checkpoint.offset_bytes == 0 {
        fold(rows, checkpoint.worker_id, checkpoint.block)?;
    }
    let mut offset_bytes = checkpoint.offset_bytes;
    for bytes in checkpoint.bytes.chunks(PIECE_LEN_MAX_BYTES) {
        let key = in_flight::key(checkpoint.worker_id, checkpoint.block, offset_bytes);
        let piece = Piece {
            kind: checkpoint.kind,
            parent: checkpoint.parent,
            bytes: bytes.to_vec(),
        };
        rows.put_record(in_flight::TABLE, key.as_bytes(), &piece)?;
        offset_bytes += bytes.len() as u64;
    }
    Ok(())
}

/// Removes the blocks of a Worker that can't be read: nobody knows of them, so nobody folds them.
fn remove_damaged(rows: &mut Writing<'_>, worker_id: WorkerId) -> Result<(), StoreError> {
    for block in in_flight::blocks(rows, worker_id)? {
        if let Err((block, damage)) = block {
            tracing::warn!(%worker_id, %block, %damage, "a damaged block that had not ended is removed");
            fold(rows, worker_id, block)?;
        }
    }
    Ok(())
}

fn fold(rows: &mut Writing<'_>, worker_id: WorkerId, block: BlockId) -> Result<(), StoreError> {
    let first = in_flight::key(worker_id, block, 0);
    let last = in_flight::key(worker_id, block, u64::MAX);
    rows.remove_range(in_flight::TABLE, (first.as_bytes(), last.as_bytes()))
        .map(|_| ())
}
