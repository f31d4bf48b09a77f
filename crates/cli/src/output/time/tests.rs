use std::time::Duration;

use worker_runtime_core::Timestamp;

use super::{TimePrinter, duration_text};
use crate::args::TimeStyle;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

#[test]
fn a_time_is_printed_in_the_style_that_was_asked_for() {
    let now = at(1_700_000_090_000);
    let then = at(1_700_000_000_000);
    let text = |style| TimePrinter::new(style, now).text(then);
    assert_eq!(text(TimeStyle::Relative), "1m 30s ago");
    assert_eq!(text(TimeStyle::Iso), "2023-11-14T22:13:20.000Z");
    assert_eq!(text(TimeStyle::Ms), "1700000000000");
}

#[test]
fn a_time_to_come_is_not_called_past() {
    let printer = TimePrinter::new(TimeStyle::Relative, at(0));
    assert_eq!(printer.text(at(7_200_000)), "in 2h 0m");
}

#[test]
fn a_duration_has_the_unit_that_fits() {
    assert_eq!(duration_text(Duration::from_millis(20)), "20 ms");
    assert_eq!(duration_text(Duration::from_millis(1_250)), "1.2 s");
    assert_eq!(duration_text(Duration::from_secs(90_000)), "1d 1h");
}
