//! A Runtime over a directory, opened through its public calls, and what the benches ask of it.

use std::{path::Path, sync::Arc, time::Instant};

use tokio::sync::mpsc;
use worker_runtime_core::{
    AsJson, EventDraft, PageSize, RunSink, Runtime, RuntimeOptions, Stream, WorkerId,
    backend::BackendFactory,
    cursor::From as Start,
    input::SubmitInput,
    store::Store,
    worker::{BackendSelection, CreateWorker, Intent},
};
use worker_runtime_persist::{FileOptions, FileStore};

use crate::{
    Failure,
    ledger::{APPENDED, Acked, Ledger, Seen},
    measured_store::{Counted, MeasuredStore, StoreCounts},
    payload::Payload,
};

/// A Runtime, and what its store does.
pub struct Host {
    /// It.
    pub runtime: Runtime,
    /// What its store was asked.
    pub counts: Arc<StoreCounts>,
    /// How the time of its opening was spent.
    pub opening: Opening,
}

/// How the time of an opening was spent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// Until the store was open for writing.
    pub store: std::time::Duration,
    /// Reading the records that the working state is made of.
    pub load: std::time::Duration,
    /// The commit that records the new incarnation and the outcome of interrupted runs.
    pub commit: std::time::Duration,
    /// All of it, until the first call can be made.
    pub total: std::time::Duration,
}

impl Host {
    /// Opens the Runtime of a directory, which is made when it is not there.
    ///
    /// # Errors
    /// When store or Runtime can't be opened.
    pub async fn open(dir: &Path, backend: Arc<dyn BackendFactory>) -> Result<Self, Failure> {
        let options = RuntimeOptions {
            backends: vec![backend],
            ..RuntimeOptions::default()
        };
        Self::open_with(dir, options).await
    }

    /// The same with options of its own.
    ///
    /// # Errors
    /// When store or Runtime can't be opened.
    pub async fn open_with(dir: &Path, options: RuntimeOptions) -> Result<Self, Failure> {
        Self::over(|| open_store(dir), options).await
    }

    /// The same over a store that is opened so.
    ///
    /// # Errors
    /// When store or Runtime can't be opened.
    pub async fn over(
        open: impl FnOnce() -> Result<Box<dyn Store>, Failure>,
        options: RuntimeOptions,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let inner = open()?;
        let store_opened = started.elapsed();
        let (store, counts) = MeasuredStore::new(inner);
        let runtime = Runtime::open(Box::new(store), options).await?;
        let total = started.elapsed();
        let Counted {
            committing,
            loading,
            ..
        } = counts.now();
        Ok(Self {
            runtime,
            counts,
            opening: Opening {
                store: store_opened,
                load: loading,
                commit: committing,
                total,
            },
        })
    }

    /// Makes Workers that run on this backend.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn create_workers(
        &self,
        count: usize,
        backend: &'static str,
    ) -> Result<Vec<WorkerId>, Failure> {
        let mut creates = Vec::new();
        for worker in 0..count {
            let catalog = self.runtime.catalog();
            creates.push(tokio::spawn(async move {
                let objective = format!("the {worker}th of the benches");
                let mut request = CreateWorker::new(Intent::Task { objective });
                request.display_name = Some(format!("worker-{worker}"));
                request.backend = Some(BackendSelection {
                    name: backend.to_owned(),
                    config: AsJson(serde_json::Value::Null),
                });
                catalog.create(request).await
            }));
        }
        let mut workers = Vec::with_capacity(count);
        for create in creates {
            workers.push(create.await??.worker_id);
        }
        Ok(workers)
    }

    /// Sends each Worker an input and takes the sink of its run, in the order of `workers`.
    ///
    /// # Errors
    /// When an input is refused.
    pub async fn hold_runs(
        &self,
        workers: &[WorkerId],
        held: &mut mpsc::UnboundedReceiver<RunSink>,
    ) -> Result<Vec<RunSink>, Failure> {
        let sends: Vec<_> = workers
            .iter()
            .map(|worker_id| {
                let (interaction, worker_id) = (self.runtime.interaction(), *worker_id);
                tokio::spawn(async move {
                    let input = SubmitInput::text("begin");
                    interaction.send_input(worker_id, input).await
                })
            })
            .collect();
        for send in sends {
            send.await??;
        }
        let mut sinks = std::collections::HashMap::new();
        while sinks.len() < workers.len() {
            let gone = || Failure::new("a run was not handed to its backend");
            let sink = held.recv().await.ok_or_else(gone)?;
            sinks.insert(sink.worker_id(), sink);
        }
        let gone = || Failure::new("a run has no sink");
        let in_order = workers.iter().map(|id| sinks.remove(id).ok_or_else(gone));
        in_order.collect()
    }

    /// The newest position.
    pub fn position(&self) -> u64 {
        self.runtime.observation().runtime().position.0
    }

    /// Everything that the Workers' own streams hold, page by page.
    ///
    /// # Errors
    /// When a page can't be read, or tells of a gap.
    pub fn read_workers(&self, workers: &[WorkerId]) -> Result<Vec<Seen>, Failure> {
        let mut seen = Vec::new();
        for worker_id in workers {
            let size = PageSize {
                events_max: 1_000,
                bytes_max: 1 << 20,
            };
            let stream = Stream::Worker(*worker_id);
            let observation = self.runtime.observation();
            let mut start = Start::Beginning;
            loop {
                let page = observation.events(stream, start, size)?;
                if let Some(gap) = page.gap {
                    return Err(Failure::new(format!("Worker {worker_id} has {gap:?}")));
                }
                let events = page.events.into_iter();
                seen.extend(events.map(|(_, event)| Seen::of(event, false)));
                start = Start::After(page.next);
                if page.up_to_date {
                    break;
                }
            }
        }
        Ok(seen)
    }

    /// Compares every Worker's stream with what was acknowledged.
    ///
    /// # Errors
    /// When they differ.
    pub fn check(&self, ledger: &mut Ledger) -> Result<(), Failure> {
        let mut seen = self.read_workers(&ledger.workers)?;
        ledger.check_workers(&mut seen)
    }
}

/// Appends operations `ops` of a Worker in one call, and notes what was acknowledged.
///
/// # Errors
/// When the Runtime refuses.
pub async fn append_many(
    sink: &RunSink,
    worker: u32,
    ops: std::ops::Range<u64>,
) -> Result<Vec<Acked>, Failure> {
    let drafts: Result<Vec<EventDraft>, _> = ops
        .clone()
        .map(|op| EventDraft::new(APPENDED, None, &Payload::new(worker, op)))
        .collect();
    let last = sink.events(drafts?).await?.0;
    let first = last + 1 - (ops.end - ops.start);
    let acked = (first..).zip(ops);
    Ok(acked
        .map(|(position, op)| Acked {
            position,
            worker,
            op,
        })
        .collect())
}

fn open_store(dir: &Path) -> Result<Box<dyn Store>, Failure> {
    Ok(Box::new(FileStore::open(dir, FileOptions::default())?))
}
