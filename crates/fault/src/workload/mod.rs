//! A seeded client that does everything a user can, over a store that somebody else broke or
//! recorded: it drives a real Runtime, plays its runs, and keeps a journal for the audits (I1 to
//! I6 and I10 are looked at with it).
//!
//! # Layout
//! - [`asked`]: everything that is asked, as values
//! - [`journal`]: what was asked and answered, and when, in calls of the store's disk
//! - [`limits`]: limits small enough that a hundred commands meet all of them
//! - [`client`](Client): opening, playing, closing; `ask` and `listen`: how it does
//! - `choose`: the next command of a user; `leases`: of whoever is no Worker; `turn`: the next word of a run
//!
//! One task makes every choice, so a seed replays the choices; which commands share a commit is
//! the machine's. Every typed error is an answer. What nobody knows the outcome of is asked again.

mod ask;
pub mod asked;
mod choose;
mod client;
pub mod journal;
mod leases;
pub mod limits;
mod listen;
mod turn;

#[cfg(test)]
mod tests;

pub use asked::{Answer, Asked, Done, HoldChange, LifeChange, SinkCall};
pub use client::{Client, ClientOptions, on_one_thread};
pub use journal::{Entry, Journal, Meter, Told};
pub use leases::{LeaseChange, write_below};
