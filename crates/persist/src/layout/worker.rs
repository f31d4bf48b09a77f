//! `worker`: worker id, 16 bytes -> `WorkerRecord`. Written when the record changes, never per event;
//! kept for ever (a deleted Worker leaves its tombstone).

use worker_runtime_core::WorkerId;

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "worker",
    sum: Some(1),
};

pub(crate) fn key(worker_id: WorkerId) -> Key {
    Key::new().with(&worker_id.to_bytes())
}
