//! Keeps a command to what its run may write, by the kernel, and says how much of that is so (I6).
//!
//! It is as of the command's start: what is granted to Workers below while it runs is still open to it,
//! and what is granted to its own Worker is not. Names are `mount:path`, never an absolute path (I11).

use std::collections::BTreeMap;

use serde::Serialize;
use tracing::debug;
use worker_runtime_core::{
    HeldRule, Permission, RunSink,
    backend::{BackendError, BackendErrorKind},
    scope::RunScope,
};

use super::super::enclosure::{Enclosure, Found, LANDLOCK_VERSION, look};
use super::{
    config::Confine,
    launch::Launcher,
    outline::{Open, Outline},
};

/// How many places one reason names.
const NAMED_MAX: usize = 8;
/// The longest name of a place in a reason, in characters.
const NAME_CHARS_MAX: usize = 120;

/// Whether the kernel keeps a command to what it may write: the status `confinement` of its Worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Confinement {
    state: ConfinementState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ConfinementState {
    /// Nobody asked for it.
    Off,
    /// It writes nowhere else.
    Whole,
    /// It writes nowhere outside of the trees of its scope; within them the reason names what it should
    /// not and could.
    Outer,
    /// It was asked for and can't be done: nothing was executed.
    Unavailable,
}

/// Where a command may write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    write_below: Vec<String>,
    missing: Vec<String>,
    open: Vec<String>,
}

impl Plan {
    /// What a run may write, as far as it is there; of a Worker that holds nothing, nothing.
    ///
    /// # Errors
    /// [`BackendErrorKind::Unconfined`] naming the rule that can't be looked up.
    pub(super) fn of(scope: Option<&RunScope>) -> Result<Self, BackendError> {
        let Some(scope) = scope else {
            return Ok(Self::default());
        };
        let mut found = BTreeMap::new();
        for rule in writes(scope) {
            let there = look(absolute(rule)).map_err(|error| {
                let rule = name(rule);
                unconfined(format!(
                    "{rule} can't be looked up as it was granted: {error}"
                ))
            })?;
            found.insert(rule.target.as_str(), there);
        }
        let is = |rule: &HeldRule, what| found.get(rule.target.as_str()) == Some(&what);
        let outline = Outline::of(scope, |rule| is(rule, Found::File));
        let (missing, there): (Vec<_>, Vec<_>) = outline
            .trees
            .allow
            .iter()
            .partition(|rule| is(rule, Found::Nothing));
        let is_missing_alone = |rule: &&HeldRule| {
            !there.iter().any(|tree| {
                let below = rule.target.strip_prefix(tree.target.as_str());
                below.is_some_and(|below| below.starts_with('/'))
            })
        };
        Ok(Self {
            write_below: there.iter().map(|rule| absolute(rule).to_owned()).collect(),
            missing: missing
                .into_iter()
                .filter(is_missing_alone)
                .map(name)
                .collect(),
            open: outline.open.iter().map(open_text).collect(),
        })
    }

    /// What the shim is told; `own` is a directory that is the command's alone.
    pub(super) fn enclosure(&self, own: String, landlock_version_max: u32) -> Enclosure {
        let mut write_below = self.write_below.clone();
        write_below.push(own);
        Enclosure {
            write_below,
            landlock_version_max,
        }
    }

    /// What is enforced by this version of Landlock.
    pub(super) fn confinement(&self, landlock_version: u32) -> Confinement {
        let mut open = Vec::new();
        if !self.open.is_empty() {
            open.push(format!(
                "the kernel does not keep it from {}",
                listed(&self.open)
            ));
        }
        if landlock_version < LANDLOCK_VERSION {
            open.push(format!(
                "this kernel (Landlock {landlock_version}) does not keep it from truncating files"
            ));
        }
        let state = match open.is_empty() {
            true => ConfinementState::Whole,
            false => ConfinementState::Outer,
        };
        let mut reasons = open;
        if landlock_version < 2 {
            reasons.push("on this kernel it can't move files between directories".to_owned());
        }
        if !self.missing.is_empty() {
            let missing = listed(&self.missing);
            reasons.push(format!("not there, so it can't be written: {missing}"));
        }
        Confinement {
            state,
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        }
    }
}

impl Confinement {
    pub(super) fn off() -> Self {
        let (state, reason) = (ConfinementState::Off, None);
        Self { state, reason }
    }

    pub(super) fn unavailable(reason: String) -> Self {
        Self {
            state: ConfinementState::Unavailable,
            reason: Some(reason),
        }
    }

    /// Of a command that goes on from an earlier run, and was started with another scope.
    pub(super) fn outdated() -> Self {
        let reason = "the kernel keeps it to its scope as it was when the command was started";
        Self {
            state: ConfinementState::Outer,
            reason: Some(reason.to_owned()),
        }
    }
}

impl Launcher {
    /// What the command is to be kept to, if that was asked for.
    ///
    /// # Errors
    /// As [`Plan::of`]; told as its Worker's status too.
    pub(super) async fn plan(
        &self,
        scope: Option<&RunScope>,
        sink: &RunSink,
    ) -> Result<Option<Plan>, BackendError> {
        if self.config.confine == Confine::Off {
            return Ok(None);
        }
        match Plan::of(scope) {
            Ok(plan) => Ok(Some(plan)),
            Err(error) => {
                let refused = Confinement::unavailable(error.message.clone());
                self.tell_confinement(refused, sink).await;
                Err(error)
            }
        }
    }

    /// Tells a command that goes on how it is kept to what this run may write.
    pub(super) async fn tell_of_later_run(
        &self,
        began: &(Plan, Confinement),
        scope: Option<&RunScope>,
        sink: &RunSink,
    ) {
        let (plan, confinement) = began;
        let now = match Plan::of(scope) {
            Ok(now) if now == *plan => confinement.clone(),
            Ok(_) | Err(_) => Confinement::outdated(),
        };
        self.tell_confinement(now, sink).await;
    }

    /// Of a command that nobody confines: where it holds something to write, that is worth a word.
    pub(super) async fn tell_unconfined(&self, scope: Option<&RunScope>, sink: &RunSink) {
        if scope.is_some_and(|scope| writes(scope).next().is_some()) {
            self.tell_confinement(Confinement::off(), sink).await;
        }
    }

    /// Only what is not told already.
    pub(super) async fn tell_confinement(&self, confinement: Confinement, sink: &RunSink) {
        let mut told = self.confinement_told.lock().await;
        if told.as_ref() == Some(&confinement) {
            return;
        }
        match sink.status("confinement", &confinement).await {
            Ok(_) => *told = Some(confinement),
            Err(error) => debug!(%error, "the confinement of a command was not taken"),
        }
    }
}

/// The rules to write.
fn writes(scope: &RunScope) -> impl Iterator<Item = &HeldRule> {
    let rules = scope.held.scope.allow.iter();
    rules.filter(|rule| rule.permission == Permission::Write)
}

/// The root is kept as the empty text.
pub(super) fn absolute(rule: &HeldRule) -> &str {
    match rule.target.as_str() {
        "" => "/",
        target => target,
    }
}

pub(super) fn unconfined(message: String) -> BackendError {
    BackendError::new(BackendErrorKind::Unconfined, message)
}

fn name(rule: &HeldRule) -> String {
    let name = format!("{}:{}", rule.mount, rule.path);
    name.chars().take(NAME_CHARS_MAX).collect()
}

fn open_text(open: &Open) -> String {
    match open {
        Open::Denied(rule) => format!("{} (denied)", name(rule)),
        Open::Deeper(rule) => format!("what lies deeper than the children of {}", name(rule)),
        Open::Lent(worker_id) => format!("what Worker {worker_id} below it holds"),
        Open::Delegated => "what it lends while it runs".to_owned(),
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let named: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
