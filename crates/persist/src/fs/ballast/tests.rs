use std::time::Duration;

use super::super::dir::WhenMissing;
use super::*;

fn open(home: &tempfile::TempDir, wanted_bytes: u64) -> Ballast {
    let dir = StateDir::open_for_writing(home.path(), WhenMissing::Create).unwrap();
    let lock = WriterLock::acquire(&dir, Duration::ZERO).unwrap();
    Ballast::open(&dir, &lock, wanted_bytes).unwrap()
}

/// What the file takes on disk.
fn allocated_bytes(home: &tempfile::TempDir) -> u64 {
    fs::metadata(home.path().join("ballast")).unwrap().blocks() * 512
}

#[test]
fn the_space_is_really_taken_given_back_in_batches_and_taken_again() {
    let home = tempfile::tempdir().unwrap();
    let ballast = open(&home, 2 * BATCH_BYTES);
    assert_eq!(allocated_bytes(&home), 0);
    ballast.ensure().unwrap();
    assert!(allocated_bytes(&home) >= 2 * BATCH_BYTES);

    assert!(ballast.release_batch());
    assert_eq!(ballast.held_bytes(), BATCH_BYTES);
    assert!(allocated_bytes(&home) < 2 * BATCH_BYTES);
    assert!(ballast.release_batch());
    assert!(!ballast.release_batch(), "nothing is left to give back");
    assert_eq!(allocated_bytes(&home), 0);

    ballast.ensure().unwrap();
    assert_eq!(ballast.held_bytes(), 2 * BATCH_BYTES);
    assert!(allocated_bytes(&home) >= 2 * BATCH_BYTES);
}

#[test]
fn a_ballast_that_is_there_is_kept_cut_down_and_removed() {
    let home = tempfile::tempdir().unwrap();
    open(&home, 2 * BATCH_BYTES).ensure().unwrap();
    let same = open(&home, 2 * BATCH_BYTES);
    assert_eq!(
        same.held_bytes(),
        2 * BATCH_BYTES,
        "it is there for the recovery"
    );
    let smaller = open(&home, BATCH_BYTES);
    assert!(allocated_bytes(&home) < 2 * BATCH_BYTES);
    smaller.ensure().unwrap();
    assert_eq!(smaller.held_bytes(), BATCH_BYTES);

    let none = open(&home, 0);
    assert!(!home.path().join("ballast").exists());
    none.ensure().unwrap();
    assert!(!none.release_batch());
}

#[test]
fn more_than_the_disk_has_is_storage_full_and_takes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let ballast = open(&home, 1 << 50);
    let full = ballast.ensure().unwrap_err();
    assert_eq!(full.needed_bytes, 1 << 50);
    assert!(full.available_bytes < 1 << 50);
    assert_eq!(ballast.held_bytes(), 0);
    assert_eq!(allocated_bytes(&home), 0);
}

#[test]
fn where_space_can_not_be_allocated_it_is_written() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    let file = private_file()
        .create(true)
        .truncate(false)
        .open(&path)
        .unwrap();
    fill(&file, 3 * FILL_BYTES as u64 + 5).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 3 * FILL_BYTES + 5);
    let distinct: std::collections::HashSet<&[u8]> = bytes.chunks(4096).collect();
    assert_eq!(
        distinct.len(),
        bytes.len().div_ceil(4096),
        "no page repeats"
    );
}
