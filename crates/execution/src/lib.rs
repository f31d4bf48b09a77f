//! Execution backends of a Runtime: what runs the input of a Worker.
//!
//! # Layout
//!
//! - `exec`: any command-line program as a Worker (feature `exec`, Linux).
//! - [`PresetFactory`]: a backend that the operator configured and gave a name.

#[cfg(all(feature = "exec", target_os = "linux"))]
pub mod exec;
mod preset;

pub use preset::PresetFactory;
