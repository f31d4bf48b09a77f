//! The least that embeds a Runtime: a store in memory, a Worker, and what happened to it.
//!
//! `cargo run --package worker-runtime-persist --features memory-store --example embed_memory`

#![allow(clippy::print_stdout, reason = "it shows what happened")]

use worker_runtime_core::{
    PageSize, Runtime, RuntimeOptions, Stream,
    cursor::From as Start,
    input::SubmitInput,
    worker::{CreateWorker, Intent},
};
use worker_runtime_persist::{MemoryStore, StoreOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = MemoryStore::new(StoreOptions::memory())?;
    let runtime = Runtime::open(Box::new(store), RuntimeOptions::default()).await?;

    let objective = "compare both drafts".to_owned();
    let request = CreateWorker {
        display_name: Some("ada".to_owned()),
        ..CreateWorker::new(Intent::Task { objective })
    };
    let created = runtime.catalog().create(request).await?;
    let worker = runtime.catalog().get(created.worker_id)?;
    println!(
        "{} is {}, with profile {}",
        worker.display_ref, worker.lifecycle, worker.profile
    );

    // It has no execution backend, and nothing makes up an answer for it.
    let input = SubmitInput::text("Which one is shorter?");
    match runtime
        .interaction()
        .send_input(created.worker_id, input)
        .await
    {
        Ok(receipt) => println!("accepted as {}", receipt.input_id),
        Err(refusal) => println!("{}: {refusal}", refusal.code()),
    }

    let stream = Stream::Worker(created.worker_id);
    let page = runtime
        .observation()
        .events(stream, Start::Beginning, PageSize::default())?;
    for (cursor, event) in page.events {
        println!("{cursor} {}", event.kind);
    }
    runtime.close().await?;
    Ok(())
}
