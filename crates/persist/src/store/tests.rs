//! Tests of the store as a whole: what every store must do, damage, crashes, retention, and a model.

#![allow(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod damage;
mod forget;
#[cfg(shuttle)]
mod handover;
mod operations;
mod retention;
