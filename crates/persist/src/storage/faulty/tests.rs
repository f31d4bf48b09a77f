//! What redb 4.4.0 does when its storage fails, which the recovery by copy relies on. A new version
//! of redb that behaves otherwise is told here.

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, StorageError, TableDefinition, TransactionError};

use super::*;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn put(database: &Database, key: u64, length: usize) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    let value = vec![key as u8; length];
    write.open_table(TABLE)?.insert(key, value.as_slice())?;
    write.commit()?;
    Ok(())
}

fn has(database: &Database, key: u64) -> Result<bool, redb::Error> {
    let table = database.begin_read()?.open_table(TABLE)?;
    Ok(table.get(key)?.is_some())
}

fn store() -> (Database, FaultControl) {
    let (backend, control) = FaultyBackend::new(InMemoryBackend::new()).unwrap();
    let database = Database::builder().create_with_backend(backend).unwrap();
    put(&database, 1, 100).unwrap();
    (database, control)
}

fn open_image(image: &[u8]) -> Database {
    let memory = InMemoryBackend::new();
    memory.set_len(image.len() as u64).unwrap();
    StorageBackend::write(&memory, 0, image).unwrap();
    Database::builder().create_with_backend(memory).unwrap()
}

#[test]
fn a_failed_commit_latches_every_later_write_and_can_be_dropped() {
    for (target, errno) in [(Target::Write, ENOSPC), (Target::Sync, EIO)] {
        let (database, control) = store();
        control.fail(target, 0, Fault::Refuse { errno }, Repeat::Once);
        match put(&database, 2, 100) {
            Err(redb::Error::Io(error)) => assert_eq!(error.raw_os_error(), Some(errno)),
            other => panic!("{other:?}"),
        }
        let (writes, syncs) = (control.writes(), control.syncs());
        assert!(matches!(
            database.begin_write(),
            Err(TransactionError::Storage(StorageError::PreviousIo))
        ));
        drop(database);
        assert_eq!((control.writes(), control.syncs()), (writes, syncs));
    }
}

#[test]
fn after_a_failed_commit_only_cached_pages_can_be_read() {
    for (cache_bytes, readable) in [(1 << 20, true), (0, false)] {
        let (backend, control) = FaultyBackend::new(InMemoryBackend::new()).unwrap();
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let database = builder.create_with_backend(backend).unwrap();
        put(&database, 1, 100).unwrap();
        assert!(has(&database, 1).unwrap());

        let refuse = Fault::Refuse { errno: EIO };
        control.fail(Target::Sync, 0, refuse, Repeat::Once);
        put(&database, 2, 100).unwrap_err();
        match has(&database, 1) {
            Ok(found) => assert!(readable && found),
            Err(redb::Error::PreviousIo) => assert!(!readable),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_write_that_stops_half_way_is_seen_and_can_reach_the_disk() {
    let (backend, control) = FaultyBackend::new(InMemoryBackend::new()).unwrap();
    backend.set_len(8).unwrap();
    let short = Fault::Short {
        written_bytes: 3,
        errno: ENOSPC,
    };
    control.fail(Target::Write, 1, short, Repeat::Once);
    backend.write(0, b"aaaaaaaa").unwrap();
    let error = backend.write(0, b"bbbbbbbb").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(ENOSPC));
    assert_eq!(control.disk_image(), b"");
    backend.sync_data().unwrap();
    assert_eq!(control.disk_image(), b"bbbaaaaa");
}

#[test]
fn a_sticky_fault_lasts_until_it_is_healed() {
    let (backend, control) = FaultyBackend::new(InMemoryBackend::new()).unwrap();
    let refuse = Fault::Refuse { errno: ENOSPC };
    control.fail(Target::SetLength, 1, refuse, Repeat::Sticky);
    backend.set_len(8).unwrap();
    backend.set_len(9).unwrap_err();
    backend.set_len(9).unwrap_err();
    control.heal();
    backend.set_len(9).unwrap();
}

#[test]
fn writes_lost_by_a_sync_are_seen_and_never_reach_the_disk() {
    let (backend, control) = FaultyBackend::new(InMemoryBackend::new()).unwrap();
    backend.set_len(8).unwrap();
    backend.write(0, b"aaaaaaaa").unwrap();
    backend.sync_data().unwrap();

    backend.write(0, b"bb").unwrap();
    control.fail(
        Target::Sync,
        0,
        Fault::LoseSync { errno: EIO },
        Repeat::Once,
    );
    backend.sync_data().unwrap_err();
    backend.write(6, b"cc").unwrap();
    backend.sync_data().unwrap();

    let mut seen = [0; 8];
    backend.read(0, &mut seen).unwrap();
    assert_eq!(&seen, b"bbaaaacc");
    assert_eq!(control.disk_image(), b"aaaaaacc");
}

#[test]
fn the_image_on_disk_is_the_last_synced_commit() {
    let (database, control) = store();
    let before = control.disk_image();
    control.fail(
        Target::Sync,
        0,
        Fault::LoseSync { errno: EIO },
        Repeat::Once,
    );
    put(&database, 2, 100).unwrap_err();
    assert_eq!(control.disk_image(), before);
    let recovered = open_image(&before);
    assert!(has(&recovered, 1).unwrap());
    assert!(!has(&recovered, 2).unwrap());
}
