//! What was called, in order, and what `head` held before each call.

use std::sync::Arc;

use super::{crash::Crash, crash::Explorer, pages::Pages};

/// What a call did to a file. Reads are not kept: they leave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// What of a write was written; half of it when it was cut short, none when it was refused.
    Write {
        /// Where.
        offset: u64,
        /// What.
        data: Arc<[u8]>,
    },
    /// The file was given this length.
    SetLength {
        /// The length.
        length_bytes: u64,
    },
    /// The file was synced, or should have been.
    Sync(SyncResult),
    /// The directory was synced: what stands in it is what a power cut leaves there.
    SyncDirectory,
    /// A call that was refused, and did nothing.
    Refused,
}

/// How a sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncResult {
    /// All before it is on disk.
    Done,
    /// It failed, and did nothing.
    Refused,
    /// It failed, and the writes before it never reach the disk.
    Lost,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Which of the tape's files.
    pub file: usize,
    /// What was done.
    pub call: Call,
    /// What stood in the directory before it.
    pub before: Standing,
}

/// What stands in the directory at a moment.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Which of the tape's files is `runtime.redb`.
    pub installed: usize,
    /// What `head` holds.
    pub head: Option<Arc<[u8]>>,
}

/// All calls of a recorded run.
#[derive(Debug, Clone)]
pub struct Tape {
    /// What each wrapped file held when it was first wrapped; it counts as being on disk. A file
    /// that is wrapped again, after a reopening, stays the same file.
    pub bases: Vec<Pages>,
    /// The calls, to all files.
    pub calls: Vec<Recorded>,
    /// What stands in the directory after the last of them.
    pub now: Standing,
}

impl Tape {
    /// How many calls there are: a power cut is possible after 0 up to so many.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether nothing was called.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// What stood in the directory after so many calls, just before the next one.
    pub fn standing(&self, index: usize) -> &Standing {
        self.calls
            .get(index)
            .map_or(&self.now, |recorded| &recorded.before)
    }

    /// The points at which another file has just taken the place of `runtime.redb`.
    pub fn renames(&self) -> impl Iterator<Item = usize> + '_ {
        let installed = |index| self.standing(index).installed;
        (1..=self.len()).filter(move |index| installed(*index) != installed(index - 1))
    }

    /// A walk over the crash points, in order.
    pub fn explorer(&self) -> Explorer<'_> {
        Explorer::new(self)
    }

    /// A power cut after `index` calls. For many points in order, [`Tape::explorer`] is cheaper.
    pub fn crash(&self, index: usize) -> Crash<'_> {
        let mut explorer = self.explorer();
        explorer.goto(index);
        explorer.crash()
    }
}
