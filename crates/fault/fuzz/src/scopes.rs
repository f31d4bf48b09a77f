//! Scopes: any JSON is a scope or is refused, any scope enters or is refused, and the algebra says what
//! a list of every path of a small tree says.

use std::sync::OnceLock;

use worker_runtime_core::{
    HeldRule, HeldScope, Mounts, Permission, Scope,
    scope::{Leaves, conflicts, covers, meets},
};

use crate::Choices;

/// `ab` begins like `a`; `x` is named by no rule, so that there is always something below and beside.
const TARGET_NAMES: [&str; 2] = ["a", "ab"];
const NAMES: [&str; 3] = ["a", "ab", "x"];

/// The bytes as JSON, and as two scopes over a small tree.
pub fn check(bytes: &[u8]) {
    if let Ok(scope) = serde_json::from_slice::<Scope>(bytes) {
        enter(&scope);
    }
    let mut choices = Choices(bytes);
    let (a, b) = (held(&mut choices), held(&mut choices));
    algebra(&a, &b);
}

fn enter(scope: &Scope) {
    let text = serde_json::to_string(scope).unwrap();
    assert_eq!(&serde_json::from_str::<Scope>(&text).unwrap(), scope);
    static MOUNTS: OnceLock<Mounts> = OnceLock::new();
    let mounts = MOUNTS.get_or_init(|| {
        let mut mounts = Mounts::default();
        mounts.set("m", std::env::temp_dir()).unwrap();
        mounts.set("root", "/").unwrap();
        mounts
    });
    match mounts.enter(scope) {
        Ok(held) => {
            assert!(covers(&held, &held));
            assert_eq!(held.allow.len(), scope.allow.len());
            assert_eq!(held.deny.len(), scope.deny.len());
            for rule in held.allow.iter().chain(&held.deny) {
                let names: Vec<&str> = rule.target.split('/').skip(1).collect();
                let is_plain = |name: &&str| !matches!(*name, "" | "." | "..");
                assert!(names.iter().all(is_plain), "{:?}", rule.target);
                assert!(rule.target.is_empty() || rule.target.starts_with('/'));
            }
        }
        Err(error) => assert!(error.to_string().len() < 8192),
    }
}

fn held(choices: &mut Choices<'_>) -> HeldScope {
    let mut rules = |most: u8| {
        (0..choices.byte() % (most + 1))
            .map(|_| rule(choices.byte()))
            .collect()
    };
    HeldScope {
        allow: rules(4),
        deny: rules(3),
    }
}

fn rule(byte: u8) -> HeldRule {
    let path: Vec<&str> = (0..byte & 3)
        .take(2)
        .map(|depth| TARGET_NAMES[usize::from(byte >> (2 + depth) & 1)])
        .collect();
    HeldRule {
        mount: "m".to_owned(),
        path: path.join("/"),
        target: path.iter().map(|name| format!("/{name}")).collect(),
        permission: match byte & 16 {
            0 => Permission::Read,
            _ => Permission::Write,
        },
        recursive: byte & 32 != 0,
    }
}

type Path = Vec<&'static str>;

/// Every path of a tree two deeper than any target.
fn every_path() -> &'static [Path] {
    static PATHS: OnceLock<Vec<Path>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let mut paths: Vec<Path> = vec![Vec::new()];
        let mut deepest = paths.clone();
        for _ in 0..4 {
            deepest = deepest
                .iter()
                .flat_map(|path| NAMES.map(|name| [path.as_slice(), &[name]].concat()))
                .collect();
            paths.extend(deepest.iter().cloned());
        }
        paths
    })
}

fn covered(rule: &HeldRule, path: &[&str]) -> bool {
    let target: Vec<&str> = rule.target.split('/').skip(1).collect();
    path.starts_with(&target) && (path.len() <= target.len() + 1 || rule.recursive)
}

fn any(rules: &[HeldRule], permissions: &[Permission], path: &[&str]) -> bool {
    let rules = rules.iter();
    rules
        .filter(|rule| permissions.contains(&rule.permission))
        .any(|rule| covered(rule, path))
}

fn may(scope: &HeldScope, path: &[&str]) -> Option<Permission> {
    use Permission::{Read, Write};
    let is_denied = any(&scope.deny, &[Read], path);
    if any(&scope.allow, &[Write], path) && !is_denied && !any(&scope.deny, &[Write], path) {
        return Some(Write);
    }
    (any(&scope.allow, &[Read, Write], path) && !is_denied).then_some(Read)
}

fn algebra(a: &HeldScope, b: &HeldScope) {
    let (mut shared, mut covered_by_a) = (false, true);
    for path in every_path() {
        let (of_a, of_b) = (may(a, path), may(b, path));
        shared |= [of_a, of_b] == [Some(Permission::Write); 2];
        covered_by_a &= of_b <= of_a;
        let text: String = path.iter().map(|name| format!("/{name}")).collect();
        assert_eq!(a.permission_at(&text), of_a, "{text} of {a:?}");
    }
    assert_eq!(!conflicts(a, b).is_empty(), shared, "{a:?} {b:?}");
    assert_eq!(!conflicts(b, a).is_empty(), shared, "{b:?} {a:?}");
    assert_eq!(covers(a, b), covered_by_a, "{a:?} {b:?}");
    for (rule, other) in a.allow.iter().zip(&b.allow) {
        let both = |path: &Path| covered(rule, path) && covered(other, path);
        assert_eq!(meets(rule, other), every_path().iter().any(both));
        assert_eq!(meets(rule, other), meets(other, rule));
    }
}
