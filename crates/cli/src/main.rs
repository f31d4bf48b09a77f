//! The command `worker-runtime`: run, watch and manage durable agent Workers.
//!
//! # Layout
//! - `args`: what can be typed; `commands`: one command per file
//! - `target`: the state directory, opened to read or to write, or the server that runs it;
//!   `worker_name`: which Worker is meant
//! - `config`: the operator's configuration file
//! - `here`: the directory in which the command is started, as a mount
//! - `operator`: who runs this, for the record of what it changes
//! - `rehearsal`: a change tried on a copy in memory
//! - `foreground`: one input, followed to its outcome, and streams, followed until the user ends them;
//!   here or at a server
//! - `output`: stdout is data, stderr is words; tables, times, summaries of events
//! - `error`, `suggest`, `exit`: what went wrong, what to type next, and the exit code
//! - `logging`: the program's own diagnostics
//!
//! A read changes no byte (I12): every command that only reads goes through `target::open`.

mod advice;
mod args;
mod commands;
mod config;
mod error;
mod exit;
mod foreground;
mod here;
mod input_text;
mod logging;
mod operator;
mod output;
mod place_arg;
mod rehearsal;
mod scope_arg;
mod shell;
mod suggest;
mod target;
mod timeout;
mod worker_name;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Cli, error::Failure, output::Printer};

fn main() -> ExitCode {
    // Before anything else, and before any thread: a command's monitor is this very program.
    if let Some(code) = worker_runtime_execution::exec::shim::run_if_requested() {
        return code;
    }
    run().into()
}

fn run() -> exit::Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::report(&error, std::env::args_os()),
    };
    let mut printer = Printer::new(&cli.global);
    let result = logging::start(&cli.global, cli.command.log_format())
        .map_err(Into::into)
        .and_then(|()| commands::run(cli.command, &cli.global, &mut printer))
        .and_then(|exit| match printer.flush() {
            // Nobody reads what is left; what became of the command is what it ends with.
            Err(Failure::ClosedPipe) => Ok(exit),
            flushed => flushed.map(|()| exit),
        });
    match result {
        Ok(exit) => exit,
        Err(failure) => printer.fail(&failure),
    }
}
