//! How much of a scope the kernel can hold (I6).
//!
//! Landlock knows trees: what may be written below a directory may be written in all of it. So the
//! kernel is given the tree of each rule to write of which anything is left. Where more lies in such a
//! tree than the scope leaves (what is denied, what lies deeper than a rule reaches, what Workers below
//! hold), it is named: there the kernel keeps nobody out.
//!
//! Called by `confinement`, which knows what is there.

use worker_runtime_core::{
    HeldRule, HeldScope, Permission, WorkerId,
    record::AllocationRecord,
    scope::{Effective, RunScope, conflicts, meets, uncovered},
};

/// The trees that the kernel lets a command write, and what it can't keep it from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) trees: HeldScope,
    pub(super) open: Vec<Open>,
}

/// What lies in a tree and not in what is left of the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Open {
    /// It is denied.
    Denied(HeldRule),
    /// The rule reaches only the direct children of its target.
    Deeper(HeldRule),
    /// A Worker below holds some of it.
    Lent(WorkerId),
    /// It may be granted to Workers below while the run goes on.
    Delegated,
}

impl Outline {
    /// `is_file`: whether nothing can lie below a rule's target.
    pub(super) fn of(scope: &RunScope, is_file: impl Fn(&HeldRule) -> bool) -> Self {
        let effective = scope.effective();
        let own = effective.scope;
        let writes = |rule: &&HeldRule| rule.permission == Permission::Write;
        let left: Vec<&HeldRule> = own
            .allow
            .iter()
            .filter(writes)
            .filter(|rule| is_left(rule, &effective))
            .collect();
        let trees = HeldScope {
            allow: left.iter().map(|rule| whole(rule)).collect(),
            deny: Vec::new(),
        };
        let mut open = Vec::new();
        for denied in &own.deny {
            if trees.allow.iter().any(|tree| meets(tree, denied)) {
                open.push(Open::Denied(denied.clone()));
            }
        }
        let allowed = HeldScope {
            allow: own.allow.clone(),
            deny: Vec::new(),
        };
        for rule in left.iter().filter(|rule| !rule.recursive && !is_file(rule)) {
            let tree = HeldScope {
                allow: vec![whole(rule)],
                deny: Vec::new(),
            };
            if uncovered(&allowed, &tree).is_some() {
                open.push(Open::Deeper((*rule).clone()));
            }
        }
        let holds = |child: &&std::sync::Arc<AllocationRecord>| {
            !conflicts(child.claim(), &trees).is_empty()
        };
        let lent = scope.lent.iter().filter(holds);
        open.extend(lent.map(|child| Open::Lent(child.worker_id)));
        let delegation = scope.held.delegation.as_deref();
        if delegation.is_some_and(|delegation| !conflicts(delegation, &trees).is_empty()) {
            open.push(Open::Delegated);
        }
        Self { trees, open }
    }
}

/// The rule with everything below its target.
fn whole(rule: &HeldRule) -> HeldRule {
    HeldRule {
        recursive: true,
        ..rule.clone()
    }
}

/// Whether there is a path that this rule alone still lets the run write.
fn is_left(rule: &HeldRule, effective: &Effective<'_>) -> bool {
    let alone = HeldScope {
        allow: vec![rule.clone()],
        deny: effective.scope.deny.clone(),
    };
    let alone = Effective {
        scope: &alone,
        lent: effective.lent.clone(),
    };
    let looks = HeldScope {
        allow: vec![HeldRule {
            permission: Permission::Read,
            ..whole(rule)
        }],
        deny: Vec::new(),
    };
    uncovered(&looks, &alone).is_some()
}

#[cfg(test)]
mod tests;
