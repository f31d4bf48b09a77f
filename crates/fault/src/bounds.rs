//! The part `bounds`: under a steady load that is trimmed, the store's file does not grow (I9).
//!
//! A few Workers tell events without end while somebody reads. What is kept is far less than what is
//! written, so after a while the file must have all the room it needs: pages of what was trimmed are used
//! again, unless something holds on to them. And every trim is looked at: it takes whole packs, and no
//! more of them than a limit asks for.
//!
//! Then, with less: a limit of age (`aged`), and a pin (`pinned`).

mod aged;
mod pinned;

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use fastrand::Rng;
use serde_json::json;
use worker_runtime_core::{
    Cursor, Dispatch, Event, EventDraft, EventType, ListOrder, ManualClock, PageSize, Position,
    RunSink, Runtime, Stream, TranscriptFrom, WorkerFilter, WorkerId, cursor::From as Start,
};
use worker_runtime_persist::{FileStore, RetentionPolicy};

use crate::{
    audit::trims::check_trims,
    backend::{BACKEND, News, Stage},
    report::{Doing, HarnessError, Outcome, Violation},
    settings::Settings,
    workload::{
        limits::{clock, file_options, runtime_options},
        on_one_thread,
    },
};

/// The part's name.
const PART: &str = "bounds";

const WORKERS: usize = 4;

/// What is kept: many packs of each stream, so that it can be told when a trim takes too many.
const RETENTION: RetentionPolicy = RetentionPolicy {
    worker_bytes_max: 384 << 10,
    runtime_bytes_max: 1280 << 10,
    age_ms_max: None,
    log_bytes_max: 256 << 10,
};

/// How often the file is looked at.
const LOOKS: u64 = 20;

/// How long the backend may take to be given a run: much longer than it does.
const WITHIN: Duration = Duration::from_secs(10);

/// What the file may take, beside what is kept: the engine's own pages, and the pages of a few commits
/// that are not used again yet.
const SPARE_BYTES: u64 = 4 << 20;

/// Runs it.
///
/// # Errors
/// When the harness can't do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let written_bytes = settings.size.pick(24_u64 << 20, 96 << 20, 4 << 30);
    let mut outcome = Outcome::new(PART, settings.seed);
    let directory = settings.scratch()?;
    let tokio = on_one_thread()?;
    tokio.block_on(load(
        settings,
        directory.path(),
        written_bytes,
        &mut outcome,
    ))?;
    let aged = settings.scratch()?;
    tokio.block_on(aged::load(settings, aged.path(), &mut outcome))?;
    let pinned = settings.scratch()?;
    tokio.block_on(pinned::load(settings, pinned.path(), &mut outcome))?;
    Ok(outcome)
}

async fn load(
    settings: &Settings,
    directory: &Path,
    written_bytes: u64,
    outcome: &mut Outcome,
) -> Result<(), HarnessError> {
    let store = open_store(settings.seed, directory, RETENTION)?;
    let mut load = Load::open(settings.seed, store).await?;
    let kept_bytes = RETENTION.runtime_bytes_max + RETENTION.log_bytes_max;
    let bytes_max = 4 * kept_bytes + SPARE_BYTES;
    let progress = settings.progress(PART, written_bytes);
    let mut largest_bytes = 0;
    for look in 1..=LOOKS {
        while load.told_bytes < written_bytes / LOOKS * look {
            progress.add(load.tell().await?);
            load.look_at_trims(outcome)?;
        }
        if settings.until_violation && outcome.violations > 0 {
            break;
        }
        let bytes = file_bytes(directory)?;
        largest_bytes = bytes.max(largest_bytes);
        if bytes > bytes_max {
            let at = format!("seed {}, {} bytes told", settings.seed, load.told_bytes);
            let detail = format!(
                "the file has {bytes} bytes, and at most {bytes_max} are expected with {kept_bytes} bytes of events kept"
            );
            outcome.violated(at, Violation::new("I9 the file is bounded", detail));
            break;
        }
    }
    outcome.count("bytes of events told", load.told_bytes);
    outcome.count("bytes of the file at most", largest_bytes);
    load.close().await
}

/// A store that is under load, and the clock that it was opened with.
struct Opened {
    store: FileStore,
    clock: ManualClock,
}

fn open_store(
    seed: u64,
    directory: &Path,
    retention: RetentionPolicy,
) -> Result<Opened, HarnessError> {
    let clock = clock();
    let mut options = file_options(&clock, seed);
    options.store.retention = retention;
    let store = FileStore::open(directory, options).doing("open a store")?;
    Ok(Opened { store, clock })
}

struct Load {
    runtime: Runtime,
    clock: ManualClock,
    runs: Vec<RunSink>,
    rng: Rng,
    told_bytes: u64,
    /// What was told and may be left of it, and up to where that was read.
    log: Vec<Event>,
    cursor: Cursor,
    /// Where streams began.
    began: BTreeMap<Stream, Position>,
}

impl Load {
    async fn open(seed: u64, Opened { store, clock }: Opened) -> Result<Self, HarnessError> {
        let stage = Stage::default();
        let options = runtime_options(stage.factory(), Dispatch::All, &clock, seed)?;
        let runtime = Runtime::open(Box::new(store), options).await;
        let runtime = runtime.doing("open the Runtime")?;
        for _ in 0..WORKERS {
            let request = json!({
                "intent": { "type": "assistant" },
                "backend": { "name": BACKEND },
                "initial_input": { "segments": [{ "type": "text", "text": "go on and on" }] },
            });
            let request = serde_json::from_value(request).doing("write a request")?;
            let made = runtime.catalog().create(request).await;
            made.doing("make a Worker")?;
        }
        let mut runs = Vec::new();
        while runs.len() < WORKERS {
            runs.extend(stage.take_news().into_iter().filter_map(|news| match news {
                News::Taken(taken) => Some(taken.sink),
                News::Ended(..) | News::Cancelled(_) => None,
            }));
            if runs.len() < WORKERS {
                let changed = tokio::time::timeout(WITHIN, stage.changed()).await;
                changed.doing("have an input run")?;
            }
        }
        let seen = runtime.observation();
        let beginning = seen.resolve(Stream::Runtime, Start::Beginning);
        Ok(Self {
            cursor: beginning.doing("find the beginning of the log")?,
            log: Vec::new(),
            began: BTreeMap::new(),
            runtime,
            clock,
            runs,
            rng: Rng::with_seed(seed),
            told_bytes: 0,
        })
    }

    /// A few events of one run, and now and then somebody who reads; tells how many bytes.
    async fn tell(&mut self) -> Result<u64, HarnessError> {
        // Some tell more than others: those meet their own limit, and the others that of them all.
        let which = self.rng.usize(0..WORKERS).min(self.rng.usize(0..WORKERS));
        let bytes = self.tell_of(which).await?;
        if self.rng.u8(0..32) == 0 {
            // The store becomes idle, and is made quick to open.
            self.clock.advance(Duration::from_millis(20));
            tokio::task::yield_now().await;
        }
        Ok(bytes)
    }

    /// A few events of this run.
    async fn tell_of(&mut self, which: usize) -> Result<u64, HarnessError> {
        let Some(run) = self.runs.get(which).cloned() else {
            return Err(HarnessError::new("tell events", "nothing runs"));
        };
        let (mut drafts, mut bytes) = (Vec::new(), 0);
        for _ in 0..self.rng.usize(1..4) {
            let text = "x".repeat(self.rng.usize(100..5_000));
            bytes += text.len() as u64;
            let data = json!({ "tool": "look", "text": text });
            let draft = EventDraft::new(EventType::TOOL_RESULT, None, &data);
            drafts.push(draft.doing("write an event")?);
        }
        run.events(drafts).await.doing("tell events")?;
        self.told_bytes += bytes;
        if self.rng.u8(0..8) == 0 {
            self.read(run.worker_id())?;
        }
        Ok(bytes)
    }

    /// Where the streams begin: of every Worker, and the log.
    fn begins(&self) -> Result<BTreeMap<Stream, Position>, HarnessError> {
        let seen = self.runtime.observation();
        let filter = WorkerFilter::default();
        let workers = seen.workers(&filter, ListOrder::Created, 0, usize::MAX);
        let workers = workers.workers.iter();
        let own = workers.map(|view| Stream::Worker(view.worker_id));
        own.chain([Stream::Runtime])
            .map(|stream| {
                let begin = seen.resolve(stream, Start::Beginning);
                let begin = begin.doing("find the beginning of a stream")?;
                Ok((stream, begin.position()))
            })
            .collect()
    }

    /// Reads the log to its end.
    fn read_log(&mut self) -> Result<(), HarnessError> {
        let seen = self.runtime.observation();
        loop {
            let start = Start::After(self.cursor);
            let page = seen.events(Stream::Runtime, start, PageSize::default());
            let page = page.doing("read the log")?;
            self.cursor = page.next;
            let events = page.events.into_iter();
            self.log.extend(events.map(|(_, event)| event));
            if page.up_to_date {
                return Ok(());
            }
        }
    }

    /// Whether what was trimmed since the last look was over a limit.
    fn look_at_trims(&mut self, outcome: &mut Outcome) -> Result<(), HarnessError> {
        let begins = self.begins()?;
        self.read_log()?;
        let steps = begins
            .iter()
            .filter(|(stream, at)| self.began.get(*stream) != Some(*at));
        let steps = steps.count() as u64;
        if steps == 0 {
            return Ok(());
        }
        outcome.count("trims", steps);
        let broken = check_trims(self.log.iter().collect(), &self.began, &begins, &RETENTION);
        for violation in broken {
            let at = format!("seed {}, {} bytes told", outcome.seed, self.told_bytes);
            outcome.violated(at, violation);
        }
        let is_left =
            |event: &Event, stream| begins.get(&stream).is_none_or(|at| event.position > *at);
        self.log.retain(|event| {
            let own = event.worker.map(|place| Stream::Worker(place.worker_id));
            is_left(event, Stream::Runtime) || own.is_some_and(|own| is_left(event, own))
        });
        self.began = begins;
        Ok(())
    }

    async fn close(self) -> Result<(), HarnessError> {
        self.runtime.close().await.doing("close the Runtime")
    }

    fn read(&self, worker_id: WorkerId) -> Result<(), HarnessError> {
        let seen = self.runtime.observation();
        let stream = Stream::Worker(worker_id);
        let page = seen.events(stream, Start::Beginning, PageSize::default());
        page.doing("read events")?;
        let said = seen.transcript(worker_id, TranscriptFrom::Item(0), 10);
        said.map(drop).doing("read a transcript")
    }
}

/// What the store's file takes of the disk: it may be sparse.
fn file_bytes(directory: &Path) -> Result<u64, HarnessError> {
    let metadata = std::fs::metadata(directory.join("runtime.redb"));
    Ok(metadata.doing("look at the store's file")?.blocks() * 512)
}
