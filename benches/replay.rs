//! Promise: what a Worker said is read back in packs, not event by event, however many other Workers
//! there are.
//!
//! One Worker with 100,000 events among 99 others with 1,000 each, all mixed. Read cold (the store
//! opened anew and the system's page cache told to forget its file) and warm (the same again).
//! Beside it, in turn: SQLite's `SELECT ... WHERE worker = ? ORDER BY seq`, and a plain `read` of a
//! file with the same bytes. Every side hashes every byte, and the hashes must be those of what was
//! acknowledged.

use std::{
    hash::Hasher,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime as Tokio;
use tokio_stream::StreamExt;
use twox_hash::XxHash3_64;
use worker_runtime_benches::{
    Bench, Failure,
    backend::Hold,
    host::{Host, append_many},
    ledger::{APPENDED, Ledger},
    payload::Payload,
    peer::{
        raw::{forget_cached, read_all},
        sqlite::{Database, Schema},
    },
    run,
    stats::{Phase, Series, Spread},
    subscriber::PAGE,
    table::{Table, count, note},
};
use worker_runtime_core::{
    Event, ObserveOptions, Observed, Stream, WorkerId, cursor::From as Start, run::StopReason,
};

/// Others, beside the one that is read.
const OTHERS: usize = 99;
/// Events of the one that are told at once; every other Worker tells one in between.
const TOLD_AT_ONCE: u64 = 100;

fn main() -> ExitCode {
    run("replay", env!("CARGO_TARGET_TMPDIR"), bench)
}

fn bench(bench: &Bench) -> Result<(), Failure> {
    let tokio = Tokio::new()?;
    let dir = bench.fresh_dir()?;
    let events = bench.pick(100_000, 5_000);
    let store = Filled::make(&tokio, dir.path(), events)?;
    let mut sides = [
        Side::new("worker-runtime, pages", Reader::Pages),
        Side::new("worker-runtime, observe", Reader::Observe),
        Side::new(Schema::Clustered.name(), Reader::Sqlite(Schema::Clustered)),
        Side::new(Schema::Indexed.name(), Reader::Sqlite(Schema::Indexed)),
        Side::new("read of a file", Reader::Raw),
    ];
    for _ in 0..bench.rounds {
        for side in &mut sides {
            forget_cached(dir.path())?;
            store.read_twice(&tokio, side)?;
        }
    }
    for (title, pick) in [
        ("cold", Side::cold as fn(&Side) -> &Series),
        ("warm", Side::warm),
    ] {
        print(title, &sides, pick, &store);
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Reader {
    Pages,
    Observe,
    Sqlite(Schema),
    Raw,
}

/// One way to read, and how long it took.
struct Side {
    reader: Reader,
    cold: Series,
    warm: Series,
}

impl Side {
    fn new(name: &str, reader: Reader) -> Self {
        Self {
            reader,
            cold: Series::new(name),
            warm: Series::new(name),
        }
    }

    fn cold(&self) -> &Series {
        &self.cold
    }

    fn warm(&self) -> &Series {
        &self.warm
    }
}

/// A hash of every byte in order, and how many events they were.
#[derive(Clone, Default)]
struct Sum {
    hasher: XxHash3_64,
    events: u64,
    bytes: u64,
    last_seq: u64,
}

impl Sum {
    fn add(&mut self, data: &[u8]) {
        self.hasher.write(data);
        self.bytes += data.len() as u64;
        self.events += 1;
    }

    /// Adds an event of the Worker's stream, which must follow the one before.
    fn add_event(&mut self, event: &Event) -> Result<(), Failure> {
        let seq = event.worker.map_or(0, |place| place.seq.0);
        if seq != self.last_seq + 1 {
            let last = self.last_seq;
            return Err(Failure::new(format!("seq {seq} was read after {last}")));
        }
        self.last_seq = seq;
        if event.kind == APPENDED {
            self.add(&event.data);
        }
        Ok(())
    }
}

/// A store, a database of each schema and a plain file, all with the same events of one Worker.
struct Filled<'a> {
    dir: &'a Path,
    worker_id: WorkerId,
    acknowledged: Sum,
    backend: Arc<Hold>,
}

impl<'a> Filled<'a> {
    fn make(tokio: &Tokio, dir: &'a Path, events: u64) -> Result<Self, Failure> {
        let (backend, mut held) = Hold::new();
        let host = tokio.block_on(Host::open(&dir.join("state"), backend.clone()))?;
        let workers = tokio.block_on(host.create_workers(OTHERS + 1, Hold::NAME))?;
        let sinks = tokio.block_on(host.hold_runs(&workers, &mut held))?;
        let mut databases = Vec::new();
        for schema in Schema::ALL {
            databases.push(Database::open(&dir.join(schema.name()), schema)?);
        }
        let mut ledger = Ledger {
            workers: workers.clone(),
            acked: Vec::new(),
        };
        for step in 0..events / TOLD_AT_ONCE {
            let mut rows = Vec::new();
            let mut tells = tokio::task::JoinSet::new();
            for (worker, sink) in (0..).zip(&sinks) {
                let each = if worker == 0 { TOLD_AT_ONCE } else { 1 };
                let ops = step * each..(step + 1) * each;
                rows.extend(ops.clone().map(|op| (worker, op)));
                let sink = sink.clone();
                tells.spawn_on(
                    async move { append_many(&sink, worker, ops).await },
                    tokio.handle(),
                );
            }
            while let Some(told) = tokio.block_on(tells.join_next()) {
                ledger.acked.extend(told??);
            }
            for database in &mut databases {
                database.writer()?.append(&rows)?;
            }
        }
        for sink in sinks {
            tokio.block_on(sink.finish(StopReason::EndTurn, None))?;
        }
        host.check(&mut ledger)?;
        tokio.block_on(host.runtime.close())?;
        let mut acknowledged = Sum::default();
        let mut plain = Vec::new();
        for op in 0..events {
            let data = Payload::new(0, op).to_bytes()?;
            acknowledged.add(&data);
            plain.extend_from_slice(&data);
        }
        std::fs::write(dir.join("plain"), plain)?;
        let worker_id = workers.first().copied();
        Ok(Self {
            dir,
            worker_id: worker_id.ok_or_else(|| Failure::new("no Worker was made"))?,
            acknowledged,
            backend,
        })
    }

    /// Opens what a side reads from, reads it, and reads it again. Opening is another promise and
    /// not part of the time.
    fn read_twice(&self, tokio: &Tokio, side: &mut Side) -> Result<(), Failure> {
        let state = self.dir.join("state");
        let reader = side.reader;
        let mut measure: Box<dyn FnMut() -> Result<Sum, Failure> + '_> = match reader {
            Reader::Pages | Reader::Observe => {
                let host = tokio.block_on(Host::open(&state, self.backend.clone()))?;
                Box::new(move || match reader {
                    Reader::Pages => self.pages(&host),
                    _ => tokio.block_on(self.observe(&host)),
                })
            }
            Reader::Sqlite(schema) => {
                let database = Database::open(&self.dir.join(schema.name()), schema)?;
                Box::new(move || {
                    let mut sum = Sum::default();
                    database.replay(0, |data| sum.add(data))?;
                    Ok(sum)
                })
            }
            Reader::Raw => Box::new(|| {
                let mut sum = Sum::default();
                read_all(&self.dir.join("plain"), |piece| sum.add(piece))?;
                sum.events = self.acknowledged.events;
                Ok(sum)
            }),
        };
        for series in [&mut side.cold, &mut side.warm] {
            let started = Instant::now();
            let sum = measure()?;
            let elapsed = started.elapsed();
            self.check(&series.name, &sum)?;
            series.phases.push(Phase {
                ops: sum.events,
                elapsed,
                latencies: Vec::<Duration>::new(),
            });
        }
        Ok(())
    }

    fn pages(&self, host: &Host) -> Result<Sum, Failure> {
        let mut sum = Sum::default();
        let observation = host.runtime.observation();
        let mut start = Start::Beginning;
        loop {
            let page = observation.events(Stream::Worker(self.worker_id), start, PAGE)?;
            if let Some(gap) = page.gap {
                return Err(Failure::new(format!("a page tells of {gap:?}")));
            }
            for (_, event) in &page.events {
                sum.add_event(event)?;
            }
            if page.up_to_date {
                return Ok(sum);
            }
            start = Start::After(page.next);
        }
    }

    async fn observe(&self, host: &Host) -> Result<Sum, Failure> {
        let mut sum = Sum::default();
        let options = ObserveOptions {
            page: PAGE,
            until_up_to_date: true,
            ..ObserveOptions::default()
        };
        let stream = Stream::Worker(self.worker_id);
        let observation = host.runtime.observation();
        let mut stream = observation.observe(stream, Start::Beginning, options)?;
        while let Some(observed) = stream.next().await {
            match observed? {
                Observed::Event(_, event) => sum.add_event(&event)?,
                Observed::Gap(_, gap) => {
                    return Err(Failure::new(format!("the subscriber was told of {gap:?}")));
                }
                _ => {}
            }
        }
        Ok(sum)
    }

    fn check(&self, name: &str, sum: &Sum) -> Result<(), Failure> {
        let expected = &self.acknowledged;
        let is_same = sum.hasher.finish() == expected.hasher.finish()
            && (sum.events, sum.bytes) == (expected.events, expected.bytes);
        if is_same {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{name}: {} events of {} bytes were read, {} of {} bytes were acknowledged, or their bytes differ",
            sum.events, sum.bytes, expected.events, expected.bytes
        )))
    }
}

fn print(title: &str, sides: &[Side], pick: fn(&Side) -> &Series, store: &Filled<'_>) {
    let events = store.acknowledged.events;
    let columns = ["", "n", "events/s", "MB/s", "pages to it", "observe to it"];
    let title = format!(
        "replay, {title}: {} events among others",
        count(events as f64)
    );
    let mut table = Table::new(title, &columns);
    let bytes_each = store.acknowledged.bytes as f64 / events as f64;
    for side in sides {
        let series = pick(side);
        let mut cells = vec![
            series.name.clone(),
            count(series.ops() as f64),
            count(series.rate()),
            count(series.rate() * bytes_each / 1e6),
        ];
        for ours in sides.iter().take(2) {
            cells.push(match ours.cold.name == series.name {
                true => String::new(),
                false => Spread::faster(pick(ours), series).to_string(),
            });
        }
        table.row(cells);
    }
    table.print();
    note(&format!("{bytes_each:.0} bytes an event"));
}
