//! `lease`: lease id, 16 bytes -> `LeaseRecord`. Lives as long as somebody who is no Worker holds a scope.
//!
//! It was added later: a file that was made before has no such table, and its sum is written only while
//! it is not zero ([`meta`](super::meta)).

use worker_runtime_core::LeaseId;

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "lease",
    sum: Some(12),
};

pub(crate) fn key(lease_id: LeaseId) -> Key {
    Key::new().with(&lease_id.to_bytes())
}
