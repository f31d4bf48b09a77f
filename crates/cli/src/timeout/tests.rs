use super::{parse_ms, parse_seconds};

#[test]
fn a_length_of_time_has_a_unit_and_lies_ahead() {
    assert_eq!(parse_ms("30s"), Ok(30_000));
    assert_eq!(parse_ms("1h 30m"), Ok(5_400_000));
    assert_eq!(parse_ms("250ms"), Ok(250));
    assert!(parse_ms("30").is_err());
    assert!(parse_ms("-1s").is_err());
    assert!(parse_ms("0s").is_err());
    assert!(parse_ms("soon").is_err());
}

#[test]
fn what_lies_far_ahead_may_be_days() {
    assert_eq!(parse_seconds("30d"), Ok(2_592_000));
    assert_eq!(parse_seconds("12h"), Ok(43_200));
    for text in [
        "0d",
        "-1d",
        "1.5d",
        "250ms",
        "99999999999999999999d",
        "d",
        "soon",
    ] {
        assert!(parse_seconds(text).is_err(), "{text}");
    }
}
