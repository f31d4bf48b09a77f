//! The algebra against a model that knows nothing of it: every path of a small tree is listed, and
//! rules are applied to each. Targets lie at most two deep and leave out one name, so that every
//! target has a child and a grandchild that no rule names: what the algebra calls places is there,
//! and the model's finite tree decides as the endless one would.

use proptest::prelude::*;

use super::{CONFLICTS_MAX, conflicts, covers, meets};
use crate::scope::{HeldRule, HeldScope, Permission};

/// `ab` begins like `a`: a comparison of texts instead of names would mix them up.
const TARGET_NAMES: [&str; 2] = ["a", "ab"];
const NAMES: [&str; 3] = ["a", "ab", "x"];

type Path = Vec<&'static str>;

fn text(path: &[&str]) -> String {
    path.iter().map(|name| format!("/{name}")).collect()
}

fn every_path() -> Vec<Path> {
    let mut paths: Vec<Path> = vec![vec![]];
    let mut deepest = paths.clone();
    for _ in 0..4 {
        deepest = deepest
            .iter()
            .flat_map(|path| NAMES.map(|name| [path.as_slice(), &[name]].concat()))
            .collect();
        paths.extend(deepest.iter().cloned());
    }
    paths
}

mod model {
    use super::*;

    pub(super) fn rule_covers(rule: &HeldRule, path: &[&str]) -> bool {
        let target: Vec<&str> = rule.target.split('/').skip(1).collect();
        let below = path.len() as i64 - target.len() as i64;
        path.starts_with(&target) && (below <= 1 || rule.recursive)
    }

    fn any(rules: &[HeldRule], permissions: &[Permission], path: &[&str]) -> bool {
        rules
            .iter()
            .any(|rule| permissions.contains(&rule.permission) && rule_covers(rule, path))
    }

    pub(super) fn may_write(scope: &HeldScope, path: &[&str]) -> bool {
        use Permission::{Read, Write};
        any(&scope.allow, &[Write], path) && !any(&scope.deny, &[Read, Write], path)
    }

    pub(super) fn may_read(scope: &HeldScope, path: &[&str]) -> bool {
        use Permission::{Read, Write};
        any(&scope.allow, &[Read, Write], path) && !any(&scope.deny, &[Read], path)
    }
}

fn rule() -> impl Strategy<Value = HeldRule> {
    let path = prop::collection::vec(prop::sample::select(&TARGET_NAMES[..]), 0..=2);
    (path, any::<bool>(), any::<bool>()).prop_map(|(path, write, recursive)| HeldRule {
        mount: "m".to_owned(),
        path: path.join("/"),
        target: text(&path),
        permission: if write {
            Permission::Write
        } else {
            Permission::Read
        },
        recursive,
    })
}

fn scope() -> impl Strategy<Value = HeldScope> {
    let rules = |most| prop::collection::vec(rule(), 0..=most);
    (rules(4), rules(3)).prop_map(|(allow, deny)| HeldScope { allow, deny })
}

fn held(target: &str, permission: Permission, recursive: bool) -> HeldRule {
    HeldRule {
        mount: "m".to_owned(),
        path: target.trim_start_matches('/').to_owned(),
        target: target.to_owned(),
        permission,
        recursive,
    }
}

fn allow(rules: &[HeldRule]) -> HeldScope {
    HeldScope {
        allow: rules.to_vec(),
        deny: vec![],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn rules_meet_exactly_when_a_path_is_covered_by_both(a in rule(), b in rule()) {
        let both = |path: &Path| model::rule_covers(&a, path) && model::rule_covers(&b, path);
        prop_assert_eq!(meets(&a, &b), every_path().iter().any(both));
        prop_assert_eq!(meets(&a, &b), meets(&b, &a));
    }

    #[test]
    fn scopes_conflict_exactly_when_a_path_may_be_written_under_both(a in scope(), b in scope()) {
        let shared: Vec<Path> = every_path()
            .into_iter()
            .filter(|path| model::may_write(&a, path) && model::may_write(&b, path))
            .collect();
        let pairs = conflicts(&a, &b);
        prop_assert_eq!(pairs.is_empty(), shared.is_empty());
        prop_assert_eq!(conflicts(&b, &a).is_empty(), shared.is_empty());
        // The pairs that are named are all there are: each gives both holders one of these paths.
        let writes = |scope: &HeldScope| -> Vec<HeldRule> {
            scope.allow.iter().filter(|rule| rule.permission == Permission::Write).cloned().collect()
        };
        for rule in &writes(&a) {
            for other in &writes(&b) {
                let expected = shared.iter().any(|path| {
                    model::rule_covers(rule, path) && model::rule_covers(other, path)
                });
                prop_assert_eq!(pairs.contains(&(rule, other)), expected);
            }
        }
    }

    #[test]
    fn a_scope_covers_another_exactly_when_it_leaves_as_much_on_every_path(
        outer in scope(),
        inner in scope(),
    ) {
        let expected = every_path().iter().all(|path| {
            (!model::may_write(&inner, path) || model::may_write(&outer, path))
                && (!model::may_read(&inner, path) || model::may_read(&outer, path))
        });
        prop_assert_eq!(covers(&outer, &inner), expected);
        prop_assert!(covers(&inner, &inner));
    }

    #[test]
    fn the_permission_at_a_path_is_what_its_rules_leave(scope in scope()) {
        for path in every_path() {
            let expected = match (model::may_read(&scope, &path), model::may_write(&scope, &path)) {
                (_, true) => Some(Permission::Write),
                (true, false) => Some(Permission::Read),
                (false, false) => None,
            };
            prop_assert_eq!(scope.permission_at(&text(&path)), expected);
        }
    }
}

#[test]
fn several_rules_cover_together_what_none_of_them_covers_alone() {
    let outer = allow(&[
        held("/w", Permission::Write, false),
        held("/w/a", Permission::Write, true),
    ]);
    let mut inner = allow(&[held("/w", Permission::Write, true)]);
    assert!(
        !covers(&outer, &inner),
        "below /w/b there is no write to give"
    );
    inner.deny = vec![held("/w/b", Permission::Read, true)];
    assert!(
        !covers(&outer, &inner),
        "below any other child there is none either"
    );
    let inner = allow(&[
        held("/w/a", Permission::Write, true),
        held("/w/b", Permission::Read, false),
    ]);
    assert!(!covers(&outer, &inner), "the children of /w/b are two deep");
    let inner = allow(&[
        held("/w/a/deep", Permission::Write, true),
        held("/w", Permission::Read, false),
    ]);
    assert!(covers(&outer, &inner));
}

#[test]
fn readers_never_conflict_and_a_writer_conflicts_only_with_writers() {
    let reads = allow(&[held("/w", Permission::Read, true)]);
    let writes = allow(&[held("/w/a", Permission::Write, true)]);
    assert_eq!(conflicts(&reads, &reads), []);
    assert_eq!(conflicts(&reads, &writes), []);
    assert_eq!(conflicts(&writes, &writes).len(), 1);
}

#[test]
fn a_name_that_begins_like_another_is_another_place() {
    let short = held("/work", Permission::Write, true);
    let long = held("/workshop", Permission::Write, true);
    assert!(!meets(&short, &long));
    assert!(meets(&short, &held("/work/shop", Permission::Write, false)));
}

#[test]
fn the_root_is_above_everything() {
    let root = held("", Permission::Write, true);
    let shallow = held("", Permission::Write, false);
    let deep = held("/a/b", Permission::Write, false);
    assert!(meets(&root, &deep));
    assert!(!meets(&shallow, &deep));
    assert!(meets(&shallow, &held("/a", Permission::Write, false)));
}

#[test]
fn what_a_holder_denies_itself_is_free_for_another() {
    let mut mine = allow(&[held("/w", Permission::Write, true)]);
    let theirs = allow(&[held("/w/docs", Permission::Write, true)]);
    assert_eq!(conflicts(&mine, &theirs).len(), 1);
    mine.deny = vec![held("/w/docs", Permission::Write, true)];
    assert_eq!(conflicts(&mine, &theirs), []);
    mine.deny = vec![held("/w/docs", Permission::Write, false)];
    assert_eq!(
        conflicts(&mine, &theirs).len(),
        1,
        "grandchildren are still shared"
    );
}

#[test]
fn the_deepest_rule_is_named_first_and_an_answer_is_bounded() {
    let mine = allow(&[held("/w", Permission::Write, true)]);
    let theirs = allow(&[
        held("/w/a", Permission::Write, true),
        held("/w/a/b/c", Permission::Write, true),
        held("/w/a/b", Permission::Write, true),
    ]);
    let named: Vec<&str> = conflicts(&mine, &theirs)
        .iter()
        .map(|(_, other)| other.target.as_str())
        .collect();
    assert_eq!(named, ["/w/a/b/c", "/w/a/b", "/w/a"]);

    let many: Vec<HeldRule> = (0..10)
        .map(|n| held(&format!("/w/{n}"), Permission::Write, true))
        .chain((0..10).map(|_| held("/w", Permission::Write, true)))
        .collect();
    let many = allow(&many);
    assert_eq!(conflicts(&many, &many).len(), CONFLICTS_MAX);
}
