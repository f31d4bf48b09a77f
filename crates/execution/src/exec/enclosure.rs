//! What a command is enclosed in: where the kernel lets it write, as the shim is told.
//!
//! Made by the backend from what a run may touch, applied by the starter right before the command
//! executes (`shim::landlock`). It travels as a file in memory: it may be long, and nobody else may
//! read it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{
    CWD, FileType, MemfdFlags, Mode, OFlags, ResolveFlags, fstat, memfd_create, openat2,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The newest version of Landlock of which anything is used: it was the last one to tell another kind
/// of writing from reading.
pub const LANDLOCK_VERSION: u32 = 3;

/// Where a command may write; nothing keeps it from reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enclosure {
    /// Absolute paths, each there and without a symlink on its way. What is a directory may be written
    /// as a whole.
    pub write_below: Vec<String>,
    /// No newer version of Landlock than this one is used, of those up to [`LANDLOCK_VERSION`]; with 0
    /// it is as on a kernel without.
    pub landlock_version_max: u32,
}

impl Enclosure {
    pub(super) fn to_memory(&self) -> io::Result<OwnedFd> {
        let mut file = File::from(memfd_create(
            "worker-runtime-enclosure",
            MemfdFlags::CLOEXEC,
        )?);
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(file.into())
    }

    pub(super) fn from_memory(memory: OwnedFd) -> io::Result<Self> {
        let mut file = File::from(memory);
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Directory,
    /// A file, or anything else that nothing can lie below.
    File,
}

/// What is at a path without a symlink on its way.
///
/// # Errors
/// `ELOOP` when there is a symlink, and whatever else keeps it from being looked up.
pub(super) fn look(path: &str) -> io::Result<Found> {
    match open_plain(path) {
        Ok((_, is_directory)) => Ok(if is_directory {
            Found::Directory
        } else {
            Found::File
        }),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(Found::Nothing),
        Err(error) => Err(error.into()),
    }
}

/// Names what is at a path, and whether that is a directory. A symlink that somebody put on the way
/// after the scope had entered leads nowhere.
pub(super) fn open_plain(path: &str) -> rustix::io::Result<(OwnedFd, bool)> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let is_directory = FileType::from_raw_mode(fstat(&opened)?.st_mode) == FileType::Directory;
    Ok((opened, is_directory))
}
