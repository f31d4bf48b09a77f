//! After a failed write or sync nothing is acknowledged before the store was copied to a new file.
//!
//! The harm without it: a second sync of the same file reports success for pages that the first one
//! lost, so what was acknowledged after it is gone at the next power cut.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use worker_runtime_core::store::{Store, StoreError, conformance::Script};

use super::{super::SharedBackend, options};
use crate::{
    FileOptions, FileStore, WrapBackend,
    storage::faulty::{Fault, FaultControl, FaultyBackend, Repeat, Target},
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The storages that a store opened, and how many of the next ones fail at their first sync.
#[derive(Clone, Default)]
struct Storages {
    controls: Arc<Mutex<Vec<FaultControl>>>,
    fail_next: Arc<AtomicUsize>,
}

impl Storages {
    fn options(&self) -> FileOptions {
        let storages = self.clone();
        let wrap: WrapBackend = Arc::new(move |backend| {
            let (faulty, control) = FaultyBackend::new(SharedBackend::new(backend, None)).unwrap();
            let left = storages.fail_next.load(Ordering::SeqCst);
            if left > 0 {
                storages.fail_next.store(left - 1, Ordering::SeqCst);
                let fault = Fault::LoseSync { errno: EIO };
                control.fail(Target::Sync, 0, fault, Repeat::Sticky);
            }
            storages.controls.lock().unwrap().push(control);
            Arc::new(faulty)
        });
        FileOptions {
            wrap_backend: Some(wrap),
            ..options()
        }
    }

    fn last(&self) -> FaultControl {
        self.controls.lock().unwrap().last().unwrap().clone()
    }
}

fn faults() -> Vec<(Target, u64, Fault)> {
    let mut faults = Vec::new();
    for errno in [EIO, ENOSPC] {
        for passes in [0, 1, 3] {
            faults.push((Target::Write, passes, Fault::Refuse { errno }));
            let written_bytes = 1000;
            faults.push((
                Target::Write,
                passes,
                Fault::Short {
                    written_bytes,
                    errno,
                },
            ));
        }
        faults.push((Target::Sync, 0, Fault::LoseSync { errno }));
        faults.push((Target::Sync, 0, Fault::Refuse { errno }));
    }
    faults
}

#[test]
fn a_failed_commit_is_recovered_by_copy_and_the_store_goes_on() {
    for (target, passes, fault) in faults() {
        let directory = tempfile::tempdir().unwrap();
        let storages = Storages::default();
        let mut store = FileStore::open(directory.path(), storages.options()).unwrap();
        let mut script = Script::default();
        let ids = [script.worker(), script.worker()];
        for _ in 0..3 {
            let batch = script.batch(&ids, 100, 200);
            store.commit(&batch).unwrap();
        }
        let reader = store.reader();
        let before = script.clone();
        storages.last().fail(target, passes, fault, Repeat::Sticky);
        let batch = script.batch(&ids, 100, 200);
        let failed = store.commit(&batch);
        assert!(
            matches!(failed, Err(StoreError::OutcomeUnknown { .. })),
            "{target:?} {passes} {fault:?}: {failed:?}"
        );
        let again = store.commit(&batch);
        assert!(matches!(again, Err(StoreError::OutcomeUnknown { .. })));
        assert_eq!(
            reader.worker_head(ids[0]).unwrap().seq,
            before.head(ids[0]).0
        );

        store.recover().unwrap();
        let position = store.load().unwrap().position;
        if position == before.position() {
            script = before;
        }
        assert_eq!(position, script.position());
        script.compare(&store);
        let batch = script.batch(&ids, 50, 200);
        store.commit(&batch).unwrap();

        // A power cut now: what the newest storage had synced is all that is left.
        let image = storages.last().disk_image();
        let after = tempfile::tempdir().unwrap();
        fs::write(after.path().join("runtime.redb"), image).unwrap();
        fs::copy(directory.path().join("head"), after.path().join("head")).unwrap();
        let mut reopened = FileStore::open(after.path(), options()).unwrap();
        script.compare(&reopened);
        assert_eq!(reopened.load().unwrap().went_back, None);
        assert_eq!(
            reader.worker_head(ids[0]).unwrap().seq,
            script.head(ids[0]).0
        );
    }
}

#[test]
fn a_recovery_that_fails_can_be_called_again() {
    let directory = tempfile::tempdir().unwrap();
    let storages = Storages::default();
    let mut store = FileStore::open(directory.path(), storages.options()).unwrap();
    let mut script = Script::default();
    let ids = [script.worker()];
    store.commit(&script.batch(&ids, 100, 200)).unwrap();
    let before = script.clone();
    let fault = Fault::LoseSync { errno: EIO };
    storages.last().fail(Target::Sync, 0, fault, Repeat::Sticky);
    assert!(store.commit(&script.batch(&ids, 10, 20)).is_err());
    storages.fail_next.store(2, Ordering::SeqCst);
    for _ in 0..2 {
        let failed = store.recover();
        assert!(failed.is_err(), "{failed:?}");
        let head = store.reader().worker_head(ids[0]).unwrap();
        assert_eq!(head.seq, before.head(ids[0]).0, "reads go on");
    }
    let tmp = directory.path().join("tmp");
    fs::remove_dir(&tmp).unwrap();
    // Clients are told of it, and are not told where the store is.
    let told = store.recover().unwrap_err().to_string();
    assert!(told.contains("can't create runtime.redb"), "{told}");
    let path = directory.path().to_str().unwrap();
    assert!(!told.contains(path), "{told}");
    fs::create_dir(&tmp).unwrap();
    store.recover().unwrap();
    if store.load().unwrap().position == before.position() {
        script = before;
    }
    store.commit(&script.batch(&ids, 10, 20)).unwrap();
    script.compare(&store);
    Box::new(store).close().unwrap();
    let leftovers = fs::read_dir(directory.path().join("tmp")).unwrap().count();
    assert_eq!(leftovers, 0);
    let store = FileStore::open(directory.path(), options()).unwrap();
    script.compare(&store);
}

#[test]
fn closing_after_a_failure_says_so_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let storages = Storages::default();
    let mut store = FileStore::open(directory.path(), storages.options()).unwrap();
    let mut script = Script::default();
    let ids = [script.worker()];
    store.commit(&script.batch(&ids, 100, 200)).unwrap();
    let before = script.clone();
    let fault = Fault::LoseSync { errno: EIO };
    storages.last().fail(Target::Sync, 0, fault, Repeat::Sticky);
    assert!(store.commit(&script.batch(&ids, 10, 20)).is_err());
    let image = storages.last().disk_image();
    assert!(Box::new(store).close().is_err());
    fs::write(directory.path().join("runtime.redb"), image).unwrap();
    let mut store = FileStore::open(directory.path(), options()).unwrap();
    assert_eq!(store.load().unwrap().position, before.position());
    before.compare(&store);
}

/// A failed sync leaves pages that are read and are not on the disk. A process that ended before its
/// recovery left them to the next one, which went on in the same file: a power cut after that took
/// the pages away, and the store could not be opened any more.
#[test]
fn a_process_that_ends_after_a_failed_sync_leaves_its_file_to_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let inode = || {
        let file = fs::metadata(directory.path().join("runtime.redb"));
        std::os::unix::fs::MetadataExt::ino(&file.unwrap())
    };
    let storages = Storages::default();
    let mut store = FileStore::open(directory.path(), storages.options()).unwrap();
    let mut script = Script::default();
    let ids = [script.worker()];
    store.commit(&script.batch(&ids, 100, 200)).unwrap();
    let before = script.clone();
    let fault = Fault::LoseSync { errno: EIO };
    storages.last().fail(Target::Sync, 0, fault, Repeat::Sticky);
    assert!(store.commit(&script.batch(&ids, 10, 20)).is_err());
    drop(store);

    let failed = inode();
    let mut store = FileStore::open(directory.path(), options()).unwrap();
    let copied = inode();
    assert_ne!(
        copied, failed,
        "what can be read is written and synced anew"
    );
    if store.load().unwrap().position == before.position() {
        script = before;
    }
    script.compare(&store);
    store.commit(&script.batch(&ids, 10, 20)).unwrap();
    drop(store);
    let store = FileStore::open(directory.path(), options()).unwrap();
    script.compare(&store);
    assert_eq!(inode(), copied, "once");
}
