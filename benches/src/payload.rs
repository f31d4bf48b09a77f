//! What is written: told by the Worker and the number of the operation alone, so that what comes
//! back can be compared with what must have been sent.

use serde::Serialize;
use twox_hash::XxHash3_64;

use crate::Failure;

/// About 200 bytes of JSON, as a tool call of an agent has.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Payload {
    tool: &'static str,
    worker: u32,
    op: u64,
    arguments: Arguments,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Arguments {
    path: &'static str,
    pattern: &'static str,
    check: u64,
}

impl Payload {
    /// What the `op`th operation on a Worker writes.
    pub fn new(worker: u32, op: u64) -> Self {
        let mut key = [0; 12];
        for (to, from) in key
            .iter_mut()
            .zip(worker.to_le_bytes().into_iter().chain(op.to_le_bytes()))
        {
            *to = from;
        }
        Self {
            tool: "search_files",
            worker,
            op,
            arguments: Arguments {
                path: "crates/runtime-core/src/runtime/observation.rs",
                pattern: "fn (page|events|transcript)\\(.*-> Result<.*ReadError>",
                // No two payloads are alike, and none is a prefix of another one.
                check: XxHash3_64::oneshot(&key),
            },
        }
    }

    /// The bytes that must come back.
    ///
    /// # Errors
    /// Never, as far as JSON goes.
    pub fn to_bytes(self) -> Result<Vec<u8>, Failure> {
        Ok(serde_json::to_vec(&self)?)
    }

    /// The same as text.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_text(self) -> Result<String, Failure> {
        Ok(serde_json::to_string(&self)?)
    }
}

/// What two payloads are compared by.
pub fn digest(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}
