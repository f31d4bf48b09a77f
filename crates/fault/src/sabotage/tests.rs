use super::*;

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
