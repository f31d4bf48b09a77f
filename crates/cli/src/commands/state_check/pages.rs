//! The structure of the store's file. The engine can end the process that looks at a damaged file, so a
//! process of this same program looks, and its end is an answer too.

use std::{
    env, io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use worker_runtime_core::Code;
use worker_runtime_persist::{Structure, check_structure};

use crate::{
    error::{CliError, Failure},
    exit::Exit,
    output::Printer,
};

/// What the process that looks prints.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Whole,
    Damaged(String),
    Unread(String),
}

/// Looks, and prints what is found for the process that asked.
pub(super) fn answer(path: &Path, printer: &mut Printer) -> Result<Exit, Failure> {
    // Whoever asked is gone when it fails: then nobody reads the answer either.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let answer = match check_structure(path).map_err(CliError::from)? {
        Structure::Whole => Answer::Whole,
        Structure::Damaged(detail) => Answer::Damaged(detail),
        Structure::Unread(detail) => Answer::Unread(detail),
    };
    let text = serde_json::to_string(&answer)
        .map_err(|error| CliError::new(Code::Bug, format!("a bug: {error}")))?;
    printer.line(text)?;
    Ok(Exit::Done)
}

/// Has a process of its own look at the file's structure.
///
/// # Errors
/// When it can't be started.
pub(super) fn look(path: &Path) -> Result<Structure, CliError> {
    let not_started = |error: io::Error| {
        let message =
            format!("the process that looks at the file's pages can't be started: {error}");
        CliError::new(Code::CheckUnfinished, message)
    };
    let program = env::current_exe().map_err(not_started)?;
    let output = Command::new(program)
        .args(["state", "check", "--pages-only", "--state"])
        .arg(path)
        .env_remove("WORKER_RUNTIME_SERVER")
        .stdin(Stdio::null())
        // What it says when it dies is of use to nobody; that it died is told.
        .stderr(Stdio::null())
        .output()
        .map_err(not_started)?;
    Ok(match serde_json::from_slice(&output.stdout) {
        Ok(Answer::Whole) if output.status.success() => Structure::Whole,
        Ok(Answer::Damaged(detail)) => Structure::Damaged(detail),
        Ok(Answer::Unread(detail)) => Structure::Unread(detail),
        Ok(Answer::Whole) | Err(_) => ended(output.status),
    })
}

/// What it means that it ended without an answer.
fn ended(status: ExitStatus) -> Structure {
    let told = format!("the process that looked at the file's pages ended with {status}");
    let by_others = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP];
    let is_by_others = |signal: i32| by_others.iter().any(|other| other.as_raw() == signal);
    match (status.signal(), status.code()) {
        (Some(signal), _) if is_by_others(signal) => Structure::Unread(told),
        (Some(_), _) | (None, Some(PANICKED)) => Structure::Damaged(told),
        (None, _) => Structure::Unread(told),
    }
}

/// What a Rust program ends with after a panic.
const PANICKED: i32 = 101;

#[cfg(test)]
mod tests;
