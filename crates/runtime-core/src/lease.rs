//! Leases: what is asked for by whoever is no Worker and wants to hold a scope for a time (a tool,
//! another program, a person at a terminal).
//!
//! A lease keeps Workers and other leases from a scope as an allocation does (I6). It ends when it is
//! given back, or when its time is over and it was not renewed. Its fence is good in the incarnation that
//! granted it; after a restart the lease is still held, and its holder gets the next fence for the old one.
//! Called by the allocation plane ([`Allocations`](crate::Allocations)) and whoever serves it.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Digest, Fence, LeaseId, Scope, whole};

/// The shortest time for which a lease is granted.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// The longest time for which a lease is granted, without being renewed.
pub const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const TTL_MS_MIN: u64 = 1_000;
const TTL_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// To hold a scope for a time. The same `lease_id` with an equal request is answered as the first one,
/// for as long as the lease is held; with another one it is refused (I5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AcquireLease {
    /// The caller's id for it; minted when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<LeaseId>,
    /// Who will hold it: what others are told that meet it. A label, and no authority.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::TEXT_BYTES_MAX), regex(pattern = crate::schema::LINE)))]
    pub holder: String,
    /// What is to be held: at least one rule that allows something.
    pub scope: Scope,
    /// How long it lasts when it is not renewed, in milliseconds: from a second to a day.
    #[serde(deserialize_with = "whole::required")]
    #[cfg_attr(feature = "schema", schemars(with = "u64", range(min = TTL_MS_MIN, max = TTL_MS_MAX)))]
    pub ttl_ms: u64,
    /// What for.
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::REASON_BYTES_MAX)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl AcquireLease {
    /// What a repeated request is compared by: the digest of the request as canonical JSON.
    ///
    /// # Errors
    /// When the request can't be written as JSON.
    pub fn fingerprint(&self) -> Result<Digest, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("lease_id");
        }
        Ok(Digest::of(value.to_string().as_bytes()))
    }
}

/// To hold it on, for its whole time from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RenewLease {
    /// The fence that the holder was given last.
    #[serde(deserialize_with = "fence")]
    #[cfg_attr(feature = "schema", schemars(with = "Fence"))]
    pub fence: Fence,
    /// From now on it lasts this long, in milliseconds: from a second to a day. As before when absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::optional"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Option<u64>", range(min = TTL_MS_MIN, max = TTL_MS_MAX)))]
    pub ttl_ms: Option<u64>,
}

fn fence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fence, D::Error> {
    whole::required(deserializer).map(Fence)
}

/// Whether a lease may last this long.
pub(crate) fn is_ttl(ttl_ms: u64) -> bool {
    (TTL_MS_MIN..=TTL_MS_MAX).contains(&ttl_ms)
}
