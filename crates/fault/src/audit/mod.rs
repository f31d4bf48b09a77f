//! Whether what a reader finds is what the journal says: I1 to I7 and I10, after any fault.
//!
//! # Layout
//! - [`world`]: what a log tells of every Worker; `apply`, `runs` and `scopes`: what each event
//!   changes, and when it may not come
//! - [`expected`](Expected): what must be found, made once from a journal
//! - `told`: the log that was told against what was asked
//! - `found`: what an opening after a fault shows, against all of that; `views`, `streams` and
//!   `texts` are parts of it
//! - [`again`]: asking again after a fault, which writes
//!
//! It reads what a user can read, and the journal; it shares no function with the store. What does
//! not hold is a value, never a panic. Called by the parts that crash, and that make calls fail.

pub mod again;
mod apply;
mod expected;
mod found;
mod runs;
mod scopes;
mod streams;
mod texts;
mod told;
mod views;
pub mod world;

#[cfg(test)]
mod tests;

pub use expected::Expected;
pub use found::{Found, Look};
pub(crate) use streams::redacted;
pub use world::World;
