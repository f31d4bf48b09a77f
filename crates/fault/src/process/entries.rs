//! What a power cut could still take of a directory's entries, followed over the system calls of a
//! process: nothing may be acknowledged that stands on it (I1).
//!
//! **Why here and not on the recorded disk** (`disk`). There a rename counts as durable at once, as a
//! storage below the store's engine sees no directory. A hook in the store that tells of them would be
//! believed; the calls are what the system is really asked for, of the shipped program, and they also
//! show the directories above the state directory. No signal loses what was not synced, so nothing is
//! lost here: it is the order of the calls that is checked, and that is all that it shows.
//!
//! **The rule.** A directory on the way to the store is in its parent only when the parent was synced
//! after it was made, and `runtime.redb` is what was renamed to it only when its directory was synced
//! after that; what is renamed was itself synced after its last write. Until then nothing is printed
//! and no process ends well. What a killed process left open, its successor has to close. `head`,
//! `suspect`, `lock` and `ballast` may be lost: no acknowledgement stands on them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::report::Violation;

/// The store's file, in the state directory.
const STORE: &str = "runtime.redb";

/// What a call did that has ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// A directory was made.
    Made(PathBuf),
    /// A file was renamed.
    Renamed { from: PathBuf, to: PathBuf },
    /// A file was changed.
    Wrote(PathBuf),
    /// A file or directory was synced.
    Synced(PathBuf),
}

/// The entries on which a store stands, and those that a power cut could take.
#[derive(Debug, Clone)]
pub(super) struct Entries {
    state: PathBuf,
    unsynced: BTreeSet<PathBuf>,
    /// The store's file took the place of one that holds the same: until it is written to, either will do.
    replaced: bool,
    /// Whether there is a store's file.
    has_store: bool,
    /// Files with changes that were not synced.
    changed: BTreeSet<PathBuf>,
    broken: Option<String>,
}

impl Entries {
    /// For a state directory that is wholly on the disk.
    pub(super) fn of(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
            unsynced: BTreeSet::new(),
            replaced: false,
            has_store: state.join(STORE).exists(),
            changed: BTreeSet::new(),
            broken: None,
        }
    }

    /// A call has ended well.
    pub(super) fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Made(path) if self.state.starts_with(&path) => {
                self.unsynced.insert(path);
            }
            Effect::Made(_) => {}
            Effect::Renamed { from, to } => {
                if self.changed.remove(&from) {
                    let to = to.display();
                    self.break_at(format!("{to} was put in its place before it was synced"));
                }
                if to == self.state.join(STORE) {
                    match std::mem::replace(&mut self.has_store, true) {
                        true => self.replaced = true,
                        false => drop(self.unsynced.insert(to)),
                    }
                }
            }
            Effect::Wrote(path) => {
                if self.replaced && path == self.state.join(STORE) {
                    self.replaced = false;
                    self.unsynced.insert(path.clone());
                }
                self.changed.insert(path);
            }
            Effect::Synced(path) => {
                self.changed.remove(&path);
                let is_in_it = |entry: &PathBuf| entry.parent() == Some(&path);
                self.unsynced.retain(|entry| !is_in_it(entry));
                self.replaced &= path != self.state;
            }
        }
    }

    /// Something is acknowledged now.
    pub(super) fn acknowledged(&mut self) {
        if let Some(entry) = self.unsynced.first() {
            let entry = entry.display();
            self.break_at(format!("{entry} was not synced in its directory"));
        }
    }

    /// Whether a power cut could take an entry on which the store stands.
    pub(super) fn are_open(&self) -> bool {
        self.replaced || !self.unsynced.is_empty()
    }

    /// Nothing was acknowledged too early.
    pub(super) fn held(&self) -> Result<(), Violation> {
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(Violation::new(
                "I1 what is acknowledged has its place on the disk",
                why,
            )),
        }
    }

    fn break_at(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }
}

#[cfg(test)]
mod tests;
