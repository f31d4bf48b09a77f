//! The SIGKILL test of the embedded Runtime over HTTP: the real binary, clients that journal what was
//! acknowledged, and observers that follow cursors (I1, I2, I4, I5). Orders, journals and the audit are
//! the very ones of the embedded test (`tests/crash`), so that both promise the same.
//!
//! # Layout
//! - `place`: a state directory and the servers that live on it, one after the other
//! - `clients`: one per Worker, over HTTP: every call is repeated until it is answered
//! - `observers`: by long-polls, and by the client's stream
//! - `kill`: the test
//! - `fences`: what a run's fence is good for after one kill, as a tool asks

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    dead_code,
    reason = "what is shared with the embedded test says what it saw"
)]

#[path = "../../../../../tests/crash/kill/audit.rs"]
mod audit;
#[path = "../../../../../tests/bin/host/journal.rs"]
mod journal;
#[path = "../../../../../tests/support/audit.rs"]
mod log;
#[path = "../../../../../tests/bin/host/order.rs"]
mod order;
#[path = "../../../../../tests/crash/processes.rs"]
mod processes;

mod clients;
mod fences;
mod kill;
mod observers;
mod place;

/// What the shared audit takes of the embedded tests' own helpers.
mod observed {
    use serde_json::Value;
    use worker_runtime_core::Event;

    pub(super) fn data(event: &Event) -> Value {
        serde_json::from_slice(&event.data).expect("an event's data is JSON")
    }
}
