//! Opening: what is refused, what is told, and what reading leaves alone.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use redb::{ReadableDatabase, ReadableTableMetadata};
use worker_runtime_core::{
    Code, LeaseId, OperationId, Position, Stream,
    store::{
        Batch, Change, Store, WentBack,
        conformance::{Script, lease_record, operation_record, worker_record},
    },
};

use super::{close, crashed_copy, open, options, seeded};
use crate::{
    FileOptions, FileStore, Held, OpenError, ReadStore, codec, held,
    layout::{
        incarnation, lease,
        meta::{self, FORMAT_VERSION, Format},
        operation,
    },
};

#[test]
fn a_newer_format_is_refused_and_no_record_changes() {
    let directory = tempfile::tempdir().unwrap();
    close(open(directory.path()));
    let file = directory.path().join("runtime.redb");
    let db = redb::Database::open(&file).unwrap();
    let write = db.begin_write().unwrap();
    let mut value = Vec::new();
    let newer = Format {
        version: FORMAT_VERSION + 1,
    };
    codec::seal_record(meta::TABLE, meta::FORMAT, &newer, &mut value).unwrap();
    write
        .open_table(meta::TABLE.definition())
        .unwrap()
        .insert(meta::FORMAT, value.as_slice())
        .unwrap();
    write.commit().unwrap();
    drop(db);
    let before = incarnations(&file);
    let refused = FileStore::open(directory.path(), options()).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found, known } if found == known + 1));
    assert_eq!(refused.code(), Code::StateNewer);
    let refused = ReadStore::open(directory.path()).unwrap_err();
    assert_eq!(refused.code(), Code::StateNewer);
    assert_eq!(incarnations(&file), before);
}

#[test]
fn a_file_that_was_made_before_there_were_leases_is_read_and_takes_them() {
    let directory = tempfile::tempdir().unwrap();
    close(open(directory.path()));
    let db = redb::Database::open(directory.path().join("runtime.redb")).unwrap();
    let write = db.begin_write().unwrap();
    assert!(write.delete_table(lease::TABLE.definition()).unwrap());
    write.commit().unwrap();
    drop(db);
    let loaded = ReadStore::open(directory.path()).unwrap().load().unwrap();
    assert!(loaded.leases.is_empty() && loaded.damaged.is_empty());
    let mut store = open(directory.path());
    assert!(store.load().unwrap().damaged.is_empty());
    let held = Arc::new(lease_record(LeaseId::from_bytes([3; 16])));
    let batch = Batch {
        changes: vec![Change::Lease(held.clone())],
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    close(store);
    let loaded = ReadStore::open(directory.path()).unwrap().load().unwrap();
    assert_eq!((loaded.leases, loaded.damaged), (vec![held], Vec::new()));
}

#[test]
fn a_file_that_was_made_before_there_were_operations_is_read_and_takes_them() {
    let directory = tempfile::tempdir().unwrap();
    close(open(directory.path()));
    let db = redb::Database::open(directory.path().join("runtime.redb")).unwrap();
    let write = db.begin_write().unwrap();
    assert!(write.delete_table(operation::TABLE.definition()).unwrap());
    write.commit().unwrap();
    drop(db);
    let loaded = ReadStore::open(directory.path()).unwrap().load().unwrap();
    assert!(loaded.operations.is_empty() && loaded.damaged.is_empty());
    let mut store = open(directory.path());
    assert!(store.load().unwrap().damaged.is_empty());
    let kept = Arc::new(operation_record(OperationId(1)));
    let batch = Batch {
        changes: vec![Change::Operation(kept.clone())],
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    close(store);
    let loaded = ReadStore::open(directory.path()).unwrap().load().unwrap();
    assert_eq!(
        (loaded.operations, loaded.damaged),
        (vec![kept], Vec::new())
    );
}

/// How many openings for writing the file tells of.
fn incarnations(file: &Path) -> u64 {
    let db = redb::Database::open(file).unwrap();
    let read = db.begin_read().unwrap();
    let table = read.open_table(incarnation::TABLE.definition()).unwrap();
    table.len().unwrap()
}

#[test]
fn a_second_writer_is_refused_and_told_who_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.public_address().publish("127.0.0.1:7621").unwrap();
    let refused = FileStore::open(directory.path(), options()).unwrap_err();
    let OpenError::Locked { pid, address, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(*pid, Some(std::process::id()));
    assert_eq!(address.as_deref(), Some("127.0.0.1:7621"));
    let refused = ReadStore::open(directory.path()).unwrap_err();
    assert_eq!(refused.code(), Code::StateLocked);
    let serving = crate::serving(directory.path()).unwrap();
    assert_eq!(serving.pid, Some(std::process::id()));
    assert_eq!(serving.address, "127.0.0.1:7621");
    assert_eq!(held(directory.path()).unwrap(), Held::Serves(serving));
    close(store);
    assert_eq!(crate::serving(directory.path()), None, "nobody holds it");
    assert_eq!(held(directory.path()).unwrap(), Held::Free);
    let store = open(directory.path());
    assert_eq!(crate::serving(directory.path()), None, "it serves nobody");
    let pid = Some(std::process::id());
    assert_eq!(held(directory.path()).unwrap(), Held::Otherwise { pid });
    close(store);
    let nothing = held(&directory.path().join("nothing")).unwrap_err();
    assert_eq!(nothing.code(), Code::StateMissing);
}

/// A client sends its access token to the address: who is told of it must be who wrote it.
#[test]
fn an_address_is_told_while_its_process_serves_and_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let address = store.public_address();
    let locked = |what: &str| match FileStore::open(directory.path(), options()).unwrap_err() {
        OpenError::Locked { address, .. } => address,
        other => panic!("{what}: {other:?}"),
    };
    address.publish("127.0.0.1:7621").unwrap();
    assert_eq!(locked("it serves").as_deref(), Some("127.0.0.1:7621"));
    address.withdraw().unwrap();
    assert_eq!(locked("it stopped"), None);
    assert_eq!(crate::serving(directory.path()), None);
    address.publish("127.0.0.1:7622").unwrap();
    close(store);
    let record = fs::read_to_string(directory.path().join("lock")).unwrap();
    assert!(!record.contains("127.0.0.1"), "left behind: {record}");
    // Whoever listened may still have it; the next holder's record is none of its business.
    let next = open(directory.path());
    address.publish("127.0.0.1:7623").unwrap();
    assert_eq!(locked("another opening"), None);
    close(next);
}

#[test]
fn a_missing_store_is_made_only_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let refused = FileStore::open(
        &path,
        FileOptions {
            create: false,
            ..options()
        },
    );
    assert_eq!(refused.unwrap_err().code(), Code::StateMissing);
    assert!(!path.exists());
    close(open(&path));
    assert_eq!(
        ReadStore::open(directory.path()).unwrap_err().code(),
        Code::StateMissing
    );
}

fn contents(path: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files
        .map(|entry| {
            let modified = entry.metadata().unwrap().modified().unwrap();
            (entry.path(), (fs::read(entry.path()).unwrap(), modified))
        })
        .collect()
}

#[test]
fn reading_a_stopped_store_changes_no_byte_even_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut script = Script::default();
    let ids = [script.worker(), script.worker()];
    let mut batch = script.batch(&ids, 200, 200);
    let record = Arc::new(worker_record(ids[0]));
    batch.changes = vec![Change::Worker(Arc::clone(&record))];
    store.commit(&batch).unwrap();
    let crashed = crashed_copy(directory.path());
    close(store);
    for path in [directory.path(), crashed.path()] {
        let before = contents(path);
        let store = ReadStore::open(path).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.workers, [Arc::clone(&record)]);
        assert_eq!(loaded.position, script.position());
        assert_eq!(loaded.incarnations.len(), 1, "reading is no opening");
        let reader = store.reader();
        let events = Script::read(reader.as_ref(), Stream::Runtime, script.position(), 50);
        assert_eq!(events.len(), 200);
        let head = reader.worker_head(ids[1]).unwrap();
        assert_eq!(head.seq, script.head(ids[1]).0);
        drop(store);
        assert!(reader.worker_head(ids[0]).is_err() || path == crashed.path());
        assert_eq!(contents(path), before);
    }
}

#[test]
fn an_older_copy_put_back_is_told_once_and_fences_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(directory.path(), seeded(1)).unwrap();
    let mut script = Script::default();
    let ids = [script.worker()];
    let mut batch = script.batch(&ids, 10, 50);
    batch.changes = vec![Change::Worker(Arc::new(worker_record(ids[0])))];
    store.commit(&batch).unwrap();
    let older = crashed_copy(directory.path());
    let batch = script.batch(&ids, 10, 50);
    store.commit(&batch).unwrap();
    let generation = store.load().unwrap().workers[0].generation;
    close(store);
    fs::copy(
        older.path().join("runtime.redb"),
        directory.path().join("runtime.redb"),
    )
    .unwrap();

    let expected = WentBack {
        witnessed: Position(20),
        found: Position(10),
    };
    let read = ReadStore::open(directory.path()).unwrap();
    assert_eq!(read.load().unwrap().went_back, Some(expected));
    drop(read);
    let mut store = FileStore::open(directory.path(), seeded(2)).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.went_back, Some(expected));
    assert_eq!(loaded.workers[0].generation.0, generation.0 + (1 << 32));
    assert_eq!(loaded.runtime.fence.0, 1 << 32);
    assert_eq!(store.incarnation().number, 1 + (1 << 32));
    let last = loaded.incarnations.last().unwrap();
    assert_eq!(last.first_position, Position(11));
    assert_eq!(loaded.damaged, []);
    close(store);
    let mut store = FileStore::open(directory.path(), seeded(3)).unwrap();
    assert_eq!(store.load().unwrap().went_back, None);
    assert_eq!(store.incarnation().number, 2 + (1 << 32));
}

#[test]
fn without_a_witness_nothing_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut script = Script::default();
    let ids = [script.worker()];
    store.commit(&script.batch(&ids, 10, 50)).unwrap();
    close(store);
    fs::remove_file(directory.path().join("head")).unwrap();
    let mut store = open(directory.path());
    assert_eq!(store.load().unwrap().went_back, None);
    script.compare(&store);
}

#[test]
fn a_file_that_was_cut_off_is_named_and_not_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    close(open(directory.path()));
    let path = directory.path().join("runtime.redb");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(8192).unwrap();
    let refused = [
        FileStore::open(directory.path(), options()).map(|_| ()),
        ReadStore::open(directory.path()).map(|_| ()),
    ];
    for error in refused.map(Result::unwrap_err) {
        let told = error.to_string();
        assert_eq!(told, format!("{} is truncated or damaged", path.display()));
        assert_eq!(error.code().as_str(), "WR-STATE-DAMAGED");
    }
}
