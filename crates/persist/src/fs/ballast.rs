//! Disk space kept back, so that a commit under way when the disk fills still completes (I9).
//!
//! redb can't take back a commit that met a full disk: it latches the error, and the store must be
//! reopened. So the space that the next commits may need is held in a file of its own, `ballast`.
//! When a write finds the disk full, `FileStorage` gives back one batch of it and repeats the
//! write; that commit completes, and before the next one [`Ballast::ensure`] says that the disk is
//! full, so that new work is refused before redb is touched and reads go on.
//!
//! **Why a file of its own**, and not space allocated inside `runtime.redb` or behind its end:
//! redb grows its file by doubling it (measured: 1, 2, 4 … 1028, 2056 MiB), in steps of 4 GiB from
//! there, with a `set_len` that allocates nothing. Its pages get their blocks when they are first
//! written, anywhere in that sparse range: with 1000 MiB of data the file is 2056 MiB long and
//! 1020 MiB of it allocated. Blocks behind the end would serve pages that redb does not use yet;
//! which hole it fills next is its allocator's affair; and filling every hole would double the
//! store on disk. So growth of the file needs no room, only writes do, and `ensure` need not watch
//! it: while nothing was given back it costs one atomic load.
//!
//! **What it rests on**: that the file system reports a full disk at `write`, before it takes the
//! data. ext4, XFS, btrfs and tmpfs reserve space there. Where it is reported at the sync instead
//! (NFS, some quotas) the ballast does not help: the sync fails, and the store is recovered by copy.
//! Where `fallocate` is not supported the file is filled by writing it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use super::dir::{StateDir, private_file};
use super::lock::WriterLock;

#[cfg(test)]
mod tests;

/// What one commit of the largest batch may write: its records, and the tree pages above them.
pub(crate) const BATCH_BYTES: u64 = 2 << 20;
/// Eight of them.
pub(crate) const BALLAST_BYTES_DEFAULT: u64 = 8 * BATCH_BYTES;

const FILL_BYTES: usize = 64 << 10;
/// What `st_blocks` counts in.
const BLOCK_BYTES: u64 = 512;

/// The space that commits rely on could not be set aside. New work must be refused.
#[derive(Debug, thiserror::Error)]
#[error(
    "storage full: {needed_bytes} more bytes are needed, {available_bytes} available: {source}"
)]
pub(crate) struct StorageFull {
    pub(crate) needed_bytes: u64,
    pub(crate) available_bytes: u64,
    source: io::Error,
}

/// The space kept back.
#[derive(Debug)]
pub(crate) struct Ballast {
    file: Option<File>,
    wanted_bytes: u64,
    /// What of it is really allocated; written under `change` only.
    held_bytes: AtomicU64,
    change: Mutex<()>,
}

impl Ballast {
    /// Opens the ballast, without filling it: [`Ballast::ensure`] does. With 0 there is none, and
    /// what an earlier opening kept is given back.
    ///
    /// # Errors
    /// When the file can't be made or removed.
    pub(crate) fn open(dir: &StateDir, _lock: &WriterLock, wanted_bytes: u64) -> io::Result<Self> {
        let path = dir.ballast();
        let (file, held_bytes) = if wanted_bytes == 0 {
            remove_if_there(path)?;
            (None, 0)
        } else {
            let file = private_file().create(true).truncate(false).open(path)?;
            if file.metadata()?.len() > wanted_bytes {
                file.set_len(wanted_bytes)?;
            }
            // What an earlier opening kept is there for the recovery, also when the disk is full.
            let kept = file.metadata()?;
            let is_whole = kept.blocks().saturating_mul(BLOCK_BYTES) >= kept.len();
            (Some(file), if is_whole { kept.len() } else { 0 })
        };
        Ok(Self {
            file,
            wanted_bytes,
            held_bytes: AtomicU64::new(held_bytes),
            change: Mutex::new(()),
        })
    }

    /// Makes sure that all of the ballast is there; to be called before each commit of new work.
    /// No system call while nothing was given back.
    ///
    /// # Errors
    /// [`StorageFull`]; what was there stays there.
    pub(crate) fn ensure(&self) -> Result<(), StorageFull> {
        if self.held_bytes() == self.wanted_bytes {
            return Ok(());
        }
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(file), held_bytes) = (&self.file, self.held_bytes()) else {
            return Ok(());
        };
        match allocate(file, self.wanted_bytes) {
            Ok(()) => {
                self.held_bytes.store(self.wanted_bytes, Ordering::Release);
                Ok(())
            }
            Err(source) => {
                // Takes back the part that was allocated before the space ran out.
                let _ = file.set_len(held_bytes);
                Err(StorageFull {
                    needed_bytes: self.wanted_bytes - held_bytes,
                    available_bytes: available_bytes(file),
                    source,
                })
            }
        }
    }

    /// Gives back the space of one batch to a write that found the disk full. False when nothing is
    /// left, and then the write has failed for good.
    pub(crate) fn release_batch(&self) -> bool {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(file), held_bytes @ 1..) = (&self.file, self.held_bytes()) else {
            return false;
        };
        let kept_bytes = held_bytes.saturating_sub(BATCH_BYTES);
        if file.set_len(kept_bytes).is_err() {
            return false;
        }
        self.held_bytes.store(kept_bytes, Ordering::Release);
        // Journalling file systems let freed blocks be used again only when the journal has
        // recorded them as free. The file's contents matter to nobody, so neither does an error.
        let _ = file.sync_all();
        true
    }

    /// How much is left for the commits that may not be refused.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Acquire)
    }
}

/// Whether an error says that the disk, or what the user may use of it, is full.
pub(crate) fn is_storage_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

fn allocate(file: &File, wanted_bytes: u64) -> io::Result<()> {
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, wanted_bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return fill(file, wanted_bytes),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Writes bytes that do not compress, so that a compressing file system keeps room for them, and
/// syncs them, so that one that allocates late has done so.
fn fill(file: &File, wanted_bytes: u64) -> io::Result<()> {
    let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
    let mut block = [0; FILL_BYTES];
    let mut offset = 0;
    while offset < wanted_bytes {
        for word in block.chunks_exact_mut(8) {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            word.copy_from_slice(&noise.to_le_bytes());
        }
        let left = usize::try_from(wanted_bytes - offset).unwrap_or(FILL_BYTES);
        let piece = block.get(..left).unwrap_or(&block);
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    file.sync_data()
}

fn available_bytes(file: &File) -> u64 {
    fstatvfs(file).map_or(0, |status| status.f_bavail.saturating_mul(status.f_frsize))
}

fn remove_if_there(path: PathBuf) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
