//! An execution backend of one's own, which answers in capitals, over a store in a directory:
//! `cargo run --package worker-runtime-persist --example own_backend`
#![allow(clippy::print_stdout, reason = "it shows what happened")]
use tokio_stream::StreamExt;
use worker_runtime_core::{
    RunId, RunSink, Runtime, RuntimeOptions, Stream, TranscriptFrom, backend::*,
    cursor::From as Start, run::StopReason, store::BlockKind,
};
use worker_runtime_persist::{FileOptions, FileStore};

const REQUEST: &str = r#"{"intent": {"type": "assistant"}, "backend": {"name": "shout"},
    "initial_input": {"segments": [{"type": "text", "text": "hello"}]}}"#;
struct Shout;
#[async_trait::async_trait]
impl BackendFactory for Shout {
    fn name(&self) -> &str {
        "shout"
    }
    async fn start(&self, _start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        Ok(Box::new(Shout))
    }
}

#[async_trait::async_trait]
impl ExecutionBackend for Shout {
    async fn submit(&self, run: RunRequest, sink: RunSink) -> Submitted {
        tokio::spawn(async move {
            let block = sink.open_block(BlockKind::Text, None)?;
            sink.append(block, &run.input.text().to_uppercase()).await?;
            sink.finish(StopReason::EndTurn, None).await
        });
        Submitted::Accepted
    }
    async fn cancel(&self, _run_id: RunId) -> Result<Cancelled, BackendError> {
        Ok(Cancelled::Confirmed)
    }
    async fn stop(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let request = serde_json::from_str(REQUEST)?;
    let directory = tempfile::tempdir()?;
    let store = FileStore::open(directory.path(), FileOptions::default())?;
    let mut with = RuntimeOptions::default();
    with.backends.push(std::sync::Arc::new(Shout));
    let runtime = Runtime::open(Box::new(store), with).await?;
    let id = runtime.catalog().create(request).await?.worker_id;
    let seen = runtime.observation();
    let mut events = seen.observe(Stream::Worker(id), Start::Beginning, Default::default())?;
    while seen.worker(id)?.last_run.is_none() {
        events.next().await.transpose()?;
    }
    for item in seen.transcript(id, TranscriptFrom::Item(0), 10)?.items {
        println!("{}: {}", item.role, item.text);
    }
    Ok(runtime.close().await?)
}
