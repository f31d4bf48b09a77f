use worker_runtime_core::Permission;

use super::{
    plain::{MOUNTS, Rule, Rules},
    *,
};

fn rule(tree: &Tree, text: &str, recursive: bool) -> Rule {
    let is_it = |path: &&tree::Path| tree.text(**path) == text;
    Rule {
        mount: &MOUNTS[0],
        target: *tree.targets().iter().find(is_it).unwrap(),
        text: text.to_owned(),
        permission: Permission::Write,
        recursive,
    }
}

fn holds(rules: Vec<Rule>) -> Holding {
    Holding {
        scope: Rules {
            allow: rules,
            deny: Vec::new(),
        },
        ..Holding::default()
    }
}

#[test]
fn a_rule_is_the_paths_that_the_contract_says() {
    let tree = Tree::new();
    let covers = |target: &str, recursive: bool, text: &str| {
        let paths = rule(&tree, target, recursive).paths(&tree);
        tree.near_targets()
            .any(|path| tree.text(path) == text && paths.has(path))
    };
    assert!(covers("/a", false, "/a") && covers("/a", false, "/a/x"));
    assert!(!covers("/a", false, "/a/x/x") && covers("/a", true, "/a/x/x"));
    assert!(!covers("/a", true, "/ab"), "a name is no text");
    assert!(covers("", false, "/a") && !covers("", false, "/a/a"));
    assert!(covers("", true, "/ab/ab/ab/x"));
}

#[test]
fn a_case_that_shows_something_is_cut_to_what_is_needed() {
    let tree = Tree::new();
    let both_write: Shows = |tree, case| {
        let claims = case.holders.iter().map(|holder| holder.claim(tree).write);
        let [a, b]: [tree::Paths; 2] = claims.collect::<Vec<_>>().try_into().unwrap();
        match a.and(b).is_empty() {
            true => Ok(()),
            false => Err(Violation::new("they meet", "somewhere")),
        }
    };
    let at = |text| rule(&tree, text, true);
    let case = Case {
        holders: vec![
            holds(vec![at("/ab"), at("/a/a")]),
            holds(vec![at("/a"), at("")]),
        ],
    };
    let found = both_write(&tree, &case).unwrap_err();
    let (smallest, _) = smallest(&tree, case, found, both_write);
    let left: Vec<usize> = smallest.holders.iter().map(Holding::len).collect();
    assert_eq!(left, [1, 1]);
    assert!(both_write(&tree, &smallest).is_err());
}

#[test]
fn the_same_seed_makes_the_same_cases() {
    let settings = Settings {
        size: crate::settings::Size::Catch,
        seed: 7,
        threads: 2,
        until_violation: false,
    };
    let little = || {
        let sizes = Sizes {
            cases: 1_000,
            families: 3,
        };
        run_so_much(&settings, sizes).unwrap()
    };
    let (one, other) = (little(), little());
    assert_eq!(one.violations, 0, "{:?}", one.kept);
    assert_eq!(one.figures, other.figures);
}
