//! What every store must do, as functions that any implementation runs in its own tests.
//!
//! Each check opens a fresh store of the [`Harness`], works it as the writer does, and compares what
//! readers get with what was committed. A check that fails panics, as a test does. What a reopened
//! store must do is checked where the harness can reopen one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "these are tests, which live here so that every store can run them"
)]

mod records;
mod reopen;
mod script;
mod streams;

use super::Store;

pub use script::{
    Script, all_items, assert_same, lease_record, operation_record, receipt_record,
    unfinished_record, worker_record,
};

/// How a store is made for one check.
pub trait Harness {
    /// A new, empty store.
    fn open(&mut self) -> Box<dyn Store>;

    /// The same store, closed and opened again; `None` when this kind of store can't be.
    fn reopen(&mut self, store: Box<dyn Store>) -> Option<Box<dyn Store>>;
}

/// A check: its name, which is a sentence, and what it does.
pub type Check = (&'static str, fn(&mut dyn Harness));

/// Every check.
pub const CHECKS: &[Check] = &[
    ("a new store has one incarnation and no event", records::new),
    ("records of a batch are loaded", records::loaded),
    ("a receipt is found by its digest", records::receipts),
    (
        "an unfinished input goes with its outcome",
        records::unfinished,
    ),
    ("a lease is loaded until it has ended", records::leases),
    (
        "an operation is loaded until it is forgotten",
        records::operations,
    ),
    ("checkpoints join and fold", records::in_flight),
    (
        "a damaged order of events is refused and changes nothing",
        records::not_dense,
    ),
    ("both streams replay what was committed", streams::replay),
    ("pages join without a gap or a repeat", streams::pages),
    (
        "nothing beyond the position asked for is given",
        streams::until,
    ),
    ("a page is bounded by its bytes", streams::bytes),
    ("a large payload comes back whole", streams::large),
    ("a transcript is read from both ends", streams::transcript),
    (
        "pages of a transcript are bounded by their bytes",
        streams::transcript_bytes,
    ),
    ("trimmed events are gone and told", streams::trim),
    ("all of a Worker can be trimmed", streams::trim_all),
    (
        "readers beside the writer miss nothing",
        streams::concurrent,
    ),
    ("a reopened store is the same", reopen::same),
    ("a reopened store goes on", reopen::goes_on),
    ("an idle store goes on", reopen::idle),
];

/// Runs every check.
///
/// # Panics
/// When one fails; the message names it.
pub fn run_all(harness: &mut dyn Harness) {
    for (name, check) in CHECKS {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(harness)));
        assert!(outcome.is_ok(), "the store does not hold to this: {name}");
    }
}
