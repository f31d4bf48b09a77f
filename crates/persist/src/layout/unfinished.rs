//! `unfinished`: worker id, 16 bytes; seq of the acceptance, u64 -> `UnfinishedRecord`. Lives from the
//! acceptance of an input to its outcome, so that opening reads no history (I4).

use worker_runtime_core::{Seq, WorkerId};

use super::Table;
use crate::cut::Key;

pub(crate) const TABLE: Table = Table {
    name: "unfinished",
    sum: Some(3),
};

pub(crate) fn key(worker_id: WorkerId, seq: Seq) -> Key {
    Key::new().with(&worker_id.to_bytes()).with_u64(seq.0)
}
