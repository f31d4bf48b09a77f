//! Scope: what a Worker may touch, and who holds what (I6).
//!
//! - `rule`: rules on the wire and rules that have entered (absolute and normalised)
//! - `overlap`: whether two rules meet; the whole algebra lives in that one file
//! - `mounts`: the operator's names for places, and normalisation through the file system

mod mounts;
mod overlap;
mod rule;

pub use mounts::{MOUNT_NAME_MAX_BYTES, Mounts, PATH_MAX_BYTES, RULES_MAX, ScopeError};
pub use overlap::{CONFLICTS_MAX, conflicts, covers, meets};
pub use rule::{HeldRule, HeldScope, Permission, Scope, ScopeRule};
