//! What the benches share. Each bench is a file beside `src/`, one per promise.
//!
//! # Layout
//! - [`mod@bench`]: arguments, the scratch directory, and `main`'s way out
//! - [`host`]: a Runtime over a directory, opened through its public calls
//! - [`held`]: one whose Workers hold as many places as wanted
//! - [`measured_store`]: what of the time is the store's
//! - [`backend`]: execution backends that do nothing but hold a run, or end it at once
//! - [`payload`]: what is written, so that it can be told again afterwards
//! - [`ledger`], [`inputs`], [`subscriber`]: what was acknowledged, what was received, and that they
//!   are the same
//! - [`peer`]: what it is measured beside
//! - [`served`]: a server in a process of its own; [`sse`]: who follows it; [`pages`]: who reads pages of it
//! - [`stats`], [`table`]: figures
//!
//! A bench prints no figure before its ledger holds: a fast wrong answer is none.

pub mod backend;
pub mod bench;
pub mod held;
pub mod host;
pub mod inputs;
pub mod ledger;
pub mod measured_store;
pub mod pages;
pub mod payload;
pub mod peer;
pub mod served;
pub mod sse;
pub mod stats;
pub mod subscriber;
pub mod table;

pub use bench::{Bench, Failure, run};
