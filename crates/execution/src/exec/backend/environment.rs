//! What a command finds in its environment: what it is let through, what it is given, and what the
//! Runtime tells it.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;
use worker_runtime_core::{
    HeldRule, HeldScope, Permission, backend::BackendError, record::ProcessLife, scope::RunScope,
};

use super::super::enclosure::{Found, look};
use super::{
    config::{EnvironmentValue, RESERVED_PREFIX},
    confinement::absolute,
    launch::{Launcher, Start, start_failed},
    temporary::TemporaryDirectory,
};

/// A variable may have 128 KiB, its name included.
const SCOPE_BYTES_MAX: usize = 120 << 10;
const TEMPORARY: &str = "TMPDIR";

/// A scope as a command is told of it: with absolute paths, which stay on this machine.
///
/// A path may be written if a rule of `allow` to write covers it, none of `deny` does, and nothing of
/// `lent` may be written there by its own rules.
#[derive(Debug, Serialize)]
pub(super) struct ScopeText<'a> {
    #[serde(flatten)]
    own: Rules<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lent: Vec<Rules<'a>>,
}

#[derive(Debug, Serialize)]
struct Rules<'a> {
    allow: Vec<RuleText<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<RuleText<'a>>,
}

#[derive(Debug, Serialize)]
struct RuleText<'a> {
    path: &'a str,
    permission: Permission,
    recursive: bool,
}

impl<'a> ScopeText<'a> {
    pub(super) fn of(scope: &'a RunScope) -> Self {
        let lent = scope.lent.iter().map(|child| child.claim());
        let lent = lent.flat_map(|claim| [claim.scope, claim.delegation]);
        Self {
            own: Rules::of(&scope.held.scope),
            lent: lent
                .filter(|of| !of.allow.is_empty())
                .map(Rules::of)
                .collect(),
        }
    }
}

impl<'a> Rules<'a> {
    fn of(scope: &'a HeldScope) -> Self {
        let text = |rule: &'a HeldRule| RuleText {
            path: absolute(rule),
            permission: rule.permission,
            recursive: rule.recursive,
        };
        Self {
            allow: scope.allow.iter().map(text).collect(),
            deny: scope.deny.iter().map(text).collect(),
        }
    }
}

impl Launcher {
    /// Where the command works: in its workspace, else in the first directory that it may write, else
    /// in the first that it may read, else where the embedder said.
    pub(super) fn directory(&self, scope: Option<&RunScope>) -> PathBuf {
        if let Some(workspace) = &self.workspace_directory {
            return workspace.clone();
        }
        let rules = scope.map_or(&[][..], |scope| &scope.held.scope.allow);
        let is_directory = |rule: &&HeldRule| matches!(look(absolute(rule)), Ok(Found::Directory));
        let writes = rules
            .iter()
            .filter(|rule| rule.permission == Permission::Write);
        let mut places = writes.chain(rules);
        let place = places
            .find(is_directory)
            .map(|rule| PathBuf::from(absolute(rule)));
        place.unwrap_or_else(|| self.options.directory.clone())
    }

    /// Secrets are asked for at each start and kept nowhere.
    pub(super) fn environment(
        &self,
        start: &Start<'_>,
        temporary: Option<&TemporaryDirectory>,
    ) -> Result<Vec<(OsString, OsString)>, BackendError> {
        let mut environment: Vec<(OsString, OsString)> = Vec::new();
        if let Some(temporary) = temporary
            && !self.config.env.contains_key(TEMPORARY)
        {
            environment.push((TEMPORARY.into(), temporary.path().into()));
        }
        for name in self.config.env_allow.as_deref().unwrap_or_default() {
            let is_set = self.config.env.contains_key(name)
                || environment.iter().any(|(other, _)| other == name.as_str());
            if let (Some(value), false) = (self.options.environment.get(name), is_set) {
                environment.push((name.into(), value));
            }
        }
        for (name, value) in &self.config.env {
            let value = match value {
                EnvironmentValue::Plain(text) => text.clone(),
                EnvironmentValue::Secret(secret) => self.secret(&secret.secret)?,
            };
            environment.push((name.into(), value.into()));
        }
        environment.extend(self.told(start)?);
        Ok(environment)
    }

    fn secret(&self, name: &str) -> Result<String, BackendError> {
        let resolved = self.secrets.resolve(name);
        resolved
            .filter(|value| !value.contains('\0'))
            .ok_or_else(|| start_failed(format!("the secret {name:?} can't be resolved")))
    }

    /// What the Runtime tells. A command that outlives its runs is told of scope and fence with each.
    fn told(&self, start: &Start<'_>) -> Result<Vec<(OsString, OsString)>, BackendError> {
        let own =
            |name: &str, value: String| (format!("{RESERVED_PREFIX}{name}").into(), value.into());
        let mut told = vec![own("WORKER_ID", self.worker_id.to_string())];
        if start.life == ProcessLife::Run {
            told.extend(start.fence.map(|fence| own("FENCE", fence.to_string())));
            if let Some(scope) = start.scope {
                told.push(own("SCOPE", scope_variable(scope)?));
            }
        }
        Ok(told)
    }
}

fn scope_variable(scope: &RunScope) -> Result<String, BackendError> {
    let text = serde_json::to_string(&ScopeText::of(scope))
        .map_err(|error| start_failed(error.to_string()))?;
    if text.len() > SCOPE_BYTES_MAX {
        let bytes = text.len();
        return Err(start_failed(format!(
            "its scope has {bytes} bytes as a variable, more than {SCOPE_BYTES_MAX}"
        )));
    }
    Ok(text)
}
