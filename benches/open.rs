//! Promise: a store opens in about the time that its Workers' records take, however many events it
//! holds: 10,000 Workers with 1,000,000 events within 100 ms, warm, after a clean close.
//!
//! Three stores in turn: many Workers with many events, as many Workers with few, and few of both.
//! Each is opened after a clean close, and after its process was aborted in the middle of
//! runs. What that process printed as acknowledged must be there.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::runtime::Runtime as Tokio;
use worker_runtime_benches::{
    Bench, Failure,
    backend::Hold,
    host::{Host, Opening, append_many},
    ledger::{Acked, Ledger},
    run,
    stats::Spread,
    subscriber::Subscriber,
    table::{Table, note},
};
use worker_runtime_core::{WorkerId, run::StopReason};

/// How many Workers a process that is to be aborted has at work.
const BUSY: usize = 10;

fn main() -> ExitCode {
    run("open", env!("CARGO_TARGET_TMPDIR"), |bench| {
        match &bench.child {
            Some(dir) => die_at_work(dir),
            None => measure(bench),
        }
    })
}

fn measure(bench: &Bench) -> Result<(), Failure> {
    let tokio = Tokio::new()?;
    let dir = bench.fresh_dir()?;
    let sizes = bench.pick(
        [(10_000, 1_000_000), (10_000, 10_000), (10, 1_000)],
        [(500, 20_000), (500, 500), (10, 100)],
    );
    let mut stores = Vec::new();
    for (index, (workers, events)) in sizes.into_iter().enumerate() {
        let path = dir.path().join(format!("state-{index}"));
        stores.push(Filled::make(&tokio, path, workers, events)?);
    }
    for _ in 0..bench.rounds {
        for store in &mut stores {
            let opening = store.open_after_close(&tokio)?;
            store.clean.push(opening);
        }
    }
    for _ in 0..bench.rounds.div_ceil(2) {
        for store in &mut stores {
            let opening = store.open_after_abort(&tokio)?;
            store.crashed.push(opening);
        }
    }
    for store in &mut stores {
        store.check(&tokio)?;
    }
    print("after a clean close", &stores, |store| &store.clean);
    print("after an abort at work", &stores, |store| &store.crashed);
    Ok(())
}

/// A store, what was acknowledged in it, and how long it took to open.
struct Filled {
    path: PathBuf,
    backend: Arc<Hold>,
    ledger: Ledger,
    events: u64,
    clean: Vec<Opening>,
    crashed: Vec<Opening>,
}

impl Filled {
    fn make(tokio: &Tokio, path: PathBuf, workers: usize, events: u64) -> Result<Self, Failure> {
        let (backend, mut held) = Hold::new();
        let host = tokio.block_on(Host::open(&path, backend.clone()))?;
        let workers = tokio.block_on(host.create_workers(workers, Hold::NAME))?;
        let each = events / workers.len() as u64;
        let mut ledger = Ledger {
            workers,
            acked: Vec::new(),
        };
        for (first, share) in (0..).step_by(1_000).zip(ledger.workers.chunks(1_000)) {
            let sinks = tokio.block_on(host.hold_runs(share, &mut held))?;
            let mut tells = tokio::task::JoinSet::new();
            for (worker, sink) in (first..).zip(sinks) {
                let tell = async move {
                    let acked = append_many(&sink, worker, 0..each).await?;
                    sink.finish(StopReason::EndTurn, None).await?;
                    Ok::<_, Failure>(acked)
                };
                tells.spawn_on(tell, tokio.handle());
            }
            while let Some(told) = tokio.block_on(tells.join_next()) {
                ledger.acked.extend(told??);
            }
        }
        tokio.block_on(host.runtime.close())?;
        Ok(Self {
            path,
            backend,
            ledger,
            events,
            clean: Vec::new(),
            crashed: Vec::new(),
        })
    }

    fn open_after_close(&self, tokio: &Tokio) -> Result<Opening, Failure> {
        let host = tokio.block_on(Host::open(&self.path, self.backend.clone()))?;
        let found = host.runtime.observation().runtime().workers;
        let found: usize = found.values().sum();
        if found != self.ledger.workers.len() {
            let made = self.ledger.workers.len();
            return Err(Failure::new(format!(
                "{found} Workers of {made} are there after a reopening"
            )));
        }
        tokio.block_on(host.runtime.close())?;
        Ok(host.opening)
    }

    /// Has another process work on the store and abort, then opens it.
    fn open_after_abort(&mut self, tokio: &Tokio) -> Result<Opening, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--child")
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take();
        for (number, worker_id) in self.ledger.workers.iter().take(BUSY).enumerate() {
            let numbers = self.ledger.acked.iter();
            let mine = numbers.filter(|acked| acked.worker as usize == number);
            let next_op = mine.map(|acked| acked.op + 1).max().unwrap_or(0);
            if let Some(stdin) = &mut stdin {
                writeln!(stdin, "{worker_id} {number} {next_op}")?;
            }
        }
        drop(stdin);
        let output = child.stdout.take();
        let output = output.ok_or_else(|| Failure::new("the child has no stdout"))?;
        let before = self.ledger.acked.len();
        for line in BufReader::new(output).lines() {
            self.ledger.acked.push(parse_acked(&line?)?);
        }
        let status = child.wait()?;
        let told = self.ledger.acked.len() - before;
        if status.success() || told == 0 {
            return Err(Failure::new(format!(
                "the child was to abort at work: {status}, {told} acknowledged"
            )));
        }
        let host = tokio.block_on(Host::open(&self.path, self.backend.clone()))?;
        let opening = host.opening;
        tokio.block_on(host.runtime.close())?;
        Ok(opening)
    }

    /// Everything that was ever acknowledged is there, for a subscriber too as far as the log goes.
    fn check(&mut self, tokio: &Tokio) -> Result<(), Failure> {
        let host = tokio.block_on(Host::open(&self.path, self.backend.clone()))?;
        host.check(&mut self.ledger)?;
        if self.events <= 100_000 {
            let attached = async { Subscriber::attach(&host.runtime, false) };
            let subscriber = tokio.block_on(attached)?;
            tokio.block_on(subscriber.reach(host.position()))?;
            tokio.block_on(host.runtime.close())?;
            let seen = tokio.block_on(subscriber.finish())?;
            return self.ledger.check_stream(&seen);
        }
        tokio.block_on(host.runtime.close())?;
        Ok(())
    }
}

fn parse_acked(line: &str) -> Result<Acked, Failure> {
    let mut fields = line.split(' ');
    let mut field = || -> Result<u64, Failure> {
        let missing = || Failure::new(format!("{line:?} is no acknowledgement"));
        Ok(fields.next().ok_or_else(missing)?.parse()?)
    };
    Ok(Acked {
        position: field()?,
        worker: u32::try_from(field()?)?,
        op: field()?,
    })
}

/// The child: begins runs, tells events, prints what was acknowledged, and aborts. Every event that
/// was told was acknowledged by then, so that the parent knows all of them.
fn die_at_work(dir: &Path) -> Result<(), Failure> {
    let tokio = Tokio::new()?;
    let mut busy: Vec<(WorkerId, u32, u64)> = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut fields = line.split(' ');
        let mut field = || fields.next().unwrap_or_default();
        busy.push((field().parse()?, field().parse()?, field().parse()?));
    }
    let workers: Vec<WorkerId> = busy.iter().map(|(worker_id, ..)| *worker_id).collect();
    let (backend, mut held) = Hold::new();
    let host = tokio.block_on(Host::open(dir, backend))?;
    let sinks = tokio.block_on(host.hold_runs(&workers, &mut held))?;
    let mut out = std::io::stdout().lock();
    for (sink, (_, worker, next_op)) in sinks.iter().zip(&busy) {
        let ops = *next_op..*next_op + 20;
        for acked in tokio.block_on(append_many(sink, *worker, ops))? {
            let Acked {
                position,
                worker,
                op,
            } = acked;
            writeln!(out, "{position} {worker} {op}")?;
        }
    }
    out.flush()?;
    // Every run is still under way.
    std::process::abort();
}

fn print(title: &str, stores: &[Filled], pick: impl Fn(&Filled) -> &Vec<Opening>) {
    let columns = [
        "",
        "n",
        "in all",
        "store",
        "load",
        "commit",
        "rest",
        "in all, to the first",
    ];
    let mut table = Table::new(format!("open, warm, {title} (ms)"), &columns);
    let totals = |store: &Filled| -> Vec<f64> { pick(store).iter().map(|o| ms(o.total)).collect() };
    let first = stores.first().map(totals).unwrap_or_default();
    for store in stores {
        let spread = |part: fn(&Opening) -> Duration| {
            Spread::of(pick(store).iter().map(|opening| ms(part(opening)))).to_string()
        };
        let (workers, events) = (store.ledger.workers.len(), store.events);
        table.row([
            format!("{workers} Workers, {events} events"),
            pick(store).len().to_string(),
            spread(|opening| opening.total),
            spread(|opening| opening.store),
            spread(|opening| opening.load),
            spread(|opening| opening.commit),
            spread(|opening| {
                let parts = opening.store + opening.load + opening.commit;
                opening.total.saturating_sub(parts)
            }),
            Spread::of_ratios(&totals(store), &first).to_string(),
        ]);
    }
    table.print();
    note("median of the rounds (lowest to highest)");
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
