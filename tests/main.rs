//! Tests of whole parts together: the real Runtime over a real store; only what runs inputs is
//! scripted. In `crash` nothing is: hosts with the real `exec` backend are killed.
//!
//! # Layout
//! - `support`: opening a Runtime, the scripted execution backend, streams with deadlines, the
//!   auditing reader, the store that fails on demand
//! - every other module: one topic

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout,
    reason = "what a helper of a test can't do fails the test"
)]

mod support;

mod acp;
mod actions;
mod allocations;
mod architecture;
mod block_ends;
mod blocks;
mod bounds;
mod cancels;
mod conditions;
mod crash;
mod create;
mod cursors;
mod determinism;
mod faults;
mod faults_of_runs;
mod fences;
mod full_disk;
mod leases;
mod leases_kept;
mod lifecycle;
mod lost;
mod management;
mod observe;
mod operations;
mod outcomes;
mod quiet_ends;
mod races;
mod recovery;
mod restart;
mod submit;
mod takings;
mod transcripts;

/// A test file that is no module is never run, and nobody would notice.
#[test]
fn every_file_is_a_module() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed: Vec<String> = include_str!("main.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    let mut forgotten = Vec::new();
    for entry in std::fs::read_dir(here).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_module = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("mod.rs").exists();
        if is_module && name != "main" && !listed.contains(&name) {
            forgotten.push(name);
        }
    }
    assert_eq!(forgotten, Vec::<String>::new(), "not listed in main.rs");
}
