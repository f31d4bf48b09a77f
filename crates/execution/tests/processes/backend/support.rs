//! A Runtime with the `exec` backend, and what its Workers tell.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use worker_runtime_core::{
    AsJson, Cursor, Mounts, ObserveOptions, ObserveStream, Observed, RunId, Runtime,
    RuntimeOptions, Stream, TranscriptFrom, WorkerId,
    backend::SecretResolver,
    cursor::From as Start,
    input::{InputReceipt, SubmitInput},
    store::Store,
    worker::{BackendSelection, CreateWorker, Intent},
};
use worker_runtime_execution::exec::{ExecFactory, ExecOptions};
use worker_runtime_persist::{FileOptions, FileStore, MemoryStore, StoreOptions};

/// Short where a test waits it out, long where only a failing one would.
pub(crate) fn options() -> ExecOptions {
    ExecOptions {
        term_grace: Duration::from_millis(100),
        cancel_grace: Duration::from_millis(100),
        leftover_grace: Duration::from_millis(100),
        ..ExecOptions::default()
    }
}

pub(crate) fn shell(script: &str) -> Value {
    json!({ "argv": ["sh", "-c", script] })
}

/// This binary as a command in lines mode.
pub(crate) fn agent(manner: &str) -> Value {
    let program = std::env::current_exe().unwrap();
    json!({ "argv": [program, crate::act_as_agent::ROLE, manner], "mode": "lines" })
}

struct OneSecret;

impl SecretResolver for OneSecret {
    fn resolve(&self, name: &str) -> Option<String> {
        (name == "known").then(|| "s3cret".to_owned())
    }
}

pub(crate) struct Host {
    pub(crate) runtime: Runtime,
}

/// What a run told.
#[derive(Debug)]
pub(crate) struct Told {
    /// Type and data of every event from the input on, `run.finished` included.
    pub(crate) events: Vec<(String, Value)>,
    pub(crate) cursor: Cursor,
    pub(crate) run_id: Option<RunId>,
}

impl Told {
    pub(crate) fn of(&self, kind: &str) -> Vec<&Value> {
        let events = self.events.iter().filter(|(other, _)| other == kind);
        events.map(|(_, data)| data).collect()
    }

    pub(crate) fn outcome(&self) -> &Value {
        &self.of("run.finished")[0]["outcome"]
    }

    pub(crate) fn blocks(&self) -> Vec<&str> {
        let blocks = self.of("block.finished").into_iter();
        blocks.map(|data| data["text"].as_str().unwrap()).collect()
    }

    pub(crate) fn text(&self) -> String {
        self.blocks().concat()
    }
}

/// Lets the observer's task notice: a Runtime that is dropped on this thread would wait for it.
async fn let_go(stream: ObserveStream) {
    drop(stream);
    tokio::task::yield_now().await;
}

impl Host {
    pub(crate) async fn open(options: ExecOptions) -> Self {
        Self::open_with(options, Mounts::default()).await
    }

    pub(crate) async fn open_with(options: ExecOptions, mounts: Mounts) -> Self {
        let store = MemoryStore::new(StoreOptions::memory()).unwrap();
        Self::over(Box::new(store), options, mounts).await
    }

    /// Over a state directory.
    pub(crate) async fn open_in(state: &Path, options: ExecOptions) -> Self {
        let store = FileStore::open(state, FileOptions::default()).unwrap();
        Self::over(Box::new(store), options, Mounts::default()).await
    }

    pub(crate) async fn over(store: Box<dyn Store>, options: ExecOptions, mounts: Mounts) -> Self {
        let options = RuntimeOptions {
            backends: vec![Arc::new(ExecFactory::new(options))],
            secrets: Arc::new(OneSecret),
            mounts,
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::open(store, options).await.unwrap();
        Self { runtime }
    }

    pub(crate) fn request(config: Value) -> CreateWorker {
        let mut request = CreateWorker::new(Intent::Assistant { purpose: None });
        request.backend = Some(BackendSelection {
            name: "exec".to_owned(),
            config: AsJson(config),
        });
        request
    }

    pub(crate) async fn worker(&self, config: Value) -> WorkerId {
        let request = Self::request(config);
        let created = self.runtime.catalog().create(request).await;
        created.unwrap().worker_id
    }

    pub(crate) async fn send(&self, worker: WorkerId, input: SubmitInput) -> InputReceipt {
        let sent = self.runtime.interaction().send_input(worker, input).await;
        sent.unwrap()
    }

    /// Sends a text and waits for its outcome.
    pub(crate) async fn run(&self, worker: WorkerId, text: &str) -> Told {
        let receipt = self.send(worker, SubmitInput::text(text)).await;
        self.told(worker, &receipt).await
    }

    /// Makes a Worker of the command, and runs one input.
    pub(crate) async fn once(&self, config: Value, text: &str) -> Told {
        let worker = self.worker(config).await;
        self.run(worker, text).await
    }

    /// Everything from the input to its outcome.
    pub(crate) async fn told(&self, worker: WorkerId, receipt: &InputReceipt) -> Told {
        self.until(worker, receipt.cursor, |kind, data| {
            kind == "run.finished" && data["input_id"] == receipt.input_id.as_str()
        })
        .await
    }

    /// Everything up to the first event like this.
    pub(crate) async fn until(
        &self,
        worker: WorkerId,
        after: Cursor,
        is_last: impl Fn(&str, &Value) -> bool,
    ) -> Told {
        let observation = self.runtime.observation();
        let start = Start::After(after);
        let mut stream = observation
            .observe(Stream::Worker(worker), start, ObserveOptions::default())
            .unwrap();
        let mut events = Vec::new();
        loop {
            let Some(Ok(observed)) = stream.next().await else {
                panic!("the stream ended after {events:#?}");
            };
            if let Observed::Event(cursor, event) = observed {
                let data: Value = serde_json::from_slice(&event.data).unwrap();
                let kind = event.kind.as_str().to_owned();
                let is_last = is_last(&kind, &data);
                events.push((kind, data));
                if is_last {
                    let_go(stream).await;
                    return Told {
                        events,
                        cursor,
                        run_id: event.run_id,
                    };
                }
            }
        }
    }

    /// Waits until the Worker's unfinished output has this text in it.
    pub(crate) async fn until_said(&self, worker: WorkerId, wanted: &str) -> String {
        let observation = self.runtime.observation();
        let options = ObserveOptions {
            deltas: true,
            ..ObserveOptions::default()
        };
        let mut stream = observation
            .observe(Stream::Worker(worker), Start::Now, options)
            .unwrap();
        loop {
            let page = observation.transcript(worker, TranscriptFrom::End, 100);
            let unfinished = page.unwrap().unfinished;
            let said: String = unfinished.iter().map(|block| block.text.as_str()).collect();
            if said.contains(wanted) {
                let_go(stream).await;
                return said;
            }
            stream.next().await.unwrap().unwrap();
        }
    }

    /// The run that the Worker executes.
    pub(crate) fn current_run(&self, worker: WorkerId) -> RunId {
        let view = self.runtime.catalog().get(worker).unwrap();
        view.activity.run_id.unwrap()
    }

    pub(crate) async fn cancel(&self, worker: WorkerId) {
        let run_id = self.current_run(worker);
        let interaction = self.runtime.interaction();
        interaction.cancel_run(worker, run_id).await.unwrap();
    }
}
