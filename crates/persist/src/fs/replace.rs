//! A new file in the place of `runtime.redb`, safe at every step: a new store, a restored one, and
//! above all the copy that is taken after a write or sync of the old file failed.
//!
//! **Why a copy.** After a failed sync Linux marks the pages that did not reach the disk as clean.
//! A second sync of the same file would report success and write nothing, so it is never tried.
//! The pages stay readable until the system drops them from memory, and from then on the disk's
//! older bytes are read. What the old file returns is therefore *some* mixture of both, and may
//! change between two reads. The copy is right all the same, because nothing is taken on trust:
//! 1. what was acknowledged before was synced before; the failed commit wrote its pages to free
//!    places (redb copies on write), so the mixture holds every acknowledged page in full;
//! 2. of the failed commit the copy holds the whole, a part, or nothing. The file is still marked as
//!    open, so redb's repair walks the newest commit in the copy, verifies every checksum, and falls
//!    back to the commit before it. The outcome was answered as unknown, so both are right;
//! 3. the caller then compares position and chain with what it published. Only
//!    what passes is installed, and only then is anything acknowledged again (I1).
//!
//! So the source must be the old file's bytes as [`redb::StorageBackend::read`] gives them, never
//! the pages that the old `Database` has in its cache (those of the failed commit among them). The
//! old `Database` is of no use any more: redb refuses its writes, and its reads too, except of
//! pages in the cache. Reflinks and `copy_file_range` are not used: they may share the old file's
//! blocks *on disk*, which is what can't be relied on.
//!
//! **Steps**: copy into `tmp/`, sync, verify where asked for, sync, rename, sync the directory. A crash before
//! the rename leaves the old file and a leftover that the next opening for writing removes; after
//! it, either name refers to a whole file. When an error is returned, nothing was acknowledged.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use redb::StorageBackend;

use super::dir::{StateDir, private_file};
use super::lock::WriterLock;

#[cfg(test)]
mod tests;

const COPY_BYTES: usize = 1 << 20;
const STAGED: &str = "runtime.redb";

/// Where the replacement stopped. The store in place is the old one, except after `SyncDirectory`,
/// when it is the new one and a power cut may bring back the old.
#[derive(Debug, thiserror::Error)]
#[error("can't {step} {}: {source}", name_of(.path))]
pub(crate) struct ReplaceError {
    pub(crate) step: ReplaceStep,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// A recovery's failure is told to clients, and no client is told where the store is (I11).
fn name_of(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or_default()).display()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplaceStep {
    #[error("create")]
    Create,
    #[error("read the old store for")]
    Read,
    #[error("write")]
    Write,
    #[error("sync")]
    Sync,
    #[error("rename")]
    Rename,
    #[error("sync the directory of")]
    SyncDirectory,
}

/// A store file in `tmp/`, to be filled or verified before it takes its place; removed when dropped.
#[derive(Debug)]
pub(crate) struct StagedStore {
    file: File,
    path: PathBuf,
    in_place: bool,
}

impl StagedStore {
    /// An empty file, for a store that is written anew. Making a store here and not at its place
    /// means that a `runtime.redb` is never half made.
    ///
    /// # Errors
    /// [`ReplaceStep::Create`].
    pub(crate) fn empty(dir: &StateDir, _lock: &WriterLock) -> Result<Self, ReplaceError> {
        let path = dir.tmp().join(STAGED);
        // The lock is held, so a file of that name is a leftover of this same writer.
        let _ = fs::remove_file(&path);
        let file = private_file()
            .create_new(true)
            .open(&path)
            .map_err(failed(ReplaceStep::Create, &path))?;
        Ok(Self {
            file,
            path,
            in_place: false,
        })
    }

    /// A synced copy of what `source` reads. Holes stay holes.
    ///
    /// # Errors
    /// Any step up to `Sync`; a full disk comes as `Write`.
    pub(crate) fn copy_of(
        source: &dyn StorageBackend,
        dir: &StateDir,
        lock: &WriterLock,
    ) -> Result<Self, ReplaceError> {
        let staged = Self::empty(dir, lock)?;
        let fail = |step| failed(step, &staged.path);
        let length_bytes = source.len().map_err(fail(ReplaceStep::Read))?;
        staged
            .file
            .set_len(length_bytes)
            .map_err(fail(ReplaceStep::Write))?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut offset = 0;
        while offset < length_bytes {
            let left = usize::try_from(length_bytes - offset).unwrap_or(COPY_BYTES);
            let piece = match buffer.get_mut(..left) {
                Some(piece) => piece,
                None => buffer.as_mut_slice(),
            };
            source
                .read(offset, piece)
                .map_err(fail(ReplaceStep::Read))?;
            write_data(&staged.file, piece, offset).map_err(fail(ReplaceStep::Write))?;
            offset += piece.len() as u64;
        }
        staged.sync()?;
        Ok(staged)
    }

    /// The staged file, for redb to open it where it is. It may stay open over [`Self::install`].
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Puts the file in the place of `runtime.redb`.
    ///
    /// # Errors
    /// [`ReplaceStep::Sync`], `Rename`, `SyncDirectory`.
    ///
    /// # Durability
    /// When it returns, the new file is what is there after a power cut.
    pub(crate) fn install(mut self, dir: &StateDir) -> Result<File, ReplaceError> {
        self.sync()?;
        let file = self
            .file
            .try_clone()
            .map_err(failed(ReplaceStep::Rename, &self.path))?;
        fs::rename(&self.path, dir.store()).map_err(failed(ReplaceStep::Rename, &self.path))?;
        self.in_place = true;
        dir.sync()
            .map_err(failed(ReplaceStep::SyncDirectory, &dir.store()))?;
        Ok(file)
    }

    fn sync(&self) -> Result<(), ReplaceError> {
        self.file
            .sync_all()
            .map_err(failed(ReplaceStep::Sync, &self.path))
    }
}

impl Drop for StagedStore {
    fn drop(&mut self) {
        if !self.in_place {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Copies and installs in one go, where there is nothing to verify in between.
///
/// # Errors
/// As [`StagedStore::copy_of`] and [`StagedStore::install`].
///
/// # Durability
/// As [`StagedStore::install`].
#[cfg(test)]
pub(crate) fn replace_from(
    source: &dyn StorageBackend,
    dir: &StateDir,
    lock: &WriterLock,
) -> Result<File, ReplaceError> {
    StagedStore::copy_of(source, dir, lock)?.install(dir)
}

/// Leaves out zero pages: redb's file is sparse, and its copy should be no larger on disk.
fn write_data(file: &File, piece: &[u8], offset: u64) -> io::Result<()> {
    let mut at = offset;
    for block in piece.chunks(64 << 10) {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, at)?;
        }
        at += block.len() as u64;
    }
    Ok(())
}

fn failed(step: ReplaceStep, path: &Path) -> impl FnOnce(io::Error) -> ReplaceError {
    move |source| ReplaceError {
        step,
        path: path.to_owned(),
        source,
    }
}
