//! What is held, by whom, and what a fence is good for; without the absolute paths that rules stand for.

use serde::{Deserialize, Serialize};

use super::{Holder, ReleaseView};
use crate::{
    Cursor, Fence, Permission, RunId, Scope, ScopeRule, Timestamp, WorkerId, worker::MountRef,
};

/// What a Worker holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AllocationView {
    /// The owner.
    pub worker_id: WorkerId,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Whose delegation it lies in.
    pub parent: Option<WorkerId>,
    /// What it may touch, but for what those below it hold to write.
    pub scope: Scope,
    /// What it may hand on.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub delegation: Scope,
    /// Who holds something of it directly below it.
    pub lent_to: Vec<WorkerId>,
    /// The current fence; `None` when it was lost with a damaged record.
    pub fence: Option<Fence>,
    /// Whether that fence is good now: while the run goes on to which it was granted, and the Runtime
    /// with it.
    #[serde(default)]
    pub is_current: bool,
    /// The run to which the fence was granted; without one no fence is good for anything.
    pub run_id: Option<RunId>,
    /// Whether a process lives that was started with it, also between runs. On a store that nobody runs:
    /// whether one is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_process: bool,
    /// Whether processes that can't be shown to be dead may still write there.
    pub unproven: bool,
    /// It is being taken from its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releasing: Option<ReleaseView>,
    /// When it was granted, or last changed.
    pub granted_at: Timestamp,
}

/// A page of what is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AllocationList {
    /// The allocations, oldest grant first.
    pub allocations: Vec<AllocationView>,
    /// How many there are in all.
    pub total: usize,
    /// The offset to go on from.
    pub next: Option<usize>,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
}

/// A place that is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The mount's name. Without one the path is absolute, which is for scope `admin` and for a command
    /// on a stopped store alone (I11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// A path below it; empty for the mount itself.
    pub path: String,
}

impl From<&MountRef> for Place {
    fn from(place: &MountRef) -> Self {
        Self {
            mount: Some(place.mount.clone()),
            path: place.path.clone(),
        }
    }
}

/// Who holds a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlaceHolders {
    /// The place that was asked about.
    pub place: Place,
    /// Who may touch or hand on exactly this place, who may write first.
    pub holders: Vec<PlaceHolder>,
    /// Who holds something below it, who may write there first.
    pub below: Vec<PlaceHolder>,
    /// Whether there are more than the first [`HOLDERS_MAX`](crate::scope::HOLDERS_MAX) of each, which
    /// are named here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
}

/// One who holds a place, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlaceHolder {
    /// The owner: `worker_id`, or `lease_id` when it is no Worker.
    #[serde(flatten)]
    pub holder: Holder,
    /// Its name for people; of a lease, who took it.
    pub display_name: Option<String>,
    /// What it may do there just now; `None` when it may only hand it on, or below the place.
    pub permission: Option<Permission>,
    /// What it may hand on there; `None` for nothing, or below the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegates: Option<Permission>,
    /// The deepest of its rules that says so.
    pub rule: ScopeRule,
    /// The run that goes on with it.
    pub run_id: Option<RunId>,
}

/// Whether somebody may go on to touch a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VerifyFence {
    /// The fence that was granted to the run, or with the lease.
    pub fence: Fence,
    /// The place that is to be touched.
    pub place: MountRef,
    /// What is to be done there.
    pub permission: Permission,
}

/// That a fence is the current one and its run may touch the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FenceVerified {
    /// The owner.
    pub worker_id: WorkerId,
    /// Its run.
    pub run_id: RunId,
    /// The fence.
    pub fence: Fence,
    /// The most that it may do at the place.
    pub permission: Permission,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
}
