//! `operation`: number, u64 -> `OperationRecord`. Lives until there are too many newer ones.
//!
//! It was added later: a file that was made before has no such table, and its sum is written only while
//! it is not zero ([`meta`](super::meta)).

use worker_runtime_core::OperationId;

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "operation",
    sum: Some(13),
};

pub(crate) fn key(operation_id: OperationId) -> Key {
    Key::new().with_u64(operation_id.0)
}
