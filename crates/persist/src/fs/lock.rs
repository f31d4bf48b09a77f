//! The `lock` file: one writer or many readers of a state directory, across processes.
//!
//! The lock is a `flock` on a file of its own, because `runtime.redb` is replaced by a rename during
//! recovery, and a lock would stay with the file that was renamed away. The kernel drops it with the
//! process, so a crash leaves nothing to clear. The file's contents only *name* the holder; whether
//! it is held is never read from them.
//!
//! Keeps I12: a reader opens the file read-only, takes the lock shared and writes nothing. Where
//! there is no lock file (a directory made from a backup) a reader makes none. What it reads is
//! still guarded then: the backends of `storage` take redb's own locks on `runtime.redb` too.
//!
//! **The contents** are one JSON object, padded with blanks to a fixed size, written in place by one
//! call, and never truncated, so that there is no moment at which they are missing. A reader of them
//! may still meet the previous holder's record (the lock is taken before it is rewritten) or a mix
//! of two (a file read is not atomic). The first is found out by the named process being dead, the
//! second by the check value; both last microseconds, so the attempt is repeated for a moment, and
//! then answered with [`Holder::Unknown`] or with the dead process's name rather than with a guess.
//!
//! **The address** in it counts only while the lock is held and the process that it names lives: a
//! client sends its access token there. So it is written once the holder listens, and blotted out before
//! it stops ([`Address`]), at the latest when the lock is given back.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;
use worker_runtime_core::sabotage::{self, Sabotage};

use super::dir::{StateDir, private_file};
use super::process::{Liveness, ProcessIdentity};

mod address;
#[cfg(test)]
mod tests;

pub(crate) use address::Address;

/// One page at most, so that a write or read of it is a single copy in the kernel.
const RECORD_BYTES: usize = 1024;
/// How long a record that can't be the holder's is read again.
const RECORD_GRACE: Duration = Duration::from_millis(500);
/// `flock` knows no deadline. A thread left waiting in it would take the lock when nobody wants it
/// any more, so the attempt is repeated instead.
const POLL: Duration = Duration::from_millis(5);

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LockError {
    #[error("state directory {} is held by {holder}", .path.display())]
    Held { path: PathBuf, holder: Holder },
    #[error("state directory {} is being read, waited {waited_ms} ms", .path.display())]
    Readers { path: PathBuf, waited_ms: u128 },
    #[error("the lock record has {length_bytes} bytes, at most {RECORD_BYTES} fit")]
    RecordTooLong { length_bytes: usize },
    #[error("can't {action} {}: {source}", .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// What the lock file says of the process that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockRecord {
    #[serde(flatten)]
    pub(crate) process: ProcessIdentity,
    /// Where the holder serves, once it does.
    pub(crate) address: Option<String>,
    /// The number of its opening of the store, once it is known.
    pub(crate) incarnation: Option<u64>,
}

/// Who holds the lock, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    Named {
        record: LockRecord,
        liveness: Liveness,
    },
    Unknown,
}

impl Holder {
    /// Which process it is, or was.
    pub(crate) const fn pid(&self) -> Option<u32> {
        match self {
            Self::Named { record, .. } => Some(record.process.pid),
            Self::Unknown => None,
        }
    }

    /// Where it serves. What a dead process wrote names a port that may be anybody's by now.
    pub(crate) fn address(&self) -> Option<&str> {
        match self {
            Self::Named { record, liveness } if *liveness != Liveness::Dead => {
                record.address.as_deref()
            }
            _ => None,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Named { record, liveness } = self else {
            return formatter.write_str("a process that has not named itself");
        };
        write!(formatter, "process {}", record.process.pid)?;
        if let Some(address) = self.address() {
            write!(formatter, " at {address}")?;
        }
        match liveness {
            Liveness::Alive => Ok(()),
            Liveness::Dead => formatter.write_str(", which has ended: another inherited its lock"),
            Liveness::Unknown => formatter.write_str(", which may have ended"),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    record: LockRecord,
    check: String,
}

/// The open lock file. Closing it would not be enough to give the lock back: a child that the
/// process is just starting has the same open file until it executes its command.
#[derive(Debug)]
struct LockFile(File);

impl Drop for LockFile {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// The right to write in a state directory; given back when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct WriterLock {
    file: Arc<LockFile>,
    path: PathBuf,
    /// Shared with the [`Address`], which outlives nothing of this.
    record: Arc<Mutex<LockRecord>>,
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // Whoever serves does this before it stops listening; here it is too late for a client that
        // has read the record, but not for the next one.
        if let Err(error) = self.address().withdraw() {
            tracing::warn!(%error, "the address in the lock's record could not be taken back");
        }
    }
}

impl WriterLock {
    /// Takes the lock for writing, and waits for readers, but not for another writer.
    ///
    /// # Errors
    /// [`LockError::Held`] with the other writer; [`LockError::Readers`] when they outlast `wait`.
    pub(crate) fn acquire(dir: &StateDir, wait: Duration) -> Result<Self, LockError> {
        let path = dir.lock();
        let started = Instant::now();
        loop {
            let file = private_file()
                .create(true)
                .truncate(false)
                .open(&path)
                .map(LockFile)
                .map_err(io_error("open", &path))?;
            let is_taken = try_flock(&file, FlockOperation::NonBlockingLockExclusive, &path)?;
            if is_taken || sabotage::is(Sabotage::StealLock) {
                if still_at(&file, &path) {
                    return Self::announce(file, path);
                }
            } else if try_flock(&file, FlockOperation::NonBlockingLockShared, &path)? {
                let waited = started.elapsed();
                if waited >= wait {
                    let waited_ms = waited.as_millis();
                    return Err(LockError::Readers { path, waited_ms });
                }
            } else {
                refuse_if_named(&file, &path, started)?;
            }
            // Gives back the shared lock of the probe before the pause.
            drop(file);
            thread::sleep(POLL);
        }
    }

    /// Tells others which opening of the store the holder has made.
    ///
    /// # Errors
    /// [`LockError::RecordTooLong`] and [`LockError::Io`]; the lock stays held either way.
    pub(crate) fn publish(&self, incarnation: u64) -> Result<(), LockError> {
        rewrite(&self.file, &self.path, &self.record, |record| {
            record.incarnation = Some(incarnation);
        })
    }

    /// What tells others where the holder serves, for as long as the lock is held.
    pub(crate) fn address(&self) -> Address {
        Address::new(&self.file, &self.path, &self.record)
    }

    fn announce(file: LockFile, path: PathBuf) -> Result<Self, LockError> {
        let record = LockRecord {
            process: ProcessIdentity::current(),
            address: None,
            incarnation: None,
        };
        write_record(&file, &path, &record)?;
        Ok(Self {
            file: Arc::new(file),
            path,
            record: Arc::new(Mutex::new(record)),
        })
    }
}

/// The promise that no writer changes the directory while it is read.
#[derive(Debug)]
pub(crate) struct ReaderLock {
    /// None where there is no lock file: reading must not make one (I12).
    _file: Option<LockFile>,
}

impl ReaderLock {
    /// Takes the lock for reading, beside other readers.
    ///
    /// # Errors
    /// [`LockError::Held`] with the writer that holds it.
    pub(crate) fn acquire(dir: &StateDir) -> Result<Self, LockError> {
        let path = dir.lock();
        let started = Instant::now();
        loop {
            let file = match File::open(&path) {
                Ok(file) => LockFile(file),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Self { _file: None });
                }
                Err(error) => return Err(io_error("open", &path)(error)),
            };
            if try_flock(&file, FlockOperation::NonBlockingLockShared, &path)? {
                if still_at(&file, &path) {
                    return Ok(Self { _file: Some(file) });
                }
            } else {
                refuse_if_named(&file, &path, started)?;
            }
            thread::sleep(POLL);
        }
    }
}

/// Who holds the lock for writing, when somebody does. Takes nothing that a writer would be refused by,
/// but for a moment.
///
/// # Errors
/// [`LockError::Io`].
pub(crate) fn holder(dir: &StateDir) -> Result<Option<Holder>, LockError> {
    match ReaderLock::acquire(dir) {
        Ok(_) => Ok(None),
        Err(LockError::Held { holder, .. }) => Ok(Some(holder)),
        Err(error) => Err(error),
    }
}

/// Who holds the lock for writing and serves, when somebody does. As [`holder`].
pub(crate) fn serving(dir: &StateDir) -> Option<(u32, String)> {
    let holder = holder(dir).ok()??;
    let address = holder.address()?.to_owned();
    holder.pid().map(|pid| (pid, address))
}

/// False when somebody else holds a lock that excludes this one.
fn try_flock(
    LockFile(file): &LockFile,
    operation: FlockOperation,
    path: &Path,
) -> Result<bool, LockError> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(io_error("lock", path)(errno.into())),
        }
    }
}

/// Whether the locked file is still the one at its path: a lock on a file that somebody removed
/// excludes nobody who comes later.
fn still_at(LockFile(file): &LockFile, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// An error when the holder names itself, or did not within the grace; otherwise the record is on
/// its way, or the holder is just going, and it is worth another attempt.
fn refuse_if_named(file: &LockFile, path: &Path, started: Instant) -> Result<(), LockError> {
    let holder = match read_record(file) {
        Some(record) => Holder::Named {
            liveness: record.process.liveness(),
            record,
        },
        None => Holder::Unknown,
    };
    let settled = match &holder {
        Holder::Named { liveness, .. } => *liveness != Liveness::Dead,
        Holder::Unknown => false,
    };
    if settled || started.elapsed() >= RECORD_GRACE {
        let path = path.parent().unwrap_or(path).to_owned();
        return Err(LockError::Held { path, holder });
    }
    Ok(())
}

/// Changes a part of the record; the rest stays as it was last written.
fn rewrite(
    file: &LockFile,
    path: &Path,
    record: &Mutex<LockRecord>,
    change: impl FnOnce(&mut LockRecord),
) -> Result<(), LockError> {
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    let mut changed = record.clone();
    change(&mut changed);
    if changed != *record {
        write_record(file, path, &changed)?;
        *record = changed;
    }
    Ok(())
}

fn write_record(file: &LockFile, path: &Path, record: &LockRecord) -> Result<(), LockError> {
    let bytes = encode(record)?;
    file.0
        .write_all_at(&bytes, 0)
        .map_err(io_error("write", path))
}

fn encode(record: &LockRecord) -> Result<Vec<u8>, LockError> {
    let sealed = Sealed {
        check: check(record),
        record: record.clone(),
    };
    let mut bytes = serde_json::to_vec(&sealed).unwrap_or_default();
    if bytes.len() >= RECORD_BYTES {
        return Err(LockError::RecordTooLong {
            length_bytes: bytes.len(),
        });
    }
    bytes.resize(RECORD_BYTES - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

fn read_record(LockFile(file): &LockFile) -> Option<LockRecord> {
    let mut bytes = [0; RECORD_BYTES];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let sealed: Sealed = serde_json::from_slice(&bytes).ok()?;
    (check(&sealed.record) == sealed.check).then_some(sealed.record)
}

fn check(record: &LockRecord) -> String {
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    format!("{:016x}", XxHash3_64::oneshot(&bytes))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LockError {
    move |source| LockError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
