//! At which of the calls of the scripted runs one really failed, in each of its ways, and whether that is
//! all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::jobs::{Healing, Job};
use crate::{
    disk::{Fault, Kind, Repeat},
    report::{Outcome, Violation},
    settings::{Settings, Size},
};

/// A call of a run: of which, of what kind, and which of that kind.
type Number = (u64, Kind, u64);

/// How it was to fail; and how the service was to come back, where that differs.
type Way = (Fault, Repeat, Option<Healing>);

/// Which calls were to fail, in which ways, and whether one of the runs came to each.
#[derive(Debug, Default)]
pub(super) struct Reached(BTreeMap<Number, Vec<(Way, bool)>>);

impl Reached {
    /// The calls at which these runs are to fail, and how.
    pub(super) fn want(&mut self, jobs: &[Job]) {
        for (number, way) in jobs.iter().filter_map(wanted) {
            self.0.entry(number).or_default().push((way, false));
        }
    }

    /// A call failed there, in this way.
    pub(super) fn note(&mut self, job: &Job) {
        let Some((number, way)) = wanted(job) else {
            return;
        };
        let ways = self.0.entry(number).or_default();
        for (wanted, is_reached) in ways {
            *is_reached |= *wanted == way;
        }
    }

    /// In figures; that a call never failed in one of its ways is told as what shows nothing of it.
    pub(super) fn tell(&self, settings: &Settings, outcome: &mut Outcome) {
        let missed: BTreeSet<Number> = self.missed().map(|(number, _)| number).collect();
        let reached = self.0.len() - missed.len();
        outcome.count("of these, calls that were made to fail", reached as u64);
        let wanted: usize = self.0.values().map(Vec::len).sum();
        let ways = wanted - self.missed().count();
        outcome.count("ways in which they failed", ways as u64);
        let is_cut = settings.until_violation && outcome.violations > 0;
        if settings.size == Size::Catch || is_cut || missed.is_empty() {
            return;
        }
        let detail = format!(
            "{} of {} calls never failed in {} of {wanted} ways, first {:?}",
            missed.len(),
            self.0.len(),
            wanted - ways,
            self.missed().next(),
        );
        let promise = "the harness reaches enough";
        outcome.violated("all of it", Violation::new(promise, detail));
    }

    fn missed(&self) -> impl Iterator<Item = (Number, Way)> {
        self.0.iter().flat_map(|(number, ways)| {
            let missed = ways.iter().filter(|(_, is_reached)| !is_reached);
            missed.map(|(way, _)| (*number, *way))
        })
    }
}

fn wanted(job: &Job) -> Option<(Number, Way)> {
    let plan = job.plan?;
    let healing = match plan.repeat {
        Repeat::Once => None,
        Repeat::Sticky => Some(job.healing),
    };
    let way = (plan.fault, plan.repeat, healing);
    Some(((job.seed, plan.kind?, plan.passes), way))
}
