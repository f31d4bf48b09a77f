//! A store file that is only read, with everything that redb writes kept in memory.
//!
//! redb writes when it opens (a mark that the file is in use), when it repairs after a crash, and
//! when it closes. Reading must not (I12), so those writes go to pages in memory that lie over the
//! file's. redb's own repair and the Runtime's recovery then happen in memory only, and every
//! offline read, check and dry run sees the store as it would be after them. The file is opened
//! read-only, so that no fault here can write to it. (A read may still move its atime, which is
//! nobody's evidence.)
//!
//! The memory is bounded (I9); a write beyond the bound fails, and with it what redb was doing.
//!
//! **Locks**: redb opens the overlay as its only writer and asks for exclusive locks. Each is
//! answered with the *shared* lock on the file: overlays may be many, and a program that writes the
//! file with redb excludes them, and is excluded by them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

#[cfg(test)]
mod tests;

/// Enough for redb's repair of a very large store, which rewrites little; a run-away stops here.
pub(crate) const OVERLAY_BYTES_MAX: usize = 512 << 20;

const PAGE_BYTES: usize = 4096;

/// A read-only file under pages in memory.
#[derive(Debug)]
pub(crate) struct OverlayBackend {
    file: File,
    locks: FileBackend,
    bytes_max: usize,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    length_bytes: u64,
    /// How much of the file still shows through: cut off by `set_len`, it does not come back.
    base_bytes: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl OverlayBackend {
    /// Takes a file that is open for reading.
    ///
    /// # Errors
    /// When its length can't be read or its descriptor duplicated.
    pub(crate) fn new(file: File, bytes_max: usize) -> Result<Self, DatabaseError> {
        let locks = FileBackend::new(file.try_clone()?)?;
        let base_bytes = file.metadata()?.len();
        Ok(Self {
            file,
            locks,
            bytes_max,
            state: RwLock::new(State {
                length_bytes: base_bytes,
                base_bytes,
                pages: BTreeMap::new(),
            }),
        })
    }

    /// How much the overlay holds in memory.
    #[cfg(test)]
    pub(crate) fn overlaid_bytes(&self) -> usize {
        self.state().pages.len() * PAGE_BYTES
    }

    // A panic elsewhere leaves whole pages behind: each is put in place by one insert.
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's bytes as far as they show, then zeros: one read, however many pages.
    fn read_base(&self, base_bytes: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let shown = usize::try_from(base_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (from_file, beyond) = out.split_at_mut(shown.min(out.len()));
        beyond.fill(0);
        self.file.read_exact_at(from_file, offset)
    }

    fn load_page(&self, state: &State, page: u64) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; PAGE_BYTES].into_boxed_slice();
        self.read_base(state.base_bytes, page * PAGE_BYTES as u64, &mut bytes)?;
        Ok(bytes)
    }
}

impl StorageBackend for OverlayBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().length_bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let end = end_within(offset, out.len(), state.length_bytes)?;
        self.read_base(state.base_bytes, offset, out)?;
        let (first, after) = pages_of(offset, end);
        for (page, bytes) in state.pages.range(first..after) {
            let (in_page, in_data) = overlap(*page, offset, end);
            if let (Some(to), Some(from)) = (out.get_mut(in_data), bytes.get(in_page)) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state_mut();
        state.length_bytes = len;
        state.base_bytes = state.base_bytes.min(len);
        state.pages.split_off(&len.div_ceil(PAGE_BYTES as u64));
        // Bytes cut off inside the last page must come back as zeros.
        let (page, kept) = (len / PAGE_BYTES as u64, len % PAGE_BYTES as u64);
        let cut = usize::try_from(kept).unwrap_or(PAGE_BYTES);
        if let Some(bytes) = state.pages.get_mut(&page)
            && let Some(tail) = bytes.get_mut(cut..)
        {
            tail.fill(0);
        }
        Ok(())
    }

    /// Nothing here outlives the process, so there is nothing to make durable.
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state_mut();
        let end = end_within(offset, data.len(), state.length_bytes)?;
        let (first, after) = pages_of(offset, end);
        for page in first..after {
            if !state.pages.contains_key(&page) {
                if (state.pages.len() + 1) * PAGE_BYTES > self.bytes_max {
                    return Err(full(self.bytes_max));
                }
                let loaded = self.load_page(&state, page)?;
                state.pages.insert(page, loaded);
            }
            let (in_page, in_data) = overlap(page, offset, end);
            let to = state.pages.get_mut(&page);
            let to = to.and_then(|bytes| bytes.get_mut(in_page));
            if let (Some(to), Some(from)) = (to, data.get(in_data)) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.locks.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.locks.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_shared_range(start, end)
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

fn end_within(offset: u64, length: usize, length_bytes: u64) -> io::Result<u64> {
    let end = offset.checked_add(length as u64);
    end.filter(|end| *end <= length_bytes).ok_or_else(|| {
        let message = format!("{length} bytes at {offset} are beyond the end at {length_bytes}");
        io::Error::new(ErrorKind::UnexpectedEof, message)
    })
}

fn full(bytes_max: usize) -> io::Error {
    let message = format!("the overlay holds {bytes_max} bytes, its bound");
    io::Error::new(ErrorKind::OutOfMemory, message)
}

/// The pages that hold the bytes from `offset` up to `end`: the first, and the one after the last.
fn pages_of(offset: u64, end: u64) -> (u64, u64) {
    let page_bytes = PAGE_BYTES as u64;
    (offset / page_bytes, end.div_ceil(page_bytes))
}

/// Which part of `page` and which part of the data at `offset..end` are the same bytes.
fn overlap(page: u64, offset: u64, end: u64) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let page_start = page * PAGE_BYTES as u64;
    let from = offset.max(page_start);
    let to = end.min(page_start + PAGE_BYTES as u64).max(from);
    let within = |base: u64| {
        let start = usize::try_from(from - base).unwrap_or(usize::MAX);
        let stop = usize::try_from(to - base).unwrap_or(usize::MAX);
        start..stop
    };
    (within(page_start), within(offset))
}
