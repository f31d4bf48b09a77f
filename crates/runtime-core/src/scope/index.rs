//! Finds, among many claims, the few that a rule may meet, without looking at the others.
//!
//! Every rule that allows something is kept by its target. A rule meets another one only when one of the
//! two targets is the other, or lies above it. Those above are as many as the path has names; those
//! below lie side by side, because targets are texts in which each name has a `/` before it. So a
//! check costs the logarithm of how many rules there are, times the depth of the path, and what it
//! finds ([`conflicts`](super::conflicts) then decides exactly).
//!
//! Called by the writer for each grant, and by whoever asks who holds a path.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{Claim, HeldRule, Permission, overlap::rules};

/// The rules of many claims, by target.
#[derive(Debug, Clone)]
pub struct ScopeIndex<K> {
    targets: BTreeMap<String, Vec<Entry<K>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry<K> {
    holder: K,
    permission: Permission,
    /// Whether it reaches deeper than the direct children of its target.
    recursive: bool,
}

impl<K> Default for ScopeIndex<K> {
    fn default() -> Self {
        let targets = BTreeMap::new();
        Self { targets }
    }
}

impl<K: Copy + Ord> ScopeIndex<K> {
    /// Adds what a holder claims.
    pub fn insert(&mut self, holder: K, claim: Claim<'_>) {
        for rule in rules(claim) {
            let entry = Entry::new(holder, rule);
            let there = self.targets.entry(rule.target.clone()).or_default();
            if !there.contains(&entry) {
                there.push(entry);
            }
        }
    }

    /// Takes out what a holder claimed.
    pub fn remove(&mut self, holder: K, claim: Claim<'_>) {
        for rule in rules(claim) {
            if let Some(there) = self.targets.get_mut(&rule.target) {
                there.retain(|entry| entry.holder != holder);
                if there.is_empty() {
                    self.targets.remove(&rule.target);
                }
            }
        }
    }

    /// Every holder with a rule to write that meets one of these. What holders deny themselves is not
    /// looked at: no holder that conflicts is left out, and each that is named may still not.
    pub fn writers_near<'a>(&self, rules: impl Iterator<Item = &'a HeldRule>) -> BTreeSet<K> {
        let mut found = BTreeSet::new();
        for rule in rules {
            let writes = |entry: &Entry<K>| entry.permission == Permission::Write;
            self.at_or_above(&rule.target, |entry| {
                if writes(entry) {
                    found.insert(entry.holder);
                }
            });
            self.below(&rule.target, rule.recursive, |entry| {
                if writes(entry) {
                    found.insert(entry.holder);
                }
            });
        }
        found
    }

    /// Every holder with a rule that covers this path.
    pub fn holders_at(&self, target: &str) -> BTreeSet<K> {
        let mut found = BTreeSet::new();
        self.at_or_above(target, |entry| {
            found.insert(entry.holder);
        });
        found
    }

    /// Every holder with a rule whose target lies below this path.
    pub fn holders_below(&self, target: &str) -> BTreeSet<K> {
        let mut found = BTreeSet::new();
        self.below(target, true, |entry| {
            found.insert(entry.holder);
        });
        found
    }

    /// The rules whose target is this one, and those above that reach down to it.
    fn at_or_above(&self, target: &str, mut each: impl FnMut(&Entry<K>)) {
        let parent = target.rfind('/');
        let ends = target.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([target.len()]) {
            let Some(there) = target.get(..end).and_then(|above| self.targets.get(above)) else {
                continue;
            };
            let is_near = end == target.len() || Some(end) == parent;
            let reach = there.iter().filter(|entry| is_near || entry.recursive);
            reach.for_each(&mut each);
        }
    }

    /// The rules whose target lies below this one; without `deeply` only those of direct children.
    fn below(&self, target: &str, deeply: bool, mut each: impl FnMut(&Entry<K>)) {
        // `0` is what follows `/`: all that lies below is between the two.
        let end = format!("{target}0");
        let mut from = format!("{target}/");
        let begin = from.len();
        loop {
            let range = (Bound::Included(from), Bound::Excluded(end.clone()));
            let mut deep = None;
            for (below, there) in self.targets.range::<String, _>(range) {
                let child = below.get(begin..).and_then(|rest| rest.find('/'));
                match child.filter(|_| !deeply) {
                    Some(name) => {
                        deep = below.get(..begin.saturating_add(name));
                        break;
                    }
                    None => there.iter().for_each(&mut each),
                }
            }
            // However much lies below this child, none of it is asked for.
            match deep {
                Some(child) => from = format!("{child}0"),
                None => return,
            }
        }
    }
}

impl<K> Entry<K> {
    fn new(holder: K, rule: &HeldRule) -> Self {
        Self {
            holder,
            permission: rule.permission,
            recursive: rule.recursive,
        }
    }
}
