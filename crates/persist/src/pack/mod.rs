//! Packs: the stored unit of about 16 KiB that holds many events (I2, I7).
//!
//! A row per event would cost a page of the engine per Worker and commit; a pack costs one for a
//! hundred events. The same form serves `log` (all events in command order) and `history` (one
//! Worker's). Integers are little-endian; the payload of the sealed value is:
//!
//! ```text
//! header, 114 bytes ([`Header`])
//! event*:
//!   flags u8           1 has a Worker, 2 has an item, 4 has a run, 8 data is in `large`, 16 purged
//!   position u64       history only: in the log, positions are dense
//!   at u64
//!   worker id 16, seq u64, item u64 (if flagged)      log only: in history they follow from the header
//!   run id 16 (if flagged)
//!   type len u8, type
//!   digest of data 16
//!   data len u32
//!   data               unless in `large` or purged
//! ```
//!
//! An event's *link* is XXH3-128 over the value before it and its digest; its digest is XXH3-128 over
//! its position and the log form of all its fields but the data. There are two chains, one per Worker
//! and one over the Runtime. Reads verify the pack's checksum and that packs follow on each other;
//! `check` recomputes every link.

mod header;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use twox_hash::XxHash3_128;
use worker_runtime_core::Digest;

pub(crate) use header::{HEADER_LEN_BYTES, Header, Kind};
pub(crate) use reader::{Entry, Pack};
pub(crate) use writer::{Body, EncodedEvent, encode, event_digest, seal};

use crate::codec::SEAL_LEN_BYTES;

/// The longest sealed pack: with the engine's page header, offsets and key it fills a run of 16 KiB.
pub(crate) const PACK_LEN_MAX_BYTES: usize = (16 << 10) - 64;
/// Bytes of a pack that are not entries.
pub(crate) const PACK_OVERHEAD_BYTES: usize = SEAL_LEN_BYTES + HEADER_LEN_BYTES;

const HAS_WORKER: u8 = 1;
const HAS_ITEM: u8 = 2;
const HAS_RUN: u8 = 4;
const IS_LARGE: u8 = 8;
/// The data was taken out; everything else is as it was, so that the chains still fit.
const IS_PURGED: u8 = 16;

/// What is read in the place of data that was taken out.
pub(crate) const PURGED_DATA: &[u8] = b"{}";

/// The chain's value after an event.
pub(crate) fn link(before: Digest, event: Digest) -> Digest {
    let mut bytes = [0; 32];
    let parts = before.0.into_iter().chain(event.0);
    for (to, from) in bytes.iter_mut().zip(parts) {
        *to = from;
    }
    Digest(XxHash3_128::oneshot(&bytes).to_be_bytes())
}
