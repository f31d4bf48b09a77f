//! Whether what a reader finds is what the journal says: I1 to I7 and I10, after any fault.
//!
//! # Layout
//! - [`world`]: what a log tells of every Worker; `apply`, `runs`, `held`, `leases` and `scopes`: what
//!   each event changes, and when it may not come
//! - [`expected`](Expected): what must be found, made once from a journal
//! - `told`: the log that was told against what was asked; `ends`: the same for ends, whose answers
//!   name no event; `lessees`: for leases, also of what an opening shows
//! - `found`: what an opening after a fault shows, against all of that; its parts are `after` and `left` (what may
//!   be there that was not told), `views`, `streams`, `texts`, `trims` (how much may be gone) and
//!   `items` (what bears a transcript)
//! - [`again`]: asking again after a fault, which writes; `fitting`: what may be answered then
//!
//! It reads what a user can read, and the journal; it shares no function with the store. What does
//! not hold is a value, never a panic. Called by the parts that crash, and that make calls fail.

mod after;
pub mod again;
mod apply;
mod ends;
mod expected;
mod fitting;
mod found;
mod held;
pub(crate) mod items;
mod leases;
mod left;
mod lessees;
mod runs;
mod scopes;
mod streams;
mod texts;
mod told;
pub(crate) mod trims;
mod views;
pub mod world;

#[cfg(test)]
mod tests;

pub use expected::Expected;
pub(crate) use expected::{Promises, data};
pub use found::{Found, Look};
pub(crate) use streams::redacted;
pub use world::World;
