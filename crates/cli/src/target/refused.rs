//! Why a store can't be opened, with what to type next.

use std::{io, path::Path};

use worker_runtime_core::Code;
use worker_runtime_persist::OpenError;

use crate::{error::CliError, suggest::Suggestion};

/// The command that serves.
const SERVE: &str = "serve";
/// The words of commands that change a store.
const VERBS: &[&str] = &[
    SERVE, "run", "worker", "create", "send", "stop", "cancel", "pause", "resume", "archive",
    "restore", "rm",
];

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let code = error.code();
        match error {
            // The details name the directory themselves.
            OpenError::Missing { path, detail } => Self::new(code, detail).hint(
                // Where something else is, no store would be made.
                match is_free(&path) {
                    true => Suggestion::run_example(),
                    false => Suggestion::other_state(),
                },
            ),
            OpenError::Locked {
                pid,
                address,
                detail,
                ..
            } => locked(pid, address.is_some(), &detail),
            OpenError::Damaged { path, detail } => Self::new(code, detail)
                .hint(Suggestion::copy(&path, "damaged"))
                .hint(Suggestion::state_check()),
            OpenError::Foreign { detail, .. } => {
                Self::new(code, detail).hint(Suggestion::other_state())
            }
            OpenError::Denied { path, detail } => Self::new(code, detail)
                .hint(Suggestion::directory(&path))
                .hint(Suggestion::other_state()),
            OpenError::Store(error) => error.into(),
            other => Self::new(code, other.to_string()).hint(Suggestion::other_state()),
        }
    }
}

/// Whether a store could be made here: nothing is there, or nothing but what we leave.
fn is_free(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// That another process has the store, and what that process is, where the system tells.
fn locked(pid: Option<u32>, serves: bool, detail: &str) -> CliError {
    let Some(pid) = pid else {
        return CliError::new(Code::StateLocked, detail).hint(Suggestion::state_info());
    };
    let message = match verb_of(pid).as_deref() {
        None => detail.to_owned(),
        Some(SERVE) if !serves => format!(
            "{detail}, a server that is starting or ending and takes no requests now; try again, or give it time with --wait 30s"
        ),
        Some(verb) => format!("{detail}, busy with `{verb}`"),
    };
    CliError::new(Code::StateLocked, message).hint(Suggestion::process(pid))
}

/// The command that a process of this program carries out: its verb alone, as what else was typed
/// may be nobody's business.
fn verb_of(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next()?;
    if Path::new(program.as_ref()).file_name()? != "worker-runtime" {
        return None;
    }
    let is_verb = |word: &str| VERBS.contains(&word);
    let verb = words
        .skip_while(|word| !is_verb(word))
        .take_while(|word| is_verb(word));
    let verb = verb.take(2).collect::<Vec<_>>().join(" ");
    (!verb.is_empty()).then_some(verb)
}
