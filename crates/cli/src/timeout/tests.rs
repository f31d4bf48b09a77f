use super::parse_ms;

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
