//! What must hold when processes die, files are damaged and directories are in use: real processes,
//! real files. Nothing here reads the store but through what a user can read.
//!
//! # Layout
//! - `place`: a temporary state directory and the hosts that live on it
//! - `processes`: who of our commands is alive, asked of the kernel and not of the Runtime
//! - `kill`: a host killed again and again under load, and the audit of what is left (I1, I2, I4, I5)
//! - `quiet`: nothing of a command is left, and until then its scope is nobody else's (I4, I6)
//! - `same_input`: one input id before, during and after a kill (I5)
//! - `partial`: output of a run that was killed
//! - `damage`: one byte changed in a closed store (I7)
//! - `refusal`: stores that can't be opened, and what is told
//! - `order`, `journal`: shared with the host, `bin/host`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout,
    reason = "what only tests call, and clippy does not know as a test"
)]

#[path = "../bin/host/journal.rs"]
mod journal;
#[path = "../bin/host/order.rs"]
mod order;
mod place;
mod processes;

mod damage;
mod kill;
mod partial;
mod quiet;
mod refusal;
mod same_input;
