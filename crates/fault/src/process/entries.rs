//! What a power cut could still take of a directory's entries and of the store's file, followed over the
//! system calls of a process: nothing may be acknowledged that stands on it (I1).
//!
//! **Why here and not only on the recorded disk** (`disk`). There the store itself tells that it synced its
//! directory, and is believed; the calls are what the system is really asked for, of the shipped program, and they also
//! show the directories above the state directory. No signal loses what was not synced, so nothing is
//! lost here: it is the order of the calls that is checked, and that is all that it shows.
//!
//! **The rule.** A directory on the way to the store is in its parent only when the parent was synced
//! after it was made, and `runtime.redb` is what was renamed to it only when its directory was synced
//! after that; what is renamed was itself synced after its last write. Until then nothing is printed
//! and no process ends well. What a killed process left open, its successor has to close. `head`,
//! `suspect`, `lock` and `ballast` may be lost: no acknowledgement stands on them.
//!
//! **Of the file's content** (its crash images are played on the recorded disk, which takes the storage's
//! word that it synced): a commit is what writes the file's first page, once. Whoever acknowledges one
//! may be committing the next already, so at that time one may wait for its sync, and never two; what an
//! earlier process left unsynced may be shown to nobody, also by who only reads; and a process that ends
//! well, and to which nothing was refused, leaves nothing unsynced. Where a sync failed before, only a
//! copy in the file's place counts; who only reads can't make one, and is not judged then.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::report::Violation;

/// The store's file, in the state directory.
const STORE: &str = "runtime.redb";

/// The mark that it could not be synced: from then on only a copy is.
const SUSPECT: &str = "suspect";

/// What a call did that has ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// A directory was made.
    Made(PathBuf),
    /// A file was renamed.
    Renamed { from: PathBuf, to: PathBuf },
    /// A file was changed.
    Wrote(PathBuf),
    /// A file was changed at its very beginning.
    WroteFront(PathBuf),
    /// A file or directory was synced.
    Synced(PathBuf),
    /// It could not be synced: what was written to it may be gone, and a sync that ends well later tells
    /// nothing of that.
    SyncFailed(PathBuf),
}

impl Effect {
    /// What a call did that was to do this and has failed.
    pub(super) fn failed(self) -> Option<Self> {
        match self {
            Self::Synced(path) => Some(Self::SyncFailed(path)),
            _ => None,
        }
    }
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
    /// Commits in the store's file that were not synced.
    commits: u32,
    /// An earlier process left changes in the store's file that were not synced.
    left_changed: bool,
    /// A sync of the store's file has failed, and no copy is in its place.
    in_doubt: bool,
    /// It had failed when the process began, and this one has not written to it.
    only_reads_in_doubt: bool,
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
            commits: 0,
            left_changed: false,
            only_reads_in_doubt: false,
            in_doubt: false,
            broken: None,
        }
    }

    /// The same, in the eyes of the process that comes next.
    pub(super) fn left_to_the_next(&self) -> Self {
        let in_doubt = self.state.join(SUSPECT).exists();
        let mut changed = self.changed.clone();
        let is_changed = changed.remove(&self.store());
        Self {
            commits: 0,
            left_changed: self.left_changed || is_changed,
            changed,
            only_reads_in_doubt: in_doubt,
            in_doubt,
            ..self.clone()
        }
    }

    fn store(&self) -> PathBuf {
        self.state.join(STORE)
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
                if to == self.store() {
                    // Whatever was in its place is gone.
                    self.in_doubt = false;
                    self.synced(&to);
                    match std::mem::replace(&mut self.has_store, true) {
                        true => self.replaced = true,
                        false => drop(self.unsynced.insert(to)),
                    }
                }
            }
            Effect::WroteFront(path) => {
                self.commits += u32::from(path == self.store());
                self.note(Effect::Wrote(path));
            }
            Effect::Wrote(path) => {
                if self.replaced && path == self.store() {
                    self.replaced = false;
                    self.unsynced.insert(path.clone());
                }
                self.only_reads_in_doubt &= path != self.store();
                self.changed.insert(path);
            }
            Effect::SyncFailed(path) => self.in_doubt |= path == self.store(),
            Effect::Synced(path) => {
                self.synced(&path);
                let is_in_it = |entry: &PathBuf| entry.parent() == Some(&path);
                self.unsynced.retain(|entry| !is_in_it(entry));
                self.replaced &= path != self.state;
            }
        }
    }

    fn synced(&mut self, file: &Path) {
        // After a failed sync the system may have dropped what was written, and says so only once.
        if file == self.store() && self.in_doubt {
            return;
        }
        self.changed.remove(file);
        if file == self.store() {
            self.commits = 0;
            self.left_changed = false;
        }
    }

    /// Something is acknowledged now.
    pub(super) fn acknowledged(&mut self) {
        if self.commits > 1 {
            let commits = self.commits;
            self.break_at(format!("{STORE} was not synced, for {commits} commits"));
        }
        if self.left_changed && !self.only_reads_in_doubt {
            self.break_at(format!("{STORE} was not synced since an earlier process"));
        }
        if let Some(entry) = self.unsynced.first() {
            let entry = entry.display();
            self.break_at(format!("{entry} was not synced in its directory"));
        }
    }

    /// The process has ended well, and nothing was done to it: all of this is acknowledged.
    pub(super) fn ended_well(&mut self) {
        self.acknowledged();
        if self.changed.contains(&self.store()) {
            self.break_at(format!("{STORE} was not synced at the end"));
        }
    }

    /// Whether a power cut could take something on which the store stands.
    pub(super) fn are_open(&self) -> bool {
        self.replaced || !self.unsynced.is_empty() || self.changed.contains(&self.store())
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
