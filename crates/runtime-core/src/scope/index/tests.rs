//! What the index looks at, beyond that it leaves out nobody (which the tests of the algebra show against a
//! look at all): the jumps of a rule that does not reach deep, and that nothing is looked at for nothing.

use std::collections::BTreeSet;

use super::ScopeIndex;
use crate::scope::{Claim, HeldRule, HeldScope, Permission};

fn rule(target: &str, permission: Permission, recursive: bool) -> HeldRule {
    HeldRule {
        mount: "m".to_owned(),
        path: target.trim_start_matches('/').to_owned(),
        target: target.to_owned(),
        permission,
        recursive,
    }
}

fn writes(target: &str) -> HeldScope {
    allow([rule(target, Permission::Write, true)])
}

fn reads(target: &str) -> HeldScope {
    allow([rule(target, Permission::Read, true)])
}

fn allow(rules: impl Into<Vec<HeldRule>>) -> HeldScope {
    HeldScope {
        allow: rules.into(),
        deny: vec![],
    }
}

/// Each holder's number is its place in the list.
fn index(held: &[HeldScope]) -> ScopeIndex<usize> {
    let mut index = ScopeIndex::default();
    for (holder, scope) in held.iter().enumerate() {
        index.insert(holder, Claim::from(scope));
    }
    index
}

/// Who meets a rule for the target and its direct children.
fn near(index: &ScopeIndex<usize>, target: &str) -> Vec<usize> {
    let asked = rule(target, Permission::Write, false);
    index
        .writers_near([&asked].into_iter())
        .into_iter()
        .collect()
}

#[test]
fn a_shallow_rule_meets_each_direct_child_whatever_lies_deep_between_them() {
    let index = index(&[
        writes("/w/a"),
        writes("/w/b/deep/deeper"),
        writes("/w/b/other"),
        writes("/w/c"),
        writes("/w/d/deep"),
        writes("/w/z"),
        writes("/wz"),
    ]);
    assert_eq!(near(&index, "/w"), [0, 3, 5]);
}

#[test]
fn a_shallow_rule_meets_a_child_that_something_lies_below_too() {
    let index = index(&[writes("/w/a/deep"), writes("/w/a"), writes("/w/a/deeper")]);
    assert_eq!(near(&index, "/w"), [1]);
}

/// `-`, `.` and `0` are before and after `/`: what is beside a child by its text is not below it.
#[test]
fn a_jump_over_one_child_leaves_out_none_whose_name_begins_alike() {
    let index = index(&[
        writes("/w/a-b"),
        writes("/w/a.b"),
        writes("/w/a/deep"),
        writes("/w/a0"),
        writes("/w/a00/deep"),
        writes("/w/a1"),
        writes("/w/aa"),
    ]);
    assert_eq!(near(&index, "/w"), [0, 1, 3, 5, 6]);
}

#[test]
fn a_shallow_rule_of_the_root_meets_what_lies_directly_below_it() {
    let index = index(&[writes(""), writes("/a"), writes("/a/b"), writes("/b/c")]);
    assert_eq!(near(&index, ""), [0, 1]);
}

#[test]
fn a_shallow_rule_above_reaches_a_child_and_no_deeper() {
    let index = index(&[
        allow([rule("/w", Permission::Write, false)]),
        allow([rule("/w", Permission::Write, true)]),
    ]);
    assert_eq!(near(&index, "/w/a"), [0, 1]);
    assert_eq!(near(&index, "/w/a/b"), [1]);
    assert_eq!(index.writers_at("/w/a/b"), BTreeSet::from([1]));
}

#[test]
fn who_may_only_look_is_near_to_nobody() {
    let index = index(&[reads(""), reads("/w"), writes("/w/a"), reads("/w/a")]);
    let asked = rule("/w/a", Permission::Write, true);
    let near = index.writers_near([&asked].into_iter());
    assert_eq!(near, BTreeSet::from([2]));
    assert_eq!(index.writers_at("/w/a"), BTreeSet::from([2]));
}

#[test]
fn who_may_write_is_found_first_and_each_once() {
    let several = allow([
        rule("/w/a", Permission::Write, true),
        rule("/w/a/b", Permission::Write, true),
        rule("/w/a/b", Permission::Read, true),
    ]);
    let index = index(&[reads("/w"), reads("/w/a"), several]);
    let at: Vec<usize> = index.some_at("/w/a/b").collect();
    assert_eq!(at, [2, 0, 1]);
    let below: Vec<usize> = index.some_below("/w").collect();
    assert_eq!(below, [2, 1]);
}

#[test]
fn what_is_taken_out_leaves_what_others_have_of_the_same_target() {
    let [wide, narrow] =
        [true, false].map(|recursive| allow([rule("/w", Permission::Write, recursive)]));
    let mut index = index(&[wide.clone(), wide.clone(), narrow]);
    index.remove(0, Claim::from(&wide));
    assert_eq!(index.holders_at("/w"), BTreeSet::from([1, 2]));
    assert_eq!(index.holders_at("/w/a/b"), BTreeSet::from([1]));
    index.remove(1, Claim::from(&wide));
    assert_eq!(index.holders_at("/w/a"), BTreeSet::from([2]));
}

#[test]
fn what_is_claimed_twice_is_gone_at_once() {
    let scope = writes("/w");
    let claim = Claim {
        scope: &scope,
        delegation: &scope,
    };
    let mut index = ScopeIndex::default();
    index.insert(0, claim);
    index.remove(0, claim);
    assert!(index.holders_at("/w").is_empty());
    assert!(index.holders_below("").is_empty());
    assert!(index.writers.0.is_empty(), "nothing is left of its target");
}
