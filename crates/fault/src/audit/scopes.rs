//! Whether two scopes meet, and whether one hands the other on, tried path by path: nothing of the Runtime's
//! own algebra (I6).

use worker_runtime_core::{Permission, ScopeRule};

use super::world::Held;

/// Whether there is a path that both keep others from writing, tried one by one.
pub(super) fn may_both_write(a: &Held, b: &Held) -> bool {
    let write = Some(Permission::Write);
    near([a, b]).any(|path| claim(a, &path) == write && claim(b, &path) == write)
}

/// Whether all that is claimed below lies in what may be handed on, or is looked at where that looks.
pub(super) fn may_hand_on(above: &Held, below: &Held) -> bool {
    let authority = |path: &str| {
        let looks = at(&above.allow, path).map(|_| Permission::Read);
        at(&above.lends, path).max(looks)
    };
    near([above, below]).all(|path| claim(below, &path) <= authority(&path))
}

/// What others are kept from at a path. Nobody denies anything here.
fn claim(held: &Held, path: &str) -> Option<Permission> {
    at(&held.allow, path).max(at(&held.lends, path))
}

/// Every target, a child of it and a grandchild that no rule names.
fn near<'a>(held: [&'a Held; 2]) -> impl Iterator<Item = String> + 'a {
    let rules = held
        .into_iter()
        .flat_map(|held| held.allow.iter().chain(&held.lends));
    rules.flat_map(|rule| {
        let path = &rule.path;
        [path.clone(), format!("{path}/~"), format!("{path}/~/~")]
    })
}

fn at(rules: &[ScopeRule], path: &str) -> Option<Permission> {
    let covers = |rule: &&ScopeRule| {
        let below = path.strip_prefix(rule.path.as_str());
        let below = below.filter(|rest| rest.is_empty() || rest.starts_with('/'));
        below.is_some_and(|rest| rule.recursive || rest.matches('/').count() < 2)
    };
    let covering = rules.iter().filter(covers);
    covering.map(|rule| rule.permission).max()
}
