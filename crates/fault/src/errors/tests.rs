use super::*;
use crate::{
    disk::{Counts, Errno, Fault},
    settings::Size,
};

#[test]
fn a_run_without_a_fault_breaks_nothing() {
    let settings = Settings {
        size: Size::Catch,
        seed: 5,
        threads: 1,
        until_violation: true,
    };
    let driven = drive(&settings, Job::whole(5, 6)).unwrap();
    assert_eq!(driven.outcome.kept, []);
    let amount = Amount::of(Size::Quick);
    let jobs = Job::all(5, &amount, &driven.calls);
    assert!(jobs.len() as u64 > driven.calls.all.of(None));
}

#[test]
fn a_call_that_never_failed_in_one_of_its_ways_is_told() {
    let settings = Settings {
        size: Size::Quick,
        seed: 5,
        threads: 1,
        until_violation: false,
    };
    let one_write = Counts {
        writes: 1,
        ..Counts::default()
    };
    let calls = Calls {
        played: one_write,
        all: one_write,
    };
    let jobs = Job::all(5, &Amount::of(Size::Quick), &calls);
    assert_eq!(jobs.len(), 9, "three faults, each once and for good");
    let told = |missed: Option<Fault>| {
        let mut reached = Reached::default();
        reached.want(&jobs);
        let fault = |job: &Job| job.plan.map(|plan| plan.fault);
        let fired = jobs.iter().filter(|job| fault(job) != missed);
        fired.for_each(|job| reached.note(job));
        let mut outcome = Outcome::new(NAME, settings.seed);
        reached.tell(&settings, &mut outcome);
        outcome.violations
    };
    assert_eq!(told(None), 0);
    assert_eq!(told(Some(Fault::Short(Errno::NoSpace))), 1);
}
