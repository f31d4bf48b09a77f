//! Checking stores whose truth is known: whole ones, ones whose rows say what can't be, and ones whose file
//! was damaged.

#![allow(clippy::unwrap_used, reason = "tests")]

mod corpus;
mod fill;
mod rows;
mod whole;

use std::path::Path;

use worker_runtime_core::Code;

use super::{CheckDepth, CheckWatcher, Checked, Cost, Finding, Structure, check, check_structure};

/// What a check told.
#[derive(Debug, Default)]
struct Told(Vec<Finding>);

impl CheckWatcher for Told {
    fn found(&mut self, finding: Finding) {
        self.0.push(finding);
    }
}

impl Told {
    fn codes(&self) -> Vec<Code> {
        let mut codes: Vec<Code> = self.0.iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

/// What a check to this depth tells.
fn told(path: &Path, depth: CheckDepth) -> (Told, Checked) {
    let mut told = Told::default();
    let checked = check(path, depth, &mut told).unwrap();
    (told, checked)
}

/// That nothing is wrong with a store.
#[track_caller]
fn is_clean(path: &Path, context: &str) -> Checked {
    let (found, checked) = told(path, CheckDepth::Full);
    assert_eq!(found.0, [], "{context}");
    let (found, _) = told(path, CheckDepth::Quick);
    assert_eq!(found.0, [], "{context}, quick");
    assert_eq!(
        check_structure(path).unwrap(),
        Structure::Whole,
        "{context}"
    );
    checked
}
