//! The host that crash tests kill: a real Runtime over a real store, with the real `exec` backend.
//!
//! It is told what to do by one argument, an `Order` as JSON, and tells how far it is on its
//! standard output, one JSON line each.
//!
//! # Layout
//! - `order`, `journal`: what it shares with the tests
//! - `open`: store, backend and Runtime
//! - `serve`: obeys requests
//! - `feed`: one client per Worker, with a journal of what it asked and was answered
//! - `observe`: observers that go on from their journals

mod feed;
mod journal;
mod observe;
mod open;
mod order;
mod serve;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use order::{Order, Part, Said};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

/// Whatever goes wrong in a host ends it.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    // First of all: the monitor of a command is this very program.
    if let Some(code) = worker_runtime_execution::exec::shim::run_if_requested() {
        return code;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "crash-host: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let argument = std::env::args().nth(1).ok_or("it needs an order")?;
    let order: Order = serde_json::from_str(&argument)?;
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()?;
    let result = threads.block_on(obey(order));
    // The thread that reads standard input may wait there for ever; nothing else is left to do.
    threads.shutdown_background();
    result
}

async fn obey(order: Order) -> Result<()> {
    // Listened to before anybody can know that the host is open.
    let terminate = signal(SignalKind::terminate())?;
    say(&Said::Opening)?;
    let runtime = match open::open(&order).await {
        Ok(runtime) => runtime,
        Err(said) => return say(&said),
    };
    say(&Said::Open)?;
    match order.part {
        Part::Serve => serve::serve(runtime, terminate).await,
        Part::Feed {
            journals,
            seed,
            workers,
        } => {
            observe::observe_all(&runtime, &journals, workers)?;
            feed::feed_all(&runtime, &journals, seed, workers).await
        }
        Part::Drain { journals, workers } => {
            feed::drain_all(&runtime, &journals, workers).await?;
            let position = runtime.observation().runtime().position;
            observe::catch_up(&runtime, &journals, workers).await?;
            runtime.close().await?;
            say(&Said::Drained(position))
        }
    }
}

/// One line on standard output, in one piece.
fn say(line: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    Ok(out.flush()?)
}
