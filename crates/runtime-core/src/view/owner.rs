//! Who holds a scope, without the absolute paths that it stands for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{HeldRule, HeldScope, LeaseId, Scope, ScopeRule, WorkerId};

/// Who holds a scope: as JSON, one field of the two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Holder {
    /// A Worker.
    #[serde(rename = "worker_id")]
    Worker(WorkerId),
    /// Whoever took a lease.
    #[serde(rename = "lease_id")]
    Lease(LeaseId),
}

impl Holder {
    /// The Worker, when it is one.
    pub const fn worker_id(self) -> Option<WorkerId> {
        match self {
            Self::Worker(worker_id) => Some(worker_id),
            Self::Lease(_) => None,
        }
    }

    /// The lease, when it is one.
    pub const fn lease_id(self) -> Option<LeaseId> {
        match self {
            Self::Worker(_) => None,
            Self::Lease(lease_id) => Some(lease_id),
        }
    }
}

impl From<WorkerId> for Holder {
    fn from(worker_id: WorkerId) -> Self {
        Self::Worker(worker_id)
    }
}

impl From<LeaseId> for Holder {
    fn from(lease_id: LeaseId) -> Self {
        Self::Lease(lease_id)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(worker_id) => write!(f, "Worker {worker_id}"),
            Self::Lease(lease_id) => write!(f, "lease {lease_id}"),
        }
    }
}

/// Who holds a scope that meets another one, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScopeOwner {
    /// The owner: `worker_id`, or `lease_id` when it is no Worker.
    #[serde(flatten)]
    pub holder: Holder,
    /// Its name for people; of a lease, who took it.
    pub display_name: Option<String>,
    /// The rule that it holds.
    pub holds: ScopeRule,
    /// The rule that was asked for and meets it.
    pub asked: ScopeRule,
}

impl fmt::Display for ScopeOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            holder,
            display_name,
            holds,
            asked,
        } = self;
        let name = display_name.as_deref().unwrap_or("unnamed");
        write!(
            f,
            "{holder} ({name}) holds {}:{} against {}:{}",
            holds.mount, holds.path, asked.mount, asked.path
        )
    }
}

/// Every owner that keeps somebody from a scope, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Owners {
    /// How many there are.
    pub total: usize,
    /// The first [`OWNERS_MAX`](crate::scope::OWNERS_MAX) of them, deepest rule first.
    pub named: Vec<ScopeOwner>,
}

impl Owners {
    /// What they are, as far as they are named.
    pub(crate) fn kind(&self) -> &'static str {
        let workers = self
            .named
            .iter()
            .filter_map(|owner| owner.holder.worker_id());
        match workers.count() {
            0 if !self.named.is_empty() => "lease(s)",
            count if count == self.named.len() => "Worker(s)",
            _ => "holder(s)",
        }
    }
}

impl fmt::Display for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, owner) in self.named.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{owner}")?;
        }
        match self.total.saturating_sub(self.named.len()) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A scope without the absolute paths that it stands for.
pub(crate) fn wire_scope(scope: &HeldScope) -> Scope {
    Scope {
        allow: wire_rules(&scope.allow),
        deny: wire_rules(&scope.deny),
    }
}

fn wire_rules(rules: &[HeldRule]) -> Vec<ScopeRule> {
    rules.iter().map(wire_rule).collect()
}

pub(crate) fn wire_rule(rule: &HeldRule) -> ScopeRule {
    ScopeRule {
        mount: rule.mount.clone(),
        path: rule.path.clone(),
        permission: rule.permission,
        recursive: rule.recursive,
    }
}
