use super::*;
use crate::parts::{PARTS, Part};

#[test]
fn every_fault_has_a_part_that_must_catch_it() {
    for sabotage in Sabotage::ALL {
        assert!(!catchers(*sabotage).is_empty(), "{sabotage:?} has none");
    }
}

#[test]
fn every_fault_breaks_an_invariant_that_there_is() {
    for sabotage in Sabotage::ALL {
        assert!(!breaks(*sabotage).is_empty(), "{sabotage:?} breaks none");
        for invariant in breaks(*sabotage) {
            let number = invariant
                .strip_prefix('I')
                .and_then(|rest| rest.parse().ok());
            assert!(number.is_some_and(|number: u8| (1..=12).contains(&number)));
        }
    }
}

#[test]
fn a_promise_is_of_the_invariant_that_it_begins_with() {
    assert!(is_of("I1 acknowledged is kept", &["I1"]));
    assert!(!is_of("I12 reading never writes", &["I1"]));
    assert!(!is_of("the harness reaches enough", &["I1", "I9"]));
}

#[test]
fn every_part_is_judged_by_a_fault() {
    let judged = |part: &Part| {
        let mut faults = Sabotage::ALL.iter();
        faults.any(|fault| catchers(*fault).contains(&part.name))
    };
    let others: Vec<&str> = PARTS
        .iter()
        .filter(|part| !judged(part))
        .map(|part| part.name)
        .collect();
    assert_eq!(others, [""; 0]);
}
