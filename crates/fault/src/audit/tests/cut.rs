//! What is there beyond what was told: it may come of commands without an answer, and of nothing else.

use super::{Journal, Session, ended, looked_at, session};
use crate::workload::{Answer, Asked, LifeChange};

/// So many events are taken for never told.
const LEFT_OUT: usize = 30;

/// Whether a session can be cut where these tests do it, and nothing is noticed: a cut may go through what is
/// one commit, of which no session is left with a half.
pub(super) fn can_be(session: &Session) -> bool {
    let told = &session.journal.told;
    let last = ended(&session.journal).last().copied();
    let before_end = last.map(|(_, position)| told.range(..position).count());
    let cuts = [told.len().checked_sub(LEFT_OUT), before_end];
    cuts.into_iter().all(|left| {
        let mut journal = session.journal.clone();
        left.is_some_and(|left| {
            cut_after(&mut journal, left);
            looked_at(session, &journal, session.tape.len()).is_empty()
        })
    })
}

/// As if nothing after so many events had been told, and what was asked since had no answer.
fn cut_after(journal: &mut Journal, left: usize) {
    let last = *journal.told.keys().nth(left - 1).unwrap();
    journal.told.retain(|position, _| *position <= last);
    journal.shown.retain(|(_, position)| *position <= last);
    journal.given.clear();
    journal.blocks.clear();
    journal.beginnings.clear();
    for entry in &mut journal.entries {
        let is_after = entry.answer.done().is_some_and(|done| {
            let known = done.position.max(done.durable_to).max(done.input);
            known.is_none_or(|position| position > last)
        });
        if is_after {
            entry.answer = Answer::Unknown;
        }
    }
}

#[test]
fn what_nobody_asked_for_beyond_what_was_told_is_noticed() {
    let session = session();
    let mut journal = session.journal.clone();
    let left = journal.told.len() - LEFT_OUT;
    cut_after(&mut journal, left);
    let promise = "I1 the log is a prefix of what was told";
    let is_broken = |journal: &Journal| {
        let violations = looked_at(&session, journal, session.tape.len());
        violations
            .iter()
            .any(|violation| violation.contains(promise))
    };
    assert!(!is_broken(&journal));
    journal
        .entries
        .retain(|entry| entry.answer != Answer::Unknown);
    assert!(is_broken(&journal));
}

#[test]
fn an_end_that_nobody_told_is_noticed_although_another_command_has_no_answer() {
    let session = session();
    let mut journal = session.journal.clone();
    let (number, position) = *ended(&journal).last().unwrap();
    let left = journal.told.range(..position).count();
    cut_after(&mut journal, left);
    let promise = "I1 the log is a prefix of what was told";
    let is_broken = |journal: &Journal| {
        let violations = looked_at(&session, journal, session.tape.len());
        violations
            .iter()
            .any(|violation| violation.contains(promise))
    };
    assert!(!is_broken(&journal));
    let Asked::Sink(worker_id, ..) = journal.entries[number].asked else {
        panic!("it is no end");
    };
    // An update without an answer, of the very Worker, ends no run.
    journal.entries[number].asked = Asked::Life(worker_id, LifeChange::Pause);
    journal.entries[number].answer = Answer::Unknown;
    let violations = looked_at(&session, &journal, session.tape.len());
    let is_told = |promise| violations.iter().any(|it| it.contains(promise));
    assert!(
        is_told(promise) || is_told("I8 no end is made up"),
        "{violations:#?}"
    );
}
