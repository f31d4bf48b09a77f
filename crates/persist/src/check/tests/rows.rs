//! Rows that say what can't be, each written as the store itself would write it: their checksums fit, and the
//! tables' sums too. What finds them is what they say.

mod cases;

use std::{fs::File, ops::ControlFlow};

use worker_runtime_core::{
    Code, Digest, Position, WorkerId,
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

/// What becomes of a pack's header and entries.
type EditPack<'e> = &'e mut dyn FnMut(&mut pack::Header, &mut Vec<u8>);

/// Seals a pack again after an edit.
fn put_edited(rows: &mut Writing<'_>, table: Table, key: &[u8], found: &Pack, edit: EditPack<'_>) {
    let (mut header, mut entries) = (found.header, found.entries().to_vec());
    edit(&mut header, &mut entries);
    let mut out = Vec::new();
    pack::seal(table, key, &header, [&entries, &[]], &mut out);
    rows.put(table, key, &out).unwrap();
}

fn edit_history(
    rows: &mut Writing<'_>,
    id: WorkerId,
    at: fn(usize) -> usize,
    mut edit: impl FnMut(&mut pack::Header, &mut Vec<u8>),
) {
    let mut packs = of(rows, history::TABLE, id);
    let (key, value) = packs.swap_remove(at(packs.len()));
    let found = Pack::open_history(history::TABLE, &key, &value, id).unwrap();
    put_edited(rows, history::TABLE, &key, &found, &mut edit);
}

fn edit_log(
    rows: &mut Writing<'_>,
    at: fn(usize) -> usize,
    mut edit: impl FnMut(&mut pack::Header, &mut Vec<u8>),
) {
    let mut packs = all(rows, log::TABLE);
    let (key, value) = packs.swap_remove(at(packs.len()));
    let found = Pack::open_log(log::TABLE, &key, &value).unwrap();
    put_edited(rows, log::TABLE, &key, &found, &mut edit);
}

/// Edits the pack in the middle of a history.
fn reseal(rows: &mut Writing<'_>, id: WorkerId, edit: impl FnMut(&mut pack::Header, &mut Vec<u8>)) {
    edit_history(rows, id, |len| len / 2, edit);
}

fn reseal_last(
    rows: &mut Writing<'_>,
    id: WorkerId,
    edit: impl FnMut(&mut pack::Header, &mut Vec<u8>),
) {
    edit_history(rows, id, |len| len - 1, edit);
}

/// Edits the pack in the middle of the log.
fn reseal_log(rows: &mut Writing<'_>, edit: impl FnMut(&mut pack::Header, &mut Vec<u8>)) {
    edit_log(rows, |len| len / 2, edit);
}

fn reseal_last_log(rows: &mut Writing<'_>, edit: impl FnMut(&mut pack::Header, &mut Vec<u8>)) {
    edit_log(rows, |len| len - 1, edit);
}

/// The chain after these entries.
fn refolded(header: pack::Header, entries: &[u8], worker_id: Option<WorkerId>) -> Digest {
    let mut out = Vec::new();
    let (table, key) = match worker_id {
        Some(worker_id) => (
            history::TABLE,
            history::key(worker_id, header.first_position),
        ),
        None => (log::TABLE, log::key(header.first_position)),
    };
    pack::seal(table, key.as_bytes(), &header, [entries, &[]], &mut out);
    let pack = match worker_id {
        Some(worker_id) => Pack::open_history(table, key.as_bytes(), &out, worker_id),
        None => Pack::open_log(table, key.as_bytes(), &out),
    };
    pack.unwrap()
        .events()
        .fold(header.chain_before, |chain, entry| {
            let entry = entry.unwrap();
            let body = pack::Body::of_entry(&entry);
            let digest = pack::event_digest(&entry.event, body, &mut Vec::new()).unwrap();
            pack::link(chain, digest)
        })
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
        // Some of what they hold is in a history, which was full meanwhile.
        let floor = log::key(state.tail_floor);
        let packs = all(rows, log::TABLE).into_iter();
        let behind: Vec<_> = packs
            .filter(|(key, _)| key.as_slice() > floor.as_bytes())
            .collect();
        assert!(behind.len() > 1, "{}", behind.len());
        for (key, _) in behind {
            rows.remove(log::TABLE, &key).unwrap();
        }
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

#[test]
fn a_stretch_of_the_log_that_histories_have_costs_nothing() {
    let filled = filled(Left::Closed);
    change(&filled, |rows, _| {
        let packs = all(rows, log::TABLE).into_iter();
        let mut theirs = packs.filter(|(key, value)| {
            let found = Pack::open_log(log::TABLE, key, value).unwrap();
            let mut events = found.events();
            events.all(|entry| entry.unwrap().event.worker.is_some())
        });
        let (key, _) = theirs.next_back().unwrap();
        rows.remove(log::TABLE, &key).unwrap();
    });
    let (found, _) = told(filled.path(), CheckDepth::Full);
    assert_eq!(found.codes(), [Code::CheckCopy], "{found:?}");
}

#[test]
fn a_newest_pack_is_missed_where_the_log_can_not_tell() {
    let filled = filled(Left::Closed);
    let victim = filled.ids[4];
    change(&filled, |rows, _| {
        let (key, _) = of(rows, history::TABLE, victim).pop().unwrap();
        rows.remove(history::TABLE, &key).unwrap();
        remove_one(rows, log::TABLE);
    });
    let (found, _) = told(filled.path(), CheckDepth::Full);
    let mut of_history = found
        .0
        .iter()
        .filter(|one| one.table == history::TABLE.name);
    assert!(
        of_history.any(|one| one.worker_id == Some(victim)),
        "{found:?}"
    );
}

/// Also where all that is left of it are its events.
#[test]
fn every_worker_whose_record_is_gone_is_named() {
    for left in [Left::Closed, Left::Killed] {
        let count = filled(left).ids.len();
        for index in 0..count {
            let filled = filled(left);
            let victim = filled.ids[index];
            change(&filled, |rows, _| {
                let key = worker::key(victim);
                rows.remove(worker::TABLE, key.as_bytes()).unwrap();
            });
            let (found, _) = told(filled.path(), CheckDepth::Full);
            let named = found.0.iter().any(|finding| {
                (finding.code, finding.worker_id) == (Code::WorkerDamaged, Some(victim))
            });
            assert!(named, "{victim}, {left:?}: {found:?}");
        }
    }
}

/// As where the page that says how far it goes is an older one.
#[test]
fn a_log_that_goes_on_beyond_its_end_costs_data() {
    let filled = filled(Left::Killed);
    change(&filled, |rows, state| {
        let (key, value) = all(rows, log::TABLE).pop().unwrap();
        let last = Pack::open_log(log::TABLE, &key, &value).unwrap();
        state.position = Position(last.header.first_position.0 - 1);
    });
    std::fs::remove_file(filled.path().join("head")).unwrap();
    let costs = |depth| {
        let (found, _) = told(filled.path(), depth);
        found.0.iter().any(|finding| finding.cost == Cost::Data)
    };
    assert!(costs(CheckDepth::Full) && costs(CheckDepth::Quick));
    let store = FileStore::open(filled.path(), FileOptions::default());
    assert!(store.is_err(), "an opening refuses it");
}
