//! What a command adds to the batch that is being gathered: events with their places, and changes of records.

use std::sync::Arc;

use super::{Head, State};
use crate::{
    Event, EventDraft, Position, WorkerId, WorkerPlace,
    error::Unavailable,
    record::{Recorded, UnfinishedRecord, WorkerRecord},
    store::Change,
};

impl State {
    /// Adds an event about a Worker to the batch and gives back where it is recorded.
    pub(super) fn emit(
        &mut self,
        worker_id: WorkerId,
        draft: EventDraft,
    ) -> Result<Recorded, Unavailable> {
        let reader = &self.around.reader;
        let worker = self
            .workers
            .get_mut(&worker_id)
            .ok_or_else(|| Unavailable::Bug {
                invariant: format!("an event of Worker {worker_id}, which does not exist"),
            })?;
        let head = match worker.head {
            Some(head) => head,
            None => {
                let stored = reader.worker_head(worker_id)?;
                Head {
                    seq: stored.seq,
                    items: stored.items,
                }
            }
        };
        let seq = head.seq.next();
        let item = draft.kind.in_transcript().then_some(head.items);
        let items = if item.is_some() {
            head.items.next()
        } else {
            head.items
        };
        worker.head = Some(Head { seq, items });
        let position = self.push(
            Some(WorkerPlace {
                worker_id,
                seq,
                item,
            }),
            draft,
        );
        Ok(Recorded {
            seq,
            position,
            at: self.now,
            incarnation_id: self.incarnation_id,
        })
    }

    /// Adds an event about the Runtime itself to the batch.
    pub(super) fn emit_runtime(&mut self, draft: EventDraft) -> Position {
        self.push(None, draft)
    }

    fn push(&mut self, worker: Option<WorkerPlace>, draft: EventDraft) -> Position {
        self.position = self.position.next();
        self.edits = self.edits.saturating_add(1);
        self.batch_bytes = self.batch_bytes.saturating_add(draft.data.len());
        self.batch.events.push(Event {
            position: self.position,
            at: self.now,
            worker,
            kind: draft.kind,
            run_id: draft.run_id,
            data: draft.data,
            data_digest: draft.data_digest,
        });
        self.position
    }

    pub(super) fn change(&mut self, change: Change) {
        self.edits = self.edits.saturating_add(1);
        let changes = &mut self.batch.changes;
        let held = match &change {
            Change::Unfinished(input) => {
                let key = (input.worker_id, input.accepted.seq);
                let at = *self.inputs.entry(key).or_insert(changes.len());
                changes.get_mut(at)
            }
            _ => None,
        };
        match held {
            Some(held) => *held = change,
            None => changes.push(change),
        }
    }

    /// Changes a Worker's record; the batch and the published view follow.
    pub(super) fn update(
        &mut self,
        worker_id: WorkerId,
        edit: impl FnOnce(&mut WorkerRecord),
    ) -> Result<Arc<WorkerRecord>, Unavailable> {
        let worker = self.worker_mut(worker_id)?;
        let record = Arc::make_mut(&mut worker.record);
        edit(record);
        record.revision = record.revision.next();
        let record = worker.record.clone();
        self.edits = self.edits.saturating_add(1);
        self.changed.insert(worker_id);
        self.touched.workers.insert(worker_id);
        Ok(record)
    }

    /// Changes the first input without outcome of a Worker.
    pub(super) fn update_front(
        &mut self,
        worker_id: WorkerId,
        edit: impl FnOnce(&mut UnfinishedRecord),
    ) -> Result<Arc<UnfinishedRecord>, Unavailable> {
        let worker = self.worker_mut(worker_id)?;
        let front = worker
            .unfinished
            .front_mut()
            .ok_or_else(|| Unavailable::Bug {
                invariant: format!("Worker {worker_id} has no input without outcome"),
            })?;
        edit(Arc::make_mut(front));
        let front = front.clone();
        self.change(Change::Unfinished(front.clone()));
        self.touched.workers.insert(worker_id);
        Ok(front)
    }
}
