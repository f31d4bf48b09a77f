use std::collections::BTreeSet;

use super::*;

#[test]
fn every_fault_has_a_name_of_its_own_and_says_what_it_does() {
    let names: BTreeSet<&str> = Sabotage::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), Sabotage::ALL.len());
    assert!(Sabotage::ALL.iter().all(|fault| !fault.about().is_empty()));
    let is_kebab = |name: &str| {
        name.bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_lowercase())
    };
    assert!(names.into_iter().all(is_kebab));
}

#[cfg(not(worker_runtime_sabotage))]
#[test]
fn in_a_normal_build_no_fault_can_be_switched_on() {
    const { assert!(!is(Sabotage::SkipSync)) };
    assert_eq!(inherited(), None);
}
