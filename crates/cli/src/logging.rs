//! The program's own diagnostics: to stderr, `warn` and above unless asked for more. Nothing that a
//! Worker says is in them. A panic that the store holds is one of them, at `debug`: what follows from it is
//! told by the command, as an error with a code.

use std::{io, panic};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use worker_runtime_core::Code;

use crate::{args::Global, error::CliError};

/// What is printed unless asked otherwise. What a backend warns of is told by the events of its run,
/// and what a read of the store meets by the command itself, with its code.
const DEFAULT_FILTER: &str =
    "warn,worker_runtime_execution=error,worker_runtime_persist::read=error";

/// How diagnostics are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Human,
    /// One JSON object per line
    Json,
}

/// Starts logging, once, as the command line or the environment asks.
///
/// # Errors
/// When the filter is no filter.
pub(crate) fn start(global: &Global, format: LogFormat) -> Result<(), CliError> {
    let filter = global.log.as_deref().unwrap_or(DEFAULT_FILTER);
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        let message = format!("--log {filter:?} is no filter: {error}");
        CliError::new(Code::Usage, message)
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would say on the same stderr that it can't write there, and panic over that.
        .log_internal_errors(false)
        .with_ansi(false);
    // Nobody else in this process sets one, and a second one would change nothing.
    let _ = match format {
        LogFormat::Human => tracing::subscriber::set_global_default(builder.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish()),
    };
    quieten_held_panics();
    Ok(())
}

/// The engine's panics at a damaged file come from the bytes, not from a defect of this program.
fn quieten_held_panics() {
    let standard = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if worker_runtime_persist::holds_panics() {
            tracing::debug!(%panic, "the store held a panic of its engine");
        } else {
            standard(panic);
        }
    }));
}
