//! How much a part does, from which seed, and where.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::report::{Doing, HarnessError};

/// Names another place for [`Settings::scratch`]: whoever runs the harness clears it when a part was
/// killed.
pub const SCRATCH_VARIABLE: &str = "WORKER_RUNTIME_FAULT_SCRATCH";

/// Names a directory in which a part may keep what a broken promise was seen with, where no seed makes
/// it again.
pub const KEEP_VARIABLE: &str = "WORKER_RUNTIME_FAULT_KEEP";

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Size {
    /// Enough to see a fault that was put in on purpose: a few seconds a part.
    Catch,
    /// What every change must pass: ten minutes for all parts together.
    Quick,
    /// At length: before a release.
    Full,
}

impl Size {
    /// Picks by size.
    pub fn pick<T>(self, catch: T, quick: T, full: T) -> T {
        match self {
            Self::Catch => catch,
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// What a part is run with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How much is done.
    pub size: Size,
    /// What every choice is made from; the same one makes the same choices.
    pub seed: u64,
    /// How many threads a part may keep busy.
    pub threads: usize,
    /// Whether a part may end at the first broken promise.
    pub until_violation: bool,
}

impl Settings {
    /// A directory for images of a store, in memory where the system has such a place: an image is
    /// thrown away, and a disk's syncs would only cost time.
    ///
    /// # Errors
    /// When none can be made.
    pub fn scratch(&self) -> Result<TempDir, HarnessError> {
        let memory = Path::new("/dev/shm");
        let place = match std::env::var_os(SCRATCH_VARIABLE) {
            Some(place) => place.into(),
            None if memory.is_dir() => memory.to_owned(),
            None => std::env::temp_dir(),
        };
        TempDir::with_prefix_in("worker-runtime-fault-", place).doing("make a scratch directory")
    }

    /// A directory on a real disk, for what must meet real syncs.
    ///
    /// # Errors
    /// When none can be made.
    pub fn disk(&self) -> Result<TempDir, HarnessError> {
        TempDir::with_prefix("worker-runtime-fault-").doing("make a directory on the disk")
    }

    /// Progress of a part, on stderr.
    pub fn progress(&self, part: &str, total: u64) -> Progress {
        Progress::new(part, total)
    }
}

/// Tells how far a part is: a line that is rewritten at a terminal, and one line every few seconds
/// elsewhere. Cheap to call for every case.
#[derive(Debug, Clone)]
pub struct Progress(Arc<std::sync::Mutex<Line>>);

#[derive(Debug)]
struct Line {
    part: String,
    total: u64,
    done: u64,
    started: Instant,
    told: Instant,
    every: Duration,
    is_terminal: bool,
}

impl Progress {
    fn new(part: &str, total: u64) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let now = Instant::now();
        Self(Arc::new(std::sync::Mutex::new(Line {
            part: part.to_owned(),
            total,
            done: 0,
            started: now,
            told: now,
            every: Duration::from_millis(if is_terminal { 200 } else { 10_000 }),
            is_terminal,
        })))
    }

    /// So many more are done.
    pub fn add(&self, more: u64) {
        let mut line = self.0.lock().unwrap_or_else(|held| held.into_inner());
        line.done = line.done.saturating_add(more);
        if line.told.elapsed() >= line.every {
            line.told = Instant::now();
            line.tell();
        }
    }
}

impl Line {
    fn tell(&self) {
        let seconds = self.started.elapsed().as_secs().max(1);
        let rate = self.done / seconds;
        let (begin, end) = if self.is_terminal {
            ("\r\x1b[K", "")
        } else {
            ("", "\n")
        };
        // Nobody may be reading; that ends nothing.
        let _ = write!(
            io::stderr(),
            "{begin}faults: {}: {} of {}, {rate} a second{end}",
            self.part,
            self.done,
            self.total,
        );
        let _ = io::stderr().flush();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The program of the command line, beside this very program: both are built together.
///
/// # Errors
/// When it is not there.
pub fn command_program() -> Result<PathBuf, HarnessError> {
    let own = std::env::current_exe().doing("find its own program")?;
    let program = own.with_file_name("worker-runtime");
    if program.is_file() {
        Ok(program)
    } else {
        Err(HarnessError::new(
            "find the command's program",
            "build it first: `cargo build --release --bin worker-runtime`",
        ))
    }
}
