//! Overlap, coverage, effective scope and authority against sets of paths: every path of a small tree is
//! listed, each rule is the set of those that it covers, and all else is union, intersection and
//! difference of such sets.
//!
//! # Layout
//! - `tree`: every path of a small tree, and sets of them
//! - `plain`: rules and scopes as such sets, written from the contract alone
//! - `choose`: what a case is made of
//! - `algebra`: the core's answers about scopes; `index`: which of many holders it names
//! - `families`: the same, asked of a Runtime whose Workers hold below each other
//!
//! Looks at I6: what is granted meets nobody's, whoever holds is seen, and no more is handed on than may
//! be. A case is determined by the seed and its number; one that shows something is cut down to the rules
//! that are needed for it. Called by the harness as part `scopes`.

mod algebra;
mod choose;
mod families;
mod index;
mod plain;
mod tree;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastrand::Rng;

use self::{choose::Chooser, plain::Holding, tree::Tree};
use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::{Progress, Settings},
};

const PART: &str = "scopes";

/// Cases that a thread takes at a time.
const AT_A_TIME: u64 = 500;

/// One case in so many is about the index.
const INDEX_ONE_IN: u64 = 20;

/// Broken promises after which nothing more is looked for.
const ENOUGH: u64 = 20;

/// How much is done.
struct Sizes {
    /// Cases of the algebra and of the index.
    cases: u64,
    /// Runtimes.
    families: u64,
}

/// What is asked about: several holders, and what is asked for where it is the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    holders: Vec<Holding>,
}

/// What a case shows, if it shows something.
type Shows = fn(&Tree, &Case) -> Result<(), Violation>;

/// Runs the part.
///
/// # Errors
/// When the harness can't do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let sizes = Sizes {
        cases: settings.size.pick(30_000, 1_100_000, 60_000_000),
        families: settings.size.pick(20, 300, 12_000),
    };
    run_so_much(settings, sizes)
}

fn run_so_much(settings: &Settings, sizes: Sizes) -> Result<Outcome, HarnessError> {
    let tree = Tree::new();
    let shared = Shared {
        settings,
        tree: &tree,
        progress: settings.progress(PART, sizes.cases),
        next: AtomicU64::new(0),
        next_family: AtomicU64::new(0),
        over: AtomicBool::new(false),
        sizes,
    };
    let threads = std::thread::scope(|scope| {
        let threads = 0..settings.threads.max(1);
        let threads: Vec<_> = threads.map(|_| scope.spawn(|| shared.work())).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.collect::<Vec<_>>()
    });
    let mut outcome = Outcome::new(PART, settings.seed);
    for found in threads {
        let found = found.map_err(|_| HarnessError::new("ask about scopes", "it panicked"))?;
        outcome.merge(found?);
    }
    Ok(outcome)
}

/// What the threads share.
struct Shared<'a> {
    settings: &'a Settings,
    tree: &'a Tree,
    progress: Progress,
    next: AtomicU64,
    next_family: AtomicU64,
    over: AtomicBool,
    sizes: Sizes,
}

impl Shared<'_> {
    fn work(&self) -> Result<Outcome, HarnessError> {
        let mut outcome = Outcome::new(PART, self.settings.seed);
        // Those first: they are few, and only they ask a Runtime.
        while !self.is_over(&outcome) {
            let number = self.next_family.fetch_add(1, Ordering::Relaxed);
            if number >= self.sizes.families {
                break;
            }
            let found = families::play(self.tree, self.rng(number, 1), &mut outcome)?;
            if let Some(violation) = found {
                outcome.violated(self.at(&format!("family {number}")), violation);
            }
        }
        while !self.is_over(&outcome) {
            let first = self.next.fetch_add(AT_A_TIME, Ordering::Relaxed);
            if first >= self.sizes.cases {
                break;
            }
            let end = first.saturating_add(AT_A_TIME).min(self.sizes.cases);
            (first..end).for_each(|number| self.case(number, &mut outcome));
            self.progress.add(end.saturating_sub(first));
        }
        Ok(outcome)
    }

    fn case(&self, number: u64, outcome: &mut Outcome) {
        let mut rng = self.rng(number, 0);
        let chooser = Chooser {
            tree: self.tree,
            rng: &mut rng,
        };
        let is_of_index = number.is_multiple_of(INDEX_ONE_IN);
        let (case, shows): (Case, Shows) = match is_of_index {
            true => (chooser.holders(), index::look),
            false => (chooser.family(), algebra::look),
        };
        outcome.count("cases", 1);
        outcome.count("cases of the index", u64::from(is_of_index));
        match shows(self.tree, &case) {
            Ok(()) => algebra::reached(self.tree, &case, outcome),
            Err(violation) => {
                let (case, mut violation) = smallest(self.tree, case, violation, shows);
                violation.detail = format!("{}: {}", violation.detail, case.in_words());
                outcome.violated(self.at(&format!("case {number}")), violation);
            }
        }
    }

    /// Choices of one case: the same whichever thread takes it.
    fn rng(&self, number: u64, kind: u64) -> Rng {
        let mut of_seed = Rng::with_seed(self.settings.seed.wrapping_mul(2).wrapping_add(kind));
        Rng::with_seed(of_seed.u64(..) ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn at(&self, what: &str) -> String {
        format!("--seed {} --only {PART}, {what}", self.settings.seed)
    }

    fn is_over(&self, outcome: &Outcome) -> bool {
        let is_enough = outcome.violations >= ENOUGH;
        if is_enough || self.settings.until_violation && outcome.violations > 0 {
            self.over.store(true, Ordering::Relaxed);
        }
        self.over.load(Ordering::Relaxed)
    }
}

/// The same with as few holders and rules as still show something.
fn smallest(
    tree: &Tree,
    mut case: Case,
    mut violation: Violation,
    shows: Shows,
) -> (Case, Violation) {
    loop {
        let found = case.smaller().find_map(|smaller| {
            let found = shows(tree, &smaller).err()?;
            Some((smaller, found))
        });
        match found {
            Some(smaller) => (case, violation) = smaller,
            None => return (case, violation),
        }
    }
}

impl Case {
    /// The case without one of its rules, each in turn.
    fn smaller(&self) -> impl Iterator<Item = Self> + '_ {
        let rules: usize = self.holders.iter().map(Holding::len).sum();
        (0..rules).map(|nth| {
            let (mut smaller, mut nth) = (self.clone(), nth);
            for holder in &mut smaller.holders {
                if nth < holder.len() {
                    holder.remove(nth);
                    break;
                }
                nth = nth.saturating_sub(holder.len());
            }
            smaller
        })
    }

    fn in_words(&self) -> String {
        let holders = self.holders.iter().enumerate();
        let words = holders.map(|(index, holder)| format!("holder {index}: {holder}"));
        words.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests;
