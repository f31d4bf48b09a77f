//! Each promise about leases is seen broken.

use worker_runtime_core::{Code, Digest, Event, Permission, Position, Timestamp, view::LeaseView};

use super::{Expected, Journal, Session, assert_broken, looked_at, session, told};
use crate::{
    audit::data,
    workload::{Answer, Asked, LeaseChange},
};

/// Whether somebody was granted a lease, renewed one for another time, and let one end.
pub(super) fn are_played(session: &Session) -> bool {
    let journal = &session.journal;
    let mut told = journal.told.values();
    told.any(|told| told.event.kind.as_str() == "lease.expired")
        && last_renewal(journal).is_some()
        && !held_at_the_end(journal).is_empty()
}

fn held_at_the_end(journal: &Journal) -> Vec<u64> {
    let expected = Expected::new(journal);
    let world = expected.world(expected.told_to()).unwrap();
    let leases = world.leases.values();
    leases.map(|leased| leased.held.fence).collect()
}

/// The last renewal for another time of a lease that is held at the end.
fn last_renewal(journal: &Journal) -> Option<usize> {
    let held = held_at_the_end(journal);
    journal.entries.iter().rposition(|entry| {
        let is_renewal = matches!(entry.asked, Asked::Lease(_, LeaseChange::Renew(_, Some(_))));
        let view = entry.answer.done().and_then(|done| done.leased.as_ref());
        is_renewal && view.is_some_and(|view| held.contains(&view.fence.0))
    })
}

fn is_acquire(asked: &Asked) -> bool {
    matches!(asked, Asked::Lease(_, LeaseChange::Acquire(_)))
}

/// What was answered to whom asked for a lease.
fn views(journal: &mut Journal) -> impl Iterator<Item = &mut LeaseView> {
    let entries = journal.entries.iter_mut();
    entries.filter_map(|entry| match &mut entry.answer {
        Answer::Done(done) => done.leased.as_deref_mut(),
        _ => None,
    })
}

fn change(event: &mut Event, field: &str, value: serde_json::Value) {
    let mut told = data(event);
    told[field] = value;
    event.data = told.to_string().into();
    event.data_digest = Digest::of(&event.data);
}

fn events<'a>(journal: &'a mut Journal, kind: &'a str) -> impl Iterator<Item = &'a mut Event> {
    let told = journal.told.values_mut().map(|told| &mut told.event);
    told.filter(move |event| event.kind.as_str() == kind)
}

#[test]
fn a_lease_that_was_acknowledged_and_is_another_is_noticed() {
    let promise = "I1 a lease that was acknowledged is kept";
    let mut journal = session().journal;
    views(&mut journal).next().unwrap().fence.0 += 1;
    assert_broken(&told(&journal), promise);
    let mut journal = session().journal;
    views(&mut journal).next().unwrap().holder = "another".to_owned();
    assert_broken(&told(&journal), promise);
    let mut journal = session().journal;
    views(&mut journal).next().unwrap().is_current = false;
    assert_broken(&told(&journal), promise);
    let mut journal = session().journal;
    let number = last_renewal(&journal).unwrap();
    if let Answer::Done(done) = &mut journal.entries[number].answer {
        done.leased.as_mut().unwrap().ttl_ms += 1;
    }
    assert_broken(&told(&journal), promise);
}

#[test]
fn a_lease_that_nobody_asked_for_is_noticed() {
    let mut journal = session().journal;
    for entry in &mut journal.entries {
        if is_acquire(&entry.asked) {
            entry.answer = Answer::Refused(Code::ScopeConflict);
        }
    }
    assert_broken(&told(&journal), "I8 no lease is made up");
}

#[test]
fn a_lease_that_is_over_too_early_is_noticed() {
    let mut journal = session().journal;
    for view in views(&mut journal) {
        view.expires_at = Some(Timestamp::from_unix_ms(u64::MAX));
    }
    let promise = "I6 a lease is held until its time is over";
    assert_broken(&told(&journal), promise);
}

#[test]
fn a_fence_of_a_lease_that_does_not_grow_is_noticed() {
    let mut journal = session().journal;
    let granted = events(&mut journal, "lease.granted").last().unwrap();
    change(granted, "fence", 1.into());
    assert_broken(&told(&journal), "I6 scopes and fences");
}

#[test]
fn the_next_fence_without_an_opening_is_noticed() {
    let mut journal = session().journal;
    let first = events(&mut journal, "lease.granted").next().unwrap();
    let (fence, first) = (data(first)["fence"].clone(), first.position);
    let mut next = events(&mut journal, "lease.granted").find(|event| event.position > first);
    change(next.as_mut().unwrap(), "renewed", fence);
    assert_broken(&told(&journal), "I6 scopes and fences");
}

#[test]
fn a_lease_of_what_a_worker_holds_is_noticed() {
    let session = session();
    let expected = Expected::new(&session.journal);
    let mut journal = session.journal.clone();
    let mut granted = events(&mut journal, "lease.granted");
    let taken = granted.find_map(|event| {
        let before = expected.world(Position(event.position.0 - 1))?;
        let mut held = before.workers.values().filter_map(|life| life.held.clone());
        let rule = held.find_map(|held| {
            let mut rules = held.allow.into_iter();
            rules.find(|rule| rule.permission == Permission::Write)
        });
        Some((event, rule?))
    });
    let (event, rule) = taken.unwrap();
    change(event, "allow", serde_json::json!([rule]));
    drop(granted);
    assert_broken(&told(&journal), "may write there too");
}

#[test]
fn a_lease_that_is_not_there_after_an_opening_is_noticed() {
    let session = session();
    let last = session.tape.len();
    // As if it were told to be over, or to be another one's.
    let mut journal = session.journal.clone();
    let held = held_at_the_end(&journal);
    let mut granted = events(&mut journal, "lease.granted");
    let its = granted.find(|event| held.contains(&data(event)["fence"].as_u64().unwrap()));
    change(its.unwrap(), "holder", "another".into());
    drop(granted);
    assert!(!looked_at(&session, &journal, last).is_empty());
    // How long it lasts is told by the answer alone.
    let mut journal = session.journal.clone();
    let number = last_renewal(&journal).unwrap();
    let lease_id = journal.entries[number].asked.lease_id();
    for entry in &mut journal.entries[number..] {
        if let Answer::Done(done) = &mut entry.answer
            && entry.asked.lease_id() == lease_id
            && let Some(view) = &mut done.leased
        {
            view.ttl_ms += 1;
        }
    }
    let violations = looked_at(&session, &journal, last);
    assert_broken(&violations, "I3 leases are what the events tell");
}
