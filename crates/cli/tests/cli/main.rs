//! The command as its users meet it: the real binary, real files, real processes. Each snapshot
//! holds what was typed, stdout, stderr and the exit code.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test may panic"
)]

mod again;
mod changes;
mod check;
mod config;
mod confine;
mod crash;
mod cursors;
mod damage;
mod each_verb;
mod leases;
mod lines;
mod live;
mod live_end;
mod live_growth;
mod live_mistakes;
mod live_reads;
mod live_runs;
mod live_tail;
mod locks;
mod made_of;
mod mistakes;
mod open_files;
mod operations;
mod pipes;
mod reads;
mod releases;
mod run;
mod send;
mod serve;
mod serving;
mod shipped;
mod signals;
mod stranger;
mod support;
mod tokens;
mod untouched;
