//! Promise: what a Worker said is read back over HTTP about as fast as anything could be written as JSON.
//!
//! One Worker's 100,000 events, in pages of 1,000 and as a stream of server-sent events. Beside it, in turn: a handler of axum that
//! writes the same structs from a list in memory, in pages of as many. Each server is a process of its own,
//! and each client reads over a bare connection.
//!
//! It fails when an event is missing, twice there, or out of order.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime as Tokio;
use worker_runtime_benches::{
    Bench, Failure,
    pages::Pages,
    run,
    served::{Served, broadcast, child},
    sse::Follower,
    stats::{Phase, Series, Spread},
    table::{Table, count, duration},
};

const PAGE: u64 = 1_000;

fn main() -> ExitCode {
    run("http_replay", env!("CARGO_TARGET_TMPDIR"), |bench| {
        let tokio = Tokio::new()?;
        match &bench.child {
            Some(dir) => tokio.block_on(child::serve(dir)),
            None if bench.peer => tokio.block_on(broadcast::serve()),
            None => tokio.block_on(measure(bench)),
        }
    })
}

/// A way to read it all.
struct Side {
    read: Series,
    cpu: Duration,
}

async fn measure(bench: &Bench) -> Result<(), Failure> {
    let dir = bench.fresh_dir()?;
    let events = bench.pick(100_000, 5_000);
    let mut ours = Served::start(&dir.path().join("state")).await?;
    let mut peer = Served::start_peer().await?;
    ours.fill(events).await?;
    peer.fill(events).await?;
    let side = |name: &str| Side {
        read: Series::new(name),
        cpu: Duration::ZERO,
    };
    let mut sides = [
        side("axum, a list in memory"),
        side("worker-runtime, pages"),
        side("worker-runtime, server-sent events"),
    ];
    for _ in 0..bench.rounds {
        for (index, side) in sides.iter_mut().enumerate() {
            let served = match index {
                0 => &mut peer,
                _ => &mut ours,
            };
            let before = served.used().await?.cpu;
            let began = Instant::now();
            match index {
                0 => read_peer(served).await?,
                1 => read_pages(served).await?,
                _ => {
                    let mut follower = Follower::open_at_beginning(&served.listening).await?;
                    follower.follow(events).await?;
                }
            }
            side.read.phases.push(Phase {
                ops: events,
                elapsed: began.elapsed(),
                latencies: Vec::new(),
            });
            side.cpu += served.used().await?.cpu.saturating_sub(before);
        }
    }
    let columns = [
        "",
        "n",
        "per second",
        "to the peer",
        "CPU of the server, each",
    ];
    let mut table = Table::new("one Worker's events over HTTP", &columns);
    let [bare, ..] = &sides;
    for side in &sides {
        let cpu = side.cpu.as_secs_f64() / side.read.ops() as f64;
        table.row([
            side.read.name.clone(),
            count(side.read.ops() as f64),
            count(side.read.rate()),
            Spread::faster(&side.read, &bare.read).to_string(),
            duration(Some(Duration::from_secs_f64(cpu))),
        ]);
    }
    table.print();
    Ok(())
}

async fn read_peer(served: &Served) -> Result<(), Failure> {
    let mut pages = Pages::open(&served.listening).await?;
    let mut read = 0;
    while read < served.told {
        let target = format!("/pages/{read}/{PAGE}");
        read += some(pages.page(&target, read).await?.0)?;
    }
    Ok(())
}

async fn read_pages(served: &Served) -> Result<(), Failure> {
    let mut pages = Pages::open(&served.listening).await?;
    let events = &served.listening.events;
    let mut target = format!("{events}?from=beginning&limit={PAGE}");
    let mut read = 0;
    while read < served.told {
        let (count, next) = pages.page(&target, read).await?;
        read += some(count)?;
        target = format!("{events}?cursor={next}&limit={PAGE}");
    }
    Ok(())
}

fn some(count: u64) -> Result<u64, Failure> {
    match count {
        0 => Err(Failure::new("a page is empty before the end")),
        count => Ok(count),
    }
}
