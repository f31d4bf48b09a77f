//! Promise: who waits for events over HTTP costs nothing while there are none, and hears of one almost
//! as soon as it is durable.
//!
//! 500 long-polls that wait, of clients that only wait: how often any thread of the server's process is woken.
//! Then one run tells events, one at a time: from before the call until its position comes back
//! durable, and until a client that waited has the answer with that very event.
//!
//! It fails when either promise does not hold; with `--quick` the time of an answer is not judged, as there
//! are too few to tell.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime as Tokio,
    sync::oneshot,
};
use worker_runtime_benches::{
    Bench, Failure,
    backend::Hold,
    host::Host,
    ledger::APPENDED,
    payload::Payload,
    run,
    served::child::observer,
    stats::{Phase, Series, Spread},
    table::{Table, note},
};
use worker_runtime_core::{
    Cursor, RunSink, Stream, WorkerId, cursor::From as Start, run::StopReason,
};
use worker_runtime_http::{
    client::{Client, ClientOptions},
    server::{Server, ServerOptions},
};

const IDLE: usize = 500;
/// How often a second they may wake anything.
const WAKE_UPS_MAX: f64 = 5.0;
/// How many times the durable append an answer may take.
const ANSWER_MAX: f64 = 2.0;

fn main() -> ExitCode {
    run("long_poll", env!("CARGO_TARGET_TMPDIR"), bench)
}

fn bench(bench: &Bench) -> Result<(), Failure> {
    let tokio = Tokio::new()?;
    let dir = bench.fresh_dir()?;
    let (backend, mut held) = Hold::new();
    let host = tokio.block_on(Host::open(&dir.path().join("state"), backend))?;
    let workers = tokio.block_on(host.create_workers(2, Hold::NAME))?;
    let sinks = tokio.block_on(host.hold_runs(&workers, &mut held))?;
    let (Some(quiet), Some(busy), Some(sink)) = (workers.first(), workers.get(1), sinks.get(1))
    else {
        return Err(Failure::new("there are no Workers"));
    };
    let (served, end) = tokio.block_on(serve(&host))?;
    let woken = tokio.block_on(idle(bench, &served, *quiet))?;
    let client = served.client;
    let mut durable = Series::new("until it is durable");
    let mut answered = Series::new("until the long-poll is answered");
    for round in 0..bench.rounds {
        let ops = bench.pick(400, 40);
        let told = tokio.block_on(tell(&client, *busy, sink, round as u64 * ops, ops))?;
        durable.phases.push(told.0);
        answered.phases.push(told.1);
    }
    let _ = end.send(());
    for sink in sinks {
        tokio.block_on(sink.finish(StopReason::EndTurn, None))?;
    }
    tokio.block_on(host.runtime.close())?;

    Table::of_two(
        "one event at a time",
        &durable,
        &answered,
        "times the durable append",
    )
    .print();
    note(&format!(
        "{IDLE} long-polls that wait: {woken:.1} wake-ups a second, of all threads of the server's process"
    ));
    judge_idle(woken)?;
    if bench.quick {
        return Ok(());
    }
    judge_answers(Spread::faster(&durable, &answered).median)
}

fn judge_idle(woken: f64) -> Result<(), Failure> {
    if woken >= WAKE_UPS_MAX {
        return Err(Failure::new(format!(
            "{IDLE} long-polls that wait cause {woken:.1} wake-ups a second, not fewer than {WAKE_UPS_MAX}"
        )));
    }
    Ok(())
}

fn judge_answers(times: f64) -> Result<(), Failure> {
    if times > ANSWER_MAX {
        return Err(Failure::new(format!(
            "an answer takes {times:.2} times the durable append, more than {ANSWER_MAX}"
        )));
    }
    Ok(())
}

/// A server over the host's Runtime, as clients see it.
struct Served {
    address: SocketAddr,
    token: String,
    client: Client,
}

async fn serve(host: &Host) -> Result<(Served, oneshot::Sender<()>), Failure> {
    let (tokens, token) = observer()?;
    let server = Server::bind(host.runtime.clone(), tokens, ServerOptions::default()).await?;
    let address = server.address();
    let url = format!("http://{address}");
    let (end, ended) = oneshot::channel();
    tokio::spawn(server.run(async {
        let _ = ended.await;
    }));
    let client = Client::new(&ClientOptions::new(url, Some(token.clone())))?;
    let served = Served {
        address,
        token,
        client,
    };
    Ok((served, end))
}

/// How often a second anything wakes while nobody has anything to tell.
async fn idle(bench: &Bench, served: &Served, worker_id: WorkerId) -> Result<f64, Failure> {
    let asked = format!(
        "GET /v1/workers/{worker_id}/events?from=now&limit=10&wait=60 HTTP/1.1\r\n\
         Host: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        served.token
    );
    // Bare connections: what a client of ours does to notice a server that is gone wakes it, too.
    let mut polls = Vec::new();
    for _ in 0..IDLE {
        let mut stream = TcpStream::connect(served.address).await?;
        stream.write_all(asked.as_bytes()).await?;
        polls.push(tokio::spawn(async move { stream.read_u8().await }));
    }
    // The store makes itself quick to open once it has been idle for two seconds.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (before, began) = (switches()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(bench.pick(20, 10))).await;
    let after = switches()?;
    let woken: u64 = after
        .iter()
        .map(|(thread, count)| count.saturating_sub(before.get(thread).copied().unwrap_or(0)))
        .sum();
    let seconds = began.elapsed().as_secs_f64();
    let ended = polls.iter().filter(|poll| poll.is_finished()).count();
    if ended > 0 {
        return Err(Failure::new(format!(
            "{ended} of {IDLE} long-polls did not wait"
        )));
    }
    polls.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(woken as f64 / seconds)
}

/// How often each thread of this process was woken so far.
fn switches() -> Result<BTreeMap<OsString, u64>, Failure> {
    let mut threads = BTreeMap::new();
    for thread in std::fs::read_dir("/proc/self/task")? {
        let thread = thread?;
        // One that has ended since the list was made is not asked.
        let Ok(status) = std::fs::read_to_string(thread.path().join("status")) else {
            continue;
        };
        let waits = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .ok_or_else(|| Failure::new("the system does not count the wake-ups of a thread"))?;
        threads.insert(thread.file_name(), waits.trim().parse::<u64>()?);
    }
    Ok(threads)
}

/// Tells events one at a time, while somebody waits for each.
async fn tell(
    client: &Client,
    worker_id: WorkerId,
    sink: &RunSink,
    first: u64,
    ops: u64,
) -> Result<(Phase, Phase), Failure> {
    let stream = Stream::Worker(worker_id);
    let mut cursor: Cursor = client.worker(worker_id).await?.cursor;
    let (mut durable, mut answered) = (Phase::default(), Phase::default());
    for op in first..first + ops {
        let waiting = {
            let client = client.clone();
            let wait = Duration::from_secs(30);
            tokio::spawn(async move {
                let page = client.events(stream, Start::After(cursor), 10, wait).await;
                (page, Instant::now())
            })
        };
        // Until it waits: nothing tells from outside when it does.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let began = Instant::now();
        let position = sink.event(APPENDED, &Payload::new(1, op)).await?;
        durable.latencies.push(began.elapsed());
        let (page, at) = waiting.await?;
        let page = page?;
        answered.latencies.push(at.saturating_duration_since(began));
        let positions: Vec<_> = page
            .events
            .iter()
            .map(|event| event.event.position)
            .collect();
        if positions != [position] {
            return Err(Failure::new(format!(
                "{position} was told, and {positions:?} came"
            )));
        }
        cursor = page.next;
    }
    for phase in [&mut durable, &mut answered] {
        phase.ops = ops;
        phase.elapsed = phase.latencies.iter().sum();
    }
    Ok((durable, answered))
}
