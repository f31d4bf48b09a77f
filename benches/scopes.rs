//! Promise: whether a scope is free, who holds a place, and to be granted one take about as long with 100,000
//! allocations there as with 10.
//!
//! Stores with few and with many allocations, all open, asked in turn. It fails when an answer is not the one
//! that the allocations demand, and when one took more than a few times as long with many of them; with
//! `--quick` as well.

use std::{process::ExitCode, time::Instant};

use tokio::runtime::Runtime as Tokio;
use worker_runtime_benches::{
    Bench, Failure,
    held::Held,
    run,
    stats::{Phase, Series, Spread},
    table::{Table, count, duration},
};
use worker_runtime_core::WorkerId;

/// How many times as long anything may take with the most allocations as with the fewest. In proportion to
/// them it would be 10,000 times. Measured: 3.5 for `who`, as it names up to 100 who may look, and 1.2 to 2.0
/// for all else; a machine that has something else to do adds to it.
const GROWTH_MAX: f64 = 10.0;

/// What is asked without the writer, and how it is called.
type Question = (&'static str, fn(&Held, usize) -> Result<(), Failure>);

const QUESTIONS: [Question; 6] = [
    ("dry run, free", Held::check_free),
    ("dry run, held by one", Held::check_held),
    ("dry run, delegated and free", Held::check_below),
    ("who holds a place", Held::who_holds),
    ("who holds a place that was lent", Held::who_was_lent),
    ("verify a fence", Held::verify),
];

/// What the writer does, in the order in which it is measured.
const BY_THE_WRITER: [&str; 5] = [
    "create, refused",
    DURABLE[0],
    "create, beside the commit",
    DURABLE[1],
    "create with a scope, beside the commit",
];
/// Nearly all of it is the disk's, whose syncs take 0.3 ms at one time and 4 ms at another: it is shown, and
/// what is left without the commit is judged.
const DURABLE: [&str; 2] = ["create", "create with a scope"];

fn main() -> ExitCode {
    run("scopes", env!("CARGO_TARGET_TMPDIR"), bench)
}

fn bench(bench: &Bench) -> Result<(), Failure> {
    let tokio = Tokio::new()?;
    let dir = bench.fresh_dir()?;
    let mut stores = Vec::new();
    for size in [10, 1_000, 100_000] {
        let path = dir.path().join(format!("state-{size}"));
        stores.push(Measured::new(tokio.block_on(Held::make(path, size))?));
    }
    for round in 0..bench.rounds {
        for store in &mut stores {
            store.measure(&tokio, bench, round)?;
        }
    }
    let mut measured = Vec::new();
    for store in stores {
        measured.push((store.held.allocations(), store.series));
        tokio.block_on(store.held.close())?;
    }
    print(&measured);
    judge(&measured)
}

struct Measured {
    held: Held,
    /// One of each kind, in the same order in every store.
    series: Vec<Series>,
}

impl Measured {
    fn new(held: Held) -> Self {
        let names = QUESTIONS.iter().map(|(name, _)| *name);
        let series = names.chain(BY_THE_WRITER).map(Series::new).collect();
        Self { held, series }
    }

    fn measure(&mut self, tokio: &Tokio, bench: &Bench, round: usize) -> Result<(), Failure> {
        let ops = bench.pick(5_000, 500);
        let first = round * ops;
        let mut phases = Vec::new();
        for (_, ask) in QUESTIONS {
            let mut phase = Timed::begin();
            for op in first..first + ops {
                phase.op(|| ask(&self.held, op))?;
            }
            phases.push(phase.end());
        }
        let mut phase = Timed::begin();
        for op in first..first + ops {
            phase.op(|| tokio.block_on(self.held.refused(op)))?;
        }
        phases.push(phase.end());
        for holds in [false, true] {
            let mut made: Vec<WorkerId> = Vec::new();
            let (mut durable, mut beside) = (Timed::begin(), Phase::default());
            for _ in 0..bench.pick(400, 100) {
                let before = self.held.committing();
                made.push(durable.op(|| tokio.block_on(self.held.create(holds)))?);
                let committing = self.held.committing().saturating_sub(before);
                let whole = durable.phase.latencies.last().copied().unwrap_or_default();
                beside.latencies.push(whole.saturating_sub(committing));
                beside.ops += 1;
            }
            phases.extend([durable.end(), beside]);
            tokio.block_on(self.held.end(made))?;
        }
        for (series, phase) in self.series.iter_mut().zip(phases) {
            series.phases.push(phase);
        }
        Ok(())
    }
}

struct Timed {
    began: Instant,
    phase: Phase,
}

impl Timed {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            phase: Phase::default(),
        }
    }

    fn op<T>(&mut self, op: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let began = Instant::now();
        let done = op()?;
        self.phase.latencies.push(began.elapsed());
        self.phase.ops += 1;
        Ok(done)
    }

    fn end(mut self) -> Phase {
        self.phase.elapsed = self.began.elapsed();
        self.phase
    }
}

fn print(measured: &[(usize, Vec<Series>)]) {
    let Some((fewest, first)) = measured.first() else {
        return;
    };
    let times = format!("times the time with {}", count(*fewest as f64));
    for (index, few) in first.iter().enumerate() {
        let columns = ["allocations", "n", "median", "p99", &times];
        let mut table = Table::new(few.name.clone(), &columns);
        for (allocations, series) in measured {
            let Some(series) = series.get(index) else {
                continue;
            };
            table.row([
                count(*allocations as f64),
                count(series.ops() as f64),
                duration(series.latency(0.5)),
                duration(series.latency(0.99)),
                growth(few, series).to_string(),
            ]);
        }
        table.print();
    }
}

/// How many times as long as with the fewest, by the median of each round.
fn growth(few: &Series, many: &Series) -> Spread {
    let [few, many] = [few, many].map(|series| {
        let medians = series.phases.iter().map(|phase| phase.latency(0.5));
        let seconds = medians.map(|median| median.unwrap_or_default().as_secs_f64());
        seconds.collect::<Vec<f64>>()
    });
    Spread::of_ratios(&many, &few)
}

/// Compares the fewest with the most.
fn judge(measured: &[(usize, Vec<Series>)]) -> Result<(), Failure> {
    let (Some((fewest, few)), Some((most, many))) = (measured.first(), measured.last()) else {
        return Err(Failure::new("there are no stores"));
    };
    let judged = few.iter().zip(many);
    for (few, many) in judged.filter(|(few, _)| !DURABLE.contains(&few.name.as_str())) {
        let times = growth(few, many).median;
        if times > GROWTH_MAX {
            return Err(Failure::new(format!(
                "{} takes {times:.1} times as long with {most} allocations as with {fewest}, more than {GROWTH_MAX}",
                few.name
            )));
        }
    }
    Ok(())
}
