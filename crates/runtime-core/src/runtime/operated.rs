//! Changes that somebody is named for: what a command is as an operation, and that it is recorded with
//! what it changes.
//!
//! The record is made by the state, in the batch of the change (I3). Here is which commands are
//! operations at all.

use std::sync::Arc;

use super::{
    command::Command,
    handle::Runtime,
    writer::{Turn, Writer},
};
use crate::{
    LeaseId, RunId, WorkerId,
    error::FieldInvalid,
    operation::{Attribution, OperationKind, Operator},
    state::{AllocationOp, Asked, LifecycleOp},
    worker::{EndKind, UpdateWorker},
};

impl Runtime {
    /// The same Runtime, for changes that this operator asks for: each is kept with who, when, why and
    /// what, in its own transaction, and read through [`Observation`](super::Observation). A call's own
    /// reason goes before this one. Without it the Runtime keeps no account of who changed what.
    ///
    /// # Errors
    /// A name or a reason that can't be taken.
    pub fn operated_by(&self, by: Operator, reason: Option<String>) -> Result<Self, FieldInvalid> {
        self.inner().check_operator(&by)?;
        self.inner().check_reason(reason.as_ref())?;
        Ok(self.attributed(Attribution { by, reason }))
    }
}

/// A command as an operation, as far as it tells.
struct Told {
    kind: OperationKind,
    worker_id: Option<WorkerId>,
    run_id: Option<RunId>,
    lease_id: Option<LeaseId>,
    reason: Option<String>,
    after: Option<String>,
}

impl Told {
    fn new(kind: OperationKind) -> Self {
        Self {
            kind,
            worker_id: None,
            run_id: None,
            lease_id: None,
            reason: None,
            after: None,
        }
    }

    fn of_worker(worker_id: WorkerId, kind: OperationKind) -> Self {
        Self {
            worker_id: Some(worker_id),
            ..Self::new(kind)
        }
    }

    fn because(self, reason: Option<&String>) -> Self {
        Self {
            reason: reason.cloned(),
            ..self
        }
    }
}

impl Command {
    /// The same, recorded as asked for by somebody, if it is an operation.
    pub(super) fn operated_by(self, said: &Arc<Attribution>) -> Self {
        let Some(told) = self.told() else {
            return self;
        };
        let asked = Asked {
            by: said.by.clone(),
            kind: told.kind,
            worker_id: told.worker_id,
            run_id: told.run_id,
            lease_id: told.lease_id,
            reason: told.reason.or_else(|| said.reason.clone()),
            after: told.after,
        };
        Self::Operated(Box::new(asked), Box::new(self))
    }

    fn told(&self) -> Option<Told> {
        match self {
            Self::Create(prepared, _) => {
                let request = &prepared.request;
                let told = Told::new(OperationKind::WorkerCreate).because(request.reason.as_ref());
                let worker_id = request.worker_id;
                Some(Told { worker_id, ..told })
            }
            Self::Lifecycle(worker_id, op, _) => Some(of_life(*worker_id, op)),
            Self::Allocation(worker_id, op, _) => Some(of_scope(*worker_id, op)),
            Self::Acquire(prepared, _) => {
                let request = &prepared.request;
                let told = Told::new(OperationKind::LeaseAcquire).because(request.reason.as_ref());
                let lease_id = request.lease_id;
                Some(Told { lease_id, ..told })
            }
            Self::EndLease(end, _) => {
                let told = Told::new(OperationKind::LeaseRelease).because(end.reason.as_ref());
                let lease_id = Some(end.lease_id);
                Some(Told { lease_id, ..told })
            }
            Self::CancelRun(worker_id, run_id, _) => Some(Told {
                run_id: Some(*run_id),
                ..Told::of_worker(*worker_id, OperationKind::RunCancel)
            }),
            Self::StopRuntime {
                end_runs, reason, ..
            } => {
                let kind = match end_runs {
                    true => OperationKind::RuntimeStop,
                    false => OperationKind::RuntimeDrain,
                };
                Some(Told::new(kind).because(reason.as_ref()))
            }
            Self::StartRuntime(_) => Some(Told::new(OperationKind::RuntimeStart)),
            Self::AcknowledgeWentBack(_) => Some(Told::new(OperationKind::RuntimeAcceptOlder)),
            Self::OnlyIf(_, command) => command.told(),
            // What Workers live by, what only asks, and what nobody asks for.
            Self::WouldCreate(..)
            | Self::WouldRestore(..)
            | Self::WouldAcquire(..)
            | Self::WouldEndLease(..)
            | Self::Would(..)
            | Self::Submit(..)
            | Self::Answer(..)
            | Self::Renew(..)
            | Self::Operated(..)
            | Self::Sink(_)
            | Self::ProcessEnded(..)
            | Self::BackendQuiet(..)
            | Self::Tick
            | Self::Close(_)
            | Self::Abandon => None,
        }
    }
}

fn of_life(worker_id: WorkerId, op: &LifecycleOp) -> Told {
    let told = |kind| Told::of_worker(worker_id, kind);
    match op {
        LifecycleOp::Update(update) => Told {
            after: Some(updated(update)),
            ..told(OperationKind::WorkerUpdate).because(update.reason.as_ref())
        },
        LifecycleOp::Pause => told(OperationKind::WorkerPause),
        LifecycleOp::Resume => told(OperationKind::WorkerResume),
        LifecycleOp::End { kind, reason, .. } => {
            let kind = match kind {
                EndKind::Stop => OperationKind::WorkerStop,
                EndKind::Cancel => OperationKind::WorkerCancel,
            };
            told(kind).because(reason.as_ref())
        }
        LifecycleOp::Archive => told(OperationKind::WorkerArchive),
        LifecycleOp::Restore => told(OperationKind::WorkerRestore),
        LifecycleOp::Delete { .. } => told(OperationKind::WorkerDelete),
    }
}

fn of_scope(worker_id: WorkerId, op: &AllocationOp) -> Told {
    let (kind, reason) = match op {
        AllocationOp::Change { reason, .. } => (OperationKind::ScopeChange, reason),
        AllocationOp::Release { reason, .. } => (OperationKind::ScopeRelease, reason),
        AllocationOp::Reclaim { reason, .. } => (OperationKind::ScopeReclaim, reason),
    };
    Told::of_worker(worker_id, kind).because(reason.as_ref())
}

/// Which of the names of a Worker an update sets; not to what, so that a purge finds nothing here.
fn updated(update: &UpdateWorker) -> String {
    let name = update.display_name.iter().map(|_| "name set".to_owned());
    let labels = update.labels.iter().map(|(key, value)| match value {
        Some(_) => format!("label {key} set"),
        None => format!("label {key} removed"),
    });
    name.chain(labels).collect::<Vec<_>>().join(", ")
}

impl Writer {
    /// Carries a command out, and records it as asked for by somebody if it has changed something, which
    /// one that is refused has not.
    pub(super) fn operate(&mut self, asked: Asked, command: Command) -> Turn {
        let begun = self.state.begin_operation(asked);
        let turn = self.apply(command);
        self.state.end_operation(begun);
        turn
    }
}
