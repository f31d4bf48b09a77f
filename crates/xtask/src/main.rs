//! Tasks of this repository that take more than one cargo command.
//!
//! - `faults`: the fault harness, all of it: builds, parts, the faults put in on purpose, the report

mod faults;
mod process;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Tasks of this repository that take more than one cargo command.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Faults(faults::Arguments),
}

/// How a task ended that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Held,
    Broken,
}

/// A task could not do its work.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}: {why}")]
pub(crate) struct TaskError {
    doing: String,
    why: String,
}

impl TaskError {
    pub(crate) fn new(doing: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self {
            doing: doing.into(),
            why: why.to_string(),
        }
    }
}

/// Says what could not be done, at the place where it failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, TaskError>;
}

impl<T, E: std::fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Into<String>) -> Result<T, TaskError> {
        self.map_err(|why| TaskError::new(what, why))
    }
}

fn main() -> ExitCode {
    let Task::Faults(arguments) = Arguments::parse().task;
    let verdict = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("start")
        .and_then(|tokio| tokio.block_on(until_interrupted(faults::run(&arguments))));
    match verdict {
        Ok(Some(Verdict::Held)) => ExitCode::SUCCESS,
        Ok(Some(Verdict::Broken)) => ExitCode::from(1),
        Ok(None) => ExitCode::from(130),
        Err(error) => {
            let _ = writeln!(io::stderr(), "xtask: {error}");
            ExitCode::from(70)
        }
    }
}

/// Drops the task when somebody ends us: with it go the processes that it started.
async fn until_interrupted(
    task: impl Future<Output = Result<Verdict, TaskError>>,
) -> Result<Option<Verdict>, TaskError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).doing("listen for signals")?;
    tokio::select! {
        verdict = task => verdict.map(Some),
        _ = tokio::signal::ctrl_c() => Ok(None),
        _ = terminate.recv() => Ok(None),
    }
}
