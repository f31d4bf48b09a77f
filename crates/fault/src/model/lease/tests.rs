use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_000_000 + ms)
}

#[test]
fn ten_looks_are_its_time_and_a_stop_is_one_of_them() {
    let mut left = Left::whole(1_000, at(0));
    assert_eq!(left.ends_at(), at(1_000));
    assert_eq!(left.look(at(99)), Found::Nothing);
    assert_eq!(left.look(at(100)), Found::InTime);
    assert_eq!(left.look(at(100_000)), Found::Late);
    assert_eq!(left.ends_at(), at(100_800));
    for look in 1..=8 {
        assert!(!left.is_over());
        assert_eq!(left.look(at(100_000 + 100 * look)), Found::InTime);
    }
    assert!(left.is_over());
}

#[test]
fn before_the_grid_nobody_knows_whether_a_look_was_taken() {
    let left = Left::whole(1_018, at(0));
    assert_eq!(left.ms_until_look(at(0)), 150);
    let unsure = |ms| left.is_unsure_at(at(ms).unix_ms());
    assert_eq!([101, 102, 149, 150].map(unsure), [false, true, true, false]);
}
