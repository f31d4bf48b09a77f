//! A directory with the changed files of a store, in memory where there is such a file system.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tempfile::TempDir;

use super::truth::{FILES, Truth};
use crate::Choices;

/// The most changes of one input.
const CHANGES_MAX: usize = 16;

/// The directory.
pub struct Directory {
    directory: TempDir,
    has_whole_head: bool,
}

/// What can be seen of a file: its bytes and when it was changed.
type Seen = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

/// Where stores are made.
pub fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.unwrap()
}

impl Directory {
    /// Changes the files of a store and writes them.
    pub fn new(truth: &Truth, choices: &mut Choices<'_>) -> Self {
        let mut files = truth.files.clone();
        for _ in 0..CHANGES_MAX {
            if !choices.any() {
                break;
            }
            // The store's file is the most interesting, and its first pages most of all.
            let which = [0, 0, 0, 0, 0, 1, 1, 2][usize::from(choices.byte() % 8)];
            change(&mut files[which], choices);
        }
        let directory = temporary();
        for (name, bytes) in FILES.iter().zip(&files) {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        Self {
            directory,
            has_whole_head: files[1] == truth.files[1],
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Whether the witness is as it was.
    pub fn has_whole_head(&self) -> bool {
        self.has_whole_head
    }

    /// Everything that can be seen of it.
    pub fn look(&self) -> Seen {
        let entries = fs::read_dir(self.path()).unwrap();
        entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let changed = fs::metadata(&path).unwrap().modified().unwrap();
                let bytes = fs::read(&path).unwrap();
                (path, (bytes, changed))
            })
            .collect()
    }
}

fn change(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let kind = choices.byte();
    if bytes.is_empty() {
        return;
    }
    // Half of the changes are in the first 4 KiB, or at the front of a page.
    let at = match kind >> 6 {
        0 => choices.number() % bytes.len().min(4096),
        1 => (choices.number() % bytes.len() / 4096 * 4096 + usize::from(choices.byte()))
            .min(bytes.len() - 1),
        _ => choices.number() % bytes.len(),
    };
    match kind % 6 {
        0 => bytes[at] ^= 1 << (choices.byte() % 8),
        1 => bytes[at] = choices.byte(),
        2 => {
            let value: [u8; 8] = choices.array();
            let end = bytes.len().min(at + 8);
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        3 => bytes.truncate(at),
        4 => {
            let end = bytes.len().min(at + 1 + choices.number() % 8192);
            bytes[at..end].fill(0);
        }
        _ => {
            // A page that was written elsewhere.
            let len = 4096.min(bytes.len() - at);
            let from = choices.number() % bytes.len() / 4096 * 4096;
            let end = bytes.len().min(from + len);
            bytes.copy_within(from..end, at);
        }
    }
}
