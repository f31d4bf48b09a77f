//! A whole Runtime over a state directory, with one stubborn command: there to be killed.

use std::{io::Write as _, path::Path, process::ExitCode};

use worker_runtime_core::input::SubmitInput;

use crate::{
    backend::{Host, options, shell},
    support::{STUBBORN, runtime},
};

pub(crate) const ROLE: &str = "act-as-host";

/// Prints the Worker's id and the ids of the command's processes, each on a line, when they live.
pub(crate) fn run() -> ExitCode {
    let state = std::env::args_os().nth(2).unwrap();
    runtime().block_on(async {
        let host = Host::open_in(Path::new(&state), options()).await;
        let worker = host.worker(shell(STUBBORN)).await;
        host.send(worker, SubmitInput::text("x")).await;
        host.until_said(worker, "command").await;
        let said = host.until_said(worker, "grandchild").await;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{worker}\n{}", said.trim_end()).unwrap();
        stdout.flush().unwrap();
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}
