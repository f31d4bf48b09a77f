//! Rows that say what can't be, each written as the store itself would write it: their checksums fit, and the
//! tables' sums too. What finds them is what they say.

mod cases;

use std::{fs::File, ops::ControlFlow};

use worker_runtime_core::{
    Code, WorkerId,
    record::{AllocationRecord, WorkerRecord},
    store::{Store, StoreError},
};

use super::{
    CheckDepth, Cost, Told, check,
    fill::{Filled, Left, filled},
    told,
};
use crate::{
    FileOptions, FileStore, OpenError, codec,
    engine::{CommitMode, End, Engine, Rows, Writing},
    layout::{
        TABLES, Table, allocation, history, log,
        meta::{self, State},
        worker,
    },
    pack::{self, Pack},
};
use cases::{CASES, Case};

/// Whether the sums of the tables are what the rows come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sums {
    Right,
    AsBefore,
}

/// Changes rows in one transaction that keeps the sums of the tables right.
fn change(filled: &Filled, change: impl FnOnce(&mut Writing<'_>, &mut State)) {
    change_rows(filled, |rows, state| {
        change(rows, state);
        Sums::Right
    });
}

fn change_rows(filled: &Filled, change: impl FnOnce(&mut Writing<'_>, &mut State) -> Sums) {
    let path = filled.path().join("runtime.redb");
    let file = File::options().read(true).write(true).open(path).unwrap();
    let backend = redb::backends::FileBackend::new(file).unwrap();
    let db = redb::Database::builder()
        .create_with_backend(backend)
        .unwrap();
    let engine = Engine::new(db);
    let mut state = engine
        .read(|rows| {
            rows.get(meta::TABLE, meta::STATE, |value| {
                codec::open_record::<State>(meta::TABLE, meta::STATE, value.unwrap()).unwrap()
            })
        })
        .unwrap();
    let sums = state.sums;
    engine
        .write(CommitMode::Durable, &sums, |rows| {
            if change(rows, &mut state) == Sums::Right {
                state.sums = rows.sums();
            }
            rows.put_record(meta::TABLE, meta::STATE, &state)
        })
        .unwrap();
    engine.close();
}

/// Every key of a table that is chosen, with its value.
fn all(rows: &mut Writing<'_>, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    rows.scan(
        table,
        (&[], &[u8::MAX; 40]),
        End::First,
        &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            Ok::<_, StoreError>(ControlFlow::Continue(()))
        },
    )
    .unwrap();
    found
}

fn of(rows: &mut Writing<'_>, table: Table, id: WorkerId) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = all(rows, table);
    found.retain(|(key, _)| key.starts_with(&id.to_bytes()));
    found
}

fn remove_one(rows: &mut Writing<'_>, table: Table) {
    let found = all(rows, table);
    let (key, _) = &found[found.len() / 2];
    rows.remove(table, key).unwrap();
}

/// A history pack of a Worker with an event changed by `edit`, sealed again.
fn reseal(
    rows: &mut Writing<'_>,
    id: WorkerId,
    edit: impl FnOnce(&mut pack::Header, &mut Vec<u8>),
) {
    let packs = of(rows, history::TABLE, id);
    let (key, value) = &packs[packs.len() / 2];
    let found = Pack::open_history(history::TABLE, key, value, id).unwrap();
    let (mut header, mut entries) = (found.header, found.entries().to_vec());
    edit(&mut header, &mut entries);
    let mut out = Vec::new();
    pack::seal(history::TABLE, key, &header, [&entries, &[]], &mut out);
    rows.put(history::TABLE, key, &out).unwrap();
}

fn reseal_log(rows: &mut Writing<'_>, edit: impl FnOnce(&mut pack::Header, &mut Vec<u8>)) {
    let packs = all(rows, log::TABLE);
    let (key, value) = &packs[packs.len() / 2];
    let found = Pack::open_log(log::TABLE, key, value).unwrap();
    let (mut header, mut entries) = (found.header, found.entries().to_vec());
    edit(&mut header, &mut entries);
    let mut out = Vec::new();
    pack::seal(log::TABLE, key, &header, [&entries, &[]], &mut out);
    rows.put(log::TABLE, key, &out).unwrap();
}

fn worker_of(rows: &mut Writing<'_>, id: WorkerId) -> WorkerRecord {
    let (key, value) = of(rows, worker::TABLE, id).remove(0);
    codec::open_record(worker::TABLE, &key, &value).unwrap()
}

fn allocation_of(rows: &mut Writing<'_>, id: WorkerId) -> AllocationRecord {
    let (key, value) = of(rows, allocation::TABLE, id).remove(0);
    codec::open_record(allocation::TABLE, &key, &value).unwrap()
}

fn put_worker(rows: &mut Writing<'_>, record: &WorkerRecord) {
    let key = worker::key(record.worker_id);
    rows.put_record(worker::TABLE, key.as_bytes(), record)
        .unwrap();
}

fn put_allocation(rows: &mut Writing<'_>, record: &AllocationRecord) {
    let key = allocation::key(record.worker_id);
    rows.put_record(allocation::TABLE, key.as_bytes(), record)
        .unwrap();
}

#[test]
fn rows_that_say_what_can_not_be_are_found() {
    for left in [Left::Closed, Left::Killed] {
        for Case(what, code, is_quick, edit) in CASES {
            let filled = filled(left);
            change(&filled, |rows, state| edit(rows, state, &filled.ids));
            let (found, _) = told(filled.path(), CheckDepth::Full);
            assert!(found.codes().contains(code), "{what}, {left:?}: {found:?}");
            if *is_quick {
                let (quick, _) = told(filled.path(), CheckDepth::Quick);
                assert!(
                    quick.codes().contains(code),
                    "{what}, {left:?}, quick: {quick:?}"
                );
            }
        }
    }
}

#[test]
fn a_newer_format_is_refused_as_it_is_by_an_opening() {
    let filled = filled(Left::Closed);
    change(&filled, |rows, _| {
        let newer = meta::Format {
            version: meta::FORMAT_VERSION + 1,
        };
        rows.put_record(meta::TABLE, meta::FORMAT, &newer).unwrap();
    });
    let error = check(filled.path(), CheckDepth::Quick, &mut Told::default()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
}

#[test]
fn what_an_opening_put_on_record_as_lost_is_no_finding_any_more() {
    let filled = filled(Left::Killed);
    change(&filled, |rows, state| {
        let (key, value) = all(rows, log::TABLE).pop().unwrap();
        let newest = Pack::open_log(log::TABLE, &key, &value).unwrap();
        assert!(newest.header.last_position >= state.tail_floor);
        rows.remove(log::TABLE, &key).unwrap();
    });
    let (found, _) = told(filled.path(), CheckDepth::Quick);
    assert_eq!(found.codes(), [Code::EventDamaged], "{found:?}");
    let store = FileStore::open(filled.path(), FileOptions::default()).unwrap();
    Box::new(store).close().unwrap();
    let (found, checked) = told(filled.path(), CheckDepth::Full);
    assert!(checked.recorded_gaps > 0, "{checked:?}");
    let costs = found
        .0
        .iter()
        .filter(|finding| finding.cost != Cost::Nothing);
    assert_eq!(costs.count(), 0, "{found:?}");
}

#[test]
fn a_row_that_is_gone_from_whatever_table_is_missed() {
    let tables = TABLES.iter().filter(|table| table.sum.is_some());
    for table in tables {
        let filled = filled(Left::Closed);
        change_rows(&filled, |rows, _| {
            remove_one(rows, *table);
            Sums::AsBefore
        });
        let (found, _) = told(filled.path(), CheckDepth::Full);
        assert!(!found.0.is_empty(), "{}", table.name);
    }
}
