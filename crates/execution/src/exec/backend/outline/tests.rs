//! Against every path of a small tree: the kernel keeps a run from nothing that it may write, and what
//! it does not keep it from is named.

use std::sync::Arc;

use worker_runtime_core::{Fence, Timestamp, scope::Leaves};

use super::*;

const NAMES: [&str; 2] = ["a", "b"];
const CASES: u64 = 20_000;

/// Every path of the tree down to a depth that no rule names.
fn paths() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..5 {
        let below = |path: &String| NAMES.map(|name| format!("{path}/{name}"));
        last = last.iter().flat_map(below).collect();
        all.extend(last.clone());
    }
    all
}

fn rule(target: &str, permission: Permission) -> HeldRule {
    HeldRule {
        mount: "m".to_owned(),
        path: target.trim_start_matches('/').to_owned(),
        target: target.to_owned(),
        permission,
        recursive: true,
    }
}

fn some_rules(rng: &mut fastrand::Rng, max: usize) -> Vec<HeldRule> {
    let some = |rng: &mut fastrand::Rng| {
        let depth = rng.usize(0..=3);
        let target: String = (0..depth)
            .map(|_| format!("/{}", NAMES[rng.usize(0..2)]))
            .collect();
        let permission = match rng.usize(0..4) {
            0 => Permission::Read,
            _ => Permission::Write,
        };
        HeldRule {
            recursive: rng.usize(0..3) > 0,
            ..rule(&target, permission)
        }
    };
    (0..rng.usize(0..=max)).map(|_| some(rng)).collect()
}

fn some_scope(rng: &mut fastrand::Rng) -> HeldScope {
    HeldScope {
        allow: some_rules(rng, 3),
        deny: some_rules(rng, 1),
    }
}

fn allocation(scope: HeldScope, delegation: Option<HeldScope>) -> Arc<AllocationRecord> {
    Arc::new(AllocationRecord {
        worker_id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
        parent: None,
        scope: Arc::new(scope),
        fence: Fence(1),
        granted_at: Timestamp::default(),
        delegation: delegation.map(Arc::new),
    })
}

fn run_scope(scope: HeldScope, lent: Vec<HeldScope>) -> RunScope {
    RunScope {
        held: allocation(scope, None),
        lent: lent
            .into_iter()
            .map(|lent| allocation(lent, None))
            .collect(),
    }
}

fn may_write(leaves: &impl Leaves, path: &str) -> bool {
    leaves.permission_at(path) == Some(Permission::Write)
}

#[test]
fn the_trees_hold_all_that_may_be_written_and_what_they_hold_beside_is_named() {
    let paths = paths();
    let seed = 7;
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut whole, mut outer) = (0, 0);
    for case in 0..CASES {
        let scope = run_scope(
            some_scope(&mut rng),
            (0..rng.usize(0..3)).map(|_| some_scope(&mut rng)).collect(),
        );
        let effective = scope.effective();
        let outline = Outline::of(&scope, |_| false);
        let lost = paths
            .iter()
            .find(|path| may_write(&effective, path) && !may_write(&outline.trees, path));
        assert_eq!(lost, None, "seed {seed}, case {case}: {scope:?}");
        let beyond = paths
            .iter()
            .find(|path| may_write(&outline.trees, path) && !may_write(&effective, path));
        let named = !outline.open.is_empty();
        assert_eq!(
            beyond.is_some(),
            named,
            "seed {seed}, case {case}: {scope:?}"
        );
        match named {
            true => outer += 1,
            false => whole += 1,
        }
    }
    // Both were met, often.
    assert!(whole > 1000 && outer > 1000, "{whole} {outer}");
}

#[test]
fn what_is_open_is_named_for_what_it_is() {
    let write = |target| rule(target, Permission::Write);
    let shallow = HeldRule {
        recursive: false,
        ..write("/s")
    };
    let scope = HeldScope {
        allow: vec![write("/w"), shallow.clone(), write("/lent")],
        deny: vec![rule("/w/secret", Permission::Read), write("/elsewhere")],
    };
    let lent = HeldScope {
        allow: vec![write("/lent"), write("/w/a")],
        deny: Vec::new(),
    };
    let scope = RunScope {
        held: allocation(scope, Some(lent.clone())),
        lent: vec![allocation(lent, None)],
    };
    let outline = Outline::of(&scope, |_| false);
    let targets: Vec<_> = outline
        .trees
        .allow
        .iter()
        .map(|tree| tree.target.as_str())
        .collect();
    // A tree that is lent as a whole is none.
    assert_eq!(targets, ["/w", "/s"]);
    let worker_id = scope.lent[0].worker_id;
    assert_eq!(
        outline.open,
        [
            Open::Denied(rule("/w/secret", Permission::Read)),
            Open::Deeper(shallow),
            Open::Lent(worker_id),
            Open::Delegated,
        ]
    );
    // Nothing lies below a file.
    let file = Outline::of(&scope, |rule| rule.target == "/s");
    assert!(!file.open.iter().any(|open| matches!(open, Open::Deeper(_))));
}
