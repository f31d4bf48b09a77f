use super::*;

#[test]
fn a_median_of_an_even_number_of_rounds_lies_between_the_middle_two() {
    let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
    assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 4.0));
}

#[test]
fn a_ratio_is_taken_within_its_round() {
    // A machine that is twice as slow in the second round changes nothing.
    let spread = Spread::of_ratios(&[10.0, 5.0], &[2.0, 1.0]);
    assert_eq!((spread.min, spread.max), (5.0, 5.0));
}

#[test]
fn a_quantile_is_one_of_the_latencies_of_all_rounds() {
    let phase = |from: u64| Phase {
        ops: 50,
        elapsed: Duration::from_secs(1),
        latencies: (from..from + 50).map(Duration::from_micros).collect(),
    };
    let mut series = Series::new("x");
    assert_eq!(series.latency(0.5), None);
    series.phases = vec![phase(51), phase(1)];
    assert_eq!(series.latency(0.0), Some(Duration::from_micros(1)));
    assert_eq!(series.latency(0.99), Some(Duration::from_micros(99)));
    assert_eq!(series.latency(1.0), Some(Duration::from_micros(100)));
}
