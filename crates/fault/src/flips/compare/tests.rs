use std::{path::Path, sync::LazyLock};

use worker_runtime_core::{
    Code, Digest, EventType, LeaseId, Position,
    store::{Gap, GapCause},
    view::DamagedView,
};

use super::*;
use crate::{
    flips::{
        made::{self, Files},
        reading::{Opened, Shown, read, show},
    },
    settings::{Settings, Size},
};

const SETTINGS: Settings = Settings {
    size: Size::Catch,
    seed: 1,
    threads: 1,
    until_violation: false,
};

/// A Worker that no store has.
const NOBODY: WorkerId = WorkerId::from_bytes([9; 16]);

fn read_at(directory: &Path, truth: Option<&Reading>) -> Reading {
    match read(directory, truth) {
        Opened::Read(reading) => *reading,
        Opened::Refused(why) => panic!("{why}"),
    }
}

/// A store read twice: what the changed reading breaks beside the other one.
fn broken(change: impl FnOnce(&Reading, &mut Reading)) -> Vec<String> {
    let directory = SETTINGS.scratch().unwrap();
    // The first in which some Worker was deleted.
    static MADE: LazyLock<Files> = LazyLock::new(|| {
        let mut stores = (13..)
            .step_by(2)
            .map(|seed| made::make(&SETTINGS, seed).unwrap().last);
        let has_deleted = |files: &Files| {
            let directory = SETTINGS.scratch().unwrap();
            files.put(directory.path()).unwrap();
            let read = read_at(directory.path(), None);
            !read.deleted.is_empty() && read.views.len() > 1
        };
        stores.find(has_deleted).unwrap()
    });
    MADE.put(directory.path()).unwrap();
    let truth = read_at(directory.path(), None);
    let mut read = read_at(directory.path(), Some(&truth));
    assert!(truth.views.len() > 1, "it has too few Workers");
    change(&truth, &mut read);
    let found = compare(&truth, &read).into_iter();
    found.map(|violation| violation.to_string()).collect()
}

fn first(reading: &Reading) -> WorkerId {
    *reading.views.keys().next().unwrap()
}

fn damaged(table: &str, worker_id: Option<WorkerId>) -> DamagedView {
    DamagedView {
        table: table.to_owned(),
        worker_id,
        lease_id: None,
        operation_id: None,
        detail: "it is".to_owned(),
    }
}

#[track_caller]
fn assert_told(found: &[String], promise: &str) {
    let is_told = found.iter().any(|violation| violation.contains(promise));
    assert!(is_told, "{promise:?} is not in {found:#?}");
}

#[test]
fn a_store_read_twice_is_the_same() {
    assert_eq!(broken(|_, _| {}), [""; 0]);
}

#[test]
fn a_worker_that_never_was_is_noticed() {
    let found = broken(|truth, read| {
        let view = truth.views[&first(truth)].clone();
        read.views.insert(NOBODY, view);
    });
    assert_told(&found, "a view of it is served");
}

#[test]
fn events_of_a_worker_that_was_deleted_are_noticed() {
    let found = broken(|truth, read| {
        let events = read.events.remove(&first(truth)).unwrap();
        read.events.insert(NOBODY, events);
        let said = read.transcripts.remove(&first(truth)).unwrap();
        read.transcripts.insert(NOBODY, said);
    });
    assert_told(&found, "a transcript of it is served");
    let found = broken(|truth, read| {
        let events = read.events.remove(&first(truth)).unwrap();
        let shown = events.found.into_iter().next().unwrap();
        let hidden = StreamRead {
            found: [(u64::MAX, shown.1)].into(),
            gaps: Vec::new(),
            error: None,
        };
        read.events.insert(NOBODY, hidden);
    });
    assert_told(&found, "an event of it is served");
}

#[test]
fn a_view_that_is_another_is_noticed_whatever_else_is_damaged() {
    for whose in [None, Some(NOBODY)] {
        let found = broken(|truth, read| {
            let view = read.views.get_mut(&first(truth)).unwrap();
            view.display_name = Some("another".to_owned());
            read.damaged.push(damaged("worker", whose));
            read.damaged.push(damaged("incarnation", None));
        });
        assert_told(&found, "I7 a damaged record is told");
    }
}

#[test]
fn a_damaged_record_excuses_its_own_worker_alone() {
    let missing = |named: &dyn Fn(WorkerId, WorkerId) -> Vec<Option<WorkerId>>, count: usize| {
        broken(|truth, read| {
            let workers: Vec<WorkerId> = truth.views.keys().copied().collect();
            for worker_id in workers.iter().take(count) {
                read.views.remove(worker_id);
            }
            let whose = named(workers[0], workers[1]).into_iter();
            read.damaged = whose.map(|whose| damaged("worker", whose)).collect();
        })
    };
    let promise = "I7 a damaged record is told";
    assert_eq!(missing(&|first, _| vec![Some(first)], 1), [""; 0]);
    assert_told(&missing(&|_, second| vec![Some(second)], 1), promise);
    // Where nobody knows whose it is, one may be missing, and no more.
    assert_eq!(missing(&|_, _| vec![None], 1), [""; 0]);
    assert_eq!(missing(&|_, _| vec![Some(NOBODY)], 1), [""; 0]);
    assert_told(&missing(&|_, _| vec![None], 2), promise);
}

#[test]
fn a_part_of_nobody_knows_whom_excuses_one_worker_without_it() {
    let wrong = |count: usize| {
        broken(|_, read| {
            for view in read.views.values_mut().take(count) {
                view.activity.queued += 1;
            }
            read.damaged.push(damaged("unfinished", Some(NOBODY)));
        })
    };
    assert_eq!(wrong(1), [""; 0]);
    assert_told(&wrong(2), "I7 a damaged record is told");
}

#[test]
fn as_many_may_be_missing_as_a_table_is_said_to_lack() {
    let missing = |count: usize| {
        broken(|truth, read| {
            for worker_id in truth.views.keys().take(count) {
                read.views.remove(worker_id);
            }
            let mut lacking = damaged("worker", None);
            lacking.detail = "7 rows were written last and 5 are there".to_owned();
            read.damaged.push(lacking);
        })
    };
    assert_eq!(missing(2), [""; 0]);
    assert_told(&missing(3), "I7 a damaged record is told");
}

#[test]
fn a_damaged_record_of_a_worker_that_was_deleted_excuses_nobody() {
    let found = broken(|truth, read| {
        let Some(dead) = truth.deleted.first() else {
            panic!("none was deleted");
        };
        read.views.remove(&first(truth));
        read.damaged.push(damaged("worker", Some(*dead)));
    });
    assert_told(&found, "I7 a damaged record is told");
}

#[test]
fn a_lease_that_is_not_there_is_noticed_unless_it_is_told() {
    let lost = |named: Option<LeaseId>, whose: bool, answer: Option<Code>| {
        broken(|truth, read| {
            let first = *truth.leases.keys().next().unwrap();
            read.leases.remove(&first);
            read.lost_leases.extend(answer.map(|code| (first, code)));
            let mut record = damaged("lease", None);
            record.lease_id = named.or(whose.then_some(first));
            read.damaged.push(record);
        })
    };
    let promise = "I7 a damaged lease is told";
    assert_eq!(lost(None, true, Some(Code::RecordDamaged)), [""; 0]);
    assert_told(&lost(None, true, Some(Code::LeaseUnknown)), promise);
    // Where nobody knows whose it is, one may be missing, and no more.
    let nobodys = Some(LeaseId::from_bytes([9; 16]));
    let unknown = Some(Code::LeaseUnknown);
    assert_eq!(lost(nobodys, false, unknown), [""; 0]);
    assert_eq!(lost(None, false, unknown), [""; 0]);
    let found = broken(|truth, read| {
        assert!(truth.leases.len() > 1, "it has too few leases");
        read.leases.clear();
        read.damaged.push(damaged("lease", None));
    });
    assert_told(&found, promise);
    let found = broken(|truth, read| {
        let mut leases = truth.leases.keys();
        let mut record = damaged("lease", None);
        record.lease_id = leases.next().copied();
        read.damaged.push(record);
        read.leases.remove(leases.next().unwrap());
    });
    assert_told(&found, promise);
}

#[test]
fn a_lease_that_is_another_is_noticed_whatever_else_is_damaged() {
    let found = broken(|_, read| {
        let view = read.leases.values_mut().next().unwrap();
        view.holder = "another".to_owned();
        let mut record = damaged("lease", None);
        record.lease_id = Some(view.lease_id);
        read.damaged.push(record);
    });
    assert_told(&found, "I7 damaged is never served");
}

#[test]
fn a_damaged_lease_excuses_no_worker() {
    let found = broken(|truth, read| {
        read.views.remove(&first(truth));
        let mut record = damaged("lease", None);
        record.lease_id = truth.leases.keys().next().copied();
        read.damaged.push(record);
        read.damaged.push(damaged("lease", None));
    });
    assert_told(&found, "I7 a damaged record is told");
}

#[test]
fn what_is_missing_without_a_gap_is_noticed() {
    let gone = |truth: &Reading| *truth.log.found.keys().nth(3).unwrap();
    let found = broken(|truth, read| {
        read.log.found.remove(&gone(truth));
    });
    assert_told(&found, "I10 a gap is told");
    let found = broken(|truth, read| {
        let at = Position(gone(truth));
        read.log.found.remove(&at.0);
        read.log.gaps.push(Gap {
            cause: GapCause::Damaged,
            from: at,
            to: at,
            seqs: None,
            code: None,
        });
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn an_event_where_another_was_is_noticed() {
    let found = broken(|truth, read| {
        let mut places = truth.log.found.iter();
        let (at, _) = places
            .find(|(_, shown)| matches!(shown, Shown::Event(_)))
            .unwrap();
        read.log.found.insert(*at, Shown::Redacted(NOBODY));
    });
    assert_told(&found, "I7 damaged is never served");
}

#[test]
fn a_redaction_in_two_parts_is_the_same_as_in_one() {
    let redacted = |from: u64, to: u64| {
        let data = format!("{{\"from\":{from},\"worker_id\":\"{NOBODY}\"}}");
        worker_runtime_core::Event {
            position: Position(to),
            at: worker_runtime_core::Timestamp::from_unix_ms(0),
            worker: None,
            kind: EventType::REDACTED,
            run_id: None,
            data_digest: Digest::of(data.as_bytes()),
            data: data.into(),
        }
    };
    let shown = |events: Vec<worker_runtime_core::Event>| {
        let mut found = Default::default();
        for event in events {
            show(&mut found, event);
        }
        found
    };
    let whole = shown(vec![redacted(3, 6)]);
    assert_eq!(whole, shown(vec![redacted(3, 4), redacted(5, 6)]));
    assert_ne!(whole, shown(vec![redacted(3, 4), redacted(6, 6)]));
    assert_eq!(whole.len(), 4);
}
