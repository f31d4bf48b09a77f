//! Execution backends of a Runtime: what runs the input of a Worker.
//!
//! # Layout
//!
//! - `exec`: any command-line program as a Worker (feature `exec`, Linux).

#[cfg(all(feature = "exec", target_os = "linux"))]
pub mod exec;
