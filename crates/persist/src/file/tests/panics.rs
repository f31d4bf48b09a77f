//! redb can panic on a damaged file. The panic is held, the database let go, and a recovery brings
//! the store back; nothing else of the process notices (I7).

use std::{
    io,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{BackendError, StorageBackend};
use worker_runtime_core::store::{Store, StoreError, conformance::Script};

use super::options;
use crate::{
    FileOptions, FileStore,
    engine::{CommitMode, Engine},
};

/// Panics in the middle of redb while the flag is set.
#[derive(Debug)]
struct Panicking {
    inner: Arc<dyn StorageBackend>,
    on_read: Arc<AtomicBool>,
    on_write: Arc<AtomicBool>,
}

impl StorageBackend for Panicking {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        assert!(!self.on_read.load(Ordering::SeqCst), "a panic on purpose");
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        assert!(!self.on_write.load(Ordering::SeqCst), "a panic on purpose");
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }
}

#[test]
fn a_panic_of_the_engine_is_an_error_and_a_recovery_goes_on() {
    for in_read in [true, false] {
        let flag = Arc::new(AtomicBool::new(false));
        let never = Arc::new(AtomicBool::new(false));
        let wrapped = Arc::clone(&flag);
        let mut options = FileOptions {
            wrap_backend: Some(Arc::new(move |inner| {
                let (on_read, on_write) = if in_read {
                    (&wrapped, &never)
                } else {
                    (&never, &wrapped)
                };
                Arc::new(Panicking {
                    inner,
                    on_read: Arc::clone(on_read),
                    on_write: Arc::clone(on_write),
                })
            })),
            ..options()
        };
        // Without a cache every read comes to the storage.
        options.store.cache_bytes = 0;
        let directory = tempfile::tempdir().unwrap();
        let mut store = FileStore::open(directory.path(), options).unwrap();
        let mut script = Script::default();
        let ids = [script.worker(), script.worker()];
        store.commit(&script.batch(&ids, 400, 300)).unwrap();
        let reader = store.reader();
        let before = script.clone();
        flag.store(true, Ordering::SeqCst);
        if in_read {
            let failed = reader.receipt(ids[0], [1; 16]);
            assert!(matches!(failed, Err(StoreError::Read { .. })), "{failed:?}");
        }
        let failed = store.commit(&script.batch(&ids, 10, 300));
        assert!(
            matches!(failed, Err(StoreError::OutcomeUnknown { .. })),
            "{failed:?}"
        );
        flag.store(false, Ordering::SeqCst);
        assert!(
            reader.receipt(ids[0], [1; 16]).is_err(),
            "the engine is gone"
        );
        store.recover().unwrap();
        assert_eq!(reader.receipt(ids[0], [1; 16]).unwrap(), None);
        script = before;
        store.commit(&script.batch(&ids, 10, 300)).unwrap();
        script.compare(&store);
        Box::new(store).close().unwrap();
    }
}

/// redb writes the state of its allocator as it closes, and panics there when that is damaged. A reader of
/// a stopped store, or an opening that failed half way, must not be ended by it.
#[test]
fn a_panic_of_the_engine_as_it_is_closed_goes_no_further() {
    let panics = Arc::new(AtomicBool::new(false));
    let backend = Panicking {
        inner: Arc::new(redb::backends::InMemoryBackend::new()),
        on_read: Arc::default(),
        on_write: Arc::clone(&panics),
    };
    let db = redb::Database::builder().create_with_backend(backend);
    let engine = Engine::new(db.unwrap());
    let committed = engine.write(CommitMode::Durable, &Default::default(), |rows| {
        rows.touch(crate::layout::log::TABLE)
    });
    committed.unwrap();
    panics.store(true, Ordering::SeqCst);
    drop(engine);
}
