//! Promise: an input's receipt is durable when it comes back, and its outcome follows by itself.
//!
//! `in flight` clients, each of which sends an input of about 200 bytes to an idle Worker, waits for
//! the receipt and then for the outcome, with a backend that ends every run at once. Beside it, in
//! turn, as many inputs per batch: the disk itself with two syncs (receipt, outcome), and SQLite with
//! two transactions (a receipt and an event; an event).

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime as Tokio, sync::mpsc::UnboundedReceiver};
use worker_runtime_benches::{
    Bench, Failure,
    backend::{EndAtOnce, Ended},
    host::Host,
    inputs::{Sent, SentById, check},
    measured_store::Counted,
    payload::Payload,
    peer::{
        raw::RawFile,
        sqlite::{Database, Schema},
    },
    run,
    stats::{Phase, Series, Spread},
    subscriber::Subscriber,
    table::{Table, count, duration, note},
};
use worker_runtime_core::{InputId, Runtime, WorkerId, input::SubmitInput};

const WORKERS: usize = 1_000;

fn main() -> ExitCode {
    run("send_input", env!("CARGO_TARGET_TMPDIR"), bench)
}

/// One side: to the receipt and to the outcome.
struct Sides {
    receipt: Series,
    outcome: Series,
}

impl Sides {
    fn new(name: &str) -> Self {
        Self {
            receipt: Series::new(format!("{name}: receipt")),
            outcome: Series::new(format!("{name}: outcome")),
        }
    }

    fn push(&mut self, (receipt, outcome): (Phase, Phase)) {
        self.receipt.phases.push(receipt);
        self.outcome.phases.push(outcome);
    }
}

struct Load {
    in_flight: u64,
    inputs: u64,
    ours: Sides,
    raw: Sides,
    sqlite: [Sides; 2],
    counted: Vec<Counted>,
}

impl Load {
    fn new(in_flight: u64, inputs: u64) -> Self {
        Self {
            in_flight,
            inputs,
            ours: Sides::new("worker-runtime"),
            raw: Sides::new("pwrite + fdatasync"),
            sqlite: Schema::ALL.map(|schema| Sides::new(schema.name())),
            counted: Vec::new(),
        }
    }
}

fn bench(bench: &Bench) -> Result<(), Failure> {
    let tokio = Tokio::new()?;
    let dir = bench.fresh_dir()?;
    let backend = std::sync::Arc::new(EndAtOnce::default());
    let state = dir.path().join("state");
    let host = tokio.block_on(Host::open(&state, backend.clone()))?;
    let workers = tokio.block_on(host.create_workers(WORKERS, EndAtOnce::NAME))?;
    let subscriber = tokio.block_on(async { Subscriber::attach(&host.runtime, true) })?;
    let raw_bytes = bench.pick(64 << 20, 4 << 20);
    let mut raw = RawFile::create(&dir.path().join("raw"), raw_bytes)?;
    let mut databases = Vec::new();
    for (index, schema) in Schema::ALL.into_iter().enumerate() {
        let path = dir.path().join(format!("sqlite-{index}"));
        databases.push((Database::open(&path, schema)?, 0));
    }

    let mut loads = [
        Load::new(1, bench.pick(500, 100)),
        Load::new(64, bench.pick(8_000, 640)),
        Load::new(1_000, bench.pick(20_000, 2_000)),
    ];
    let mut clients = Clients::new(&workers, &backend);
    // Every Worker's backend is started by its first input; that is another promise.
    tokio.block_on(clients.send(&host.runtime, 1_000, WORKERS as u64))?;
    for _ in 0..bench.rounds {
        for load in &mut loads {
            let (in_flight, inputs) = (load.in_flight, load.inputs);
            let before = host.counts.now();
            let sent = clients.send(&host.runtime, in_flight, inputs);
            load.ours.push(tokio.block_on(sent)?);
            load.counted.push(host.counts.now().since(before));
            load.raw.push(measure_raw(&mut raw, inputs, in_flight)?);
            for ((database, next), sides) in databases.iter_mut().zip(&mut load.sqlite) {
                sides.push(measure_sqlite(database, next, inputs, in_flight)?);
            }
        }
    }

    tokio.block_on(subscriber.reach(host.position()))?;
    let sent = clients.sent();
    tokio.block_on(host.runtime.close())?;
    check(&sent, &tokio.block_on(subscriber.finish())?)?;
    for (database, inputs) in &databases {
        database.check_count(inputs * 2)?;
    }
    check_reopened(&tokio, &state, backend, &workers, &sent)?;
    loads.iter().for_each(print);
    Ok(())
}

struct Client {
    worker: u32,
    worker_id: WorkerId,
    ends: UnboundedReceiver<Ended>,
    next_op: u64,
    sent: Vec<(String, Sent)>,
}

impl Client {
    /// Sends one input and waits for its outcome: how long the receipt took, and all of it.
    async fn send(&mut self, runtime: &Runtime) -> Result<(Duration, Duration), Failure> {
        let payload = Payload::new(self.worker, self.next_op);
        let input_id = format!("input-{}-{}", self.worker, self.next_op);
        let text = payload.to_text()?;
        let began = Instant::now();
        let input = SubmitInput::text(text).with_id(InputId::new(input_id.clone())?);
        let receipt = runtime
            .interaction()
            .send_input(self.worker_id, input)
            .await?;
        let to_receipt = began.elapsed();
        let ended = self.ends.recv().await;
        let ended = ended.ok_or_else(|| Failure::new("an input has no outcome"))?;
        let to_outcome = ended.at.saturating_duration_since(began);
        self.next_op += 1;
        let sent = Sent {
            worker_id: self.worker_id,
            payload,
            position: receipt.accepted.position.0,
        };
        self.sent.push((input_id, sent));
        Ok((to_receipt, to_outcome.max(to_receipt)))
    }
}

/// Whoever sends: one per Worker, shared out among as many tasks as inputs are in flight.
struct Clients(Vec<Client>);

impl Clients {
    fn new(workers: &[WorkerId], backend: &EndAtOnce) -> Self {
        let clients = (0..).zip(workers).map(|(worker, worker_id)| Client {
            worker,
            worker_id: *worker_id,
            ends: backend.ends_of(*worker_id),
            next_op: 0,
            sent: Vec::new(),
        });
        Self(clients.collect())
    }

    async fn send(
        &mut self,
        runtime: &Runtime,
        in_flight: u64,
        inputs: u64,
    ) -> Result<(Phase, Phase), Failure> {
        let each = (inputs / in_flight) as usize;
        let mut shares: Vec<Vec<Client>> = (0..in_flight).map(|_| Vec::new()).collect();
        for (index, client) in std::mem::take(&mut self.0).into_iter().enumerate() {
            if let Some(share) = shares.get_mut(index % in_flight as usize) {
                share.push(client);
            }
        }
        let started = Instant::now();
        let tasks: Vec<_> = shares
            .into_iter()
            .map(|mut share| {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    let mut took = Vec::with_capacity(each);
                    while took.len() < each {
                        for client in share.iter_mut().take(each - took.len()) {
                            took.push(client.send(&runtime).await?);
                        }
                    }
                    Ok::<_, Failure>((share, took))
                })
            })
            .collect();
        let (mut receipt, mut outcome) = (Phase::default(), Phase::default());
        for task in tasks {
            let (share, took) = task.await??;
            self.0.extend(share);
            receipt.latencies.extend(took.iter().map(|(to, _)| *to));
            outcome.latencies.extend(took.iter().map(|(_, to)| *to));
        }
        self.0.sort_by_key(|client| client.worker);
        for phase in [&mut receipt, &mut outcome] {
            phase.elapsed = started.elapsed();
            phase.ops = phase.latencies.len() as u64;
        }
        Ok((receipt, outcome))
    }

    fn sent(self) -> SentById {
        self.0.into_iter().flat_map(|client| client.sent).collect()
    }
}

/// Batches of `in_flight` inputs: a step to the receipts and one to the outcomes.
fn measure_peer(
    inputs: u64,
    in_flight: u64,
    mut batch: impl FnMut(u64) -> Result<(Duration, Duration), Failure>,
) -> Result<(Phase, Phase), Failure> {
    let (mut receipt, mut outcome) = (Phase::default(), Phase::default());
    let started = Instant::now();
    let mut done = 0;
    while done < inputs {
        let size = in_flight.min(inputs - done);
        let (to_receipt, to_outcome) = batch(size)?;
        receipt.latencies.extend((0..size).map(|_| to_receipt));
        outcome.latencies.extend((0..size).map(|_| to_outcome));
        done += size;
    }
    for phase in [&mut receipt, &mut outcome] {
        phase.elapsed = started.elapsed();
        phase.ops = inputs;
    }
    Ok((receipt, outcome))
}

fn measure_raw(raw: &mut RawFile, inputs: u64, in_flight: u64) -> Result<(Phase, Phase), Failure> {
    measure_peer(inputs, in_flight, |size| {
        let began = Instant::now();
        let mut bytes = Vec::new();
        for op in 0..size {
            serde_json::to_writer(&mut bytes, &Payload::new(op as u32, op))?;
        }
        raw.write(&bytes)?;
        let to_receipt = began.elapsed();
        raw.write(&bytes)?;
        Ok((to_receipt, began.elapsed()))
    })
}

fn measure_sqlite(
    database: &mut Database,
    next: &mut u64,
    inputs: u64,
    in_flight: u64,
) -> Result<(Phase, Phase), Failure> {
    let mut writer = database.writer()?;
    measure_peer(inputs, in_flight, |size| {
        let range = *next..*next + size;
        *next = range.end;
        let workers = WORKERS as u64;
        let rows: Vec<(u32, u64)> = range
            .map(|at| ((at % workers) as u32, at / workers))
            .collect();
        let began = Instant::now();
        writer.accept(&rows)?;
        let to_receipt = began.elapsed();
        writer.finish(&rows)?;
        Ok((to_receipt, began.elapsed()))
    })
}

/// After a reopening the same inputs give their first receipts, and nothing runs again.
fn check_reopened(
    tokio: &Tokio,
    state: &std::path::Path,
    backend: std::sync::Arc<EndAtOnce>,
    workers: &[WorkerId],
    sent: &SentById,
) -> Result<(), Failure> {
    let host = tokio.block_on(Host::open(state, backend))?;
    let before = host.position();
    let workers: std::collections::HashSet<_> = workers.iter().collect();
    let interaction = host.runtime.interaction();
    for (input_id, sent) in sent.iter().step_by(sent.len().div_ceil(500)) {
        let input =
            SubmitInput::text(sent.payload.to_text()?).with_id(InputId::new(input_id.clone())?);
        let again = tokio.block_on(interaction.send_input(sent.worker_id, input))?;
        let same = again.repeated
            && !again.content_differs
            && again.accepted.position.0 == sent.position
            && workers.contains(&again.worker_id);
        if !same {
            return Err(Failure::new(format!(
                "{input_id} got another receipt: {again:?}"
            )));
        }
    }
    if host.position() != before {
        return Err(Failure::new("a repeated input ran again"));
    }
    tokio.block_on(host.runtime.close())?;
    Ok(())
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
        "send_input, {} in flight over {WORKERS} Workers",
        load.in_flight
    );
    let mut table = Table::new(title, &columns);
    let sides = [&load.ours, &load.raw].into_iter().chain(&load.sqlite);
    for (index, side) in sides.enumerate() {
        let parts = [
            (&side.receipt, &load.ours.receipt),
            (&side.outcome, &load.ours.outcome),
        ];
        for (part, (series, ours)) in parts.into_iter().enumerate() {
            // Receipts alone have no rate of their own: each is followed by its outcome.
            let rate = if part == 1 {
                count(series.rate())
            } else {
                String::new()
            };
            let ratio = match (index, part) {
                (0, _) => String::new(),
                (_, 0) => format!("latency {}", latency_ratio(ours, series)),
                _ => Spread::faster(ours, series).to_string(),
            };
            table.row([
                series.name.clone(),
                count(series.ops() as f64),
                duration(series.latency(0.5)),
                duration(series.latency(0.99)),
                rate,
                ratio,
            ]);
        }
    }
    table.print();
    let per_commit = Spread::of(
        load.counted
            .iter()
            .map(|counted| counted.events_per_commit()),
    );
    let per_input = load.counted.iter().zip(&load.ours.outcome.phases);
    let per_input = per_input.map(|(counted, phase)| counted.events as f64 / phase.ops as f64);
    let shares = load.counted.iter().zip(&load.ours.outcome.phases);
    let shares: Vec<(f64, f64)> = shares
        .map(|(counted, phase)| counted.shares_of(phase.elapsed))
        .collect();
    note(&format!(
        "events per input: {}; per commit: {per_commit}",
        Spread::of(per_input)
    ));
    note(&format!(
        "% of the time in the store's commits: {}; in lookups by the writer: {}",
        Spread::of(shares.iter().map(|(commits, _)| *commits)),
        Spread::of(shares.iter().map(|(_, lookups)| *lookups)),
    ));
}

/// Median latency of ours over the peer's, round by round.
fn latency_ratio(ours: &Series, peer: &Series) -> Spread {
    let medians = |series: &Series| -> Vec<f64> {
        let rounds = series.phases.iter().map(|phase| Series {
            name: String::new(),
            phases: vec![phase.clone()],
        });
        rounds
            .map(|round| round.latency(0.5).unwrap_or_default().as_secs_f64())
            .collect()
    };
    Spread::of_ratios(&medians(ours), &medians(peer))
}
