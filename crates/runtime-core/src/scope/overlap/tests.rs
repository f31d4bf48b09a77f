//! The algebra against a model that knows nothing of it: every path of a small tree is listed, and
//! rules are applied to each. Targets lie at most two deep and leave out one name, so that every
//! target has a child and a grandchild that no rule names: what the algebra calls places is there,
//! and the model's finite tree decides as the endless one would.

use proptest::prelude::*;

use super::{
    Authority, CONFLICTS_MAX, Claim, Effective, Leaves, conflicts, covers, meets, uncovered,
};
use crate::scope::{HeldRule, HeldScope, Permission, ScopeIndex};

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
            prop_assert_eq!(Leaves::permission_at(&scope, &text(&path)), expected);
        }
    }
}

/// What a model holder may do at a path, as its scopes say.
fn left(scope: &HeldScope, path: &[&str]) -> Option<Permission> {
    match (model::may_read(scope, path), model::may_write(scope, path)) {
        (_, true) => Some(Permission::Write),
        (true, false) => Some(Permission::Read),
        (false, false) => None,
    }
}

fn both((scope, delegation): &(HeldScope, HeldScope)) -> Claim<'_> {
    Claim { scope, delegation }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn claims_conflict_exactly_when_a_path_may_be_written_under_both(
        a in (scope(), scope()),
        b in (scope(), scope()),
    ) {
        let writes = |(own, lent): &(HeldScope, HeldScope), path: &Path| {
            model::may_write(own, path) || model::may_write(lent, path)
        };
        let shared = every_path().iter().any(|path| writes(&a, path) && writes(&b, path));
        prop_assert_eq!(!conflicts(both(&a), both(&b)).is_empty(), shared);
    }

    #[test]
    fn those_below_may_ask_for_what_is_delegated_and_look_where_their_parent_looks(
        parent in (scope(), scope()),
        child in (scope(), scope()),
    ) {
        let may_ask = |path: &Path| {
            let looks = left(&parent.0, path).map(|_| Permission::Read);
            left(&parent.1, path).max(looks)
        };
        let asks = |path: &Path| left(&child.0, path).max(left(&child.1, path));
        let within = every_path().iter().all(|path| asks(path) <= may_ask(path));
        prop_assert_eq!(covers(&Authority(both(&parent)), &both(&child)), within);
        let (authority, asked) = (Authority(both(&parent)), both(&child));
        if let Some(rule) = uncovered(&authority, &asked) {
            let more = |path: &&Path| {
                model::rule_covers(rule, path)
                    && asks(path) > may_ask(path)
                    && Some(rule.permission) > may_ask(path)
            };
            prop_assert!(every_path().iter().find(more).is_some(), "{rule:?} is within");
        }
    }

    #[test]
    fn what_is_lent_to_write_may_only_be_read_meanwhile(
        own in scope(),
        lent in prop::collection::vec((scope(), scope()), 0..=3),
    ) {
        let effective = Effective { scope: &own, lent: lent.iter().map(both).collect() };
        for path in every_path() {
            let is_lent = lent.iter().any(|(scope, delegation)| {
                model::may_write(scope, &path) || model::may_write(delegation, &path)
            });
            let expected = match left(&own, &path) {
                Some(Permission::Write) if is_lent => Some(Permission::Read),
                own => own,
            };
            prop_assert_eq!(effective.permission_at(&text(&path)), expected);
        }
    }

    #[test]
    fn the_index_leaves_out_nobody_that_a_look_at_all_finds(
        held in prop::collection::vec((scope(), scope()), 0..=8),
        gone in prop::collection::vec(any::<bool>(), 8),
        asked in (scope(), scope()),
    ) {
        let mut index = ScopeIndex::default();
        for (at, claim) in held.iter().enumerate() {
            index.insert(at, both(claim));
        }
        for (at, claim) in held.iter().enumerate().filter(|(at, _)| gone[*at]) {
            index.remove(at, both(claim));
        }
        let near = index.writers_near(super::writes(both(&asked)));
        for (at, claim) in held.iter().enumerate() {
            let meets = !conflicts(both(claim), both(&asked)).is_empty();
            prop_assert!(!meets || gone[at] || near.contains(&at), "{at} is missing");
            prop_assert!(!gone[at] || !near.contains(&at), "{at} is gone");
        }
        // It finds no more than the rules themselves say, so that many far away cost nothing.
        for at in &near {
            let meets_one = super::writes(both(&held[*at]))
                .any(|rule| super::writes(both(&asked)).any(|other| meets(rule, other)));
            prop_assert!(meets_one, "{at} is far away");
        }
        for path in every_path() {
            let covers = |at: &usize| {
                let (own, lent) = &held[*at];
                let mut rules = own.allow.iter().chain(&lent.allow);
                !gone[*at] && rules.any(|rule| model::rule_covers(rule, &path))
            };
            let expected = (0..held.len()).filter(covers).collect();
            prop_assert_eq!(index.holders_at(&text(&path)), expected);
            let below = |at: &usize| {
                let (own, lent) = &held[*at];
                let mut rules = own.allow.iter().chain(&lent.allow);
                let top = format!("{}/", text(&path));
                !gone[*at] && rules.any(|rule| rule.target.starts_with(&top))
            };
            let expected = (0..held.len()).filter(below).collect();
            prop_assert_eq!(index.holders_below(&text(&path)), expected);
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
