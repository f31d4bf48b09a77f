//! Scope: what a Worker may touch, and who holds what (I6).
//!
//! - `rule`: rules on the wire and rules that have entered (absolute and normalised)
//! - `overlap`: whether two rules meet; the whole algebra lives in that one file
//! - `index`: which of many holders a rule may meet
//! - `granted`: what a run is told that it may touch
//! - `mounts`: the operator's names for places, and normalisation through the file system

mod granted;
mod index;
mod mounts;
mod overlap;
mod rule;

/// The most owners that one refusal names (I9); how many there are in all is told beside them.
pub const OWNERS_MAX: usize = 100;
/// The most holders of a place, and as many of what lies below it, that one answer names (I9): who may
/// write comes first.
pub const HOLDERS_MAX: usize = 100;

pub use granted::RunScope;
pub use index::ScopeIndex;
pub use mounts::{MOUNT_NAME_MAX_BYTES, Mounts, PATH_MAX_BYTES, RULES_MAX, ScopeError};
pub use overlap::{
    Authority, CONFLICTS_MAX, Claim, Effective, Leaves, NO_SCOPE, conflicts, covers, meets,
    uncovered, writes,
};
pub(crate) use overlap::{deepest_at, nearest_below};
pub use rule::{HeldRule, HeldScope, Permission, Scope, ScopeRule};
