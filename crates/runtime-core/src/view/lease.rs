//! Leases, as clients see them; without the absolute paths that rules stand for.

use serde::{Deserialize, Serialize};

use super::wire_scope;
use crate::{Cursor, Fence, LeaseId, Permission, Position, Scope, Timestamp, record::LeaseRecord};

/// What somebody who is no Worker holds for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseView {
    /// Which.
    pub lease_id: LeaseId,
    /// Who holds it, in the words of whoever asked.
    pub holder: String,
    /// What may be touched.
    pub scope: Scope,
    /// The fence that was granted last.
    pub fence: Fence,
    /// Whether that fence is good now. After a restart it is not, until the holder has renewed with it
    /// and got the next one.
    pub is_current: bool,
    /// How long it lasts when it is not renewed, in milliseconds.
    pub ttl_ms: u64,
    /// When its time is over, unless it is renewed; later when the Runtime stands still meanwhile.
    /// `None` on a store that nobody runs: there no time passes.
    pub expires_at: Option<Timestamp>,
    /// When it was granted first.
    pub granted_at: Timestamp,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl LeaseView {
    pub(crate) fn of(
        record: &LeaseRecord,
        is_current: bool,
        expires_at: Option<Timestamp>,
    ) -> Self {
        Self {
            lease_id: record.lease_id,
            holder: record.holder.clone(),
            scope: wire_scope(&record.scope),
            fence: record.fence,
            is_current,
            ttl_ms: record.ttl_ms,
            expires_at,
            granted_at: record.granted_at,
            reason: record.reason.clone(),
        }
    }
}

/// A page of leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseList {
    /// The leases, oldest grant first.
    pub leases: Vec<LeaseView>,
    /// How many there are in all.
    pub total: usize,
    /// The offset to go on from.
    pub next: Option<usize>,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
}

/// That a lease is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseReceipt {
    /// What is held, under which fence, and until when.
    #[serde(flatten)]
    pub lease: LeaseView,
    /// Whether nothing was granted, because it was held already.
    pub repeated: bool,
    /// Where this is true, in the Runtime's stream.
    pub position: Position,
    /// The cursor there.
    pub cursor: Cursor,
}

/// That a lease is held no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseReleased {
    /// Which.
    pub lease_id: LeaseId,
    /// The event that recorded it.
    pub position: Position,
    /// The cursor after that event, in the Runtime's stream.
    pub cursor: Cursor,
}

/// That a lease's fence is the current one and its holder may touch the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseVerified {
    /// Which.
    pub lease_id: LeaseId,
    /// The fence.
    pub fence: Fence,
    /// The most that its holder may do at the place.
    pub permission: Permission,
    /// When its time is over, unless it is renewed.
    pub expires_at: Option<Timestamp>,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
}
