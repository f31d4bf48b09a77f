use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use twox_hash::XxHash3_128;

use super::*;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");

fn put(database: &Database, keys: std::ops::Range<u64>) {
    let write = database.begin_write().unwrap();
    {
        let mut table = write.open_table(TABLE).unwrap();
        for key in keys {
            table.insert(key, vec![key as u8; 900].as_slice()).unwrap();
        }
    }
    write.commit().unwrap();
}

fn contents(database: &Database) -> Vec<(u64, Vec<u8>)> {
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (key, value) = row.unwrap();
        (key.value(), value.value().to_vec())
    });
    rows.collect()
}

/// A store as a killed process leaves it: copied while it is open.
fn unclean_store(home: &Path) -> PathBuf {
    let (live, copy) = (home.join("live"), home.join("store"));
    let database = Database::create(&live).unwrap();
    put(&database, 0..500);
    put(&database, 500..900);
    fs::copy(&live, &copy).unwrap();
    copy
}

fn evidence(path: &Path) -> (u128, u64, i64, i64) {
    let found = fs::metadata(path).unwrap();
    let hash = XxHash3_128::oneshot(&fs::read(path).unwrap());
    (hash, found.size(), found.mtime(), found.mtime_nsec())
}

fn overlay(path: &Path) -> OverlayBackend {
    OverlayBackend::new(File::open(path).unwrap(), OVERLAY_BYTES_MAX).unwrap()
}

fn open(path: &Path) -> Database {
    let builder = Database::builder();
    builder.create_with_backend(overlay(path)).unwrap()
}

#[test]
fn a_store_that_needs_repair_is_repaired_read_and_written_without_touching_its_file() {
    let home = tempfile::tempdir().unwrap();
    let path = unclean_store(home.path());
    // Opened read-only, redb refuses it: this file does need the repair.
    assert!(matches!(
        redb::ReadOnlyDatabase::open(&path),
        Err(DatabaseError::RepairAborted)
    ));
    let before = evidence(&path);

    let mut database = open(&path);
    assert_eq!(contents(&database).len(), 900);
    put(&database, 900..2000);
    assert_eq!(contents(&database).len(), 2000);
    assert!(database.check_integrity().unwrap());
    database.compact().unwrap();
    assert_eq!(contents(&database).len(), 2000);
    drop(database);
    assert_eq!(evidence(&path), before);

    assert_eq!(
        contents(&open(&path)).len(),
        900,
        "each overlay starts from the file"
    );
}

#[test]
fn a_clean_store_reads_the_same_through_it() {
    let home = tempfile::tempdir().unwrap();
    let path = unclean_store(home.path());
    let database = Database::open(&path).unwrap();
    let direct = contents(&database);
    drop(database);
    let before = evidence(&path);
    assert_eq!(contents(&open(&path)), direct);
    assert_eq!(evidence(&path), before);
}

#[test]
fn reading_a_large_file_keeps_next_to_nothing_in_memory() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("large");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let overlay = overlay(&path);
    assert_eq!(overlay.len().unwrap(), 1 << 40);
    let mut bytes = [1; 100];
    overlay.read((1 << 40) - 100, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 100]);
    assert_eq!(overlay.overlaid_bytes(), 0);
    overlay.write((1 << 40) - 1, b"x").unwrap();
    assert_eq!(overlay.overlaid_bytes(), PAGE_BYTES);
}

#[test]
fn a_writer_of_the_file_and_overlays_exclude_each_other_and_overlays_do_not() {
    let home = tempfile::tempdir().unwrap();
    let path = unclean_store(home.path());
    let readers = [open(&path), open(&path)];
    assert!(matches!(
        Database::open(&path),
        Err(DatabaseError::DatabaseAlreadyOpen)
    ));
    drop(readers);
    let writer = Database::open(&path).unwrap();
    assert!(matches!(
        Database::builder().create_with_backend(overlay(&path)),
        Err(DatabaseError::DatabaseAlreadyOpen)
    ));
    drop(writer);
}

#[test]
fn a_write_beyond_the_bound_fails_and_within_it_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    fs::write(&path, vec![1; 10 * PAGE_BYTES]).unwrap();
    let file = File::open(&path).unwrap();
    let overlay = OverlayBackend::new(file, 2 * PAGE_BYTES).unwrap();
    overlay.write(0, &[2; 2 * PAGE_BYTES]).unwrap();
    let error = overlay.write(2 * PAGE_BYTES as u64, &[2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    overlay.write(10, &[3; 20]).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    SetLength(u64),
    Read(u64, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = 6 * PAGE_BYTES as u64;
    let write = (0..end, 1..3 * PAGE_BYTES, any::<u8>())
        .prop_map(|(offset, length, byte)| Step::Write(offset, vec![byte; length]));
    let read = (0..end, 0..3 * PAGE_BYTES).prop_map(|(offset, length)| Step::Read(offset, length));
    let step = prop_oneof![write, (0..end).prop_map(Step::SetLength), read];
    prop::collection::vec(step, 1..25)
}

proptest! {
    /// Against a plain vector: also lengths and offsets that redb itself would never use.
    #[test]
    fn it_behaves_as_a_file_of_its_own_would(base in 0..5 * PAGE_BYTES, steps in steps()) {
        let mut model: Vec<u8> = (0..base).map(|at| (at % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &model).unwrap();
        let overlay = overlay(file.path());
        for step in steps {
            match step {
                Step::Write(offset, data) => {
                    let place = model.get_mut(offset as usize..offset as usize + data.len());
                    prop_assert_eq!(overlay.write(offset, &data).is_ok(), place.is_some());
                    if let Some(place) = place {
                        place.copy_from_slice(&data);
                    }
                }
                Step::SetLength(length) => {
                    overlay.set_len(length).unwrap();
                    model.resize(length as usize, 0);
                }
                Step::Read(offset, length) => {
                    let mut read = vec![0xEE; length];
                    let answered = overlay.read(offset, &mut read).is_ok();
                    let expected = model.get(offset as usize..offset as usize + length);
                    prop_assert_eq!(answered.then_some(read.as_slice()), expected);
                }
            }
        }
        let mut all = vec![0xEE; model.len()];
        prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
        overlay.read(0, &mut all).unwrap();
        prop_assert_eq!(all, model);
    }
}
