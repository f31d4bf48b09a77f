//! Promise: one that follows and pauses misses nothing and costs the server next to nothing, however much is
//! told meanwhile.
//!
//! A client opens a stream of server-sent events and does not read; 1,000,000 events are told; then it reads.
//! The server is a process of its own, and before that it has told and sent as many, again and again,
//! until that costs it no more memory: what the store's cache may hold is there by then.
//!
//! It fails when an event is missing, twice there or out of order, or when the memory of the server grows
//! by more than 1 MiB.

use std::process::ExitCode;

use tokio::runtime::Runtime as Tokio;
use worker_runtime_benches::{
    Bench, Failure, run,
    served::{Served, child},
    sse::Follower,
    table::{Table, count},
};

/// How much more memory the server may have.
const GROWN_BYTES_MAX: u64 = 1 << 20;
/// How much more it has after as many events were told and read, once its caches are full.
const WARM_GROWN_BYTES_MAX: u64 = 256 << 10;
const WARM_UPS_MAX: u32 = 12;

fn main() -> ExitCode {
    run("paused", env!("CARGO_TARGET_TMPDIR"), |bench| {
        let tokio = Tokio::new()?;
        match &bench.child {
            Some(dir) => tokio.block_on(child::serve(dir)),
            None => tokio.block_on(measure(bench)),
        }
    })
}

async fn measure(bench: &Bench) -> Result<(), Failure> {
    let dir = bench.fresh_dir()?;
    let events = bench.pick(1_000_000, 100_000);
    let mut served = Served::start(&dir.path().join("state")).await?;
    let mut table = Table::new("a reader that pauses", &["", "memory, KiB", "more, KiB"]);
    let mut before = 0;
    let mut grown = u64::MAX;
    for times in 1..=WARM_UPS_MAX {
        if grown <= WARM_GROWN_BYTES_MAX {
            break;
        }
        served.fill(events).await?;
        // One that reads it all, so that the store's cache and what a connection needs are there too.
        let mut reader = Follower::open_at_beginning(&served.listening).await?;
        reader.follow(served.told).await?;
        drop(reader);
        let bytes = served.used().await?.memory_bytes;
        grown = bytes.saturating_sub(before);
        table.row([
            format!(
                "{times} times {} events told and read",
                count(events as f64)
            ),
            kib(bytes),
            kib(grown),
        ]);
        before = bytes;
    }
    let mut grown = 0;
    let mut follower = Follower::open_idle(&served.listening, served.told).await?;
    served.fill(events).await?;
    let paused = served.used().await?.memory_bytes;
    let received = follower.follow(served.told).await?.len() as u64;
    let read = served.used().await?.memory_bytes;
    for (name, bytes) in [
        ("as many, one that does not read", paused),
        ("it has read them", read),
    ] {
        let more = bytes.saturating_sub(before);
        grown = grown.max(more);
        table.row([name.to_owned(), kib(bytes), kib(more)]);
    }
    if received != events {
        return Err(Failure::new(format!("{received} of {events} events came")));
    }
    table.print();
    if grown > GROWN_BYTES_MAX {
        let (grown, most) = (kib(grown), kib(GROWN_BYTES_MAX));
        return Err(Failure::new(format!(
            "the server has {grown} KiB more than before, not at most {most}"
        )));
    }
    Ok(())
}

fn kib(bytes: u64) -> String {
    count(bytes as f64 / 1024.0)
}
