//! The state directory: which entries it has, with which modes, and when it is refused.
//!
//! Keeps I12: opening for reading creates, cleans and touches nothing. It also keeps an operator
//! from two mistakes: a store made among foreign files, and a new store made where one was lost.
//! Called by the store when it opens; all other parts of `fs` take their paths from here.
//!
//! A writer opens in three steps: [`StateDir::open_for_writing`], the writer's lock, then
//! [`StateDir::prepare`]. Only the last one cleans `tmp/`, because before the lock is held the
//! files in it may belong to another writer that is just replacing its store.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use worker_runtime_core::sabotage::{self, Sabotage};

use super::lock::WriterLock;
use super::synced::Synced;

#[cfg(test)]
mod tests;

const STORE: &str = "runtime.redb";
const LOCK: &str = "lock";
const HEAD: &str = "head";
const BALLAST: &str = "ballast";
const SUSPECT: &str = "suspect";
const ACCESS_TOKEN: &str = "access-token";
const ACCESS_TOKENS: &str = "access-tokens.json";
const BACKUPS: &str = "backups";
const LOST_AND_FOUND: &str = "lost+found";
const TMP: &str = "tmp";
const OURS: [&str; 10] = [
    STORE,
    LOCK,
    HEAD,
    BALLAST,
    SUSPECT,
    ACCESS_TOKEN,
    ACCESS_TOKENS,
    BACKUPS,
    LOST_AND_FOUND,
    TMP,
];

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const OTHERS_MODE: u32 = 0o077;

/// What every redb file begins with (redb's `docs/design.md`, "Database layout").
const REDB_MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
/// redb's header and both commit slots lie in the first page; a shorter file holds no commit.
const REDB_FIRST_PAGE_BYTES: u64 = 4096;

/// Why a state directory can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DirError {
    #[error("state directory {} does not exist", .path.display())]
    Missing { path: PathBuf },
    #[error("{} is not a directory", .path.display())]
    NotADirectory { path: PathBuf },
    #[error("state directory {} is not writable: {source}", .path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("{} holds no store, and something else: {}", .path.display(), .entry.display())]
    Foreign { path: PathBuf, entry: OsString },
    #[error("{} holds no store", .path.display())]
    NoStore { path: PathBuf },
    /// A witness without its store: a new store here would hide that the old one is gone.
    #[error("{} held a store once, and runtime.redb is gone", .path.display())]
    StoreLost { path: PathBuf },
    #[error("{} is no store file: {fault}", .path.display())]
    NotAStoreFile { path: PathBuf, fault: FileFault },
    #[error("can't {action} {}: {source}", .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// What is wrong with a `runtime.redb` that redb need not even be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FileFault {
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is empty")]
    Empty,
    #[error("its header is cut off after {length_bytes} bytes")]
    CutOff { length_bytes: u64 },
    #[error("it does not begin as a redb file does")]
    WrongMagic,
}

/// What to do where there is no store yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenMissing {
    Create,
    Refuse,
}

/// A directory that holds a store, or, when opened for writing, may get one.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    has_store: bool,
    synced: Synced,
}

impl StateDir {
    /// Opens the directory of a store that will be written; with [`WhenMissing::Create`] makes it.
    ///
    /// # Errors
    /// [`DirError`]: foreign contents and a lost store are refused before anything is made.
    ///
    /// # Durability
    /// Every directory made here is synced into its parent.
    pub(crate) fn open_for_writing(path: &Path, missing: WhenMissing) -> Result<Self, DirError> {
        match inspect(path) {
            Err(DirError::Missing { .. }) if missing == WhenMissing::Create => {
                create_directory(path)?;
            }
            other => other?,
        }
        let dir = Self::survey(path)?;
        match (dir.has_store, missing) {
            (true, _) => dir.check_store_file()?,
            (false, WhenMissing::Refuse) => return Err(dir.no_store()),
            (false, WhenMissing::Create) => dir.check_free_for_a_store()?,
        }
        Ok(dir)
    }

    /// Opens the directory of an existing store, and leaves every byte and mtime in it alone (I12).
    ///
    /// # Errors
    /// [`DirError`]; what there is to read must be a store.
    pub(crate) fn open_for_reading(path: &Path) -> Result<Self, DirError> {
        inspect(path)?;
        let dir = Self::survey(path)?;
        if !dir.has_store {
            return Err(dir.no_store());
        }
        dir.check_store_file()?;
        Ok(dir)
    }

    /// Makes what a writer needs and removes what an interrupted one left in `tmp/`. Takes the
    /// lock as proof that those leftovers are nobody's.
    ///
    /// # Errors
    /// [`DirError::NotWritable`], [`DirError::NotADirectory`] when a subdirectory is something
    /// else (a link out of the directory would have its target cleaned), [`DirError::Io`].
    pub(crate) fn prepare(&self, _lock: &WriterLock) -> Result<(), DirError> {
        self.keep_others_out()?;
        for name in [BACKUPS, LOST_AND_FOUND, TMP] {
            self.make_subdirectory(name)?;
        }
        let tmp = self.tmp();
        let entries = fs::read_dir(&tmp).map_err(io_error("list", &tmp))?;
        for entry in entries {
            let path = entry.map_err(io_error("list", &tmp))?.path();
            remove(&path).map_err(write_error("remove", &path))?;
        }
        self.sync().map_err(write_error("sync", &self.path))?;
        match self.has_store {
            true => Ok(()),
            // Whoever made the directory may not have come to this, and a store will stand in it.
            false => sync_if_readable(parent_of(&self.path)),
        }
    }

    /// Whether `runtime.redb` was there when the directory was opened.
    pub(crate) fn has_store(&self) -> bool {
        self.has_store
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    pub(crate) fn head(&self) -> PathBuf {
        self.path.join(HEAD)
    }

    pub(crate) fn ballast(&self) -> PathBuf {
        self.path.join(BALLAST)
    }

    pub(crate) fn suspect(&self) -> PathBuf {
        self.path.join(SUSPECT)
    }

    #[cfg(test)]
    pub(crate) fn backups(&self) -> PathBuf {
        self.path.join(BACKUPS)
    }

    #[cfg(test)]
    pub(crate) fn lost_and_found(&self) -> PathBuf {
        self.path.join(LOST_AND_FOUND)
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.path.join(TMP)
    }

    /// Makes the directory's entries durable: needed after a file was made or renamed in it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.path, &self.synced)
    }

    /// The same, that tells of each sync.
    pub(crate) fn telling(self, synced: Synced) -> Self {
        Self { synced, ..self }
    }

    fn survey(path: &Path) -> Result<Self, DirError> {
        let store = path.join(STORE);
        let has_store = match fs::symlink_metadata(&store) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(io_error("look at", &store)(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            has_store,
            synced: Synced::default(),
        })
    }

    fn no_store(&self) -> DirError {
        let path = self.path.clone();
        if self.head().exists() {
            DirError::StoreLost { path }
        } else {
            DirError::NoStore { path }
        }
    }

    fn check_free_for_a_store(&self) -> Result<(), DirError> {
        if let Some(entry) = self.first_foreign_entry()? {
            return Err(DirError::Foreign {
                path: self.path.clone(),
                entry,
            });
        }
        match self.no_store() {
            DirError::NoStore { .. } => Ok(()),
            lost => Err(lost),
        }
    }

    /// First in name order, so that the same directory gives the same message.
    fn first_foreign_entry(&self) -> Result<Option<OsString>, DirError> {
        let mut first: Option<OsString> = None;
        for entry in fs::read_dir(&self.path).map_err(io_error("list", &self.path))? {
            let name = entry.map_err(io_error("list", &self.path))?.file_name();
            let foreign = OURS.iter().all(|ours| name != *ours);
            if foreign && first.as_ref().is_none_or(|least| name < *least) {
                first = Some(name);
            }
        }
        Ok(first)
    }

    fn check_store_file(&self) -> Result<(), DirError> {
        let path = self.store();
        match store_file_fault(&path).map_err(io_error("read", &path))? {
            None => Ok(()),
            Some(fault) => Err(DirError::NotAStoreFile { path, fault }),
        }
    }

    fn keep_others_out(&self) -> Result<(), DirError> {
        let metadata = fs::metadata(&self.path).map_err(io_error("look at", &self.path))?;
        if metadata.permissions().mode() & OTHERS_MODE == 0 {
            return Ok(());
        }
        fs::set_permissions(&self.path, fs::Permissions::from_mode(DIRECTORY_MODE))
            .map_err(write_error("close to others", &self.path))
    }

    fn make_subdirectory(&self, name: &str) -> Result<(), DirError> {
        let path = self.path.join(name);
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(write_error("make", &path)(error));
            }
            _ => {}
        }
        let metadata = fs::symlink_metadata(&path).map_err(io_error("look at", &path))?;
        if metadata.is_dir() {
            Ok(())
        } else {
            Err(DirError::NotADirectory { path })
        }
    }
}

/// Options for a file that only its owner may read, as every file in the directory.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE);
    options
}

fn inspect(path: &Path) -> Result<(), DirError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(DirError::NotADirectory {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(DirError::Missing {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(DirError::NotADirectory {
            path: path.to_owned(),
        }),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

/// Level by level, each synced into its parent before anything is made in it: a power cut takes no
/// directory away that a store stands in. The deepest one that is there may have been made by a
/// process that ended before its sync, so that one is synced first.
fn create_directory(path: &Path) -> Result<(), DirError> {
    let is_missing = |level: &&Path| !level.as_os_str().is_empty() && !level.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    if let Some(there) = missing.last().map(|level| parent_of(level)) {
        sync_if_readable(parent_of(there))?;
    }
    for level in missing.into_iter().rev() {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(level) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(write_error("make", level)(error));
            }
            _ => {}
        }
        let parent = parent_of(level);
        sync_directory(parent, &Synced::default()).map_err(io_error("sync", parent))?;
    }
    Ok(())
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn sync_directory(path: &Path, synced: &Synced) -> io::Result<()> {
    if sabotage::is(Sabotage::SkipDirectorySync) {
        return Ok(());
    }
    File::open(path)?.sync_all()?;
    synced.tell();
    Ok(())
}

/// The same of a directory that someone else made, perhaps one that only they may read.
fn sync_if_readable(path: &Path) -> Result<(), DirError> {
    match sync_directory(path, &Synced::default()) {
        Err(error) if error.kind() != ErrorKind::PermissionDenied => {
            Err(io_error("sync", path)(error))
        }
        _ => Ok(()),
    }
}

fn store_file_fault(path: &Path) -> io::Result<Option<FileFault>> {
    // A link is refused: replacing the store renames over the link, not over what it points to.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(Some(FileFault::NotAFile));
    }
    let file = File::open(path)?;
    let length_bytes = file.metadata()?.len();
    if length_bytes == 0 {
        return Ok(Some(FileFault::Empty));
    }
    if length_bytes < REDB_FIRST_PAGE_BYTES {
        return Ok(Some(FileFault::CutOff { length_bytes }));
    }
    let mut magic = [0; REDB_MAGIC.len()];
    file.read_exact_at(&mut magic, 0)?;
    Ok((magic != REDB_MAGIC).then_some(FileFault::WrongMagic))
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirError {
    move |source| DirError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn write_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirError {
    move |source| match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => DirError::NotWritable {
            path: path.to_owned(),
            source,
        },
        _ => io_error(action, path)(source),
    }
}
