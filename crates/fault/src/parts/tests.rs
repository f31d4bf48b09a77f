use super::*;
use crate::sabotage;

fn little(settings: &Settings) -> Result<Outcome, HarnessError> {
    let mut outcome = Outcome::new("little", settings.seed);
    outcome.count("images", 9);
    Ok(outcome)
}

fn violations(size: Size, least: &'static [(&'static str, u64)]) -> u64 {
    let part = Part {
        name: "little",
        about: "",
        told_by: least,
        run: little,
    };
    let settings = Settings {
        size,
        seed: 1,
        threads: 1,
        until_violation: false,
    };
    part.run(&settings).unwrap().violations
}

#[test]
fn a_part_that_reached_too_little_shows_nothing() {
    assert_eq!(violations(Size::Quick, &[("images", 9)]), 0);
    assert_eq!(violations(Size::Quick, &[("images", 10)]), 1);
    assert_eq!(violations(Size::Full, &[("image", 1)]), 1, "no such figure");
    assert_eq!(violations(Size::Catch, &[("images", 10)]), 0);
}

#[test]
fn whoever_must_catch_a_fault_is_a_part() {
    for fault in worker_runtime_core::sabotage::Sabotage::ALL {
        let catchers = sabotage::catchers(*fault);
        assert!(!catchers.is_empty(), "{}", fault.name());
        for name in catchers {
            assert!(Part::named(name).is_some(), "{name} is no part");
        }
    }
}
