use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::process::Signal;
use worker_runtime_persist::Structure;

use super::ended;

#[test]
fn a_death_of_the_engine_is_damage_and_one_by_others_is_not() {
    let by = |signal: Signal| ended(ExitStatus::from_raw(signal.as_raw()));
    for signal in [Signal::ABORT, Signal::SEGV, Signal::BUS, Signal::ILL] {
        assert!(matches!(by(signal), Structure::Damaged(_)), "{signal:?}");
    }
    for signal in [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP] {
        assert!(matches!(by(signal), Structure::Unread(_)), "{signal:?}");
    }
    let with = |code: i32| ended(ExitStatus::from_raw(code << 8));
    assert!(matches!(with(101), Structure::Damaged(_)));
    assert!(matches!(with(11), Structure::Unread(_)));
    // Nothing was said, so nothing is known to be whole.
    assert!(matches!(with(0), Structure::Unread(_)));
}
