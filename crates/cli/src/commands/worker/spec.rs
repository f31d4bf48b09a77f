//! What a Worker is made of, as it is typed: shared by `run` and `worker create`.

use std::{collections::BTreeMap, path::Path};

use clap::Args;
use worker_runtime_core::{
    Clock, Code, IdError, Scope, SystemClock, SystemEntropy, WorkerId,
    profile::{ProfileSelector, is_builtin},
    worker::{CreateWorker, Intent},
};

use super::backend::{BackendArgs, InputWay};
use crate::{
    error::CliError, here::Here, scope_arg, shell, suggest::Suggestion, target::is_unknown,
};

#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// A label (may be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
    /// The Worker's id, so that the same call again does nothing twice
    #[arg(long, value_name = "UUID")]
    worker_id: Option<String>,
    /// What the Worker is to reach
    #[arg(long, value_name = "TEXT", conflicts_with = "role")]
    objective: Option<String>,
    /// What the Worker is among others
    #[arg(long)]
    role: Option<String>,
    /// To what end it has its role, or is there at all
    #[arg(long, value_name = "TEXT", conflicts_with = "objective")]
    purpose: Option<String>,
    /// The Worker on whose behalf it is made, by its id
    #[arg(long, value_name = "UUID")]
    parent: Option<String>,
    /// The profile that tells the Worker what it is: one that ships with the program, or one of the
    /// configuration
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Where the Worker works: a place that the configuration names, and a path below it; without
    /// it, this directory
    #[arg(long, value_name = "MOUNT:PATH", value_parser = parse_place)]
    workspace: Option<(String, String)>,
    #[command(flatten)]
    rules: Rules,
    /// Why it is made, for the record of the operation
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say what would be made; exit 23 if anything would
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

/// What a Worker may touch and hand on, as it is typed.
#[derive(Debug, Args)]
pub(crate) struct Rules {
    /// What it may touch below its workspace: write:PATH or read:PATH, with :direct not below PATH (may be repeated)
    #[arg(long, value_name = "RULE")]
    scope: Vec<String>,
    /// What it may not touch, although --scope covers it (may be repeated)
    #[arg(long, value_name = "RULE", requires = "scope")]
    deny: Vec<String>,
    /// What it may hand on to Workers below it, whether it may touch that itself or not (may be repeated)
    #[arg(long, value_name = "RULE")]
    delegate: Vec<String>,
}

impl Rules {
    /// What it may touch itself.
    ///
    /// # Errors
    /// When a rule has another form.
    pub(crate) fn own(&self, here: &Here) -> Result<Scope, CliError> {
        scope_arg::scope(&self.scope, &self.deny, here)
    }

    /// What it may hand on.
    ///
    /// # Errors
    /// When a rule has another form.
    pub(crate) fn handed_on(&self, here: &Here) -> Result<Scope, CliError> {
        scope_arg::delegation(&self.delegate, here)
    }

    pub(crate) const fn has_scope(&self) -> bool {
        !self.scope.is_empty()
    }

    pub(crate) const fn has_delegation(&self) -> bool {
        !self.delegate.is_empty()
    }

    /// # Errors
    /// When there is no rule at all.
    pub(crate) fn refuse_none(&self, command: &[&str]) -> Result<(), CliError> {
        if self.has_scope() || self.has_delegation() {
            return Ok(());
        }
        let message = "say what is to be held: --scope RULE, such as write:src, or --delegate RULE";
        Err(CliError::usage(message, command))
    }
}

/// Takes `KEY=VALUE` apart.
pub(crate) fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is no KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Takes `MOUNT:PATH` apart. Whether there is such a place is for whoever makes the Worker to say.
pub(crate) fn parse_place(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        None | Some(("", _)) => Err(format!(
            "{text:?} is no MOUNT:PATH, such as project: or project:src"
        )),
        Some((mount, path)) => Ok((mount.to_owned(), path.to_owned())),
    }
}

impl SpecArgs {
    /// The request, without an input. `command` may be empty: then nothing runs the Worker's input.
    ///
    /// # Errors
    /// When an id or a rule has another form, or the backend's configuration can't be read.
    pub(crate) fn request(
        &self,
        command: &[String],
        default_way: InputWay,
        here: &Here,
    ) -> Result<CreateWorker, CliError> {
        let named = self.workspace.clone();
        let named = named.map(|(mount, path)| here.clone().elsewhere(mount, path));
        let here = named.as_ref().unwrap_or(here);
        let chosen = self.backend.chosen(command, default_way)?;
        let command = &chosen.argv;
        let mut request = CreateWorker::new(self.intent(command));
        request.worker_id = Some(self.worker_id()?);
        request.display_name = self.name.clone().or_else(|| name_of(command));
        request.labels = self.label.iter().cloned().collect::<BTreeMap<_, _>>();
        request.scope = self.rules.own(here)?;
        request.delegation = self.rules.handed_on(here)?;
        if let Some(name) = &self.profile {
            request.spec.profile = selector(name.clone());
        }
        let parent = self.parent.as_deref();
        request.spec.parent = parent.map(|text| id_of("--parent", text)).transpose()?;
        request.spec.workspace = Some(here.workspace());
        request.backend = chosen.backend;
        request.reason.clone_from(&self.reason);
        Ok(request)
    }

    /// Whether the Worker asks for a scope.
    pub(crate) const fn has_scope(&self) -> bool {
        self.rules.has_scope()
    }

    /// Whether the Worker may be there already; an id that was minted here is nobody's.
    pub(crate) const fn has_worker_id(&self) -> bool {
        self.worker_id.is_some()
    }

    /// The error with the way to find out, where nobody knows whether the Worker was made.
    pub(crate) fn in_doubt(&self, mut error: CliError, request: &CreateWorker) -> CliError {
        if let (true, Some(worker_id)) = (is_unknown(&error), request.worker_id) {
            error.hints.insert(0, Suggestion::worker_show(worker_id));
        }
        error
    }

    fn worker_id(&self) -> Result<WorkerId, CliError> {
        match &self.worker_id {
            Some(text) => id_of("--worker-id", text),
            // Known before the Runtime is opened, which dispatches this Worker's input alone.
            None => Ok(WorkerId::mint(
                SystemClock::default().now(),
                &mut SystemEntropy,
            )),
        }
    }

    fn intent(&self, command: &[String]) -> Intent {
        let purpose = self.purpose.clone();
        match (&self.objective, &self.role) {
            (Some(objective), _) => Intent::Task {
                objective: objective.clone(),
            },
            (None, Some(role)) => Intent::Role {
                role: role.clone(),
                purpose,
            },
            (None, None) if purpose.is_none() && !command.is_empty() => Intent::Task {
                objective: command_line(command),
            },
            (None, None) => Intent::Assistant { purpose },
        }
    }
}

/// No profile of the configuration has the name of one that ships with the program.
fn selector(name: String) -> ProfileSelector {
    match is_builtin(&name) {
        true => ProfileSelector::Builtin { name },
        false => ProfileSelector::Named { name },
    }
}

fn id_of(option: &str, text: &str) -> Result<WorkerId, CliError> {
    text.parse().map_err(|error: IdError| {
        let message = format!("{option}: {error}");
        CliError::new(Code::FieldInvalid, message).hint(Suggestion::help(&["worker", "create"]))
    })
}

/// The command as it could be typed.
pub(crate) fn command_line(command: &[String]) -> String {
    shell::join(command.iter().map(String::as_str))
}

fn name_of(command: &[String]) -> Option<String> {
    let program = Path::new(command.first()?);
    Some(program.file_name()?.to_string_lossy().into_owned())
}
