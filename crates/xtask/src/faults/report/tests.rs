use std::time::Duration;

use super::*;

fn outcome(violations: u64) -> Outcome {
    let mut outcome = Outcome::new("crash", 7);
    outcome.count("audited images", 1_234_567);
    for _ in 0..violations {
        outcome.violated("seed 7", Violation::new("I1 kept", "lost"));
    }
    outcome
}

fn scored(caught: &[bool]) -> Scored {
    let seen = |caught: &bool| Seen {
        part: "crash",
        caught: *caught,
        what: "a | b".to_owned(),
    };
    Scored {
        fault: "skip-sync",
        about: "a commit is not synced",
        seen: caught.iter().map(seen).collect(),
        took_ms: 1,
    }
}

fn report(parts: Vec<Outcome>, faults: Vec<Scored>) -> Report {
    let took = Took {
        whole: Duration::from_secs(5),
        built: Duration::from_secs(2),
    };
    Report::new("c".to_owned(), 7, took, parts, faults)
}

#[test]
fn one_broken_promise_or_one_fault_that_was_not_caught_is_enough() {
    let caught = || scored(&[true, true]);
    let verdict = |parts, faults| report(parts, faults).verdict();
    assert_eq!(verdict(vec![outcome(0)], vec![caught()]), Verdict::Held);
    assert_eq!(verdict(vec![outcome(1)], vec![caught()]), Verdict::Broken);
    for missed in [&[][..], &[false], &[true, false]] {
        let missed = vec![caught(), scored(missed)];
        assert_eq!(verdict(vec![outcome(0)], missed), Verdict::Broken);
    }
}

#[test]
fn the_table_says_what_was_observed_and_what_was_not_caught() {
    let text = report(vec![outcome(0)], vec![scored(&[false]), scored(&[true])]).as_markdown();
    assert!(
        text.contains("| `crash` | none | 1,234,567 audited images, "),
        "{text}"
    );
    assert!(text.contains("caught 1 of 2"), "{text}");
    assert!(text.contains("| **not** `crash` | a \\| b |"), "{text}");
}
