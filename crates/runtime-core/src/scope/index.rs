//! Finds, among many claims, the few that a rule may meet, without looking at the others.
//!
//! Every rule that allows something is kept by its target. A rule meets another one only when one of the
//! two targets is the other, or lies above it. Those above are as many as the path has names; those
//! below lie side by side, because targets are texts in which each name has a `/` before it. So a
//! check costs the logarithm of how many rules there are, times the depth of the path, and what it
//! finds ([`conflicts`](super::conflicts) then decides exactly).
//!
//! Rules to write are kept apart from those to read: everybody may look at the top of where all work, and
//! none of them is in anybody's way.
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
    writers: Targets<K>,
    readers: Targets<K>,
}

/// Who has a rule with this target.
#[derive(Debug, Clone)]
struct Targets<K>(BTreeMap<String, BTreeSet<Entry<K>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<K> {
    holder: K,
    /// Whether it reaches deeper than the direct children of its target.
    recursive: bool,
}

impl<K> Default for ScopeIndex<K> {
    fn default() -> Self {
        let none = || Targets(BTreeMap::new());
        Self {
            writers: none(),
            readers: none(),
        }
    }
}

impl<K: Copy + Ord> ScopeIndex<K> {
    /// Adds what a holder claims.
    pub fn insert(&mut self, holder: K, claim: Claim<'_>) {
        for rule in rules(claim) {
            let Targets(targets) = self.of(rule.permission);
            let there = targets.entry(rule.target.clone()).or_default();
            there.insert(Entry::new(holder, rule));
        }
    }

    /// Takes out what a holder claimed.
    pub fn remove(&mut self, holder: K, claim: Claim<'_>) {
        for rule in rules(claim) {
            let Targets(targets) = self.of(rule.permission);
            if let Some(there) = targets.get_mut(&rule.target) {
                there.remove(&Entry::new(holder, rule));
                if there.is_empty() {
                    targets.remove(&rule.target);
                }
            }
        }
    }

    fn of(&mut self, permission: Permission) -> &mut Targets<K> {
        match permission {
            Permission::Write => &mut self.writers,
            Permission::Read => &mut self.readers,
        }
    }

    /// Every holder with a rule to write that meets one of these. What holders deny themselves is not
    /// looked at: no holder that conflicts is left out, and each that is named may still not.
    pub fn writers_near<'a>(&self, rules: impl Iterator<Item = &'a HeldRule>) -> BTreeSet<K> {
        let mut found = BTreeSet::new();
        for rule in rules {
            found.extend(self.writers.at_or_above(&rule.target));
            match rule.recursive {
                true => found.extend(self.writers.below(&rule.target)),
                false => self.writers.just_below(&rule.target, &mut found),
            }
        }
        found
    }

    /// Every holder with a rule to write that covers this path.
    pub fn writers_at(&self, target: &str) -> BTreeSet<K> {
        self.writers.at_or_above(target).collect()
    }

    /// Every holder with a rule that covers this path.
    pub fn holders_at(&self, target: &str) -> BTreeSet<K> {
        self.some_at(target).collect()
    }

    /// Every holder with a rule whose target lies below this path.
    pub fn holders_below(&self, target: &str) -> BTreeSet<K> {
        self.some_below(target).collect()
    }

    /// As [`holders_at`](Self::holders_at), each once, whoever writes first, and no more is looked at than
    /// is taken.
    pub fn some_at(&self, target: &str) -> impl Iterator<Item = K> {
        let found = self.writers.at_or_above(target);
        once_each(found.chain(self.readers.at_or_above(target)))
    }

    /// As [`holders_below`](Self::holders_below), each once, whoever writes first, and no more is looked at
    /// than is taken.
    pub fn some_below(&self, target: &str) -> impl Iterator<Item = K> {
        let found = self.writers.below(target);
        once_each(found.chain(self.readers.below(target)))
    }
}

fn once_each<K: Copy + Ord>(holders: impl Iterator<Item = K>) -> impl Iterator<Item = K> {
    let mut found = BTreeSet::new();
    holders.filter(move |holder| found.insert(*holder))
}

impl<K: Copy + Ord> Targets<K> {
    /// The rules whose target is this one, and those above that reach down to it.
    fn at_or_above(&self, target: &str) -> impl Iterator<Item = K> {
        let parent = target.rfind('/');
        let ends = target.match_indices('/').map(|(at, _)| at);
        let ends = ends.chain([target.len()]);
        ends.flat_map(move |end| {
            let there = target.get(..end).and_then(|above| self.0.get(above));
            let is_near = end == target.len() || Some(end) == parent;
            let reach = move |entry: &&Entry<K>| is_near || entry.recursive;
            let there = there.into_iter().flatten().filter(reach);
            there.map(|entry| entry.holder)
        })
    }

    /// The rules whose target lies anywhere below this one.
    fn below(&self, target: &str) -> impl Iterator<Item = K> {
        let there = self.between(format!("{target}/"), end_of(target));
        there.flat_map(|(_, there)| there.iter().map(|entry| entry.holder))
    }

    /// The rules whose target is a direct child of this one.
    fn just_below(&self, target: &str, found: &mut BTreeSet<K>) {
        let mut from = format!("{target}/");
        let begin = from.len();
        loop {
            let mut deep = None;
            for (below, there) in self.between(from, end_of(target)) {
                match below.get(begin..).and_then(|rest| rest.find('/')) {
                    Some(name) => {
                        deep = below.get(..begin.saturating_add(name));
                        break;
                    }
                    None => found.extend(there.iter().map(|entry| entry.holder)),
                }
            }
            // However much lies below this child, none of it is asked for.
            match deep {
                Some(child) => from = end_of(child),
                None => return,
            }
        }
    }

    fn between(
        &self,
        from: String,
        end: String,
    ) -> impl Iterator<Item = (&String, &BTreeSet<Entry<K>>)> {
        let range = (Bound::Included(from), Bound::Excluded(end));
        self.0.range::<String, _>(range)
    }
}

/// What comes after all that lies below: `0` is what follows `/`.
fn end_of(target: &str) -> String {
    format!("{target}0")
}

impl<K> Entry<K> {
    fn new(holder: K, rule: &HeldRule) -> Self {
        Self {
            holder,
            recursive: rule.recursive,
        }
    }
}

#[cfg(test)]
mod tests;
