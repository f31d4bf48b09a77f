//! What a case is made of: rules that meet often, rules that lie side by side or above each other, families
//! three deep.

use fastrand::Rng;
use worker_runtime_core::Permission;

use super::{
    Case,
    plain::{Holding, MOUNTS, Mount, Rule, Rules},
    tree::{Path, Tree},
};

/// Holders of an index, at most.
const HOLDERS_MAX: usize = 9;

/// A choice from the tree.
pub(super) struct Chooser<'a> {
    pub(super) tree: &'a Tree,
    pub(super) rng: &'a mut Rng,
}

impl Chooser<'_> {
    /// A family for the algebra: one above, one below, and those beside.
    pub(super) fn family(mut self) -> Case {
        let holders = match self.rng.u8(0..4) {
            0 => self.side_by_side(),
            1 => {
                let above = self.holding(3);
                let below = self.within(&above);
                let deepest = self.within(&below);
                vec![above, below, deepest]
            }
            _ => (0..3).map(|_| self.holding(2)).collect(),
        };
        Case { holders }
    }

    /// Many holders for the index, and what is asked for.
    pub(super) fn holders(mut self) -> Case {
        let count = self.rng.usize(2..=HOLDERS_MAX);
        let holders = (0..count).map(|_| self.holding(2)).collect();
        Case { holders }
    }

    /// Two that each cover a part, and what spans both.
    fn side_by_side(&mut self) -> Vec<Holding> {
        let above = self.in_parts();
        let parts = [&above.scope, &above.delegation].into_iter();
        let whole = parts.flat_map(|part| part.allow.first());
        let whole = whole.min_by_key(|rule| rule.text.len()).cloned();
        let asked = Holding {
            scope: Rules {
                allow: whole.into_iter().collect(),
                deny: Vec::new(),
            },
            delegation: Rules::default(),
        };
        vec![above, asked, self.holding(1)]
    }

    /// What denies itself a place that it may hand on, or the other way round.
    pub(super) fn in_parts(&mut self) -> Holding {
        let mut upper = self.rule();
        let mut lower = self.rule_below(upper.target);
        upper.permission = self.permission();
        lower.permission = upper.permission;
        let mut denied = lower.clone();
        denied.permission = self.permission();
        let part = Rules {
            allow: vec![upper],
            deny: vec![denied],
        };
        let rest = Rules {
            allow: vec![lower],
            deny: Vec::new(),
        };
        let (scope, delegation) = match self.rng.bool() {
            true => (part, rest),
            false => (rest, part),
        };
        Holding { scope, delegation }
    }

    /// What lies within somebody's, mostly: a part of its rules, or what is below them.
    pub(super) fn within(&mut self, above: &Holding) -> Holding {
        let mut below = Holding::default();
        let mut rules: Vec<Rule> = above.delegation.allow.clone();
        rules.extend(above.scope.allow.iter().cloned());
        for rule in rules {
            let mut own = match self.rng.u8(0..4) {
                0 => continue,
                1 => self.rule_below(rule.target),
                _ => rule.clone(),
            };
            own.permission = match self.rng.u8(0..6) {
                0 => self.permission(),
                _ => rule.permission,
            };
            own.recursive = rule.recursive && self.rng.u8(0..3) > 0;
            match self.rng.u8(0..3) {
                0 => below.delegation.allow.push(own),
                1 => below.scope.allow.push(own),
                _ => {
                    below.scope.allow.push(own.clone());
                    below.delegation.allow.push(own);
                }
            }
        }
        if self.rng.u8(0..3) == 0 {
            let denied = self.rule();
            below.scope.deny.push(denied);
        }
        below
    }

    /// Anything.
    pub(super) fn holding(&mut self, rules_max: usize) -> Holding {
        Holding {
            scope: self.rules(rules_max),
            delegation: match self.rng.bool() {
                true => self.rules(rules_max),
                false => Rules::default(),
            },
        }
    }

    fn rules(&mut self, rules_max: usize) -> Rules {
        let allow = self.rng.usize(0..=rules_max);
        let deny = match self.rng.u8(0..3) {
            0 => self.rng.usize(0..=2),
            _ => 0,
        };
        Rules {
            allow: (0..allow).map(|_| self.rule()).collect(),
            deny: (0..deny).map(|_| self.rule()).collect(),
        }
    }

    fn rule(&mut self) -> Rule {
        let targets = self.tree.targets();
        let target = self.rng.choice(targets).copied();
        self.rule_at(target)
    }

    fn rule_below(&mut self, above: Path) -> Rule {
        let targets = self.tree.targets().iter();
        let below = targets.filter(|target| self.tree.all(above).has(**target));
        let below: Vec<Path> = below.copied().collect();
        let target = self.rng.choice(below);
        self.rule_at(target)
    }

    fn rule_at(&mut self, target: Option<Path>) -> Rule {
        let target = target.unwrap_or_else(|| self.tree.top());
        let text = self.tree.text(target);
        let lies_in = |top: &str| {
            let below = text.strip_prefix(top);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        let names: Vec<&'static Mount> = MOUNTS.iter().filter(|mount| lies_in(mount.top)).collect();
        let [first, ..] = &MOUNTS;
        Rule {
            mount: self.rng.choice(names).unwrap_or(first),
            target,
            text: text.to_owned(),
            permission: self.permission(),
            recursive: self.rng.bool(),
        }
    }

    fn permission(&mut self) -> Permission {
        match self.rng.u8(0..3) {
            0 => Permission::Read,
            _ => Permission::Write,
        }
    }
}
