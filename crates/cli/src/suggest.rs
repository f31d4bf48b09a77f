//! What to type next. Every command that the program suggests is made here, so that a test can show
//! that each one is understood.

use std::path::Path;

use worker_runtime_core::{
    Code, Cursor, Fence, InputId, LeaseId, OperationId, ScopeRule, WorkerId, view::Holder,
};
use worker_runtime_http::wire::AccessScope;

use crate::{shell, worker_name::holder_id};

/// What stands where only the user knows the words; a shell would not take it for a text.
const TEXT: &str = "<your text>";

/// A command to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suggestion {
    words: Vec<String>,
    whose: Whose,
}

/// Whose command it is, and so what stands before its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// This program's, on the same state directory or server.
    Ours,
    /// This program's, and it needs or names no state directory of this call.
    OursAnywhere,
    /// This program's, on the same state directory and with its own token, whatever server was named.
    OursAtState,
    /// The system's.
    System,
}

impl Suggestion {
    fn new(words: &[&str]) -> Self {
        Self {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            whose: Whose::Ours,
        }
    }

    fn of(self, whose: Whose) -> Self {
        Self { whose, ..self }
    }

    pub(crate) fn run_example() -> Self {
        Self::new(&["run", "--", "sh", "-c", "echo hello"])
    }

    /// Where the directory that was named can't be meant.
    pub(crate) fn other_state() -> Self {
        Self::new(&["--state", "DIR", "status"]).of(Whose::OursAnywhere)
    }

    /// What a process is.
    pub(crate) fn process(pid: u32) -> Self {
        Self::new(&["ps", "-fp", &pid.to_string()]).of(Whose::System)
    }

    /// Who may do what with a directory.
    pub(crate) fn directory(path: &Path) -> Self {
        Self::new(&["ls", "-ld", &path.display().to_string()]).of(Whose::System)
    }

    /// A file for its owner alone.
    pub(crate) fn close_to_others(path: &Path) -> Self {
        Self::new(&["chmod", "600", &path.display().to_string()]).of(Whose::System)
    }

    /// A copy of the state directory, before anything else is tried.
    pub(crate) fn copy(path: &Path, suffix: &str) -> Self {
        let path = path.display().to_string();
        Self::new(&["cp", "-a", &path, &format!("{path}.{suffix}")]).of(Whose::System)
    }

    /// A line of a file.
    pub(crate) fn line_of(path: &Path, line: usize) -> Self {
        let path = path.display().to_string();
        Self::new(&["sed", "-n", &format!("{line}p"), &path]).of(Whose::System)
    }

    pub(crate) fn token_ls() -> Self {
        Self::new(&["token", "ls"])
    }

    /// A token that allows more; whose file was named for this call may not make it.
    pub(crate) fn token_create(scope: AccessScope) -> Self {
        let scope = scope.as_str();
        Self::new(&["token", "create", "--name", "NAME", "--scope", scope]).of(Whose::OursAtState)
    }

    pub(crate) fn token_revoke(token_id: &str) -> Self {
        Self::new(&["token", "revoke", token_id])
    }

    /// A file of ours that holds something else, put aside.
    pub(crate) fn move_away(path: &Path) -> Self {
        let path = path.display().to_string();
        Self::new(&["mv", &path, &format!("{path}.unreadable")]).of(Whose::System)
    }

    /// Who listens at a port.
    pub(crate) fn listeners(port: u16) -> Self {
        Self::new(&["ss", "-ltnp", &format!("sport = :{port}")]).of(Whose::System)
    }

    /// The server, at a port that the system chooses.
    pub(crate) fn serve_anywhere() -> Self {
        Self::new(&["serve", "--bind", "127.0.0.1:0"])
    }

    pub(crate) fn help(command: &[&str]) -> Self {
        let mut words = command.to_vec();
        words.push("--help");
        Self::new(&words).of(Whose::OursAnywhere)
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

    /// The same input once more: with its id it is taken once.
    pub(crate) fn worker_send_again(worker_id: WorkerId, input_id: &InputId) -> Self {
        let (worker_id, input_id) = (worker_id.to_string(), input_id.to_string());
        Self::new(&["worker", "send", &worker_id, TEXT, "--id", &input_id])
    }

    pub(crate) fn worker_stop(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "stop", &worker_id.to_string()])
    }

    pub(crate) fn lock_ls() -> Self {
        Self::new(&["lock", "ls"])
    }

    pub(crate) fn lock_show(holder: impl Into<Holder>) -> Self {
        Self::new(&["lock", "show", &holder_id(holder.into())])
    }

    /// A lease, for its whole time from now on.
    pub(crate) fn lock_renew(lease_id: LeaseId, fence: Fence) -> Self {
        let (lease_id, fence) = (lease_id.to_string(), fence.to_string());
        Self::new(&["lock", "renew", &lease_id, "--fence", &fence])
    }

    /// Who holds the place of a rule.
    pub(crate) fn lock_who(rule: &ScopeRule) -> Self {
        Self::new(&["lock", "who", &format!("{}:{}", rule.mount, rule.path)])
    }

    /// What somebody holds, also a Worker that runs something.
    pub(crate) fn lock_release_by_force(holder: impl Into<Holder>) -> Self {
        let holder = holder_id(holder.into());
        Self::new(&["lock", "release", &holder, "--force", "--reason", TEXT])
    }

    /// What those below a Worker hold, also while they run something.
    pub(crate) fn lock_reclaim_by_force(worker_id: WorkerId) -> Self {
        let worker_id = worker_id.to_string();
        Self::new(&["lock", "reclaim", &worker_id, "--force", "--reason", TEXT])
    }

    /// Who changed what, of one Worker or at all.
    pub(crate) fn op_log(worker_id: Option<WorkerId>) -> Self {
        match worker_id {
            Some(worker_id) => Self::new(&["op", "log", "--worker", &worker_id.to_string()]),
            None => Self::new(&["op", "log"]),
        }
    }

    pub(crate) fn op_show(operation_id: OperationId) -> Self {
        Self::new(&["op", "show", &operation_id.to_string()])
    }

    pub(crate) fn worker_resume(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "resume", &worker_id.to_string()])
    }

    /// What waits is run, in order.
    pub(crate) fn worker_run(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "run", &worker_id.to_string()])
    }

    /// What it says is printed as it comes; nothing is cancelled by looking away.
    pub(crate) fn worker_attach(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "attach", &worker_id.to_string()])
    }

    /// An answer to what a run asks for.
    pub(crate) fn worker_answer(worker_id: WorkerId, action_id: &str, option: &str) -> Self {
        Self::new(&[
            "worker",
            "answer",
            &worker_id.to_string(),
            action_id,
            option,
        ])
    }

    pub(crate) fn worker_assume_dead(worker_id: WorkerId) -> Self {
        Self::new(&["worker", "cancel", &worker_id.to_string(), "--assume-dead"])
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
        Self::new(&["worker", "send", &worker_id.to_string(), TEXT])
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
            .words
            .extend(["--after".to_owned(), cursor.to_string()]);
        suggestion
    }

    /// What comes next, as it comes.
    pub(crate) fn event_tail(worker_id: Option<WorkerId>, cursor: Option<Cursor>) -> Self {
        let mut suggestion = Self::new(&["event", "tail"]);
        let worker_id = worker_id.map(|worker_id| worker_id.to_string());
        suggestion.words.extend(worker_id);
        if let Some(cursor) = cursor {
            let after = ["--after".to_owned(), cursor.to_string()];
            suggestion.words.extend(after);
        }
        suggestion
    }

    /// The same, with one more option.
    pub(crate) fn with_option(mut self, option: &str, value: String) -> Self {
        self.words.extend([option.to_owned(), value]);
        self
    }

    /// The same, with the access token that was missing.
    pub(crate) fn with_token_file() -> Self {
        Self::new(&["--token-file", "FILE", "status"])
    }

    /// Where what was named can't be meant, or is not there.
    pub(crate) fn other_server() -> Self {
        Self::new(&["--server", "http://HOST:7621", "status"]).of(Whose::OursAnywhere)
    }

    /// What makes a server, on its machine.
    pub(crate) fn serve() -> Self {
        Self::new(&["serve"]).of(Whose::OursAnywhere)
    }

    /// What makes a server of the state directory that is meant.
    pub(crate) fn serve_here() -> Self {
        Self::new(&["serve"])
    }

    /// Which version this is.
    pub(crate) fn version() -> Self {
        Self::new(&["version"]).of(Whose::OursAnywhere)
    }

    pub(crate) fn state_info() -> Self {
        Self::new(&["state", "info"])
    }

    /// The whole store looked at.
    pub(crate) fn state_check() -> Self {
        Self::new(&["state", "check"])
    }

    pub(crate) fn accept_older() -> Self {
        Self::new(&["state", "accept-older", "--yes"])
    }

    pub(crate) fn status() -> Self {
        Self::new(&["status"])
    }

    pub(crate) fn explain(code: Code) -> Self {
        Self::new(&["errors", "explain", code.as_str()]).of(Whose::OursAnywhere)
    }

    /// The line to type. `same_place` is what names the store or the server on this command line:
    /// what is suggested must find the same one.
    pub(crate) fn line(&self, same_place: &[String]) -> String {
        shell::join(self.typed(same_place).iter().map(String::as_str))
    }

    fn typed(&self, same_place: &[String]) -> Vec<String> {
        let mut words = match self.whose {
            Whose::System => Vec::new(),
            Whose::Ours | Whose::OursAnywhere | Whose::OursAtState => {
                vec!["worker-runtime".to_owned()]
            }
        };
        // An option may be typed once, and the suggestion's own counts.
        let kept = same_place.chunks(2).filter(|pair| {
            pair.first().is_some_and(|option| match self.whose {
                Whose::Ours => !self.words.contains(option),
                Whose::OursAtState => option == "--state",
                Whose::OursAnywhere | Whose::System => false,
            })
        });
        words.extend(kept.flatten().cloned());
        words.extend(self.words.iter().cloned());
        words
    }
}

#[cfg(test)]
mod tests;
