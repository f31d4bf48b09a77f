//! A directory that is one command's alone, for what it needs to write and nobody else to find.
//!
//! It has the name of the command's run marker, is removed when nothing of the command lives, and by the
//! opening after a kill, once the command is proven dead (`ExecFactory::prove_dead`).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tracing::debug;

use super::super::RunMarker;

/// The directory; dropping it removes it with all that is in it.
#[derive(Debug)]
pub(super) struct TemporaryDirectory {
    path: PathBuf,
}

impl TemporaryDirectory {
    /// A new one, that only this user may enter.
    pub(super) fn make(above: &Path, marker: &RunMarker) -> io::Result<Self> {
        // Symlinks on the way to it are followed here, once.
        let path = place(&fs::canonicalize(above)?, marker);
        // One that is there already is somebody else's.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what a command has left that is proven dead.
    pub(super) fn remove_left(above: &Path, marker: &RunMarker) {
        let path = place(above, marker);
        let is_own = fs::symlink_metadata(&path)
            .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
        if is_own {
            drop(Self { path });
        }
    }
}

fn place(above: &Path, marker: &RunMarker) -> PathBuf {
    above.join(format!("worker-runtime-{marker}"))
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            debug!(path = %self.path.display(), %error, "a temporary directory stays");
        }
    }
}
