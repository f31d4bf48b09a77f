//! Overlap and coverage of scopes: the whole algebra of I6, in one file.
//!
//! The tree of paths is endless, but rules tell few of its paths apart. Let `t` be the deepest
//! target at or above a path `p`. Then `p` is `t` itself, or a child of `t` that is no target, or
//! something deeper with no target between. All paths of one of these three kinds are covered by
//! the same rules, so one of each kind per target decides every question exactly: these are the
//! [`Place`]s. Coverage is therefore by the *union* of rules, never rule by rule.
//!
//! Targets are compared byte by byte, and mounts play no part: two names for one place meet.
//! Whether a path exists, or is a file that nothing can lie below, is not asked: what could be
//! made tomorrow is covered today.
//!
//! Called by the writer when it grants and delegates, and by whoever explains a refusal.

use super::{HeldRule, HeldScope, Permission};

/// The most pairs of rules that one answer of [`conflicts`] names (I9).
pub const CONFLICTS_MAX: usize = 32;

/// A path that stands for all paths which the same rules cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    target: &'a str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The target itself.
    Target,
    /// Any direct child of it that is no target.
    Child,
    /// Anything deeper that has no target between.
    Deeper,
}

/// Whether there is a path that both rules cover.
pub fn meets(a: &HeldRule, b: &HeldRule) -> bool {
    let (upper, lower) = if a.target.len() <= b.target.len() {
        (a, b)
    } else {
        (b, a)
    };
    // Every rule covers its own target; if the upper one doesn't reach that, it ends above it.
    upper.covers(Place::at(&lower.target))
}

/// The pairs of rules, one of each scope, that give both holders write to the same path; the
/// deepest targets of `b` come first. Empty exactly when no path may be written under both scopes.
///
/// Read conflicts with nothing. What a scope denies itself it does not hold, so a pair is named
/// only for a path that is left to both. At most [`CONFLICTS_MAX`] pairs are named.
pub fn conflicts<'a>(a: &'a HeldScope, b: &'a HeldScope) -> Vec<(&'a HeldRule, &'a HeldRule)> {
    let mut pairs: Vec<(&HeldRule, &HeldRule)> = Vec::new();
    // Most scopes are far apart, and this tells without a look at what is denied.
    if !writes(a).any(|rule| writes(b).any(|other| meets(rule, other))) {
        return pairs;
    }
    let contested: Vec<Place<'_>> = places([a, b])
        .into_iter()
        .filter(|place| [a, b].map(|scope| scope.left_at(*place)) == [Some(Permission::Write); 2])
        .collect();
    let mut of_b: Vec<&HeldRule> = writes(b).collect();
    of_b.sort_by_key(|rule| std::cmp::Reverse(depth(&rule.target)));
    for other in of_b {
        let shared = |rule: &&HeldRule| {
            let both = |place: &Place<'_>| rule.covers(*place) && other.covers(*place);
            contested.iter().any(both)
        };
        let room = CONFLICTS_MAX.saturating_sub(pairs.len());
        pairs.extend(
            writes(a)
                .filter(shared)
                .take(room)
                .map(|rule| (rule, other)),
        );
        if pairs.len() >= CONFLICTS_MAX {
            break;
        }
    }
    pairs
}

/// Whether `outer` leaves at least the permission on every path that `inner` leaves.
///
/// A rule of `inner` may be covered by several rules of `outer` together, and what `inner` denies
/// itself needs no cover.
pub fn covers(outer: &HeldScope, inner: &HeldScope) -> bool {
    places([outer, inner])
        .into_iter()
        .all(|place| inner.left_at(place) <= outer.left_at(place))
}

impl HeldScope {
    /// What the scope leaves to its holder at an absolute, normalised path; `None` for nothing.
    ///
    /// A deny rule of `write` leaves `read`; one of `read` leaves nothing, as who may not look may
    /// not change.
    pub fn permission_at(&self, target: &str) -> Option<Permission> {
        self.left_at(Place::at(target))
    }

    fn left_at(&self, place: Place<'_>) -> Option<Permission> {
        let at = |rule: &&HeldRule| rule.covers(place);
        let permission = |rule: &HeldRule| rule.permission;
        let allowed = self.allow.iter().filter(at).map(permission).max()?;
        match self.deny.iter().filter(at).map(permission).min() {
            None => Some(allowed),
            Some(Permission::Write) => Some(Permission::Read),
            Some(Permission::Read) => None,
        }
    }
}

impl HeldRule {
    fn covers(&self, place: Place<'_>) -> bool {
        let Some(below) = place.target.strip_prefix(self.target.as_str()) else {
            return false;
        };
        // Names are non-empty and the root is the empty text: `/a` is above `/a/b`, not above `/ab`.
        let name = match below.strip_prefix('/') {
            Some(name) => name,
            None if below.is_empty() => return self.recursive || place.kind != Kind::Deeper,
            None => return false,
        };
        self.recursive || (place.kind == Kind::Target && !name.contains('/'))
    }
}

impl<'a> Place<'a> {
    fn at(target: &'a str) -> Self {
        Self {
            target,
            kind: Kind::Target,
        }
    }
}

fn writes(scope: &HeldScope) -> impl Iterator<Item = &HeldRule> {
    let write = |rule: &&HeldRule| rule.permission == Permission::Write;
    scope.allow.iter().filter(write)
}

/// One path of each kind that the rules of both scopes tell apart.
fn places<'a>(scopes: [&'a HeldScope; 2]) -> Vec<Place<'a>> {
    let rules = scopes
        .into_iter()
        .flat_map(|scope| scope.allow.iter().chain(&scope.deny));
    let kinds = [Kind::Target, Kind::Child, Kind::Deeper];
    let mut places: Vec<Place<'a>> = rules
        .map(|rule| rule.target.as_str())
        .flat_map(|target| kinds.map(|kind| Place { target, kind }))
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

fn depth(target: &str) -> usize {
    target.bytes().filter(|byte| *byte == b'/').count()
}

#[cfg(test)]
mod tests;
