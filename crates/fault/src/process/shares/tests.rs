use super::*;

fn violations(size: Size, struck: u64, once: u64) -> u64 {
    let settings = Settings {
        size,
        seed: 1,
        threads: 1,
        until_violation: false,
    };
    let mut outcome = Outcome::new("little", 1);
    outcome.count("calls", 3);
    outcome.count("calls struck", struck);
    outcome.count(ONCE, once);
    is_all(&settings, &mut outcome, "calls", "calls struck");
    outcome.violations
}

#[test]
fn a_call_that_was_not_struck_is_told() {
    assert_eq!(violations(Size::Quick, 3, 0), 0);
    assert_eq!(violations(Size::Quick, 2, 0), 1);
    assert_eq!(violations(Size::Full, 0, 0), 1);
    assert_eq!(violations(Size::Catch, 2, 0), 0);
}

#[test]
fn a_call_that_eighty_runs_do_not_make_is_told_apart_and_two_are_too_many() {
    assert_eq!(violations(Size::Quick, 2, 1), 0);
    assert_eq!(violations(Size::Quick, 3, 1), 1);
    assert_eq!(violations(Size::Full, 1, 2), 1);
}

#[test]
fn each_call_is_taken_once_whoever_takes_it() {
    let shares = Shares::of(2);
    assert_eq!(
        shares.take(0, 1),
        None,
        "nobody has said how many there are"
    );
    let shares = Shares::of(2);
    assert!(shares.counts(0, 5));
    assert!(!shares.counts(0, 9), "the first to count is right");
    let taken: Vec<u64> = std::iter::from_fn(|| shares.take(0, 2)).collect();
    assert_eq!(taken, [1, 3, 5]);
    assert!(shares.counts(1, 2));
    let taken: Vec<u64> = std::iter::from_fn(|| shares.take(1, 1)).collect();
    assert_eq!(taken, [1, 2]);
}

#[test]
fn a_step_has_the_calls_that_most_of_its_runs_made() {
    assert_eq!(usual(vec![7, 9, 7]), 7, "one more is a timer");
    assert_eq!(usual(vec![9, 7, 9]), 9, "one less leaves nothing out");
    assert_eq!(usual(Vec::new()), 0);
}
