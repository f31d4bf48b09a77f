//! A run that can't be followed any more: its events can't be read. What it started was left running,
//! and nothing said that the Runtime was being closed.

use std::{
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use worker_runtime_core::{
    EventType, RunId, RunSink, Runtime, RuntimeOptions, Stream, WorkerId,
    backend::{
        BackendError, BackendFactory, Cancelled, ExecutionBackend, RunRequest, StartWorker,
        Submitted,
    },
    input::SubmitInput,
    record::ReceiptRecord,
    store::{
        Batch, InFlightBlock, Loaded, ReplayPage, ReplayRequest, Store, StoreError, StoreReader,
        StreamBounds, TranscriptRequest, TranscriptSlice, WorkerHead,
    },
};
use worker_runtime_persist::{MemoryStore, StoreOptions};

use super::{Afterwards, Followed, Host, Signals, to_outcome};
use crate::{args::Cli, error::Failure, output::Printer};

/// Whether events can be read.
type Blind = Arc<AtomicBool>;

/// A store that is written, and whose events can't be read from some moment on.
struct GoesBlind {
    store: MemoryStore,
    blind: Blind,
}

struct Reader {
    reader: Arc<dyn StoreReader>,
    blind: Blind,
}

impl Store for GoesBlind {
    fn reader(&self) -> Arc<dyn StoreReader> {
        Arc::new(Reader {
            reader: self.store.reader(),
            blind: Arc::clone(&self.blind),
        })
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.store.load()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.store.commit(batch)
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        self.store.recover()
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        self.store.idle()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.store).close()
    }
}

impl StoreReader for Reader {
    fn receipt(
        &self,
        worker_id: WorkerId,
        key: [u8; 16],
    ) -> Result<Option<ReceiptRecord>, StoreError> {
        self.reader.receipt(worker_id, key)
    }

    fn worker_head(&self, worker_id: WorkerId) -> Result<WorkerHead, StoreError> {
        self.reader.worker_head(worker_id)
    }

    fn bounds(&self, stream: Stream) -> Result<StreamBounds, StoreError> {
        self.reader.bounds(stream)
    }

    fn replay(&self, request: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        if self.blind.load(Ordering::SeqCst) {
            let detail = "the disk is gone".to_owned();
            return Err(StoreError::Read { detail });
        }
        self.reader.replay(request)
    }

    fn transcript(&self, request: &TranscriptRequest) -> Result<TranscriptSlice, StoreError> {
        self.reader.transcript(request)
    }

    fn in_flight(&self, worker_id: WorkerId) -> Result<Vec<InFlightBlock>, StoreError> {
        self.reader.in_flight(worker_id)
    }
}

/// Runs a process that does not end by itself, and says more than is kept in memory; then the store goes
/// blind.
#[derive(Clone)]
struct Endless {
    child: Arc<Mutex<Option<Child>>>,
    blind: Blind,
}

impl Endless {
    fn end(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[async_trait::async_trait]
impl BackendFactory for Endless {
    fn name(&self) -> &str {
        "endless"
    }

    async fn start(&self, _start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl ExecutionBackend for Endless {
    async fn submit(&self, _run: RunRequest, sink: RunSink) -> Submitted {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        *self.child.lock().unwrap() = Some(child);
        // Else who follows reads the newest events where no disk is asked.
        let long = serde_json::json!({ "text": "x".repeat(2 << 20) });
        let said = sink.event(EventType::BACKEND_MESSAGE, &long).await;
        said.unwrap();
        self.blind.store(true, Ordering::SeqCst);
        Submitted::Accepted
    }

    async fn cancel(&self, _run_id: RunId) -> Result<Cancelled, BackendError> {
        self.end();
        Ok(Cancelled::Confirmed)
    }

    async fn stop(&self) -> Result<(), BackendError> {
        self.end();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_a_run_that_can_not_be_followed_any_more() {
    let blind = Blind::default();
    let backend = Endless {
        child: Arc::default(),
        blind: Arc::clone(&blind),
    };
    let store = MemoryStore::new(StoreOptions::memory()).unwrap();
    let mut options = RuntimeOptions::default();
    options.backends.push(Arc::new(backend.clone()));
    let store = GoesBlind { store, blind };
    let runtime = Runtime::open(Box::new(store), options).await.unwrap();
    let request = r#"{"intent": {"type": "assistant"}, "backend": {"name": "endless"}}"#;
    let request = serde_json::from_str(request).unwrap();
    let worker_id = runtime.catalog().create(request).await.unwrap().worker_id;
    let input = SubmitInput::text("go");
    let receipt = runtime.interaction().send_input(worker_id, input).await;
    let receipt = receipt.unwrap();

    // Before it is followed, so that it is never there to be read.
    let blind = async {
        while !backend.blind.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    };
    let blind = tokio::time::timeout(Duration::from_secs(60), blind).await;
    blind.unwrap();

    let printer = Printer::new(&Cli::parse_from(["worker-runtime", "status"]).global);
    let mut signals = Signals::listen().unwrap();
    let host = Host::Here(runtime.clone());
    let followed = Followed::new(worker_id, receipt.input_id, receipt.cursor);
    let after = Afterwards::Stays;
    let failed = to_outcome(&host, followed, &printer, &mut signals, after).await;
    let Err(Failure::Error(error)) = failed else {
        panic!("it was followed: {failed:?}");
    };
    assert!(error.message.contains("the disk is gone"), "{error}");
    assert!(backend.blind.load(Ordering::SeqCst), "nothing ran");
    assert!(backend.child.lock().unwrap().is_none(), "it runs on");
    let late = SubmitInput::text("late");
    let late = runtime.interaction().send_input(worker_id, late).await;
    assert!(late.is_err(), "the Runtime is open");
}

/// Closing may take half a minute, and a user who sees nothing would kill the program.
#[test]
fn why_it_closes_and_how_to_end_it_at_once_is_told_first() {
    let name = "foreground::tests::nothing_outlives_a_run_that_can_not_be_followed_any_more";
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", name, "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("the run can't be followed any more: the store can't be read: reading the store failed: the disk is gone; closing, which ends what runs, and Ctrl-C ends it at once"),
        "{said}"
    );
}
