//! `allocation`: worker id, 16 bytes -> `AllocationRecord`. Lives as long as the Worker holds a scope.

use worker_runtime_core::WorkerId;

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "allocation",
    sum: Some(2),
};

pub(crate) fn key(worker_id: WorkerId) -> Key {
    Key::new().with(&worker_id.to_bytes())
}
