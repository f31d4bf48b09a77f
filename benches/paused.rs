//! Promise: one that follows and pauses misses nothing and costs the server next to nothing, however much is
//! told meanwhile.
//!
//! A client opens a stream of server-sent events and does not read; 1,000,000 events are told; then it reads.
//! The server is a process of its own, and before that it has told and sent as many, again and again,
//! until that costs it no more memory: what the store's cache may hold is there by then.
//!
//! It fails when an event is missing, twice there or out of order, or when the server has, at any moment,
//! 1 MiB more allocated than it ever had before. What is allocated is counted, and not what is resident: that
//! moves by 50 MiB from one warm-up to the next, as the allocator keeps what was freed in pieces.

use std::process::ExitCode;

use peak_alloc::PeakAlloc;
use tokio::runtime::Runtime as Tokio;
use worker_runtime_benches::{
    Bench, Failure, run,
    served::{Served, Used, child},
    sse::Follower,
    table::{Table, count},
};

/// How much more the server may allocate.
const GROWN_BYTES_MAX: u64 = 1 << 20;
/// How much more it allocates to tell and send as many again, once its caches are full.
const WARM_GROWN_BYTES_MAX: u64 = 128 << 10;
const WARM_UPS_MAX: u32 = 12;

/// Counts what the server allocates.
#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

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
    let columns = ["", "allocated at most, KiB", "more, KiB", "resident, KiB"];
    let mut table = Table::new("a reader that pauses", &columns);
    // What telling takes at most, and what reading does.
    let mut before = [0; 2];
    for times in 1.. {
        served.fill(events).await?;
        let told = served.used().await?;
        // One that reads it all, so that the store's cache and what a connection needs are there too.
        let mut reader = Follower::open_at_beginning(&served.listening).await?;
        reader.follow(served.told).await?;
        drop(reader);
        let used = [told, served.used().await?];
        let so_many = format!("{times} times {}", count(events as f64));
        let names = [format!("{so_many} told"), format!("{so_many} read")];
        let grown = rows(&mut table, names, &mut before, used);
        if grown <= WARM_GROWN_BYTES_MAX {
            break;
        }
        if times == WARM_UPS_MAX {
            let grown = kib(grown);
            return Err(Failure::new(format!(
                "the server allocates {grown} KiB more each time, with nobody who pauses"
            )));
        }
    }
    let mut follower = Follower::open_idle(&served.listening, served.told).await?;
    served.fill(events).await?;
    let told = served.used().await?;
    let received = follower.follow(served.told).await?.len() as u64;
    let used = [told, served.used().await?];
    let names = ["as many told, one does not read", "as many read by it"].map(str::to_owned);
    let grown = rows(&mut table, names, &mut before, used);
    if received != events {
        return Err(Failure::new(format!("{received} of {events} events came")));
    }
    table.print();
    if grown > GROWN_BYTES_MAX {
        let (grown, most) = (kib(grown), kib(GROWN_BYTES_MAX));
        return Err(Failure::new(format!(
            "the server allocated {grown} KiB more than before, not at most {most}"
        )));
    }
    Ok(())
}

/// Adds what was used, and says how many bytes more than before were allocated at most.
fn rows(table: &mut Table, names: [String; 2], before: &mut [u64; 2], used: [Used; 2]) -> u64 {
    let mut most = 0;
    for ((name, before), used) in names.into_iter().zip(before).zip(used) {
        let grown = used.allocated_max_bytes.saturating_sub(*before);
        *before = used.allocated_max_bytes.max(*before);
        table.row([
            name,
            kib(used.allocated_max_bytes),
            kib(grown),
            kib(used.memory_bytes),
        ]);
        most = most.max(grown);
    }
    most
}

fn kib(bytes: u64) -> String {
    count(bytes as f64 / 1024.0)
}
