use super::*;

#[test]
fn every_fault_has_a_part_that_must_catch_it() {
    for sabotage in Sabotage::ALL {
        assert!(!catchers(*sabotage).is_empty(), "{sabotage:?} has none");
    }
}
