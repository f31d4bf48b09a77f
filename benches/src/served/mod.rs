//! A server in a process of its own, so that its CPU time and its memory are its own: the Runtime's, and
//! the peer that it is measured beside.
//!
//! - here: the bench's end, and what both say to each other, a line of JSON each way
//! - [`child`]: the process's end: a Runtime with one Worker at work, behind the server of this project
//! - [`broadcast`]: the peer: what anybody would write with axum, which keeps nothing

pub mod broadcast;
pub mod child;

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{Failure, payload::Payload};

/// What is told: when, on a clock that all processes share, and a payload as the other benches have.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Told {
    /// Nanoseconds.
    pub told_at: u64,
    /// Counts up from 0, in the order of telling.
    pub number: u64,
    payload: Payload,
}

impl Told {
    /// The event of this number, told now.
    pub fn now(number: u64) -> Self {
        Self {
            told_at: nanoseconds(),
            number,
            payload: Payload::new(0, number),
        }
    }
}

/// Nanoseconds on the clock that all processes share.
pub fn nanoseconds() -> u64 {
    in_nanoseconds(ClockId::Monotonic)
}

fn in_nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// What the process is asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Ask {
    /// Tell events one after the other, so many a second.
    Tell {
        /// How many.
        count: u64,
        /// How many a second.
        per_second: u64,
    },
    /// Tell events as fast as may be, many at a time.
    Fill {
        /// How many.
        count: u64,
    },
    /// How it is.
    Look,
}

/// Where it listens, said once at the beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listening {
    /// The address.
    pub address: SocketAddr,
    /// The path of the stream of what is told.
    pub events: String,
    /// What its clients say in `Authorization`, after `Bearer`.
    pub token: String,
}

/// How long each telling took, until it was durable.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Durable {
    /// Nanoseconds each.
    pub took: Vec<u64>,
}

/// What the process has used so far.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Used {
    /// Of the processors, user and system.
    pub cpu: Duration,
    /// The memory that it holds now, in bytes: Linux' `VmRSS`.
    pub memory_bytes: u64,
    /// The most that was allocated since this was asked for the last time, in bytes: 0 but where
    /// [`PeakAlloc`] allocates.
    pub allocated_max_bytes: u64,
}

impl Used {
    /// By this process. What is allocated at most is counted anew from here.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn now() -> Result<Self, Failure> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| {
            let kib = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            kib.parse::<u64>().ok()
        });
        let unknown = || Failure::new("the system does not tell how much memory a process has");
        let allocated_max_bytes = u64::try_from(PeakAlloc.peak_usage())?;
        PeakAlloc.reset_peak_usage();
        Ok(Self {
            allocated_max_bytes,
            cpu: Duration::from_nanos(in_nanoseconds(ClockId::ProcessCPUTime)),
            memory_bytes: resident.ok_or_else(unknown)? * 1024,
        })
    }
}

/// A server's process; it ends when this is dropped.
pub struct Served {
    /// Where it is.
    pub listening: Listening,
    /// How many events it was asked to tell so far.
    pub told: u64,
    // Ends the process when it goes.
    _child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Served {
    /// The Runtime's server, over a directory.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(dir: &Path) -> Result<Self, Failure> {
        Self::spawn(&["--child".as_ref(), dir.as_os_str()]).await
    }

    /// The peer.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_peer() -> Result<Self, Failure> {
        Self::spawn(&["--peer".as_ref()]).await
    }

    async fn spawn(arguments: &[&std::ffi::OsStr]) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let unheard = || Failure::new("the server's process can't be talked to");
        let mut answers = BufReader::new(stdout.ok_or_else(unheard)?).lines();
        let listening = next(&mut answers).await?;
        Ok(Self {
            listening,
            told: 0,
            _child: child,
            stdin: stdin.ok_or_else(unheard)?,
            answers,
        })
    }

    /// Has it tell events, so many a second; how long each took until it was durable.
    ///
    /// # Errors
    /// When it fails.
    pub async fn tell(&mut self, count: u64, per_second: u64) -> Result<Vec<Duration>, Failure> {
        let durable: Durable = self.ask(Ask::Tell { count, per_second }).await?;
        self.told += count;
        let took = durable.took.into_iter().map(Duration::from_nanos);
        Ok(took.collect())
    }

    /// Has it tell events as fast as may be.
    ///
    /// # Errors
    /// When it fails.
    pub async fn fill(&mut self, count: u64) -> Result<(), Failure> {
        let _: Durable = self.ask(Ask::Fill { count }).await?;
        self.told += count;
        Ok(())
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it fails.
    pub async fn used(&mut self) -> Result<Used, Failure> {
        self.ask(Ask::Look).await
    }

    async fn ask<T: DeserializeOwned>(&mut self, ask: Ask) -> Result<T, Failure> {
        let mut line = serde_json::to_string(&ask)?;
        line.push('\n');
        self.stdin.write_all(line.as_bytes()).await?;
        self.stdin.flush().await?;
        next(&mut self.answers).await
    }
}

async fn next<T: DeserializeOwned>(
    answers: &mut Lines<BufReader<ChildStdout>>,
) -> Result<T, Failure> {
    let line = answers.next_line().await?;
    let line = line.ok_or_else(|| Failure::new("the server's process ended"))?;
    Ok(serde_json::from_str(&line)?)
}

/// What the process tells events to.
trait Teller {
    /// One, until it is durable.
    async fn tell(&mut self, told: Told) -> Result<(), Failure>;
    /// Many at once.
    async fn tell_many(&mut self, many: Vec<Told>) -> Result<(), Failure>;
}

/// The process's end of the talk, until its stdin ends.
async fn answer(listening: &Listening, mut teller: impl Teller) -> Result<(), Failure> {
    /// Told at once by [`Ask::Fill`].
    const AT_ONCE: u64 = 1_000;
    let mut stdout = tokio::io::stdout();
    say(&mut stdout, listening).await?;
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    let mut number = 0;
    while let Some(line) = asked.next_line().await? {
        match serde_json::from_str(&line)? {
            Ask::Tell { count, per_second } => {
                let mut durable = Durable::default();
                let began = tokio::time::Instant::now();
                for index in 0..count {
                    let after = Duration::from_secs(index) / u32::try_from(per_second)?;
                    tokio::time::sleep_until(began + after).await;
                    let started = Instant::now();
                    teller.tell(Told::now(number)).await?;
                    let took = started.elapsed().as_nanos();
                    durable.took.push(u64::try_from(took)?);
                    number += 1;
                }
                say(&mut stdout, &durable).await?;
            }
            Ask::Fill { count } => {
                let end = number + count;
                while number < end {
                    let next = end.min(number + AT_ONCE);
                    teller
                        .tell_many((number..next).map(Told::now).collect())
                        .await?;
                    number = next;
                }
                say(&mut stdout, &Durable::default()).await?;
            }
            Ask::Look => say(&mut stdout, &Used::now()?).await?,
        }
    }
    Ok(())
}

async fn say(stdout: &mut tokio::io::Stdout, what: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(what)?;
    line.push('\n');
    stdout.write_all(line.as_bytes()).await?;
    Ok(stdout.flush().await?)
}
