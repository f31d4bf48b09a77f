//! The index of many holders, against a plain scan of all of them.

use std::collections::BTreeSet;

use worker_runtime_core::{
    Permission,
    scope::{Claim, ScopeIndex, conflicts, writes},
};

use super::{Case, plain::Holding, tree::Tree};
use crate::report::Violation;

const FOUND: &str = "I6 the index finds whoever holds";

/// What is asked for is the last holding; every other one is in the index, and every third was and is
/// not any more.
pub(super) fn look(tree: &Tree, case: &Case) -> Result<(), Violation> {
    let Some((asked, holders)) = case.holders.split_last() else {
        return Ok(());
    };
    let held: Vec<_> = holders.iter().map(held).collect();
    let mut index = ScopeIndex::default();
    for (number, held) in held.iter().enumerate() {
        index.insert(number, claim(held));
    }
    for (number, held) in held
        .iter()
        .enumerate()
        .filter(|(number, _)| is_gone(*number))
    {
        index.remove(number, claim(held));
    }
    let there = || {
        let numbered = holders.iter().enumerate();
        numbered.filter(|(number, _)| !is_gone(*number))
    };
    look_at_writers(tree, asked, &index, there())?;
    // Whoever conflicts is near, whatever the index says of its own.
    let held_asked = self::held(asked);
    let near = index.writers_near(writes(claim(&held_asked)));
    for (number, held) in held
        .iter()
        .enumerate()
        .filter(|(number, _)| !is_gone(*number))
    {
        let conflicts = conflicts(claim(held), claim(&held_asked));
        if !conflicts.is_empty() && !near.contains(&number) {
            return Err(differs(format!(
                "holder {number} conflicts, near are {near:?}"
            )));
        }
    }
    for path in tree.near_targets() {
        let covers = |holder: &Holding| holder.rules().any(|rule| rule.paths(tree).has(path));
        let lies_below = |holder: &Holding| {
            let below = |target| target != path && tree.all(path).has(target);
            holder.rules().any(|rule| below(rule.target))
        };
        let scanned = |is_one: &dyn Fn(&Holding) -> bool| -> BTreeSet<usize> {
            there()
                .filter(|(_, holder)| is_one(holder))
                .map(|(number, _)| number)
                .collect()
        };
        let writes = |holder: &Holding| {
            let mut rules = holder.rules();
            rules.any(|rule| rule.permission == Permission::Write && rule.paths(tree).has(path))
        };
        let text = tree.text(path);
        let (found, writers) = (index.writers_at(text), scanned(&writes));
        if found != writers {
            return Err(differs(format!(
                "at {text:?} it finds {found:?} who may write, a scan {writers:?}"
            )));
        }
        let (at, below) = (scanned(&covers), scanned(&lies_below));
        let (found_at, found_below) = (index.holders_at(text), index.holders_below(text));
        if (&found_at, &found_below) != (&at, &below) {
            return Err(differs(format!(
                "at {text:?} it finds {found_at:?} and below {found_below:?}, a scan {at:?} and {below:?}"
            )));
        }
    }
    Ok(())
}

/// Who may write where one of the rules to write lies.
fn look_at_writers<'a>(
    tree: &Tree,
    asked: &Holding,
    index: &ScopeIndex<usize>,
    holders: impl Iterator<Item = (usize, &'a Holding)>,
) -> Result<(), Violation> {
    let to_write = |holding: &Holding| {
        let rules = holding.rules();
        let to_write = rules.filter(|rule| rule.permission == Permission::Write);
        to_write.map(|rule| rule.paths(tree)).collect::<Vec<_>>()
    };
    let wanted = to_write(asked);
    let is_near = |holder: &Holding| {
        let own = to_write(holder);
        own.iter()
            .any(|own| wanted.iter().any(|wanted| !own.and(*wanted).is_empty()))
    };
    let near = holders.filter(|(_, holder)| is_near(holder));
    let near: BTreeSet<usize> = near.map(|(number, _)| number).collect();
    let held = held(asked);
    let found = index.writers_near(writes(claim(&held)));
    match found == near {
        true => Ok(()),
        false => Err(differs(format!("it finds {found:?} near, a scan {near:?}"))),
    }
}

type Held = (
    worker_runtime_core::HeldScope,
    worker_runtime_core::HeldScope,
);

fn held(holding: &Holding) -> Held {
    (holding.scope.held(), holding.delegation.held())
}

fn claim((scope, delegation): &Held) -> Claim<'_> {
    Claim { scope, delegation }
}

/// Was in the index, and is not any more.
fn is_gone(number: usize) -> bool {
    number % 3 == 2
}

fn differs(detail: String) -> Violation {
    Violation::new(FOUND, detail)
}
