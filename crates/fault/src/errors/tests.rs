use super::*;
use crate::settings::Size;

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
