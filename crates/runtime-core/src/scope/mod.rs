//! Scope: what a Worker may touch, and who holds what (I6).
//!
//! - [`rule`]: rules on the wire and rules that have entered (absolute and normalised)
//! - `overlap`: whether two rules meet; the whole algebra lives in that one file
//! - [`mounts`]: the operator's names for places, and normalisation through the file system

mod mounts;
mod overlap;
mod rule;

pub use mounts::{Mounts, ScopeError};
pub use rule::{HeldRule, HeldScope, Permission, Scope, ScopeRule};
