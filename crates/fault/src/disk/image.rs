//! One state that a power cut may leave, and how a store is opened on it.

use std::{
    fs, io,
    ops::Bound,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend};
use worker_runtime_core::store::Store;
use worker_runtime_persist::{FileOptions, FileStore, WrapBackend};

use super::pages::Pages;
use crate::{
    keep::{Seen, keep},
    report::{Doing, HarnessError, Violation},
};

/// What is in a state directory after a power cut.
#[derive(Debug, Clone)]
pub struct Image {
    /// What `runtime.redb` holds.
    pub pages: Pages,
    /// What `head` holds; `None` when it is not there.
    pub head: Option<Arc<[u8]>>,
}

impl Image {
    /// What tells it from any other.
    pub fn fingerprint(&self) -> u128 {
        let head = self.head.as_deref().unwrap_or_default();
        let head = twox_hash::XxHash3_128::oneshot(head);
        self.pages
            .fingerprint()
            .wrapping_add(head.rotate_left(64) ^ 1)
    }

    /// Keeps it, where a promise was seen broken on it.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn keep(
        &self,
        (part, at): (&str, &str),
        journal: &dyn std::fmt::Debug,
        violations: &[Violation],
    ) -> Result<(), HarnessError> {
        if violations.is_empty() {
            return Ok(());
        }
        let seen = Seen {
            part,
            at,
            store: &self.bytes(),
            head: self.head.as_deref(),
            journal,
        };
        keep(&seen, violations)
    }

    /// What `runtime.redb` holds, in one piece.
    pub fn bytes(&self) -> Vec<u8> {
        self.pages.to_vec()
    }
}

/// A state directory that is used for one image after another.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
}

impl Place {
    /// Makes the directory, with a store in it that nothing is expected of.
    ///
    /// # Errors
    /// When that fails.
    pub fn new(path: &Path) -> Result<Self, HarnessError> {
        let options = FileOptions {
            ballast_bytes: 0,
            ..FileOptions::default()
        };
        let store = FileStore::open(path, options).doing("make a place for images")?;
        Box::new(store).close().doing("make a place for images")?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the next opening find an image, held in memory: `runtime.redb` in the directory is not
    /// read or written, but for its locks. All but the bytes of that one file is real.
    ///
    /// # Errors
    /// When `head` can't be written.
    pub fn mount(&self, image: &Image) -> Result<WrapBackend, HarnessError> {
        self.put_head(image)?;
        let pages = Mutex::new(Some(image.pages.clone()));
        Ok(Arc::new(move |inner| {
            // A copy that a recovery makes is wrapped later, and is a file.
            match lock(&pages).take() {
                Some(pages) => Arc::new(Mounted {
                    pages: Mutex::new(pages),
                    locks: inner,
                }),
                None => inner,
            }
        }))
    }

    /// Writes an image as files, for what opens the directory without a wrapping.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn write(&self, image: &Image) -> Result<(), HarnessError> {
        self.put_head(image)?;
        fs::write(self.path.join("runtime.redb"), image.bytes()).doing("write an image")
    }

    fn put_head(&self, image: &Image) -> Result<(), HarnessError> {
        let path = self.path.join("head");
        match &image.head {
            Some(head) => fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .and_then(|mut file| io::Write::write_all(&mut file, head))
                .doing("write head"),
            None => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(HarnessError::new("remove head", error))
                }
                _ => Ok(()),
            },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file in memory, with the locks of a real one.
#[derive(Debug)]
struct Mounted {
    pages: Mutex<Pages>,
    locks: Arc<dyn StorageBackend>,
}

impl StorageBackend for Mounted {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.pages).length_bytes())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        lock(&self.pages).read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        lock(&self.pages).set_length(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        lock(&self.pages).write(offset, data);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.locks.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.locks.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.query_lock_range(start, end)
    }
}
