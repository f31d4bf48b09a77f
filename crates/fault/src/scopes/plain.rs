//! Rules and scopes as sets of paths: what the contract says, with nothing of the core's algebra.

use std::fmt;

use worker_runtime_core::{HeldRule, HeldScope, Permission, Scope, ScopeRule};

use super::tree::{Path, Paths, Tree};

/// A name for a place of the tree. Two of them lie in the first, so that one place has several names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) name: &'static str,
    pub(super) top: &'static str,
}

/// All of them.
pub(super) static MOUNTS: [Mount; 3] = [
    Mount {
        name: "top",
        top: "",
    },
    Mount {
        name: "low",
        top: "/a",
    },
    Mount {
        name: "side",
        top: "/ab",
    },
];

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) mount: &'static Mount,
    pub(super) target: Path,
    /// The target as it is compared.
    pub(super) text: String,
    pub(super) permission: Permission,
    pub(super) recursive: bool,
}

/// What is allowed, and what of it is not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rules {
    pub(super) allow: Vec<Rule>,
    pub(super) deny: Vec<Rule>,
}

/// What somebody holds: to touch itself, and to hand on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Holding {
    pub(super) scope: Rules,
    pub(super) delegation: Rules,
}

/// Which paths may be read, and which of these written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Left {
    pub(super) read: Paths,
    pub(super) write: Paths,
}

impl Rule {
    /// Recursive covers the target and all below, else the target and its direct children.
    pub(super) fn paths(&self, tree: &Tree) -> Paths {
        match self.recursive {
            true => tree.all(self.target),
            false => tree.near(self.target),
        }
    }

    /// The path below its mount.
    fn path(&self) -> &str {
        let below = self.text.strip_prefix(self.mount.top);
        below.unwrap_or(&self.text).trim_start_matches('/')
    }

    pub(super) fn held(&self) -> HeldRule {
        HeldRule {
            mount: self.mount.name.to_owned(),
            path: self.path().to_owned(),
            target: self.text.clone(),
            permission: self.permission,
            recursive: self.recursive,
        }
    }

    pub(super) fn wire(&self) -> ScopeRule {
        ScopeRule {
            mount: self.mount.name.to_owned(),
            path: self.path().to_owned(),
            permission: self.permission,
            recursive: self.recursive,
        }
    }
}

impl Rules {
    /// A deny rule of `write` leaves `read`; one of `read` leaves nothing.
    pub(super) fn left(&self, tree: &Tree) -> Left {
        let [mut allowed, mut may_write, mut denied, mut blind] = [Paths::default(); 4];
        for rule in &self.allow {
            let paths = rule.paths(tree);
            allowed = allowed.or(paths);
            if rule.permission == Permission::Write {
                may_write = may_write.or(paths);
            }
        }
        for rule in &self.deny {
            let paths = rule.paths(tree);
            denied = denied.or(paths);
            if rule.permission == Permission::Read {
                blind = blind.or(paths);
            }
        }
        Left {
            read: allowed.minus(blind),
            write: may_write.minus(denied),
        }
    }

    pub(super) fn held(&self) -> HeldScope {
        let held = |rules: &[Rule]| rules.iter().map(Rule::held).collect();
        HeldScope {
            allow: held(&self.allow),
            deny: held(&self.deny),
        }
    }

    pub(super) fn wire(&self) -> Scope {
        let wire = |rules: &[Rule]| rules.iter().map(Rule::wire).collect();
        Scope {
            allow: wire(&self.allow),
            deny: wire(&self.deny),
        }
    }
}

impl Holding {
    /// What others are kept from: what may be touched, and what may be handed on.
    pub(super) fn claim(&self, tree: &Tree) -> Left {
        self.scope.left(tree).or(self.delegation.left(tree))
    }

    /// What those below may ask for: what may be handed on, and to look at what the holder looks at.
    pub(super) fn authority(&self, tree: &Tree) -> Left {
        let looks = Left {
            read: self.scope.left(tree).read,
            write: Paths::default(),
        };
        self.delegation.left(tree).or(looks)
    }

    /// What may be touched now: what those directly below hold to write is only read.
    pub(super) fn effective<'a>(
        &self,
        tree: &Tree,
        below: impl IntoIterator<Item = &'a Self>,
    ) -> Left {
        let own = self.scope.left(tree);
        let lent = below.into_iter().map(|child| child.claim(tree).write);
        let lent = lent.fold(Paths::default(), Paths::or);
        Left {
            read: own.read,
            write: own.write.minus(lent),
        }
    }

    /// Every rule that allows something.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.scope.allow.iter().chain(&self.delegation.allow)
    }

    fn lists(&self) -> [&Vec<Rule>; 4] {
        let (scope, delegation) = (&self.scope, &self.delegation);
        [
            &scope.allow,
            &scope.deny,
            &delegation.allow,
            &delegation.deny,
        ]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules().next().is_none()
    }

    /// How many rules it has.
    pub(super) fn len(&self) -> usize {
        self.lists().iter().map(|rules| rules.len()).sum()
    }

    /// Leaves out one of its rules.
    pub(super) fn remove(&mut self, mut nth: usize) {
        let (scope, delegation) = (&mut self.scope, &mut self.delegation);
        let lists = [
            &mut scope.allow,
            &mut scope.deny,
            &mut delegation.allow,
            &mut delegation.deny,
        ];
        for rules in lists {
            if nth < rules.len() {
                rules.remove(nth);
                return;
            }
            nth = nth.saturating_sub(rules.len());
        }
    }
}

impl Left {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            read: self.read.or(other.read),
            write: self.write.or(other.write),
        }
    }

    pub(super) fn is_within(self, outer: Self) -> bool {
        self.read.is_within(outer.read) && self.write.is_within(outer.write)
    }

    /// Where it leaves more than another.
    pub(super) fn beyond(self, outer: Self) -> Paths {
        self.read
            .minus(outer.read)
            .or(self.write.minus(outer.write))
    }

    /// Where a rule of this permission is more than what is left.
    pub(super) fn less_than(self, permission: Permission, of: Paths) -> Paths {
        match permission {
            Permission::Read => of.minus(self.read),
            Permission::Write => of.minus(self.write),
        }
    }

    pub(super) fn at(self, path: Path) -> Option<Permission> {
        match (self.read.has(path), self.write.has(path)) {
            (_, true) => Some(Permission::Write),
            (true, false) => Some(Permission::Read),
            (false, false) => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}", self.wire(), self.text)
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = ["may", "may not", "hands on", "does not hand on"];
        let mut is_first = true;
        for (word, rules) in words.into_iter().zip(self.lists()) {
            for rule in rules {
                let separator = if is_first { "" } else { ", " };
                write!(f, "{separator}{word} {rule}")?;
                is_first = false;
            }
        }
        match is_first {
            true => f.write_str("nothing"),
            false => Ok(()),
        }
    }
}
