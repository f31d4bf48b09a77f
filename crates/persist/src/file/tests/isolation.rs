//! One byte of one row is flipped in a stopped store, in each table in turn. Others neither notice nor
//! stop: their commits, flushes, trims and reads go on, and the damage is named (I7).

use std::{path::Path, sync::Arc};

use redb::{ReadableDatabase, ReadableTable};
use worker_runtime_core::{
    Fence, Position, Seq, Stream, Timestamp, WorkerId,
    record::AllocationRecord,
    store::{
        Batch, BlockKind, Change, Checkpoint, GapCause, Loaded, ReplayRequest, Store, StoreReader,
        conformance::{Script, assert_same, receipt_record, unfinished_record, worker_record},
    },
};

use super::{close, options};
use crate::{
    FileOptions, FileStore, OpenError,
    layout::{
        Table, age, allocation, history, in_flight, incarnation, input, large, log, meta, pin,
        stream, unfinished, worker,
    },
};

/// Tails are flushed and packs are trimmed all the time.
fn busy(log_bytes_max: u64) -> FileOptions {
    let mut options = options();
    options.store.tails_bytes_max = 4 << 10;
    options.store.log_window_bytes = 8 << 10;
    options.store.retention.runtime_bytes_max = 300 << 10;
    options.store.retention.log_bytes_max = log_bytes_max;
    options
}

/// Flips a byte of the row in the middle of those that are chosen.
fn flip(directory: &Path, table: Table, at: usize, is_chosen: impl Fn(&[u8], &[u8]) -> bool) {
    let db = redb::Database::open(directory.join("runtime.redb")).unwrap();
    let read = db.begin_read().unwrap();
    let rows = read.open_table(table.definition()).unwrap();
    let all = rows.iter().unwrap().map(Result::unwrap);
    let all = all.map(|(key, value)| (key.value().to_vec(), value.value().to_vec()));
    let mut chosen: Vec<_> = all.filter(|(key, value)| is_chosen(key, value)).collect();
    assert!(!chosen.is_empty(), "table {} has such a row", table.name);
    let (key, mut value) = chosen.swap_remove(chosen.len() / 2);
    let at = at.min(value.len() - 1);
    value[at] ^= 0x10;
    drop((rows, read));
    let write = db.begin_write().unwrap();
    let mut rows = write.open_table(table.definition()).unwrap();
    rows.insert(key.as_slice(), value.as_slice()).unwrap();
    drop(rows);
    write.commit().unwrap();
}

fn contains(bytes: &[u8], id: WorkerId) -> bool {
    bytes.windows(16).any(|window| window == id.to_bytes())
}

fn checkpoint(worker_id: WorkerId, index: u32) -> Change {
    Change::Checkpoint(Checkpoint {
        worker_id,
        block: worker_runtime_core::BlockId {
            generation: worker_runtime_core::Generation(1),
            index,
        },
        kind: BlockKind::Text,
        parent: None,
        offset_bytes: 0,
        bytes: bytes::Bytes::from_static(b"not ended yet"),
    })
}

struct Filled {
    directory: tempfile::TempDir,
    script: Script,
    ids: Vec<WorkerId>,
}

/// A dozen Workers with rows in every table; the third will be damaged.
fn filled(log_bytes_max: u64) -> Filled {
    let directory = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(directory.path(), busy(log_bytes_max)).unwrap();
    let mut script = Script::default();
    let ids: Vec<WorkerId> = (0..12).map(|_| script.worker()).collect();
    let mut batch = script.batch(&ids, 240, 200);
    for id in &ids {
        let changes = [
            Change::Worker(Arc::new(worker_record(*id))),
            Change::Unfinished(Arc::new(unfinished_record(*id, Seq(1)))),
            Change::Receipt(*id, [1; 16], receipt_record(Seq(1))),
            Change::Allocation(Arc::new(AllocationRecord {
                worker_id: *id,
                parent: None,
                scope: Default::default(),
                fence: Fence(3),
                granted_at: Timestamp::from_unix_ms(9),
                delegation: None,
            })),
            checkpoint(*id, 0),
        ];
        batch.changes.extend(changes);
    }
    store.commit(&batch).unwrap();
    store.commit(&script.batch(&ids, 12, 5_000)).unwrap();
    let trims = ids.iter().map(|id| Change::Trim(*id, Seq(3)));
    let batch = Batch {
        changes: trims.collect(),
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    store.commit(&script.batch(&ids, 240, 200)).unwrap();
    // Keeps nothing that retention would take in this test.
    store.pin(Position(1 << 60)).unwrap();
    close(store);
    Filled {
        directory,
        script,
        ids,
    }
}

impl Filled {
    fn others(&self) -> Vec<WorkerId> {
        let ids = self.ids.iter().copied();
        ids.filter(|id| *id != self.ids[2]).collect()
    }

    /// What is left of each other Worker's events is what was written; what is not was trimmed.
    fn check(&self, reader: &dyn StoreReader, context: &str) {
        for id in self.others() {
            let stream = Stream::Worker(id);
            let bounds = reader.bounds(stream).unwrap();
            let page = reader.replay(&ReplayRequest {
                stream,
                after: Position(0),
                until: self.script.position(),
                events_max: usize::MAX,
                bytes_max: usize::MAX,
            });
            let page = page.unwrap();
            assert!(page.up_to_date, "{context}");
            let cause = page.gap.map(|gap| gap.cause);
            assert_eq!(cause, Some(GapCause::Retention), "{context}");
            let mut expected = self.script.of(stream);
            expected.retain(|event| event.position > bounds.trimmed_to);
            assert!(!expected.is_empty(), "{context}");
            assert_same(&page.events, &expected);
            let head = reader.worker_head(id).unwrap();
            assert_eq!((head.seq, head.items), self.script.head(id), "{context}");
            assert!(reader.receipt(id, [1; 16]).unwrap().is_some(), "{context}");
            let blocks = reader.in_flight(id).unwrap();
            assert_eq!(blocks[0].bytes, "not ended yet", "{context}");
        }
    }

    fn check_records(&self, loaded: &Loaded, context: &str) {
        for id in self.others() {
            let workers = loaded.workers.iter();
            assert!(
                workers.filter(|one| one.worker_id == id).count() == 1,
                "{context}"
            );
            let allocations = loaded.allocations.iter();
            assert!(
                allocations.filter(|one| one.worker_id == id).count() == 1,
                "{context}"
            );
            let unfinished = loaded.unfinished.iter();
            assert!(
                unfinished.filter(|one| one.worker_id == id).count() == 1,
                "{context}"
            );
        }
    }
}

/// Which rows are damaged, and what the opening says of it.
struct Case {
    table: Table,
    named: bool,
    is_runtimes: bool,
    is_chosen: fn(&[u8], &[u8], WorkerId) -> bool,
}

fn cases() -> Vec<Case> {
    let of_worker = |key: &[u8], value: &[u8], id| contains(key, id) || contains(value, id);
    let any = |_: &[u8], _: &[u8], _| true;
    let case = |table, named, is_chosen: fn(&[u8], &[u8], WorkerId) -> bool| Case {
        table,
        named,
        is_runtimes: is_chosen(&[0], &[], WorkerId::from_bytes([9; 16])),
        is_chosen,
    };
    vec![
        case(in_flight::TABLE, false, of_worker),
        case(unfinished::TABLE, true, of_worker),
        case(input::TABLE, false, of_worker),
        case(allocation::TABLE, true, of_worker),
        case(worker::TABLE, true, of_worker),
        case(age::TABLE, false, of_worker),
        case(stream::TABLE, false, |key, _, id| contains(key, id)),
        case(stream::TABLE, false, |key, _, _| key.starts_with(&[0])),
        case(history::TABLE, false, |key, _, id| contains(key, id)),
        case(log::TABLE, false, any),
        case(large::TABLE, false, |key, _, id| contains(key, id)),
        case(incarnation::TABLE, true, any),
        case(pin::TABLE, true, any),
    ]
}

#[test]
fn one_flipped_byte_of_any_table_stops_no_other_worker() {
    // With a short log nothing is made again from it, and the front of the Runtime's stream is trimmed.
    for (log_bytes_max, at) in [(64 << 10, 0), (4 << 20, 60)] {
        for case in cases() {
            let is_of_runtime = case.table == stream::TABLE && case.is_runtimes;
            if !is_of_runtime || log_bytes_max < 1 << 20 {
                stops_nobody(&case, log_bytes_max, at);
            }
        }
    }
}

fn stops_nobody(case: &Case, log_bytes_max: u64, at: usize) {
    let mut filled = filled(log_bytes_max);
    let context = &format!("{} byte {at} log {log_bytes_max}", case.table.name);
    let path = filled.directory.path().to_owned();
    let victim = filled.ids[2];
    flip(&path, case.table, at, |key, value| {
        (case.is_chosen)(key, value, victim)
    });
    let others = filled.others();
    for round in 0..2 {
        let mut store = FileStore::open(&path, busy(log_bytes_max)).unwrap();
        let loaded = store.load().unwrap();
        let mut names = loaded.damaged.iter().map(|one| one.table);
        assert!(
            !case.named || names.any(|name| name == case.table.name),
            "{context}"
        );
        filled.check_records(&loaded, context);
        let reader = store.reader();
        for _ in 0..16 {
            let batch = filled.script.batch(&others, 44, 400);
            let committed = store.commit(&batch);
            assert!(committed.is_ok(), "{context}, round {round}: {committed:?}");
        }
        filled.check(reader.as_ref(), context);
        store.idle().unwrap();
        let bytes = store.packed().history_bytes();
        let may = case.table == pin::TABLE;
        assert!(may || bytes < 400 << 10, "{context}: {bytes} are left");
        filled.check(reader.as_ref(), context);
        close(store);
    }
}

#[test]
fn damage_of_what_there_is_one_of_is_a_typed_error() {
    for name in [meta::FORMAT, meta::RUNTIME, meta::STATE] {
        let filled = filled(1 << 20);
        let path = filled.directory.path();
        flip(path, meta::TABLE, 9, |key, _| key == name);
        let opened = FileStore::open(path, options());
        let error = opened.and_then(|mut store| Ok(store.load().map(|_| ())?));
        let error = error.unwrap_err();
        assert!(matches!(error, OpenError::Store(_)), "{error:?}");
        assert_eq!(error.code().as_str(), "WR-STATE-DAMAGED");
    }
}
