//! `input`: worker id, 16 bytes; digest of the input id, 16 bytes -> `ReceiptRecord`. Lives as long as
//! the Worker (I5).

use worker_runtime_core::WorkerId;

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "input",
    sum: Some(5),
};

pub(crate) fn key(worker_id: WorkerId, digest: [u8; 16]) -> Key {
    Key::new().with(&worker_id.to_bytes()).with(&digest)
}
