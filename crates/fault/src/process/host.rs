//! A library's host as a process of its own: a real Runtime over a real store with the real `exec`
//! backend, journaling clients and observers. It is the host of the crash tests, the very same source.

use std::{
    cell::Cell,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde::de::DeserializeOwned;

use super::{
    order::{Answer, Order, Part, Request, Said},
    place::Place,
    ran::{DEADLINE, wait},
};
use crate::report::{Doing, HarnessError, Violation};

/// What was looked for, or the promise that is broken, or why the harness could not look.
pub(super) type Kept<T> = Result<Result<T, Violation>, HarnessError>;

/// The lives of hosts on one place.
#[derive(Debug)]
pub(super) struct Lives<'a> {
    pub(super) place: &'a Place,
    round: Cell<u64>,
    ballast_bytes: Option<u64>,
}

impl<'a> Lives<'a> {
    pub(super) fn new(place: &'a Place, ballast_bytes: Option<u64>) -> Result<Self, HarnessError> {
        let round = Cell::new(0);
        let lives = Self {
            place,
            round,
            ballast_bytes,
        };
        std::fs::create_dir(lives.journals()).doing("make a directory")?;
        Ok(lives)
    }

    /// Where clients and observers keep their journals.
    pub(super) fn journals(&self) -> PathBuf {
        self.place.path().join("journals")
    }

    /// The number of this life.
    pub(super) fn round(&self) -> u64 {
        self.round.get()
    }

    /// Begins the next life.
    pub(super) fn start(&self, part: Part) -> Result<Host, HarnessError> {
        self.round.set(self.round.get() + 1);
        Host::start(&Order {
            state: self.place.state(),
            side: self.place.side(),
            tag: self.place.tag().to_owned(),
            round: self.round.get(),
            ballast_bytes: self.ballast_bytes,
            part,
        })
    }
}

/// One life of a host. Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Host {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Host {
    fn start(order: &Order) -> Result<Self, HarnessError> {
        let order = serde_json::to_string(order).doing("write an order")?;
        let mut child = Command::new(program()?)
            .arg(order)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .doing("start a host")?;
        let stdout = child.stdout.take();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = stdout
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            lines,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn line<T: DeserializeOwned>(&self) -> Kept<T> {
        Ok(match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Ok(serde_json::from_str(&line).doing("read what a host says")?),
            Err(error) => Err(Violation::new("a host goes on", error.to_string())),
        })
    }

    /// The next thing that it says.
    pub(super) fn said(&self) -> Kept<Said> {
        self.line()
    }

    /// It opens.
    pub(super) fn opened(&self) -> Kept<()> {
        self.says(&[Said::Opening, Said::Open])
    }

    /// It opens, and was about to.
    pub(super) fn opened_after_opening(&self) -> Kept<()> {
        self.says(&[Said::Open])
    }

    fn says(&self, all: &[Said]) -> Kept<()> {
        for expected in all {
            match self.said()? {
                Ok(said) if said == *expected => {}
                Ok(said) => {
                    let why = format!("{said:?}");
                    return Ok(Err(Violation::new("I1 a store opens after a kill", why)));
                }
                Err(violation) => return Ok(Err(violation)),
            }
        }
        Ok(Ok(()))
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, request: &Request) -> Kept<Answer> {
        let mut line = serde_json::to_vec(request).doing("write a request")?;
        line.push(b'\n');
        if let Some(stdin) = &mut self.stdin {
            // One that has ended is told by the answer that does not come.
            let _ = stdin.write_all(&line).and_then(|()| stdin.flush());
        }
        self.line()
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), HarnessError> {
        let pid = i32::try_from(self.pid()).doing("name a process")?;
        kill(Pid::from_raw(pid), signal).doing("signal a host")
    }

    /// SIGSTOP, and waits until each of its threads stands still.
    pub(super) fn stop(&self) -> Result<(), HarnessError> {
        self.signal(Signal::SIGSTOP)?;
        let pid = i32::try_from(self.pid()).doing("name a process")?;
        let stopped = WaitPidFlag::WUNTRACED;
        match waitpid(Pid::from_raw(pid), Some(stopped)).doing("stop a host")? {
            WaitStatus::Stopped(..) => Ok(()),
            other => Err(HarnessError::new("stop a host", format!("it is {other:?}"))),
        }
    }

    /// SIGKILL, and waits until the kernel has taken it away.
    pub(super) fn kill(mut self) -> Result<(), HarnessError> {
        let _ = self.child.kill();
        self.child.wait().doing("wait for a host")?;
        Ok(())
    }

    /// Waits for its end.
    pub(super) fn ended(mut self) -> Result<ExitStatus, HarnessError> {
        Ok(wait(&mut self.child)?.0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The host's program, beside this very one: both are built together.
fn program() -> Result<PathBuf, HarnessError> {
    let own = std::env::current_exe().doing("find its own program")?;
    let program = own.with_file_name("worker-runtime-fault-host");
    let is_there = Path::is_file(&program);
    is_there.then_some(program).ok_or_else(|| {
        let build = "build it first: `cargo build --release -p worker-runtime-fault`";
        HarnessError::new("find the host's program", build)
    })
}
