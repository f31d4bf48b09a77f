//! `suspect`: a write or sync of the store's file failed, and the file has not been replaced since.
//!
//! After a failed sync Linux shows pages that are not on the disk. Within a process the store is
//! copied before anything is acknowledged again (`replace`); but a process that ends before that
//! leaves a file that the next one reads as whole. What that one then acknowledged would stand on
//! pages that a power cut takes away, and with them everything (I1). So the failure leaves this empty
//! file, and an opening for writing that finds it copies the store first.
//!
//! It is not synced, and need not be: a power cut that takes it away also empties the system's memory,
//! and from then on what is read is what is on the disk. One that it survives costs a copy.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::dir::{StateDir, private_file};

#[cfg(test)]
mod tests;

/// The mark. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Suspect(Arc<Path>);

impl Suspect {
    pub(crate) fn of(dir: &StateDir) -> Self {
        Self(PathBuf::into(dir.suspect()))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.symlink_metadata().is_ok()
    }

    /// Sets it. That this fails harms only who is ended before the copy: it is told and no more.
    pub(crate) fn set(&self) {
        let made = private_file().create(true).truncate(false).open(&self.0);
        if let Err(error) = made {
            tracing::error!(%error, "a failed write could not be marked");
        }
    }

    /// Clears it, when another file is in the place of the one that it told of.
    pub(crate) fn clear(&self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the mark of a failed write stays, and costs a copy");
            }
            _ => {}
        }
    }
}
