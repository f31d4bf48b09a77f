//! What to type next. Every command that the program suggests is made here, so that a test can show
//! that each one is understood.

use std::path::Path;

use worker_runtime_core::{Code, Cursor, InputId, WorkerId};

use crate::shell;

/// A command of this program, without its name and without `--state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suggestion(Vec<String>);

impl Suggestion {
    fn new(words: &[&str]) -> Self {
        Self(words.iter().map(|word| (*word).to_owned()).collect())
    }

    pub(crate) fn run_example() -> Self {
        Self::new(&["run", "--", "sh", "-c", "echo hello"])
    }

    pub(crate) fn help(command: &[&str]) -> Self {
        let mut words = command.to_vec();
        words.push("--help");
        Self::new(&words)
    }

    pub(crate) fn worker_ls() -> Self {
        Self::new(&["worker", "ls"])
    }

    pub(crate) fn worker_ls_all() -> Self {
        Self::new(&["worker", "ls", "--all"])
    }

    pub(crate) fn worker_show(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "show", &worker_id.to_string()])
    }

    pub(crate) fn worker_stop(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "stop", &worker_id.to_string()])
    }

    pub(crate) fn worker_resume(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "resume", &worker_id.to_string()])
    }

    pub(crate) fn worker_restore(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "restore", &worker_id.to_string()])
    }

    pub(crate) fn worker_archive(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "archive", &worker_id.to_string()])
    }

    pub(crate) fn worker_rm(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "rm", &worker_id.to_string()])
    }

    pub(crate) fn worker_send(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "send", &worker_id.to_string(), "TEXT"])
    }

    /// The same input again: it has its first receipt and is run only if it was not.
    pub(crate) fn worker_send_again(worker_id: WorkerId, input_id: &InputId) -> Self {
        let worker_id = worker_id.to_string();
        Self::new(&[
            "worker",
            "send",
            &worker_id,
            "--id",
            input_id.as_str(),
            "TEXT",
        ])
    }

    pub(crate) fn transcript_show(worker_id: WorkerId) -> Self {
        Self::new(&["transcript", "show", &worker_id.to_string()])
    }

    pub(crate) fn event_ls(worker_id: Option<WorkerId>) -> Self {
        match worker_id {
            Some(worker_id) => Self::new(&["event", "ls", &worker_id.to_string()]),
            None => Self::new(&["event", "ls"]),
        }
    }

    pub(crate) fn event_ls_after(worker_id: Option<WorkerId>, cursor: Cursor) -> Self {
        let mut suggestion = Self::event_ls(worker_id);
        suggestion
            .0
            .extend(["--after".to_owned(), cursor.to_string()]);
        suggestion
    }

    pub(crate) fn state_info() -> Self {
        Self::new(&["state", "info"])
    }

    pub(crate) fn status() -> Self {
        Self::new(&["status"])
    }

    pub(crate) fn explain(code: Code) -> Self {
        Self::new(&["errors", "explain", code.as_str()])
    }

    /// The line to type. `state` is the directory that was named on the command line: what is
    /// suggested must find the same store.
    pub(crate) fn line(&self, state: Option<&Path>) -> String {
        let mut words = vec!["worker-runtime".to_owned()];
        if let Some(state) = state {
            words.extend(["--state".to_owned(), state.display().to_string()]);
        }
        words.extend(self.0.iter().cloned());
        shell::join(words.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests;
