//! The core's answers about scopes, against sets of paths: whether rules meet, claims conflict, one scope
//! covers another, and what is left where.

use worker_runtime_core::{
    HeldRule, HeldScope, Permission,
    scope::{
        Authority, CONFLICTS_MAX, Claim, Effective, Leaves, conflicts, covers, meets, uncovered,
    },
};

use super::{
    Case,
    plain::{Holding, Left, Rule},
    tree::Tree,
};
use crate::report::{Outcome, Violation};

const MEETS: &str = "I6 scopes meet where both may write";
const COVERS: &str = "I6 a scope covers what it leaves on every path";
const LEAVES: &str = "I6 what is left at a path is what its rules leave";

/// A holder on both sides.
struct Both<'a> {
    plain: &'a Holding,
    scope: HeldScope,
    delegation: HeldScope,
    claim: Left,
}

impl<'a> Both<'a> {
    fn new(tree: &Tree, plain: &'a Holding) -> Self {
        Self {
            plain,
            scope: plain.scope.held(),
            delegation: plain.delegation.held(),
            claim: plain.claim(tree),
        }
    }

    fn claim(&self) -> Claim<'_> {
        Claim {
            scope: &self.scope,
            delegation: &self.delegation,
        }
    }
}

/// What is not as the sets say.
pub(super) fn look(tree: &Tree, case: &Case) -> Result<(), Violation> {
    let holders: Vec<Both<'_>> = case.holders.iter().map(|it| Both::new(tree, it)).collect();
    let [above, below, beside, ..] = holders.as_slice() else {
        return Ok(());
    };
    look_at_rules(tree, above, below)?;
    for (one, other) in [(above, below), (below, beside)] {
        look_at_conflicts(tree, one, other)?;
        look_at_conflicts(tree, other, one)?;
    }
    let lent = [below, beside];
    let effective = Effective {
        scope: &above.scope,
        lent: lent.iter().map(|child| child.claim()).collect(),
    };
    let of_effective = above
        .plain
        .effective(tree, lent.iter().map(|child| child.plain));
    let authority = above.plain.authority(tree);
    let (of_above, of_below) = (above.plain.scope.left(tree), below.plain.scope.left(tree));
    look_at_cover(
        tree,
        (&Authority(above.claim()), authority),
        (&below.claim(), below),
    )?;
    look_at_cover(tree, (&above.claim(), above.claim), (&below.claim(), below))?;
    let pairs = [
        (
            covers(&above.scope, &below.scope),
            of_below.is_within(of_above),
        ),
        (
            covers(&effective, &below.scope),
            of_below.is_within(of_effective),
        ),
        (
            covers(&above.scope, &effective),
            of_effective.is_within(of_above),
        ),
        (
            covers(&effective, &above.scope),
            of_above.is_within(of_effective),
        ),
    ];
    if let Some(nth) = pairs.iter().position(|(told, is)| told != is) {
        return Err(differs(
            COVERS,
            format!("cover {nth} is told as {:?}", pairs.get(nth)),
        ));
    }
    look_at_left(tree, "what is held", &above.scope, of_above)?;
    look_at_left(tree, "what is claimed", &above.claim(), above.claim)?;
    look_at_left(
        tree,
        "what may be handed on",
        &Authority(above.claim()),
        authority,
    )?;
    look_at_left(tree, "what is left to its holder", &effective, of_effective)
}

/// What a case was about, for the figures: a run that only sees easy ones shows nothing.
pub(super) fn reached(tree: &Tree, case: &Case, outcome: &mut Outcome) {
    let [above, below, ..] = case.holders.as_slice() else {
        return;
    };
    let (claim, authority) = (above.claim(tree), above.authority(tree));
    let asked = below.claim(tree);
    let meet = !claim.write.and(asked.write).is_empty();
    outcome.count("claims that conflict", u64::from(meet));
    let is_covered = asked.is_within(authority);
    outcome.count("claims within an authority", u64::from(is_covered));
    let one = |rule: &Rule| {
        let of = |rules: &super::plain::Rules| {
            let left = rules.left(tree);
            let covers = |one: &Rule| {
                let paths = rule.paths(tree);
                let part = Left {
                    read: asked.read.and(paths),
                    write: asked.write.and(paths),
                };
                part.read.is_within(one.paths(tree)) && part.is_within(left)
            };
            rules.allow.iter().any(covers)
        };
        of(&above.scope) || of(&above.delegation)
    };
    let is_union = asked.is_within(claim) && !below.rules().all(one);
    outcome.count("claims that only several rules cover", u64::from(is_union));
}

fn look_at_rules(tree: &Tree, one: &Both<'_>, other: &Both<'_>) -> Result<(), Violation> {
    for a in one.plain.rules() {
        for b in other.plain.rules() {
            let expected = !a.paths(tree).and(b.paths(tree)).is_empty();
            let (a, b) = (a.held(), b.held());
            if [meets(&a, &b), meets(&b, &a)] != [expected; 2] {
                let detail = format!("that {a:?} meets {b:?} is not told as {expected}");
                return Err(differs(MEETS, detail));
            }
        }
    }
    Ok(())
}

/// Claims conflict where both may write, and the rules are named that give both the same path.
fn look_at_conflicts(tree: &Tree, a: &Both<'_>, b: &Both<'_>) -> Result<(), Violation> {
    let shared = a.claim.write.and(b.claim.write);
    let pairs = conflicts(a.claim(), b.claim());
    if pairs.is_empty() != shared.is_empty() {
        let detail = format!(
            "they share {}, and told is {pairs:?}",
            tree.in_words(shared)
        );
        return Err(differs(MEETS, detail));
    }
    if shared.is_empty() {
        return Ok(());
    }
    let of = |holding: &Holding| -> Vec<(HeldRule, super::tree::Paths)> {
        let rules = holding.rules();
        let to_write = rules.filter(|rule| rule.permission == Permission::Write);
        to_write
            .map(|rule| (rule.held(), rule.paths(tree)))
            .collect()
    };
    let (of_a, of_b) = (of(a.plain), of(b.plain));
    let named =
        |rule: &HeldRule, other: &HeldRule| pairs.iter().any(|(a, b)| (*a, *b) == (rule, other));
    for (rule, paths) in &of_a {
        for (other, of_other) in &of_b {
            let expected = !shared.and(*paths).and(*of_other).is_empty();
            let is_full = pairs.len() >= CONFLICTS_MAX;
            if named(rule, other) != expected && !(is_full && expected) {
                let detail = format!("{rule:?} against {other:?} is not told as {expected}");
                return Err(differs(MEETS, detail));
            }
        }
    }
    let depths = pairs.iter().map(|(_, b)| b.target.matches('/').count());
    match depths.is_sorted_by(|a, b| a >= b) {
        true => Ok(()),
        false => Err(differs(
            MEETS,
            format!("the deepest does not come first: {pairs:?}"),
        )),
    }
}

/// One covers another on every path or not, and the rule that is named is the first that reaches out.
fn look_at_cover(
    tree: &Tree,
    (outer, of_outer): (&impl Leaves, Left),
    (inner, below): (&Claim<'_>, &Both<'_>),
) -> Result<(), Violation> {
    let expected = below.claim.is_within(of_outer);
    let told = uncovered(outer, inner);
    if told.is_none() != expected || covers(outer, inner) != expected {
        let beyond = tree.in_words(below.claim.beyond(of_outer));
        let detail = format!("beyond it is {beyond}, and told is {told:?}");
        return Err(differs(COVERS, detail));
    }
    let beyond = below.claim.beyond(of_outer);
    let reaches = |rule: &&Rule| {
        let open = beyond.and(rule.paths(tree));
        !of_outer.less_than(rule.permission, open).is_empty()
    };
    let first = below.plain.rules().find(reaches).map(Rule::held);
    match told == first.as_ref() {
        true => Ok(()),
        false => Err(differs(COVERS, format!("{told:?} is named for {first:?}"))),
    }
}

fn look_at_left(
    tree: &Tree,
    what: &str,
    leaves: &impl Leaves,
    left: Left,
) -> Result<(), Violation> {
    let rest = tree.all(tree.top()).minus(left.write);
    // Any few of them: there are many cases.
    for path in tree.some(left.read).chain(tree.some(rest)) {
        let (told, expected) = (leaves.permission_at(tree.text(path)), left.at(path));
        if told != expected {
            let detail = format!(
                "{what} at {:?} is told as {told:?}, not {expected:?}",
                tree.text(path)
            );
            return Err(differs(LEAVES, detail));
        }
    }
    Ok(())
}

fn differs(promise: &str, detail: String) -> Violation {
    Violation::new(promise, detail)
}
