//! Which thread strikes at which call of the script. Every thread plays the whole script in a place of
//! its own, and of each step's calls takes one after the other that none has taken.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    report::{Outcome, Violation},
    settings::{Settings, Size},
};

/// How often a step is played untouched to know how many calls it makes. A timer that rings just then
/// makes one more, to which hardly any other run comes.
pub(super) const UNTOUCHED: usize = 3;

/// How many calls a step makes, of those that some runs of it made: what most of them came to.
pub(super) fn usual(mut calls: Vec<u64>) -> u64 {
    calls.sort_unstable();
    let middle = calls.len() / 2;
    calls.get(middle).copied().unwrap_or_default()
}

/// How often it is tried to come to a call again: threads of the command are scheduled otherwise each
/// time, and may make one call less.
pub(super) const ATTEMPTS_MAX: usize = 80;

/// The calls of all steps.
#[derive(Debug)]
pub(super) struct Shares(Vec<Share>);

#[derive(Debug, Default)]
struct Share {
    calls: OnceLock<u64>,
    taken: AtomicU64,
}

impl Shares {
    /// Of a script of so many steps.
    pub(super) fn of(steps: usize) -> Self {
        Self((0..steps).map(|_| Share::default()).collect())
    }

    /// Says how many calls a step makes; whether this is the first to say so, which is what counts.
    pub(super) fn counts(&self, step: usize, calls: u64) -> bool {
        let share = self.0.get(step);
        share.is_some_and(|share| share.calls.set(calls).is_ok())
    }

    /// The next call of a step that none has taken, one in so many; from 1.
    pub(super) fn take(&self, step: usize, stride: u64) -> Option<u64> {
        let share = self.0.get(step)?;
        let number = share.taken.fetch_add(1, Ordering::Relaxed) * stride + 1;
        (number <= *share.calls.get()?).then_some(number)
    }
}

/// Calls that untouched runs made and that none of [`ATTEMPTS_MAX`] others came to: on a machine that was
/// slow just then a timer rang that rings in no other run. There is nothing to strike at.
pub(super) const ONCE: &str = "calls that eighty runs did not come to";

/// There may be one such call in so many, or in all: with more, the count itself is wrong.
const ONCE_IN: u64 = 500;

/// That fewer calls were struck than the script has is told as what shows nothing of the others.
pub(super) fn is_all(settings: &Settings, outcome: &mut Outcome, wanted: &str, struck: &str) {
    let is_cut = settings.until_violation && outcome.violations > 0;
    let figure = |name: &str| outcome.figures.get(name).copied().unwrap_or_default();
    let (all, done, once) = (figure(wanted), figure(struck), figure(ONCE));
    let is_all = done + once == all && once <= (all / ONCE_IN).max(1);
    if settings.size != Size::Catch && !is_cut && !is_all {
        let detail = format!("{done} {struck}, of {all} {wanted}, and {once} {ONCE}");
        let violation = Violation::new("the harness reaches enough", detail);
        outcome.violated("all of it", violation);
    }
}

#[cfg(test)]
mod tests;
