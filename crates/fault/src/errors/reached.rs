//! At which of the calls of the scripted runs one really failed, and whether that is all of them.

use std::collections::BTreeMap;

use super::jobs::Job;
use crate::{
    disk::Kind,
    report::{Outcome, Violation},
    settings::{Settings, Size},
};

/// A call of a run: of which, of what kind, and which of that kind.
type Number = (u64, Kind, u64);

/// Which calls were to fail, and whether one of the runs came to each.
#[derive(Debug, Default)]
pub(super) struct Reached(BTreeMap<Number, bool>);

impl Reached {
    /// The calls at which these runs are to fail.
    pub(super) fn want(&mut self, jobs: &[Job]) {
        let numbers = jobs.iter().filter_map(number_of);
        self.0.extend(numbers.map(|number| (number, false)));
    }

    /// A call failed there.
    pub(super) fn note(&mut self, job: &Job) {
        if let Some(number) = number_of(job) {
            self.0.insert(number, true);
        }
    }

    /// In figures; that a call never failed is told as what shows nothing of it.
    pub(super) fn tell(&self, settings: &Settings, outcome: &mut Outcome) {
        let missed: Vec<&Number> = self.0.iter().filter(|it| !it.1).map(|it| it.0).collect();
        let reached = self.0.len() - missed.len();
        outcome.count("of these, calls that were made to fail", reached as u64);
        let is_cut = settings.until_violation && outcome.violations > 0;
        if settings.size == Size::Catch || is_cut || missed.is_empty() {
            return;
        }
        let detail = format!(
            "{} of {} calls never failed, first {:?}",
            missed.len(),
            self.0.len(),
            missed.first(),
        );
        let promise = "the harness reaches enough";
        outcome.violated("all of it", Violation::new(promise, detail));
    }
}

fn number_of(job: &Job) -> Option<Number> {
    let plan = job.plan?;
    Some((job.seed, plan.kind?, plan.passes))
}
