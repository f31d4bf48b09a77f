use std::fs::OpenOptions;
use std::time::Duration;

use redb::{Database, ReadableDatabase, TableDefinition};

use super::*;
use crate::fs::{BATCH_BYTES, StateDir, WhenMissing, WriterLock};

const TABLE: TableDefinition<u64, u64> = TableDefinition::new("t");

fn read_write(path: &std::path::Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap()
}

fn stopped(error: &io::Error) -> &WritesStopped {
    let inner = error.get_ref().expect("a wrapped error");
    inner.downcast_ref().expect("WritesStopped")
}

#[test]
fn redb_keeps_its_data_in_it_and_every_access_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store");
    let storage = FileStorage::new(read_write(&path), None).unwrap();
    let database = Database::builder()
        .create_with_backend(storage.clone())
        .unwrap();
    let before = storage.counts();
    let write = database.begin_write().unwrap();
    write.open_table(TABLE).unwrap().insert(1, 2).unwrap();
    write.commit().unwrap();
    let after = storage.counts();
    assert_eq!(after.syncs, before.syncs + 1, "one sync per commit");
    assert!(after.writes > before.writes);
    assert!(after.written_bytes >= before.written_bytes + 4096);
    drop(database);

    let database = Database::open(&path).unwrap();
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    assert_eq!(table.get(1).unwrap().unwrap().value(), 2);
}

#[test]
fn another_program_with_redb_is_refused_while_it_is_open() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store");
    let storage = FileStorage::new(read_write(&path), None).unwrap();
    let database = Database::builder().create_with_backend(storage).unwrap();
    assert!(matches!(
        Database::open(&path),
        Err(DatabaseError::DatabaseAlreadyOpen)
    ));
    drop(database);
    Database::open(&path).unwrap();
}

#[test]
fn after_a_failed_write_nothing_is_written_any_more_and_reads_go_on() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store");
    std::fs::write(&path, b"as it was").unwrap();
    // Open for reading only: the write fails, as on a file system that went read-only.
    let storage = FileStorage::new(File::open(&path).unwrap(), None).unwrap();
    assert!(storage.failure().is_none());
    let first = storage.write(0, b"new").unwrap_err();
    assert!(first.raw_os_error().is_some(), "the cause comes as it is");

    for later in [
        storage.write(0, b"new"),
        storage.sync_data(),
        storage.set_len(1),
        storage.clone().write(0, b"new"),
    ] {
        assert_eq!(stopped(&later.unwrap_err()).operation, Operation::Write);
    }
    assert_eq!(storage.counts(), FileCounts::default());
    let mut read = [0; 9];
    storage.read(0, &mut read).unwrap();
    assert_eq!(&read, b"as it was");
}

#[test]
fn a_failed_sync_is_never_repeated() {
    let (_reader, writer) = io::pipe().unwrap();
    // A pipe can't be synced.
    let file = File::from(std::os::fd::OwnedFd::from(writer));
    let storage = FileStorage::new(file, None).unwrap();
    assert!(storage.sync_data().unwrap_err().raw_os_error().is_some());
    let again = storage.sync_data().unwrap_err();
    assert_eq!(stopped(&again).operation, Operation::Sync);
    assert_eq!(storage.counts().syncs, 1);
}

#[test]
fn a_full_disk_takes_the_ballast_first_and_stops_the_file_when_it_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let dir = StateDir::open_for_writing(home.path(), WhenMissing::Create).unwrap();
    let lock = WriterLock::acquire(&dir, Duration::ZERO).unwrap();
    let ballast = Arc::new(Ballast::open(&dir, &lock, 3 * BATCH_BYTES).unwrap());
    ballast.ensure().unwrap();

    // Full for ever: each write there answers ENOSPC.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let storage = FileStorage::new(full, Some(ballast.clone())).unwrap();
    let error = storage.write(0, b"x").unwrap_err();
    assert!(is_storage_full(&error), "{error:?}");
    assert_eq!(storage.counts().rescued_writes, 3);
    assert_eq!(ballast.held_bytes(), 0);
    assert_eq!(storage.failure().unwrap().kind, io::ErrorKind::StorageFull);
}

#[test]
fn a_write_that_finds_room_after_the_ballast_gave_way_is_no_failure() {
    let home = tempfile::tempdir().unwrap();
    let dir = StateDir::open_for_writing(home.path(), WhenMissing::Create).unwrap();
    let lock = WriterLock::acquire(&dir, Duration::ZERO).unwrap();
    let ballast = Arc::new(Ballast::open(&dir, &lock, 3 * BATCH_BYTES).unwrap());
    ballast.ensure().unwrap();
    let file = read_write(&home.path().join("store"));
    let storage = FileStorage::new(file, Some(ballast.clone())).unwrap();

    // Full until one batch was given back.
    let attempt = |_: &File| match ballast.held_bytes() {
        held if held > 2 * BATCH_BYTES => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    };
    storage.with_room(Operation::Write, attempt).unwrap();
    assert_eq!(storage.counts().rescued_writes, 1);
    assert!(storage.failure().is_none());
    storage.write(0, b"goes on").unwrap();

    // Any other error is not met with room.
    let broken = |_: &File| Err(io::ErrorKind::PermissionDenied.into());
    storage.with_room(Operation::Write, broken).unwrap_err();
    assert_eq!(ballast.held_bytes(), 2 * BATCH_BYTES);
}
