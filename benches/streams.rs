//! Promise: an event reaches those who follow over server-sent events soon after it is durable, also when
//! there are hundreds, and those who don't read slow nobody down.
//!
//! The server is a process of its own, so its CPU time and its memory are its own. In turn: one that
//! follows, at 200 events a second; 500 that follow, at 50 events a second, beside a bare broadcast with
//! axum, which keeps nothing; and 1,000 of which half never read, and how long an append takes with and
//! without them.
//!
//! It fails when one misses an event, has one twice, or has one out of order: those that did not read do so at
//! the end, and must get everything.

use std::{process::ExitCode, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{runtime::Runtime as Tokio, task::JoinSet};
use worker_runtime_benches::{
    Bench, Failure, run,
    served::{Served, Used, broadcast, child},
    sse::Follower,
    stats::{Phase, Series, Spread},
    table::{Table, count, duration, note},
};

const FOLLOWERS: usize = 500;
const IDLE: usize = 500;

fn main() -> ExitCode {
    run("streams", env!("CARGO_TARGET_TMPDIR"), |bench| {
        allow_files()?;
        let tokio = Tokio::new()?;
        match &bench.child {
            Some(dir) => tokio.block_on(child::serve(dir)),
            None if bench.peer => tokio.block_on(broadcast::serve()),
            None => tokio.block_on(measure(bench)),
        }
    })
}

/// As many open sockets as may be.
fn allow_files() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, most)?)
}

async fn measure(bench: &Bench) -> Result<(), Failure> {
    let dir = bench.fresh_dir()?;
    let mut ours = Served::start(&dir.path().join("state")).await?;
    let mut peer = Served::start_peer().await?;
    one(bench, &mut ours).await?;
    many(bench, &mut ours, &mut peer).await?;
    unread(bench, &mut ours).await
}

/// One that follows.
async fn one(bench: &Bench, ours: &mut Served) -> Result<(), Failure> {
    let mut durable = Series::new("until it is durable");
    let mut received = Series::new("until it is received");
    for _ in 0..bench.rounds {
        let mut followers = open(ours, 1).await?;
        let (told, took, _) = tell(ours, &mut followers, bench.pick(1_000, 100), 200).await?;
        durable.phases.push(told);
        received.phases.push(took);
    }
    Table::of_two(
        "one that follows, 200 events a second",
        &durable,
        &received,
        "times the durable append",
    )
    .print();
    Ok(())
}

/// What a server was measured at.
struct Side {
    received: Series,
    cpu: Vec<f64>,
}

/// Hundreds that follow, beside the peer.
async fn many(bench: &Bench, ours: &mut Served, peer: &mut Served) -> Result<(), Failure> {
    let side = |name: &str| Side {
        received: Series::new(name),
        cpu: Vec::new(),
    };
    let mut sides = [side("worker-runtime"), side("bare axum broadcast")];
    let events = bench.pick(500, 50);
    for _ in 0..bench.rounds {
        for (side, served) in sides.iter_mut().zip([&mut *ours, &mut *peer]) {
            let mut followers = open(served, FOLLOWERS).await?;
            let (_, received, used) = tell(served, &mut followers, events, 50).await?;
            side.received.phases.push(received);
            side.cpu.push(used.as_secs_f64());
        }
    }
    let columns = [
        "",
        "received",
        "median",
        "p99",
        "times the peer's",
        "CPU, each",
        "times",
    ];
    let title = format!("{FOLLOWERS} that follow, 50 events a second");
    let mut table = Table::new(title, &columns);
    let [_, bare] = &sides;
    for side in &sides {
        let each = side.received.ops() as f64;
        let cpu = side.cpu.iter().sum::<f64>() / each.max(1.0);
        table.row([
            side.received.name.clone(),
            count(each),
            duration(side.received.latency(0.5)),
            duration(side.received.latency(0.99)),
            Spread::faster(&bare.received, &side.received).to_string(),
            duration(Some(Duration::from_secs_f64(cpu))),
            Spread::of_ratios(&side.cpu, &bare.cpu).to_string(),
        ]);
    }
    table.print();
    Ok(())
}

/// A thousand of which half never read.
async fn unread(bench: &Bench, ours: &mut Served) -> Result<(), Failure> {
    let (mut without, mut with) = (Series::new("alone"), Series::new("with 1,000"));
    let mut each_bytes = Vec::new();
    let events = bench.pick(300, 30);
    for _ in 0..bench.rounds {
        without
            .phases
            .push(tell(ours, &mut Vec::new(), events, 30).await?.0);
        let before = ours.used().await?;
        let mut idle = JoinSet::new();
        for _ in 0..IDLE {
            let (listening, told) = (ours.listening.clone(), ours.told);
            idle.spawn(async move { Follower::open_idle(&listening, told).await });
        }
        let mut idle: Vec<_> = idle
            .join_all()
            .await
            .into_iter()
            .collect::<Result<_, _>>()?;
        let mut followers = open(ours, FOLLOWERS).await?;
        // More than the system takes for those that don't read.
        ours.fill(bench.pick(20_000, 2_000)).await?;
        follow(&mut followers, ours.told).await?;
        with.phases
            .push(tell(ours, &mut followers, events, 30).await?.0);
        let grown = ours
            .used()
            .await?
            .memory_bytes
            .saturating_sub(before.memory_bytes);
        each_bytes.push(grown as f64 / (IDLE + FOLLOWERS) as f64 / 1024.0);
        // They are all there still, and when they read they have missed nothing.
        follow(&mut idle, ours.told).await?;
    }
    let columns = ["", "n", "median", "p99", "p99, times"];
    let mut table = Table::new("a durable append, 30 a second", &columns);
    let p99 = |series: &Series| -> Vec<f64> {
        let phases = series.phases.iter();
        let all = phases.filter_map(|phase| phase.latency(0.99));
        all.map(|p99| p99.as_secs_f64()).collect()
    };
    for series in [&without, &with] {
        table.row([
            series.name.clone(),
            count(series.ops() as f64),
            duration(series.latency(0.5)),
            duration(series.latency(0.99)),
            Spread::of_ratios(&p99(series), &p99(&without)).to_string(),
        ]);
    }
    table.print();
    // What the first ones took is there for those that come later.
    let first = each_bytes.first().copied().unwrap_or_default();
    note(&format!(
        "memory of the server for each of them, in the first round: {first:.0} KiB"
    ));
    Ok(())
}

async fn open(served: &Served, followers: usize) -> Result<Vec<Follower>, Failure> {
    let mut opening = JoinSet::new();
    for _ in 0..followers {
        let (listening, told) = (served.listening.clone(), served.told);
        opening.spawn(async move { Follower::open(&listening, told).await });
    }
    opening.join_all().await.into_iter().collect()
}

/// Tells events while all of them follow: until each was durable, until each was received by each, and the
/// CPU time of the server meanwhile.
async fn tell(
    served: &mut Served,
    followers: &mut Vec<Follower>,
    events: u64,
    per_second: u64,
) -> Result<(Phase, Phase, Duration), Failure> {
    let Used { cpu: before, .. } = served.used().await?;
    let until = served.told + events;
    let (told, received) = tokio::join!(served.tell(events, per_second), follow(followers, until));
    let Used { cpu: after, .. } = served.used().await?;
    let phase = |latencies: Vec<Duration>| Phase {
        ops: latencies.len() as u64,
        elapsed: latencies.iter().sum(),
        latencies,
    };
    Ok((phase(told?), phase(received?), after.saturating_sub(before)))
}

/// Has each of them read until so many events were told.
async fn follow(followers: &mut Vec<Follower>, told: u64) -> Result<Vec<Duration>, Failure> {
    let mut following = JoinSet::new();
    for mut follower in followers.drain(..) {
        following.spawn(async move {
            let took = follower.follow(told).await?;
            Ok::<_, Failure>((follower, took))
        });
    }
    let mut all = Vec::new();
    while let Some(followed) = following.join_next().await {
        let (follower, took) = followed??;
        followers.push(follower);
        all.extend(took);
    }
    Ok(all)
}
