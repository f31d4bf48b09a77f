//! A Runtime that exists to be killed: a process of its own that starts one command.

use std::process::{ExitCode, Stdio};

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use worker_runtime_execution::exec::{ProcessIdentity, spawn::spawn};

use super::support::*;

/// The first argument that makes this binary such a Runtime; then the script, then `go` or `hold`.
pub(crate) const ROLE: &str = "act-as-runtime";

/// Writes the identity as its first line, and then what the command writes.
pub(crate) fn run() -> ExitCode {
    let mut arguments = std::env::args().skip(2);
    let script = arguments.next().unwrap();
    let go = arguments.next().unwrap() == "go";
    runtime().block_on(async {
        let held = spawn(shell(&script)).await.unwrap();
        println!("{}", serde_json::to_string(held.identity()).unwrap());
        if !go {
            std::future::pending::<()>().await;
        }
        let mut running = held.go().await.unwrap();
        let mut out = tokio::net::unix::pipe::Sender::from_owned_fd(
            std::os::fd::AsFd::as_fd(&std::io::stdout())
                .try_clone_to_owned()
                .unwrap(),
        )
        .unwrap();
        let mut buffer = [0; 1024];
        loop {
            running.stdout.ready(Interest::READABLE).await.unwrap();
            let read = tokio::io::AsyncReadExt::read(&mut running.stdout, &mut buffer)
                .await
                .unwrap();
            if read == 0 {
                break;
            }
            out.write_all(&buffer[..read]).await.unwrap();
        }
        running.process.quiet().await.unwrap();
    });
    ExitCode::SUCCESS
}

/// The test's side of it.
pub(crate) struct ActedRuntime {
    child: Child,
    pub(crate) identity: ProcessIdentity,
    pub(crate) lines: Lines,
}

impl ActedRuntime {
    pub(crate) async fn start(script: &str, go: bool) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([ROLE, script, if go { "go" } else { "hold" }])
            .stdin(Stdio::null())
            .stdout(Stdio::from(writer))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = Lines::of(Receiver::from_owned_fd(reader.into()).unwrap());
        let identity = serde_json::from_str(&lines.next().await.unwrap()).unwrap();
        Self {
            child,
            identity,
            lines,
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.start_kill().unwrap();
    }

    /// Kills it so that its monitor has no say: the monitor is stopped first, then killed too.
    pub(crate) fn kill_with_monitor(&mut self) {
        let monitor = self.identity.leader.unwrap().pid;
        stop(monitor);
        self.kill();
        kill_9(monitor);
        eventually("the monitor is gone", || !is_alive(monitor));
    }
}
