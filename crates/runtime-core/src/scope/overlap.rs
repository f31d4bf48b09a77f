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
//! A holder has two scopes: what it may touch, and what it may hand on to those below it. Three
//! things are made of them, and the same questions are asked of each ([`Leaves`]):
//! - [`Claim`]: both, which is what others are kept from
//! - [`Authority`]: what those below it may ask for
//! - [`Effective`]: what it may touch just now, without what those below it hold
//!
//! Called by the writer when it grants and delegates, and by whoever explains a refusal.

use super::{HeldRule, HeldScope, Permission};
use crate::sabotage::{self, Sabotage};

/// Nothing at all.
pub static NO_SCOPE: HeldScope = HeldScope {
    allow: Vec::new(),
    deny: Vec::new(),
};

/// The most pairs of rules that one answer of [`conflicts`] names (I9).
pub const CONFLICTS_MAX: usize = 32;

/// A path that stands for all paths which the same rules cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place<'a> {
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

/// What leaves a permission, or none, at every path, by rules.
pub trait Leaves: sealed::Places {
    /// What is left at an absolute, normalised path; `None` for nothing.
    fn permission_at(&self, target: &str) -> Option<Permission> {
        self.left_at(Place::at(target))
    }
}

mod sealed {
    use super::{HeldScope, Permission, Place};

    pub trait Places {
        /// What is left at the paths that this one stands for.
        fn left_at(&self, place: Place<'_>) -> Option<Permission>;
        /// Every scope of which it is made.
        fn scopes(&self) -> impl Iterator<Item = &HeldScope>;
    }
}

use sealed::Places;

impl<T: Places> Leaves for T {}

/// What a holder keeps others from: what it may touch, and what it may hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// What it may touch itself.
    pub scope: &'a HeldScope,
    /// What it may hand on.
    pub delegation: &'a HeldScope,
}

/// What those below a holder may ask for: what it may hand on, and to look at what it may look at
/// itself, as that takes nothing from anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a>(pub Claim<'a>);

/// What a holder may touch just now: what those directly below it hold to write, it may only read.
/// Derived, so that what they return is its own again at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective<'a> {
    /// What it holds.
    pub scope: &'a HeldScope,
    /// What each of those directly below it keeps others from.
    pub lent: Vec<Claim<'a>>,
}

impl<'a> From<&'a HeldScope> for Claim<'a> {
    fn from(scope: &'a HeldScope) -> Self {
        let delegation = &NO_SCOPE;
        Self { scope, delegation }
    }
}

impl Places for HeldScope {
    /// A deny rule of `write` leaves `read`; one of `read` leaves nothing, as who may not look may
    /// not change.
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

    fn scopes(&self) -> impl Iterator<Item = &HeldScope> {
        std::iter::once(self)
    }
}

impl Places for Claim<'_> {
    fn left_at(&self, place: Place<'_>) -> Option<Permission> {
        self.scope
            .left_at(place)
            .max(self.delegation.left_at(place))
    }

    fn scopes(&self) -> impl Iterator<Item = &HeldScope> {
        [self.scope, self.delegation].into_iter()
    }
}

impl Places for Authority<'_> {
    fn left_at(&self, place: Place<'_>) -> Option<Permission> {
        let Self(Claim { scope, delegation }) = self;
        let looks = scope.left_at(place).map(|_| Permission::Read);
        delegation.left_at(place).max(looks)
    }

    fn scopes(&self) -> impl Iterator<Item = &HeldScope> {
        self.0.scopes()
    }
}

impl Places for Effective<'_> {
    fn left_at(&self, place: Place<'_>) -> Option<Permission> {
        let is_lent = |claim: &Claim<'_>| claim.left_at(place) == Some(Permission::Write);
        match self.scope.left_at(place)? {
            Permission::Write if self.lent.iter().any(is_lent) => Some(Permission::Read),
            own => Some(own),
        }
    }

    fn scopes(&self) -> impl Iterator<Item = &HeldScope> {
        let lent = self.lent.iter().flat_map(Places::scopes);
        std::iter::once(self.scope).chain(lent)
    }
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

/// The pairs of rules, one of each claim, that give both holders write to the same path; the
/// deepest targets of `b` come first. Empty exactly when no path may be written under both claims.
///
/// Read conflicts with nothing. What a scope denies itself it does not hold, so a pair is named
/// only for a path that is left to both. At most [`CONFLICTS_MAX`] pairs are named.
pub fn conflicts<'a>(
    a: impl Into<Claim<'a>>,
    b: impl Into<Claim<'a>>,
) -> Vec<(&'a HeldRule, &'a HeldRule)> {
    let (a, b) = (a.into(), b.into());
    let mut pairs: Vec<(&HeldRule, &HeldRule)> = Vec::new();
    // Most claims are far apart, and this tells without a look at what is denied.
    if !writes(a).any(|rule| writes(b).any(|other| meets(rule, other))) {
        return pairs;
    }
    let contested: Vec<Place<'_>> = places(&a, &b)
        .into_iter()
        .filter(|place| [a, b].map(|claim| claim.left_at(*place)) == [Some(Permission::Write); 2])
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
pub fn covers(outer: &impl Leaves, inner: &impl Leaves) -> bool {
    uncovered(outer, inner).is_none()
}

/// The first rule of `inner` that allows more, at some path that is left to it, than `outer` leaves
/// there; `None` when `outer` covers `inner`.
pub fn uncovered<'a>(outer: &impl Leaves, inner: &'a impl Leaves) -> Option<&'a HeldRule> {
    let open = |place: &Place<'_>| inner.left_at(*place) > outer.left_at(*place);
    let places: Vec<Place<'_>> = places(outer, inner).into_iter().filter(open).collect();
    let reaches = |rule: &&HeldRule| {
        let more = |place: &Place<'_>| {
            rule.covers(*place) && Some(rule.permission) > outer.left_at(*place)
        };
        places.iter().any(more)
    };
    let shared =
        |rule| sabotage::is(Sabotage::CoverRuleByRule) && !is_covered_by_one(outer, inner, rule);
    let mut allowed = inner.scopes().flat_map(|scope| &scope.allow);
    allowed.find(|rule| reaches(rule) || shared(rule))
}

/// Whether one rule alone leaves all that is left of this one: what a fault put in on purpose asks.
fn is_covered_by_one(outer: &impl Leaves, inner: &impl Leaves, rule: &HeldRule) -> bool {
    let places = places(outer, inner).into_iter();
    let of_rule: Vec<Place<'_>> = places.filter(|place| rule.covers(*place)).collect();
    let covers = |scope: &HeldScope, one: &HeldRule| {
        let leaves = |place: &Place<'_>| {
            let left = inner.left_at(*place);
            left.is_none() || one.covers(*place) && scope.left_at(*place) >= left
        };
        of_rule.iter().all(leaves)
    };
    let mut scopes = outer.scopes();
    scopes.any(|scope| scope.allow.iter().any(|one| covers(scope, one)))
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

/// Every rule of a claim that allows something.
pub(super) fn rules<'a>(claim: Claim<'a>) -> impl Iterator<Item = &'a HeldRule> {
    let scopes = [claim.scope, claim.delegation].into_iter();
    scopes.flat_map(|scope| &scope.allow)
}

/// Every rule of a claim that allows to write.
pub fn writes<'a>(claim: Claim<'a>) -> impl Iterator<Item = &'a HeldRule> {
    rules(claim).filter(|rule| rule.permission == Permission::Write)
}

/// One path of each kind that the rules of both tell apart.
fn places<'a>(a: &'a impl Places, b: &'a impl Places) -> Vec<Place<'a>> {
    let scopes = a.scopes().chain(b.scopes());
    let rules = scopes.flat_map(|scope| scope.allow.iter().chain(&scope.deny));
    let kinds = [Kind::Target, Kind::Child, Kind::Deeper];
    let mut places: Vec<Place<'a>> = rules
        .map(|rule| rule.target.as_str())
        .flat_map(|target| kinds.map(|kind| Place { target, kind }))
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// The deepest rule of a claim that covers this path, one to write before one to read.
pub(crate) fn deepest_at<'a>(claim: Claim<'a>, target: &str) -> Option<&'a HeldRule> {
    let covering = rules(claim).filter(|rule| rule.covers(Place::at(target)));
    covering.max_by_key(|rule| (rule.permission, rule.target.len()))
}

/// The rule of a claim whose target lies below this path and nearest to it, one to write before one to
/// read.
pub(crate) fn nearest_below<'a>(claim: Claim<'a>, target: &str) -> Option<&'a HeldRule> {
    let is_below = |rule: &&HeldRule| {
        let rest = rule.target.strip_prefix(target);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let below = rules(claim).filter(is_below);
    below.max_by_key(|rule| (rule.permission, std::cmp::Reverse(rule.target.len())))
}

fn depth(target: &str) -> usize {
    target.bytes().filter(|byte| *byte == b'/').count()
}

#[cfg(test)]
mod tests;
