//! How something is, in a few words, for the record of an operation on it: names of fields, states and
//! rules, without absolute paths (I11) and without what a Worker was sent or said.

use super::{super::State, Asked};
use crate::{
    HeldScope, LeaseId, Permission, WorkerId,
    operation::OperationKind,
    record::{EndingKind, Lifecycle, WorkerRecord},
};

/// The longest that is kept of how something is.
const SHORT_BYTES_MAX: usize = 512;

/// What is kept of it.
pub(super) fn cut(mut text: String) -> String {
    if text.len() <= SHORT_BYTES_MAX {
        return text;
    }
    let end = (0..=SHORT_BYTES_MAX.saturating_sub('…'.len_utf8()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text.push('…');
    text
}

impl State {
    /// How what is asked about is now; `None` when there is no such thing.
    pub(super) fn in_short(&self, asked: &Asked) -> Option<String> {
        let worker = |of: fn(&Self, WorkerId) -> Option<String>| of(self, asked.worker_id?);
        let text = match asked.kind {
            OperationKind::WorkerUpdate => None,
            OperationKind::WorkerCreate
            | OperationKind::WorkerPause
            | OperationKind::WorkerResume
            | OperationKind::WorkerStop
            | OperationKind::WorkerCancel
            | OperationKind::WorkerArchive
            | OperationKind::WorkerRestore
            | OperationKind::WorkerDelete => worker(Self::life_in_short),
            OperationKind::RunCancel => worker(Self::run_in_short),
            OperationKind::ScopeChange | OperationKind::ScopeRelease => {
                worker(Self::scope_in_short)
            }
            OperationKind::ScopeReclaim => worker(Self::below_in_short),
            OperationKind::LeaseAcquire | OperationKind::LeaseRelease => {
                asked.lease_id.and_then(|id| self.lease_in_short(id))
            }
            OperationKind::RuntimeStop
            | OperationKind::RuntimeDrain
            | OperationKind::RuntimeStart => Some(match self.runtime.stopped {
                true => "stopped".to_owned(),
                false => "takes input".to_owned(),
            }),
            OperationKind::RuntimeAcceptOlder => self.runtime.went_back.map(|went| {
                format!(
                    "position {} was acknowledged, {} was found",
                    went.witnessed, went.found
                )
            }),
        };
        text.map(cut)
    }

    fn life_in_short(&self, worker_id: WorkerId) -> Option<String> {
        let worker = self.workers.get(&worker_id)?;
        Some(life(&worker.record))
    }

    fn run_in_short(&self, worker_id: WorkerId) -> Option<String> {
        let run = self.current_run(worker_id)?;
        Some(match run.cancel {
            Some(_) => "being cancelled".to_owned(),
            None => "runs".to_owned(),
        })
    }

    fn scope_in_short(&self, worker_id: WorkerId) -> Option<String> {
        let mut text = match self.holdings.get(worker_id) {
            Some(held) => {
                let direct = rules(&held.scope);
                match &held.delegation {
                    Some(delegation) => format!("{direct}; hands on {}", rules(delegation)),
                    None => direct,
                }
            }
            None => "nothing".to_owned(),
        };
        let worker = self.workers.get(&worker_id)?;
        if worker.record.release_asked().is_some() {
            text.insert_str(0, "until all is quiet: ");
        }
        Some(text)
    }

    fn below_in_short(&self, worker_id: WorkerId) -> Option<String> {
        let below = self.holdings.children(worker_id);
        let below: Vec<String> = below
            .filter_map(|child| {
                let held = self.scope_in_short(child.worker_id)?;
                Some(format!("{} holds {held}", child.worker_id))
            })
            .collect();
        Some(match below.is_empty() {
            true => "nobody below holds anything".to_owned(),
            false => below.join("; "),
        })
    }

    fn lease_in_short(&self, lease_id: LeaseId) -> Option<String> {
        let held = self.holdings.lease(lease_id)?;
        Some(format!("{} holds {}", held.holder, rules(&held.scope)))
    }
}

fn life(record: &WorkerRecord) -> String {
    let asked = record.ending.as_ref().map(|ending| ending.kind);
    let mut words = vec![match (record.lifecycle, asked) {
        (Lifecycle::Active, Some(EndingKind::Stop)) => "stopping",
        (Lifecycle::Active, Some(EndingKind::Cancel)) => "being cancelled",
        (Lifecycle::Active, Some(EndingKind::Release)) => "active, gives up its scope",
        (lifecycle, _) => lifecycle.as_str(),
    }];
    if record.lifecycle == Lifecycle::Active && record.paused {
        words.push("paused");
    }
    if record.unproven.is_some() {
        words.push("not shown to be dead");
    }
    if record.archived {
        words.push("archived");
    }
    words.join(", ")
}

fn rules(scope: &HeldScope) -> String {
    let rule = |rule: &crate::HeldRule| {
        let below = match rule.recursive {
            true => "/**",
            false => "/*",
        };
        format!("{}:{}{below}", rule.mount, rule.path)
    };
    let allowed = scope.allow.iter().map(|allowed| {
        let may = match allowed.permission {
            Permission::Read => "read",
            Permission::Write => "write",
        };
        format!("{may} {}", rule(allowed))
    });
    let denied = scope
        .deny
        .iter()
        .map(|denied| format!("not {}", rule(denied)));
    let all: Vec<String> = allowed.chain(denied).collect();
    match all.is_empty() {
        true => "nothing".to_owned(),
        false => all.join(", "),
    }
}
