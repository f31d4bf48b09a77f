//! Creation of a Worker: idempotent, and whole or not at all (I3, I5, I6).

use std::sync::Arc;

use serde_json::json;

use super::{Grant, State, WorkerState, draft, submit::PreparedInput};
use crate::{
    AsJson, Digest, Epoch, EventType, Generation, Revision, WorkerId,
    error::CreateError,
    holdings::Asker,
    profile::ResolvedProfile,
    record::{Lifecycle, Recorded, WorkerRecord},
    run::Usage,
    view::{CreateReceipt, wire_scope},
    worker::{BackendSelection, CreateWorker},
};

/// A creation whose request was checked on the caller's thread: names resolved, scope normalised.
pub(crate) struct PreparedCreate {
    pub(crate) request: CreateWorker,
    pub(crate) fingerprint: Digest,
    /// What the checks gave. A repetition of a request that was accepted before gets its first
    /// receipt even when it would not pass them any more.
    pub(crate) checked: Result<CheckedCreate, CreateError>,
}

pub(crate) struct CheckedCreate {
    pub(crate) profile: ResolvedProfile,
    pub(crate) backend: Option<BackendSelection>,
    pub(crate) grant: Option<Grant>,
    pub(crate) input: Option<PreparedInput>,
}

impl State {
    pub(crate) fn create(
        &mut self,
        prepared: PreparedCreate,
    ) -> Result<CreateReceipt, CreateError> {
        if let Some(worker_id) = prepared.request.worker_id
            && let Some(receipt) = self.repeated_create(worker_id, &prepared)?
        {
            return Ok(receipt);
        }
        let PreparedCreate {
            request,
            fingerprint,
            checked,
        } = prepared;
        let checked = checked?;
        self.refuse_create(&request, &checked)?;
        let worker_id = match request.worker_id {
            Some(worker_id) => worker_id,
            None => self.mint_worker(),
        };
        let parent = request.spec.parent;
        self.insert_worker(worker_id, request, fingerprint, &checked)?;
        let granted = checked.grant.clone();
        let created = self.emit_created(worker_id)?;
        self.update(worker_id, |record| {
            record.created = created;
            record.changed = created;
        })?;
        if let Some(grant) = granted {
            self.grant(worker_id, parent, grant)?;
        }
        let input = match checked.input {
            Some(input) => Some(self.submit(worker_id, input)?),
            None => None,
        };
        Ok(CreateReceipt {
            runtime_id: self.runtime.runtime_id,
            worker_id,
            cursor: self.cursor_of(worker_id, created),
            position: created.position,
            created_at: created.at,
            input,
            repeated: false,
        })
    }

    /// Whether [`create`](Self::create) would make it, by the very checks of that.
    pub(crate) fn would_create(&self, prepared: PreparedCreate) -> Result<bool, CreateError> {
        if let Some(worker_id) = prepared.request.worker_id
            && self.repeated_create(worker_id, &prepared)?.is_some()
        {
            return Ok(false);
        }
        self.refuse_create(&prepared.request, &prepared.checked?)?;
        Ok(true)
    }

    fn repeated_create(
        &self,
        worker_id: WorkerId,
        prepared: &PreparedCreate,
    ) -> Result<Option<CreateReceipt>, CreateError> {
        let Some(worker) = self.workers.get(&worker_id) else {
            return match self.absent(worker_id) {
                crate::error::WorkerError::Unknown(_) => self.check_new(worker_id).map(|()| None),
                damaged => Err(damaged.into()),
            };
        };
        let record = &worker.record;
        if record.lifecycle == Lifecycle::Deleted {
            return Err(CreateError::Deleted(worker_id));
        }
        if record.fingerprint != prepared.fingerprint {
            return Err(CreateError::Exists(worker_id));
        }
        let input = match prepared.request.initial_input_id() {
            Some(input_id) => self.first_receipt(worker_id, &input_id, None)?,
            None => None,
        };
        Ok(Some(CreateReceipt {
            runtime_id: self.runtime.runtime_id,
            worker_id,
            cursor: self.cursor_of(worker_id, record.created),
            position: record.created.position,
            created_at: record.created.at,
            input,
            repeated: true,
        }))
    }

    fn refuse_create(
        &self,
        request: &CreateWorker,
        checked: &CheckedCreate,
    ) -> Result<(), CreateError> {
        self.room.clone()?;
        let workers_max = self.around.limits.workers_max;
        if self.workers.len() >= workers_max {
            return Err(CreateError::Limit { workers_max });
        }
        if let Some(parent) = request.spec.parent
            && !self
                .worker(parent)
                .is_ok_and(|worker| worker.record.lifecycle == Lifecycle::Active)
        {
            return Err(CreateError::ParentUnknown(parent));
        }
        if let Some(grant) = &checked.grant {
            let asker = Asker {
                worker_id: None,
                parent: request.spec.parent,
            };
            self.refuse_grant(grant, asker)?;
        }
        if checked.input.is_some() {
            if self.runtime.stopped {
                return Err(crate::error::Unavailable::Stopped.into());
            }
            let selection = checked.backend.as_ref();
            if let Err(reason) = self.around.backends.input_capable(selection) {
                return Err(CreateError::Incapable { reason });
            }
        }
        Ok(())
    }

    fn insert_worker(
        &mut self,
        worker_id: WorkerId,
        request: CreateWorker,
        fingerprint: Digest,
        checked: &CheckedCreate,
    ) -> Result<(), CreateError> {
        let nowhere = Recorded {
            seq: crate::Seq(0),
            position: crate::Position(0),
            at: self.now(),
            incarnation_id: self.incarnation_id,
        };
        let record = WorkerRecord {
            worker_id,
            fingerprint,
            created: nowhere,
            spec: AsJson(request.spec),
            display_name: request.display_name,
            labels: request.labels,
            profile: checked.profile.clone(),
            backend: checked.backend.clone(),
            scope: checked.grant.as_ref().and_then(|grant| grant.scope.clone()),
            lifecycle: Lifecycle::Active,
            epoch: Epoch(1),
            ending: None,
            paused: false,
            archived: false,
            changed: nowhere,
            generation: Generation(0),
            revision: Revision(0),
            input_count: 0,
            resume: None,
            last_run: None,
            usage: Usage::default(),
            processes: Vec::new(),
            unproven: None,
            status: std::collections::BTreeMap::new(),
            delegation: checked
                .grant
                .as_ref()
                .and_then(|grant| grant.delegation.clone()),
        };
        let state = WorkerState {
            record: Arc::new(record),
            unfinished: std::collections::VecDeque::new(),
            head: Some(super::Head {
                seq: crate::Seq(0),
                items: crate::ItemIndex(0),
            }),
        };
        self.workers.insert(worker_id, state);
        Ok(())
    }

    fn emit_created(&mut self, worker_id: WorkerId) -> Result<Recorded, CreateError> {
        let record = self.worker(worker_id)?.record.clone();
        let scope = record.scope.as_deref();
        let data = json!({
            "display_name": record.display_name,
            "labels": record.labels,
            "spec": record.spec,
            "profile": { "source": record.profile.source, "name": record.profile.name, "revision": record.profile.revision },
            "backend": record.backend.as_ref().map(|backend| &backend.name),
            "scope": scope.map(wire_scope).map(|scope| json!({ "allow": scope.allow, "deny": scope.deny })),
            "epoch": record.epoch,
        });
        Ok(self.emit(worker_id, draft(EventType::WORKER_CREATED, None, &data)?)?)
    }
}
