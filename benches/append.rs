//! Promise: an event that a run tells is durable when its position comes back, and that costs little
//! more than the disk's own sync, for one Worker or for a thousand at once.
//!
//! 1,000 Workers, a run each; `in flight` clients, each of which tells an event and waits for its
//! position before the next one. Beside it, in turn: the disk itself with one `fdatasync` per batch
//! of as many payloads, and SQLite with one transaction per such batch.

use std::{process::ExitCode, time::Instant};

use tokio::runtime::Runtime as Tokio;
use worker_runtime_benches::{
    Bench, Failure,
    backend::Hold,
    host::Host,
    ledger::{APPENDED, Acked, Ledger},
    measured_store::Counted,
    payload::Payload,
    peer::{
        raw::{RawFile, disk_bytes},
        sqlite::{Database, Schema},
    },
    run,
    stats::{Phase, Series, Spread},
    subscriber::Subscriber,
    table::{Table, count, duration, note},
};
use worker_runtime_core::{RunSink, run::StopReason};

const WORKERS: usize = 1_000;

fn main() -> ExitCode {
    run("append", env!("CARGO_TARGET_TMPDIR"), bench)
}

/// One load, and everything that was measured under it.
struct Load {
    in_flight: u64,
    ops: u64,
    ours: Series,
    delivered: Series,
    raw: Series,
    sqlite: [Series; 2],
    counted: Vec<Counted>,
}

impl Load {
    fn new(in_flight: u64, ops: u64) -> Self {
        Self {
            in_flight,
            ops,
            ours: Series::new("worker-runtime"),
            delivered: Series::new("  until the subscriber has them"),
            raw: Series::new("pwrite + fdatasync"),
            sqlite: Schema::ALL.map(|schema| Series::new(schema.name())),
            counted: Vec::new(),
        }
    }
}

fn bench(bench: &Bench) -> Result<(), Failure> {
    let tokio = Tokio::new()?;
    let dir = bench.fresh_dir()?;
    let state = dir.path().join("state");
    let (backend, mut held) = Hold::new();
    let host = tokio.block_on(Host::open(&state, backend.clone()))?;
    let mut ledger = Ledger {
        workers: tokio.block_on(host.create_workers(WORKERS, Hold::NAME))?,
        acked: Vec::new(),
    };
    let sinks = tokio.block_on(host.hold_runs(&ledger.workers, &mut held))?;
    let subscriber = tokio.block_on(async { Subscriber::attach(&host.runtime, false) })?;
    let raw_bytes = bench.pick(64 << 20, 4 << 20);
    let mut raw = RawFile::create(&dir.path().join("raw"), raw_bytes)?;
    let mut databases = Vec::new();
    for (index, schema) in Schema::ALL.into_iter().enumerate() {
        let path = dir.path().join(format!("sqlite-{index}"));
        databases.push(Database::open(&path, schema)?);
    }

    let mut loads = [
        Load::new(1, bench.pick(1_000, 100)),
        Load::new(64, bench.pick(32_000, 640)),
        Load::new(1_000, bench.pick(60_000, 5_000)),
    ];
    let mut clients = Clients::new(sinks);
    for _ in 0..bench.rounds {
        for load in &mut loads {
            let before = host.counts.now();
            let started = Instant::now();
            let (phase, acked) = tokio.block_on(clients.append(load.in_flight, load.ops))?;
            let newest = acked.iter().map(|acked| acked.position).max();
            tokio.block_on(subscriber.reach(newest.unwrap_or_default()))?;
            load.delivered.phases.push(Phase {
                ops: load.ops,
                elapsed: started.elapsed(),
                latencies: Vec::new(),
            });
            load.counted.push(host.counts.now().since(before));
            load.ours.phases.push(phase);
            ledger.acked.extend(acked);
            let measured = raw.measure(load.ops, load.in_flight)?;
            load.raw.phases.push(measured);
            for (database, series) in databases.iter_mut().zip(&mut load.sqlite) {
                let phase = database.measure(WORKERS as u64, load.ops, load.in_flight)?;
                series.phases.push(phase);
            }
        }
    }

    tokio.block_on(clients.finish())?;
    tokio.block_on(subscriber.reach(host.position()))?;
    tokio.block_on(host.runtime.close())?;
    drop(host);
    let seen = tokio.block_on(subscriber.finish())?;
    ledger.check_stream(&seen)?;
    let written: u64 = loads.iter().map(|load| load.ours.ops()).sum();
    for database in databases {
        database.check_count(written)?;
    }
    let disk = disk_bytes(&state)?;
    let reopened = tokio.block_on(Host::open(&state, backend))?;
    reopened.check(&mut ledger)?;
    tokio.block_on(reopened.runtime.close())?;

    loads.iter().for_each(print);
    print_disk(&ledger, disk)
}

/// Whoever tells events: every Worker's run, and what it told last.
struct Clients {
    sinks: Vec<RunSink>,
    next_op: Vec<u64>,
}

impl Clients {
    fn new(sinks: Vec<RunSink>) -> Self {
        Self {
            next_op: vec![0; sinks.len()],
            sinks,
        }
    }

    /// Ends every run, so that the close has nothing left to tell.
    async fn finish(self) -> Result<(), Failure> {
        for sink in self.sinks {
            sink.finish(StopReason::EndTurn, None).await?;
        }
        Ok(())
    }

    /// `ops` events by `in_flight` clients; each looks after its own share of the Workers.
    async fn append(&mut self, in_flight: u64, ops: u64) -> Result<(Phase, Vec<Acked>), Failure> {
        let each = ops / in_flight;
        let mut shares: Vec<Vec<(u32, RunSink, u64)>> =
            (0..in_flight).map(|_| Vec::new()).collect();
        for (worker, (sink, op)) in (0..).zip(self.sinks.iter().zip(&self.next_op)) {
            if let Some(share) = shares.get_mut(worker as usize % in_flight as usize) {
                share.push((worker, sink.clone(), *op));
            }
        }
        let started = Instant::now();
        let tasks: Vec<_> = shares
            .into_iter()
            .map(|share| tokio::spawn(client(share, each)))
            .collect();
        let mut phase = Phase::default();
        let mut acked = Vec::new();
        for task in tasks {
            let (latencies, share_acked) = task.await??;
            phase.latencies.extend(latencies);
            acked.extend(share_acked);
        }
        phase.elapsed = started.elapsed();
        phase.ops = acked.len() as u64;
        for acked in &acked {
            if let Some(next) = self.next_op.get_mut(acked.worker as usize) {
                *next = (*next).max(acked.op + 1);
            }
        }
        Ok((phase, acked))
    }
}

async fn client(
    mut share: Vec<(u32, RunSink, u64)>,
    ops: u64,
) -> Result<(Vec<std::time::Duration>, Vec<Acked>), Failure> {
    let mut latencies = Vec::with_capacity(ops as usize);
    let mut acked = Vec::with_capacity(ops as usize);
    let mut done = 0;
    while done < ops {
        for (worker, sink, next_op) in share.iter_mut().take((ops - done) as usize) {
            let began = Instant::now();
            let position = sink
                .event(APPENDED, &Payload::new(*worker, *next_op))
                .await?;
            latencies.push(began.elapsed());
            acked.push(Acked {
                position: position.0,
                worker: *worker,
                op: *next_op,
            });
            *next_op += 1;
            done += 1;
        }
    }
    Ok((latencies, acked))
}

fn print(load: &Load) {
    let columns = [
        "",
        "n",
        "median",
        "p99",
        "per second",
        "worker-runtime to it",
    ];
    let title = format!(
        "append, {} in flight over {WORKERS} Workers",
        load.in_flight
    );
    let mut table = Table::new(title, &columns);
    let peers = [&load.raw].into_iter().chain(&load.sqlite);
    for series in [&load.ours, &load.delivered].into_iter().chain(peers) {
        let ratio = match series.name.as_str() {
            "worker-runtime" => String::new(),
            _ => Spread::faster(&load.ours, series).to_string(),
        };
        table.row([
            series.name.clone(),
            count(series.ops() as f64),
            duration(series.latency(0.5)),
            duration(series.latency(0.99)),
            count(series.rate()),
            ratio,
        ]);
    }
    table.print();
    let per_commit = Spread::of(
        load.counted
            .iter()
            .map(|counted| counted.events_per_commit()),
    );
    let shares = load.counted.iter().zip(&load.ours.phases);
    let share = Spread::of(shares.map(|(counted, phase)| counted.shares_of(phase.elapsed).0));
    note(&format!(
        "events per commit: {per_commit}; % of the time in the store's commits: {share}"
    ));
}

fn print_disk(ledger: &Ledger, disk: u64) -> Result<(), Failure> {
    let mut bytes = 0;
    for acked in &ledger.acked {
        bytes += Payload::new(acked.worker, acked.op).to_bytes()?.len() as u64;
    }
    note("");
    note(&format!(
        "disk bytes per byte of event data: {:.2} ({} events of {} bytes)",
        disk as f64 / bytes as f64,
        count(ledger.acked.len() as f64),
        bytes / (ledger.acked.len() as u64).max(1),
    ));
    Ok(())
}
