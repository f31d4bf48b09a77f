//! The real side: a Runtime over a real store, its clock and randomness from a seed, and a backend
//! that is driven step by step.
//!
//! Time stands still unless a step moves it. Both clocks move together: the one that the Runtime is
//! given, and the timers of its tasks, which are paused. A call that does not come back in ten
//! seconds of the machine's time hangs, and that is a broken promise.

mod opening;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Cursor, Event, Interaction, ManualClock, Observation, ObserveOptions, ObserveStream, Observed,
    Position, Runtime, Stream, Timestamp,
    cursor::From as Start,
    store::{Gap, GapCause},
};
use worker_runtime_persist::RetentionPolicy;

use super::{
    backend::Call,
    stop::{Played, Stop, broken},
    watchdog::{HANGS, Watchdog},
};
use crate::{
    report::{Doing, HarnessError},
    settings::Settings,
};
use opening::Opening;

/// When a history begins.
const BEGINS_AT: Timestamp = Timestamp::from_unix_ms(1_767_312_000_000);

/// The mount that scopes name; nothing is ever made there.
pub(super) const MOUNT: &str = "repo";

/// Inputs of one Worker that wait or run, at most.
pub(super) const UNFINISHED_MAX: usize = 4;
/// Actions of one run that have no answer, at most.
pub(super) const ACTIONS_MAX: usize = 3;

/// What others than Workers hold, at most.
pub(super) const LEASES_MAX: usize = 3;

/// Where the store is, and what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// In a directory, so that it can be opened again; in memory otherwise.
    pub(super) in_file: bool,
    /// Trims early.
    pub(super) trims: bool,
}

impl Shape {
    /// Any three seeds in a row have all shapes.
    pub(super) fn of(seed: u64) -> Self {
        Self {
            in_file: seed % 3 != 2,
            trims: seed % 3 != 1,
        }
    }

    pub(super) fn retention(self) -> RetentionPolicy {
        match self.trims {
            // A Worker has less than its largest event: what a commit wrote is there after it all the
            // same. The log has two packs, so that what a step wrote in two commits is, too.
            true => RetentionPolicy {
                worker_bytes_max: 24 << 10,
                runtime_bytes_max: 64 << 10,
                age_ms_max: None,
                log_bytes_max: 34 << 10,
            },
            false => RetentionPolicy::FILE,
        }
    }
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndsBy {
    /// `Runtime::close`.
    Close,
    /// Its last handle is dropped.
    Abandon,
    /// The files are what they were at that moment; nobody closed them.
    Kill,
}

/// The real side.
pub(super) struct World {
    pub(super) shape: Shape,
    seed: u64,
    place: Option<TempDir>,
    directory: PathBuf,
    copies: u64,
    pub(super) runtime: Option<Runtime>,
    pub(super) observation: Observation,
    pub(super) calls: mpsc::UnboundedReceiver<Call>,
    pub(super) clock: ManualClock,
    /// Store time at the opening, and monotonic time then.
    base: Timestamp,
    opened_ms: u64,
    pub(super) monotonic_ms: u64,
    /// What the tasks' timers show: a little ahead, so that nothing is due half a millisecond later.
    pub(super) timers_ms: u64,
    pub(super) openings: u64,
    /// Reads the Runtime's stream as it grows: the model's own observer.
    tail: ObserveStream,
    pub(super) tail_cursor: Cursor,
    pub(super) watchdog: Watchdog,
}

impl World {
    /// An empty store, opened.
    pub(super) async fn begin(settings: &Settings, seed: u64) -> Played<Self> {
        let shape = Shape::of(seed);
        let place = match shape.in_file {
            true => Some(settings.scratch()?),
            false => None,
        };
        let directory = place
            .as_ref()
            .map(|place| place.path().join("state-0"))
            .unwrap_or_default();
        let clock = ManualClock::at(BEGINS_AT);
        let watchdog = Watchdog::new();
        let opening = Opening {
            shape,
            seed,
            openings: 1,
            clock: &clock,
            directory: &directory,
            unproven: false,
        };
        let (runtime, calls) = watchdog.within("an opening", opening.open()).await??;
        let observation = runtime.observation();
        let (tail, tail_cursor) = tail_of(&observation, Start::Beginning, &watchdog).await?;
        Ok(Self {
            shape,
            seed,
            place,
            directory,
            copies: 0,
            observation,
            runtime: Some(runtime),
            calls,
            clock,
            base: BEGINS_AT,
            opened_ms: 0,
            monotonic_ms: 0,
            timers_ms: 0,
            openings: 1,
            tail,
            tail_cursor,
            watchdog,
        })
    }

    pub(super) fn runtime(&self) -> Result<&Runtime, HarnessError> {
        let gone = || HarnessError::new("use the Runtime", "it is not open");
        self.runtime.as_ref().ok_or_else(gone)
    }

    pub(super) fn interaction(&self) -> Result<Interaction, HarnessError> {
        Ok(self.runtime()?.interaction())
    }

    /// What the store's time must be now.
    pub(super) fn now(&self) -> Timestamp {
        let open_ms = self.monotonic_ms.saturating_sub(self.opened_ms);
        self.base.plus(Duration::from_millis(open_ms))
    }

    /// Moves both clocks, and lets everything that is due happen.
    pub(super) async fn advance(&mut self, by_ms: u64) {
        self.clock.advance(Duration::from_millis(by_ms));
        self.monotonic_ms = self.monotonic_ms.saturating_add(by_ms);
        self.timers_ms = self.timers_ms.saturating_add(by_ms).saturating_add(1);
        tokio::time::advance(Duration::from_millis(by_ms.saturating_add(1))).await;
        self.settle().await;
    }

    /// Lets every task that can go on do so, and the writer answer all that was asked.
    pub(super) async fn settle(&self) {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        if let Some(runtime) = &self.runtime {
            // Nothing is changed by it, and it is answered after everything before it.
            let nobody = worker_runtime_core::WorkerId::from_bytes([0xEE; 16]);
            let _ = runtime.catalog().pause(nobody).await;
        }
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    /// The next call of the backend, which must come.
    pub(super) async fn call(&mut self, what: &str) -> Played<Call> {
        let next = self.watchdog.within(what, self.calls.recv()).await?;
        match next {
            Some(call) => Ok(call),
            None => broken(
                "I9 nothing hangs",
                format!("no backend is left to be asked: {what}"),
            ),
        }
    }

    /// The next events that the model's own observer is told; fewer when no more come.
    pub(super) async fn told(&mut self, count: usize, what: &str) -> Played<Vec<Event>> {
        let mut events = Vec::new();
        while events.len() < count {
            match self.next(what).await {
                Ok(Ok(event)) => events.push(event),
                Err(Stop::Broken(broken)) if broken.promise == HANGS => break,
                Err(other) => return Err(other),
                Ok(Err(gap)) => {
                    let detail = format!("an observer that kept up was told {gap:?}");
                    return broken("I10 slow never means skipped", detail);
                }
            }
        }
        Ok(events)
    }

    /// The next event, or what is missing.
    async fn next(&mut self, what: &str) -> Played<Result<Event, Gap>> {
        loop {
            let next = self.watchdog.within(what, self.tail.next()).await?;
            match next {
                Some(Ok(Observed::Event(cursor, event))) => {
                    self.tail_cursor = cursor;
                    return Ok(Ok(event));
                }
                Some(Ok(Observed::Gap(_, gap))) => return Ok(Err(gap)),
                Some(Ok(Observed::UpToDate(_) | Observed::Reached(_) | Observed::Started(_))) => {}
                other => {
                    let detail = format!("an observer was told {other:?}");
                    return broken("I10 a stream goes on", detail);
                }
            }
        }
    }

    /// What an opening told. It commits what it recovers and then what it dispatches, and nobody reads
    /// in between.
    pub(super) async fn told_by_opening(&mut self, until: Position) -> Played<Vec<Event>> {
        let mut events = Vec::new();
        while self.tail_cursor.position() < until {
            match self.next("news of an opening").await? {
                Ok(event) => events.push(event),
                Err(gap) if self.shape.trims && gap.cause == GapCause::Retention => {
                    return Err(Stop::Unseen);
                }
                Err(gap) => {
                    let detail = format!("an observer of an opening was told {gap:?}");
                    return broken("I10 slow never means skipped", detail);
                }
            }
        }
        Ok(events)
    }

    /// What is published beyond what was told, up to this position.
    pub(super) async fn told_until(&mut self, until: Position) -> Played<Vec<Event>> {
        let mut events = Vec::new();
        while self.tail_cursor.position() < until {
            events.extend(self.told(1, "news of events that are published").await?);
        }
        Ok(events)
    }

    /// Ends the process in this way, and drops every trace of it.
    pub(super) async fn end(&mut self, by: EndsBy) -> Played<()> {
        let Some(runtime) = self.runtime.take() else {
            return Ok(());
        };
        if by == EndsBy::Kill {
            self.copies += 1;
            let copy = self
                .directory
                .with_file_name(format!("state-{}", self.copies));
            copy_directory(&self.directory, &copy).doing("copy the state directory")?;
            let old = std::mem::replace(&mut self.directory, copy);
            drop_runtime(runtime).await?;
            fs::remove_dir_all(old).doing("remove the old state directory")?;
        } else {
            drop_runtime(runtime).await?;
        }
        Ok(())
    }

    /// Opens the store again. The tail goes on where it stood.
    pub(super) async fn reopen(&mut self, unproven: bool, last: Timestamp) -> Played<()> {
        self.openings += 1;
        let opening = Opening {
            shape: self.shape,
            seed: self.seed,
            openings: self.openings,
            clock: &self.clock,
            directory: &self.directory,
            unproven,
        };
        let opened = self.watchdog.within("an opening", opening.open()).await?;
        let (runtime, calls) = opened?;
        self.base = worker_runtime_core::Clock::now(&self.clock).max(last);
        self.opened_ms = self.monotonic_ms;
        self.observation = runtime.observation();
        self.runtime = Some(runtime);
        self.calls = calls;
        let start = Start::After(self.tail_cursor);
        let (tail, cursor) = tail_of(&self.observation, start, &self.watchdog).await?;
        (self.tail, self.tail_cursor) = (tail, cursor);
        Ok(())
    }

    /// Where its store is, while nobody has it open.
    pub(super) fn stopped_at(&self) -> Option<&Path> {
        let is_stopped = self.place.is_some() && self.runtime.is_none();
        is_stopped.then_some(self.directory.as_path())
    }

    pub(super) fn has_place(&self) -> bool {
        self.place.is_some()
    }
}

/// Its last handle waits for the writer, which may not be done on a thread of tasks.
async fn drop_runtime(runtime: Runtime) -> Result<(), HarnessError> {
    let dropped = tokio::task::spawn_blocking(move || drop(runtime));
    dropped.await.doing("drop a Runtime")
}

fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_directory(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

async fn tail_of(
    observation: &Observation,
    start: Start,
    watchdog: &Watchdog,
) -> Played<(ObserveStream, Cursor)> {
    let observed = observation.observe(Stream::Runtime, start, ObserveOptions::default());
    let mut tail = observed.doing("observe the Runtime")?;
    let first = watchdog
        .within("the start of a stream", tail.next())
        .await?;
    match first {
        Some(Ok(Observed::Started(cursor))) => Ok((tail, cursor)),
        other => broken(
            "I2 a stream begins with its cursor",
            format!("told {other:?}"),
        ),
    }
}
