//! Who holds a scope, without the absolute paths that it stands for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{HeldRule, HeldScope, Scope, ScopeRule, WorkerId};

/// Who holds a scope that meets another one, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScopeOwner {
    /// The owner.
    pub worker_id: WorkerId,
    /// Its name for people.
    pub display_name: Option<String>,
    /// The rule that it holds.
    pub holds: ScopeRule,
    /// The rule that was asked for and meets it.
    pub asked: ScopeRule,
}

impl fmt::Display for ScopeOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            worker_id,
            display_name,
            holds,
            asked,
        } = self;
        let name = display_name.as_deref().unwrap_or("unnamed");
        write!(
            f,
            "Worker {worker_id} ({name}) holds {}:{} against {}:{}",
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
