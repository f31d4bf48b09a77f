use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use redb::{Database, ReadableDatabase, TableDefinition};

use super::super::dir::WhenMissing;
use super::*;
use crate::storage::FileStorage;
use crate::storage::faulty::{Fault, FaultyBackend, Repeat, Target};

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");
const EIO: i32 = 5;

struct Place {
    _home: tempfile::TempDir,
    dir: StateDir,
    lock: WriterLock,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = StateDir::open_for_writing(home.path(), WhenMissing::Create).unwrap();
        let lock = WriterLock::acquire(&dir, Duration::ZERO).unwrap();
        dir.prepare(&lock).unwrap();
        Self {
            _home: home,
            dir,
            lock,
        }
    }

    fn create_store(&self) -> FileStorage {
        let file = StagedStore::empty(&self.dir, &self.lock)
            .unwrap()
            .install(&self.dir)
            .unwrap();
        FileStorage::new(file, None).unwrap()
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.dir.tmp()).unwrap().count()
    }
}

fn put(database: &Database, key: u64) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    write
        .open_table(TABLE)?
        .insert(key, vec![key as u8; 3000].as_slice())?;
    write.commit()?;
    Ok(())
}

fn has(database: &Database, key: u64) -> bool {
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    let value = table.get(key).unwrap();
    value.is_some_and(|value| value.value() == vec![key as u8; 3000])
}

fn open(backend: impl StorageBackend) -> Database {
    Database::builder().create_with_backend(backend).unwrap()
}

/// The whole path after a failure: the store file stops, is copied, repaired, installed, reopened.
fn recover_by_copy(fault: Fault, target: Target, passes: u64) -> (bool, bool) {
    let place = Place::new();
    let storage = place.create_store();
    let (faulty, control) = FaultyBackend::new(storage.clone()).unwrap();
    let database = open(faulty);
    put(&database, 1).unwrap();
    control.fail(target, passes, fault, Repeat::Once);
    put(&database, 2).unwrap_err();
    drop(database);

    let file = replace_from(&storage, &place.dir, &place.lock).unwrap();
    assert_eq!(place.leftovers(), 0);
    let database = open(FileStorage::new(file, None).unwrap());
    let outcome = (has(&database, 1), has(&database, 2));
    put(&database, 3).unwrap();
    assert!(has(&database, 3));
    drop(database);
    let reopened = open(FileStorage::new(open_again(&place), None).unwrap());
    assert!(
        has(&reopened, 3),
        "the installed file is the one at its place"
    );
    outcome
}

fn open_again(place: &Place) -> File {
    private_file().open(place.dir.store()).unwrap()
}

#[test]
fn after_a_failed_write_the_copy_holds_what_was_acknowledged() {
    for passes in 0..6 {
        let refused = Fault::Refuse { errno: EIO };
        assert_eq!(
            recover_by_copy(refused, Target::Write, passes),
            (true, false)
        );
        let short = Fault::Short {
            written_bytes: 100,
            errno: EIO,
        };
        assert_eq!(recover_by_copy(short, Target::Write, passes), (true, false));
    }
}

#[test]
fn after_a_sync_that_lost_its_writes_the_copy_holds_them_while_they_can_be_read() {
    let lost = Fault::LoseSync { errno: EIO };
    assert_eq!(recover_by_copy(lost, Target::Sync, 0), (true, true));
}

#[test]
fn when_the_lost_pages_are_read_no_more_the_copy_goes_back_to_what_was_acknowledged() {
    let place = Place::new();
    let storage = place.create_store();
    let (faulty, control) = FaultyBackend::new(storage).unwrap();
    let database = open(faulty);
    put(&database, 1).unwrap();
    control.fail(
        Target::Sync,
        0,
        Fault::LoseSync { errno: EIO },
        Repeat::Once,
    );
    put(&database, 2).unwrap_err();
    drop(database);

    // The page cache dropped everything: the reads see the disk.
    let memory = redb::backends::InMemoryBackend::new();
    let image = control.disk_image();
    memory.set_len(image.len() as u64).unwrap();
    StorageBackend::write(&memory, 0, &image).unwrap();
    let file = replace_from(&memory, &place.dir, &place.lock).unwrap();
    let database = open(FileStorage::new(file, None).unwrap());
    assert!(has(&database, 1));
    assert!(!has(&database, 2));
}

#[test]
fn a_copy_is_verified_in_tmp_and_does_not_replace_until_it_is_installed() {
    let place = Place::new();
    let storage = place.create_store();
    let database = open(storage.clone());
    put(&database, 1).unwrap();
    drop(database);
    let inode = fs::metadata(place.dir.store()).unwrap().ino();

    let staged = StagedStore::copy_of(&storage, &place.dir, &place.lock).unwrap();
    assert_eq!(
        fs::metadata(&staged.path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    drop(staged);
    assert_eq!(place.leftovers(), 0, "a copy given up leaves nothing");
    assert_eq!(fs::metadata(place.dir.store()).unwrap().ino(), inode);

    let staged = StagedStore::copy_of(&storage, &place.dir, &place.lock).unwrap();
    let copy = open(FileStorage::new(staged.file().unwrap(), None).unwrap());
    assert!(has(&copy, 1));
    staged.install(&place.dir).unwrap();
    put(&copy, 2).unwrap();
    drop(copy);
    assert!(has(
        &open(FileStorage::new(open_again(&place), None).unwrap()),
        2
    ));
}

#[test]
fn a_source_that_can_not_be_read_leaves_the_store_in_place() {
    let place = Place::new();
    let storage = place.create_store();
    drop(open(storage.clone()));
    let before = fs::read(place.dir.store()).unwrap();
    let longer = Truncated(storage);
    let error = replace_from(&longer, &place.dir, &place.lock).unwrap_err();
    assert_eq!(error.step, ReplaceStep::Read);
    assert_eq!(fs::read(place.dir.store()).unwrap(), before);
    assert_eq!(place.leftovers(), 0);
}

#[test]
fn holes_stay_holes() {
    let place = Place::new();
    let storage = place.create_store();
    storage.set_len(64 << 20).unwrap();
    storage.write(40 << 20, b"alone").unwrap();
    let file = replace_from(&storage, &place.dir, &place.lock).unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), 64 << 20);
    assert!(metadata.blocks() * 512 <= 1 << 20, "{}", metadata.blocks());
    let mut read = [0; 5];
    file.read_exact_at(&mut read, 40 << 20).unwrap();
    assert_eq!(&read, b"alone");
}

/// Claims to be longer than it is.
#[derive(Debug)]
struct Truncated(FileStorage);

impl StorageBackend for Truncated {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len()? + 4096)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, _len: u64) -> io::Result<()> {
        unreachable!("a source is only read")
    }
    fn sync_data(&self) -> io::Result<()> {
        unreachable!("a source is only read")
    }
    fn write(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        unreachable!("a source is only read")
    }
}
