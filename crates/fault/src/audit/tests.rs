//! Each promise is seen broken: a journal is changed so that the store can't fit it any more.

mod cut;
mod leases;

use std::{collections::BTreeMap, sync::LazyLock};

use worker_runtime_core::{Digest, EventType, Position, Stream, run::StopReason};
use worker_runtime_persist::RetentionPolicy;

use super::{Expected, Look, trims::check_trims};
use crate::{
    crash::{Opener, Session},
    disk::{HeadChoice, Variant},
    settings::{Settings, Size},
    workload::{Answer, Asked, Done, Journal, SinkCall},
};

const SETTINGS: Settings = Settings {
    size: Size::Catch,
    seed: 1,
    threads: 1,
    until_violation: false,
};

/// Played once; each test has a journal of its own.
fn session() -> Session {
    // The first of those that are left open in which all of it was played that is looked at here.
    static PLAYED: LazyLock<Session> = LazyLock::new(|| {
        let mut sessions = (7..)
            .step_by(3)
            .map(|seed| Session::play(&SETTINGS, seed, 110).unwrap());
        let is_stop = |entry: &crate::workload::Entry| {
            matches!(entry.asked, Asked::StopRuntime(_)) && entry.answer.done().is_some()
        };
        let stops = |session: &Session| session.journal.entries.iter().any(is_stop);
        sessions
            .find(|session| stops(session) && leases::are_played(session) && cut::can_be(session))
            .unwrap()
    });
    Session {
        seed: PLAYED.seed,
        tape: PLAYED.tape.clone(),
        journal: PLAYED.journal.clone(),
    }
}

/// What an image after `index` calls shows, for this journal.
fn looked_at(session: &Session, journal: &Journal, index: usize) -> Vec<String> {
    let directory = SETTINGS.scratch().unwrap();
    let opener = Opener::new(directory.path(), 1).unwrap();
    let crash = session.tape.crash(index);
    let image = crash.image(Variant::None, HeadChoice::AsOfThen);
    let look = Look {
        index: index as u64,
        seed: 1,
        thorough: true,
    };
    let expected = Expected::new(journal);
    let found = opener.audit(&image, &expected, look).unwrap();
    let violations = found.violations.into_iter();
    violations.map(|violation| violation.to_string()).collect()
}

fn told(journal: &Journal) -> Vec<String> {
    let violations = Expected::new(journal).violations.into_iter();
    violations.map(|violation| violation.to_string()).collect()
}

fn assert_broken(violations: &[String], promise: &str) {
    let is_told = violations
        .iter()
        .any(|violation| violation.contains(promise));
    assert!(is_told, "{promise:?} is not in {violations:#?}");
}

fn position_of(journal: &Journal, kind: EventType) -> Position {
    let mut told = journal.told.values();
    told.find(|told| told.event.kind == kind)
        .unwrap()
        .event
        .position
}

#[test]
fn a_session_without_a_fault_breaks_nothing() {
    let session = session();
    assert_eq!(told(&session.journal), [""; 0]);
    for index in (0..=session.tape.len()).step_by(37) {
        assert_eq!(
            looked_at(&session, &session.journal, index),
            [""; 0],
            "at {index}"
        );
    }
}

#[test]
fn an_event_that_is_missing_is_noticed() {
    let mut journal = session().journal;
    let gone = position_of(&journal, EventType::INPUT_ACCEPTED);
    journal.told.remove(&gone);
    assert_broken(&told(&journal), "nothing was told");
}

#[test]
fn two_events_that_were_swapped_are_noticed() {
    let mut journal = session().journal;
    let group = journal.entries.iter().find_map(|entry| match &entry.asked {
        Asked::Sink(_, _, SinkCall::Events(events)) if events.len() > 1 => {
            entry.answer.done()?.position
        }
        _ => None,
    });
    let last = group.unwrap();
    let before = Position(last.0 - 1);
    let one = journal.told[&last].event.data.clone();
    let other = journal.told[&before].event.data.clone();
    for (position, data) in [(last, other), (before, one)] {
        let event = &mut journal.told.get_mut(&position).unwrap().event;
        event.data_digest = Digest::of(&data);
        event.data = data;
    }
    assert_broken(&told(&journal), "I1 acknowledged is kept, exactly once");
}

#[test]
fn data_that_is_not_what_was_digested_is_noticed() {
    let mut journal = session().journal;
    let changed = position_of(&journal, EventType::RUN_STARTED);
    let event = &mut journal.told.get_mut(&changed).unwrap().event;
    event.data_digest = Digest([0; 16]);
    assert_broken(&told(&journal), "I7 nothing damaged is served");
}

#[test]
fn what_nobody_asked_for_is_noticed() {
    let mut journal = session().journal;
    for entry in &mut journal.entries {
        if matches!(entry.asked, Asked::Sink(_, _, SinkCall::Events(_))) {
            entry.answer = Answer::Refused(worker_runtime_core::Code::RunStale);
        }
    }
    assert_broken(&told(&journal), "I8 nothing is made up");
}

#[test]
fn an_acknowledgement_that_is_not_kept_is_noticed() {
    let session = session();
    let mut journal = session.journal.clone();
    // As if the newest answer had left before anything was written.
    let answered = |entry: &&mut crate::workload::Entry| {
        entry
            .answer
            .done()
            .is_some_and(|done| done.position.is_some())
    };
    journal
        .entries
        .iter_mut()
        .rfind(answered)
        .unwrap()
        .answered_at = Some(0);
    let middle = session.tape.len() / 2;
    assert_broken(
        &looked_at(&session, &journal, middle),
        "I1 acknowledged is kept",
    );
}

#[test]
fn an_event_that_was_shown_before_it_was_durable_is_noticed() {
    let session = session();
    let mut journal = session.journal.clone();
    journal.told.values_mut().next_back().unwrap().told_at = 0;
    let middle = session.tape.len() / 2;
    assert_broken(
        &looked_at(&session, &journal, middle),
        "I1 acknowledged is kept",
    );
}

#[test]
fn a_run_that_was_given_before_it_was_durable_is_noticed() {
    let session = session();
    let mut journal = session.journal.clone();
    let given = journal.given.last_mut().unwrap();
    let before = usize::try_from(std::mem::take(&mut given.at)).unwrap() / 2;
    assert_broken(
        &looked_at(&session, &journal, before),
        "I1 acknowledged is kept",
    );
}

#[test]
fn checkpointed_text_that_is_lost_is_noticed() {
    let session = session();
    let mut journal = session.journal.clone();
    let mut is_noticed = false;
    // As if every write had been promised at once.
    for block in journal.blocks.values_mut() {
        for number in 0..block.texts.len() {
            let bytes_min = block.texts[number].text.len() + 1;
            let since = block.texts[number].asked_at;
            block.kept.push(crate::workload::journal::KeptText {
                since,
                text: number,
                bytes_min,
            });
        }
    }
    for index in (0..=session.tape.len()).step_by(5) {
        let violations = looked_at(&session, &journal, index);
        is_noticed |= violations.iter().any(|it| it.contains("checkpointed text"));
    }
    assert!(is_noticed);
}

#[test]
fn a_record_that_the_events_do_not_tell_is_noticed() {
    let session = session();
    let mut journal = session.journal.clone();
    let updated = position_of(&journal, EventType::WORKER_CREATED);
    let event = &mut journal.told.get_mut(&updated).unwrap().event;
    let data = String::from_utf8(event.data.to_vec()).unwrap();
    event.data = data.replace("\"epoch\":1", "\"epoch\":5").into();
    event.data_digest = Digest::of(&event.data);
    let violations = looked_at(&session, &journal, session.tape.len());
    assert!(!violations.is_empty());
}

/// The runs whose backend's own end was acknowledged, and where that is told.
fn ended(journal: &Journal) -> Vec<(usize, Position)> {
    let entries = journal.entries.iter().enumerate();
    let ended = entries.filter_map(|(number, entry)| match &entry.asked {
        Asked::Sink(_, run_id, SinkCall::Finish(..)) => {
            entry.answer.done()?;
            let mut told = journal.told.values();
            let told = told.find(|told| {
                told.event.kind == EventType::RUN_FINISHED && told.event.run_id == Some(*run_id)
            });
            Some((number, told?.event.position))
        }
        _ => None,
    });
    ended.collect()
}

#[test]
fn an_end_that_was_acknowledged_and_is_not_there_is_noticed() {
    let mut journal = session().journal;
    let (_, position) = *ended(&journal).last().unwrap();
    journal.told.remove(&position);
    assert_broken(&told(&journal), "I1 an end that was acknowledged is kept");
}

#[test]
fn an_end_that_became_another_is_noticed() {
    let mut journal = session().journal;
    for (number, _) in ended(&journal) {
        if let Asked::Sink(_, _, SinkCall::Finish(stop, _)) = &mut journal.entries[number].asked {
            *stop = StopReason::MaxTurns;
        }
    }
    let violations = told(&journal);
    assert_broken(&violations, "I1 an end that was acknowledged is kept");
    assert_broken(&violations, "I8 no end is made up");
}

#[test]
fn a_stop_that_was_acknowledged_and_did_not_happen_is_noticed() {
    let mut journal = session().journal;
    let mut is_stop = false;
    for entry in &mut journal.entries {
        if matches!(entry.asked, Asked::StopRuntime(_)) && entry.answer.done().is_some() {
            entry.asked = Asked::StartRuntime;
            is_stop = true;
        }
    }
    assert!(is_stop, "nobody stopped the Runtime");
    assert_broken(&told(&journal), "I1 an end that was acknowledged is kept");
}

#[test]
fn a_cancel_that_was_acknowledged_and_did_not_happen_is_noticed() {
    let mut journal = session().journal;
    let of_run = |journal: &Journal, kind: EventType| {
        let told = journal.told.values().map(|told| &told.event);
        let told = told.filter(|event| event.kind == kind);
        let runs = told.map(|event| (event.worker.unwrap().worker_id, event.run_id.unwrap()));
        runs.collect::<Vec<_>>()
    };
    let cancelled = of_run(&journal, EventType::RUN_CANCEL_REQUESTED);
    let mut runs = of_run(&journal, EventType::RUN_STARTED);
    runs.retain(|run| !cancelled.contains(run));
    let (worker_id, run_id) = runs[0];
    let mut asked = journal.entries.last().unwrap().clone();
    asked.asked = Asked::CancelRun(worker_id, run_id);
    asked.answer = Answer::Done(Done::default());
    journal.entries.push(asked);
    assert_broken(&told(&journal), "I1 an end that was acknowledged is kept");
}

#[test]
fn a_trim_without_a_limit_that_was_passed_is_noticed() {
    let journal = session().journal;
    let events = || {
        journal
            .told
            .values()
            .map(|told| &told.event)
            .collect::<Vec<_>>()
    };
    let is_broken = |stream, now, retention| {
        let begins = BTreeMap::from([(stream, Position(now))]);
        !check_trims(events(), &BTreeMap::new(), &begins, &retention).is_empty()
    };
    let wide = RetentionPolicy {
        log_bytes_max: 1 << 20,
        runtime_bytes_max: 1 << 20,
        worker_bytes_max: 1 << 20,
        age_ms_max: None,
    };
    let narrow = RetentionPolicy {
        log_bytes_max: 2048,
        runtime_bytes_max: 2048,
        worker_bytes_max: 2048,
        age_ms_max: None,
    };
    let worker_id = events()
        .iter()
        .find_map(|event| event.worker)
        .unwrap()
        .worker_id;
    for stream in [Stream::Runtime, Stream::Worker(worker_id)] {
        assert!(is_broken(stream, 40, wide), "{stream:?}");
        assert!(!is_broken(stream, 0, wide), "{stream:?}");
        assert!(!is_broken(stream, 40, narrow), "{stream:?}");
    }
}

/// What is seen when everything is asked again of an image after `index` calls.
fn asked_again(session: &Session, journal: &Journal, index: usize) -> Vec<String> {
    let directory = SETTINGS.scratch().unwrap();
    let opener = Opener::new(directory.path(), 1).unwrap();
    let image = session
        .tape
        .crash(index)
        .image(Variant::None, HeadChoice::AsOfThen);
    let look = Look {
        index: index as u64,
        seed: 1,
        thorough: true,
    };
    let expected = Expected::new(journal);
    let found = opener.audit_and_ask(&image, &expected, look).unwrap();
    let violations = found.violations.into_iter();
    violations.map(|violation| violation.to_string()).collect()
}

#[test]
fn a_receipt_that_is_another_than_the_first_is_noticed() {
    let session = session();
    let last = session.tape.len();
    for index in (0..=last).rev().step_by(last / 8) {
        let violations = asked_again(&session, &session.journal, index);
        assert_eq!(violations, [""; 0], "at {index}");
    }
    let mut journal = session.journal.clone();
    let cursors: Vec<_> = journal.told.values().map(|told| told.cursor).collect();
    let mut is_changed = false;
    for entry in &mut journal.entries {
        if let (Asked::Send(..), Answer::Done(done)) = (&entry.asked, &mut entry.answer) {
            done.cursor = cursors.first().copied();
            is_changed = true;
        }
    }
    assert!(is_changed, "no input was acknowledged");
    assert_broken(
        &asked_again(&session, &journal, last),
        "I5 the same id gives the first receipt",
    );
}
