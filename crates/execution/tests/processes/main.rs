//! Real commands, real signals, real deaths: the process layer of `exec`.
//!
//! This binary is several programs. Executed by the shim it is the shim. Executed by a test as
//! `act-as-runtime` it holds one command, as `act-as-host` it is a whole Runtime, both there to be
//! killed; as `act-as-agent` it is a command in lines mode, as `act-as-writer` one that touches files.
//! Else it runs the tests.
//!
//! Nothing here sleeps to let something happen: what has to be waited for is waited for by a pipe, a
//! process descriptor, or a condition with a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

mod act_as_agent;
mod act_as_host;
mod act_as_runtime;
mod act_as_writer;
mod backend;
mod containment;
mod direct;
mod outcome;
mod proof;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use worker_runtime_execution::exec::shim;

fn main() -> ExitCode {
    if let Some(code) = shim::run_if_requested() {
        return code;
    }
    if std::env::args().nth(1).as_deref() == Some(act_as_runtime::ROLE) {
        return act_as_runtime::run();
    }
    if std::env::args().nth(1).as_deref() == Some(act_as_host::ROLE) {
        return act_as_host::run();
    }
    if std::env::args().nth(1).as_deref() == Some(act_as_agent::ROLE) {
        return act_as_agent::run();
    }
    if std::env::args().nth(1).as_deref() == Some(act_as_writer::ROLE) {
        return act_as_writer::run();
    }
    let trials: Vec<Trial> = [
        outcome::trials(),
        containment::trials(),
        proof::trials(),
        direct::trials(),
        backend::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
