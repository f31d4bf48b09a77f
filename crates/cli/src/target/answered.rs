//! What a server refused, or that it could not be asked, as an error for a user: the same codes and
//! the same next commands as on a stopped store.

use worker_runtime_core::{
    Code, LeaseId, WorkerId,
    worker::{BackendSelection, CreateWorker},
};
use worker_runtime_execution::exec::ExecFactory;
use worker_runtime_http::{
    client::ClientError,
    wire::{AccessScope, Problem},
};

use super::server::{Found, Remote};
use crate::{
    error::{CliError, with_owners},
    suggest::Suggestion,
};

/// What a call is about, for what is suggested when it is refused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About {
    worker_id: Option<WorkerId>,
    lease_id: Option<LeaseId>,
    /// The command whose `--help` tells what it takes.
    command: &'static [&'static str],
    /// What all of it needs, where a server that has not read it yet asks for less.
    needs: Option<AccessScope>,
}

impl About {
    /// The Runtime.
    pub(crate) const RUNTIME: Self = Self {
        worker_id: None,
        lease_id: None,
        command: &[],
        needs: None,
    };

    /// A Worker.
    pub(crate) const fn worker(worker_id: WorkerId) -> Self {
        Self {
            worker_id: Some(worker_id),
            lease_id: None,
            command: &[],
            needs: None,
        }
    }

    /// A Worker that is to be made. Who chooses its command line can do what the server can.
    pub(crate) fn creation(request: &CreateWorker) -> Self {
        let is_free = |backend: &BackendSelection| backend.name == ExecFactory::NAME;
        let is_free = request.backend.as_ref().is_some_and(is_free);
        Self {
            needs: is_free.then_some(AccessScope::Admin),
            ..Self::RUNTIME.of(&["worker", "create"])
        }
    }

    /// A lease.
    pub(crate) const fn lease(self, lease_id: LeaseId) -> Self {
        Self {
            lease_id: Some(lease_id),
            ..self
        }
    }

    /// Whether it is about the operation log.
    fn is_of_operations(&self) -> bool {
        self.command.first() == Some(&"op")
    }

    pub(crate) const fn of(self, command: &'static [&'static str]) -> Self {
        Self { command, ..self }
    }
}

impl Remote {
    /// What the user is to be told.
    pub(super) async fn told_of(&self, error: ClientError, about: About) -> CliError {
        match error {
            ClientError::Refused(problem) if !speaks_another(&problem) => {
                self.refused(&problem, about)
            }
            ClientError::Refused(_) | ClientError::Protocol { .. } => {
                self.other(&error, about).await
            }
            error => self.told(&error),
        }
    }

    /// The same where nothing more can be asked.
    pub(crate) fn told(&self, error: &ClientError) -> CliError {
        match error {
            ClientError::Refused(problem) => self.refused(problem, About::RUNTIME),
            error => {
                let told = CliError::new(error.code(), error.to_string());
                match &self.found {
                    Found::Holds { pid: Some(pid), .. } => told.hint(Suggestion::process(*pid)),
                    Found::Holds { .. } => told.hint(Suggestion::state_info()),
                    Found::Named if error.code() == Code::ServerUnreachable => told
                        .hint(Suggestion::serve())
                        .hint(Suggestion::other_server()),
                    Found::Named => told.hint(Suggestion::other_server()),
                }
            }
        }
    }

    /// What answers is something else, or another version: told apart by what it says of itself.
    async fn other(&self, error: &ClientError, about: About) -> CliError {
        let ours = env!("CARGO_PKG_VERSION");
        let address = self.client.address();
        let message = match (self.client.version().await, error) {
            (Ok(theirs), ClientError::Refused(problem)) if theirs == ours => {
                return self.refused(problem, about);
            }
            (Ok(theirs), error) if theirs == ours => {
                format!(
                    "the server at {address} is of this version, and its answer is not: {error}"
                )
            }
            (Ok(theirs), _) => format!(
                "the server at {address} has version {theirs}, and this command has {ours}: they don't understand each other"
            ),
            (Err(_), _) => format!("what answers at {address} is no worker-runtime"),
        };
        CliError::new(Code::ServerUnreachable, message)
            .hint(Suggestion::version())
            .hint(Suggestion::other_server())
    }

    fn refused(&self, problem: &Problem, about: About) -> CliError {
        let code = problem.code;
        let told = CliError::new(code, problem.detail.clone());
        let worker_id = problem.worker_id.or(about.worker_id);
        let show = worker_id.map_or_else(Suggestion::worker_ls, Suggestion::worker_show);
        let show = about.lease_id.map_or(show, Suggestion::lock_show);
        match code {
            Code::TokenMissing => {
                let address = self.client.address();
                let message = format!(
                    "the server at {address} wants an access token: name its file with --token-file, or set WORKER_RUNTIME_TOKEN"
                );
                CliError::new(code, message).hint(Suggestion::with_token_file())
            }
            Code::TokenInvalid => told.hint(Suggestion::with_token_file()),
            Code::WorkerUnknown | Code::WorkerDeleted | Code::ParentUnknown | Code::WorkerLimit => {
                told.hint(Suggestion::worker_ls())
            }
            Code::WorkerDamaged => told.hint(Suggestion::event_ls(worker_id)),
            Code::ScopeConflict => with_owners(told, &problem.owners),
            Code::ScopeUndelegated => match worker_id {
                Some(parent) => told
                    .hint(Suggestion::lock_show(parent))
                    .hint(Suggestion::help(&["lock", "change"])),
                None => told.hint(show),
            },
            Code::WorkerExists
            | Code::WorkerNotActive
            | Code::InputIncapable
            | Code::InputQuota
            | Code::InputQueueFull => told.hint(show),
            Code::InputBusy => match worker_id {
                Some(worker_id) => told.hint(Suggestion::worker_attach(worker_id)).hint(show),
                None => told.hint(show),
            },
            Code::WorkerNotEnded => match worker_id {
                Some(worker_id) => told.hint(Suggestion::worker_stop(worker_id)),
                None => told,
            },
            Code::CursorExpired => with_cursor(told, about, problem.earliest),
            Code::CursorAhead => with_cursor(told, about, problem.tail),
            Code::CursorForked => with_cursor(told, about, problem.fork_at),
            Code::CursorForeign | Code::CursorMalformed => {
                told.hint(Suggestion::event_ls(about.worker_id))
            }
            Code::ActionUnknown | Code::ActionOption | Code::RunUnknown | Code::RunStale => {
                told.hint(show)
            }
            Code::FieldInvalid
            | Code::ObjectiveEmpty
            | Code::ProfileUnknown
            | Code::BackendUnknown
            | Code::BackendConfig
            | Code::ScopeInvalid
            | Code::InputEmpty
            | Code::InputTooLarge => told.hint(Suggestion::help(about.command)),
            Code::TokenScope => with_scope(told, problem.scope, about.needs),
            Code::WorkerChanged | Code::FenceStale => told.hint(show),
            Code::LeaseExists => told.hint(show),
            Code::RecordDamaged if let Some(lease_id) = about.lease_id => {
                told.hint(Suggestion::lock_release_by_force(lease_id))
            }
            Code::OperationUnknown => told.hint(Suggestion::op_log(None)),
            Code::RecordDamaged if about.is_of_operations() => told.hint(Suggestion::op_log(None)),
            Code::LeaseUnknown | Code::LeaseLimit => told.hint(Suggestion::lock_ls()),
            Code::ScopeNotHeld => told.hint(Suggestion::lock_ls()),
            Code::ScopeInUse | Code::ScopeLent | Code::ScopeDenied => {
                let by_force = worker_id.map(Suggestion::lock_release_by_force);
                let by_force = by_force.filter(|_| code == Code::ScopeInUse);
                let shown = worker_id.map(Suggestion::lock_show);
                let shown = shown.filter(|_| code != Code::ScopeInUse);
                let shown = shown.unwrap_or(show);
                by_force
                    .into_iter()
                    .chain([shown])
                    .fold(told, CliError::hint)
            }
            Code::HostRefused | Code::OriginRefused => told,
            _ => told.hint(Suggestion::status()),
        }
    }
}

/// With the token that all of the command needs: one for its first step alone is refused at the next.
fn with_scope(
    mut told: CliError,
    asked: Option<AccessScope>,
    needs: Option<AccessScope>,
) -> CliError {
    let Some(scope) = asked.max(needs) else {
        return told;
    };
    if asked < needs {
        let further = format!("; with a command line of its own, it needs scope {scope}");
        told.message.push_str(&further);
    }
    told.hint(Suggestion::token_create(scope))
}

/// Whether the server does not know the call itself, which every server of this version does.
fn speaks_another(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::RouteUnknown | Code::MethodRefused | Code::BodyInvalid | Code::QueryInvalid
    )
}

fn with_cursor(
    told: CliError,
    about: About,
    cursor: Option<worker_runtime_core::Cursor>,
) -> CliError {
    told.hint(match cursor {
        Some(cursor) => Suggestion::event_ls_after(about.worker_id, cursor),
        None => Suggestion::event_ls(about.worker_id),
    })
}
