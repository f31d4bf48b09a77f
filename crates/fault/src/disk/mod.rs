//! A disk that remembers every call, and can be made to fail: what stands between redb and the
//! file when the harness runs the Runtime's own transactions (I1).
//!
//! # Layout
//! - [`recorder`](Recorder): the storage that records, and forwards everything
//! - [`plan`](Plan): which call fails, and how
//! - [`tape`](Tape): what was called, and what `head` held before each call
//! - [`crash`](Crash): what a power cut after any of the calls may leave
//! - [`image`](Image): one such state, and how a store is opened on it
//! - [`pages`](Pages): a file's bytes, shared between images
//!
//! **The model.** What a successful sync has covered is on disk. Of the calls after it a power cut
//! keeps any subset, in any order, the last of them perhaps torn at 512 B; a change of length is a
//! call like a write. A write past the end makes the file longer. `head` is never synced, so the
//! disk may hold it as it was, as it was one change before, or not at all. That `runtime.redb` is
//! another file is durable when its directory was synced: until then either file may be in its place.
//! That the sync was done is the store's word here; the calls of the shipped command are looked at beside
//! (`process`, `entries`).

mod crash;
mod image;
mod pages;
mod plan;
mod recorder;
mod tape;

#[cfg(test)]
mod tests;

pub use crash::{Crash, Explorer, HeadChoice, Keep, Variant};
pub use image::{Image, Place};
pub use pages::Pages;
pub use plan::{Errno, Fault, Kind, Plan, Repeat};
pub use recorder::{Counts, Recorder};
pub use tape::{Call, Recorded, SyncResult, Tape};
