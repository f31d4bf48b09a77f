//! Workers of which something is damaged: what they hold stays theirs (I6), nothing is done for them,
//! and no other Worker waits for them (I7).
//!
//! Called when the state is made, and by commands about a Worker.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tracing::warn;

use super::{Head, State, WorkerState};
use crate::{
    Fence, WorkerId,
    error::{CreateError, Unavailable, WorkerError},
    holdings::Holdings,
    record::{AllocationRecord, Lifecycle, WorkerRecord},
    store::{DamagedRecord, StoreError, StoreReader},
};

/// Stands for a fence that was lost, until the opening grants another one; none is ever 0.
pub(crate) const FENCE_LOST: Fence = Fence(0);

/// A Worker whose allocation record is damaged still holds what it was granted at its creation. So does
/// one whose allocation record is gone: its key may be what is damaged, and names another one.
pub(crate) fn hold_undamaged<'a>(
    workers: impl Iterator<Item = &'a WorkerRecord>,
    holdings: &mut Holdings,
    damaged: &mut Vec<DamagedRecord>,
) {
    let mut lost = Vec::new();
    for record in workers {
        let (scope, delegation) = (record.scope.clone(), record.delegation.clone());
        let holds =
            record.lifecycle == Lifecycle::Active && (scope.is_some() || delegation.is_some());
        if !holds || holdings.get(record.worker_id).is_some() {
            continue;
        }
        lost.push(record.worker_id);
        holdings.insert(Arc::new(AllocationRecord {
            worker_id: record.worker_id,
            parent: record.spec.parent,
            scope: scope.unwrap_or_default(),
            fence: FENCE_LOST,
            granted_at: record.created.at,
            delegation,
        }));
    }
    lost.sort_unstable();
    for worker_id in lost {
        let is_told = |record: &DamagedRecord| {
            record.table == "allocation" && record.worker_id == Some(worker_id)
        };
        if !damaged.iter().any(is_told) {
            damaged.push(DamagedRecord {
                table: "allocation",
                worker_id: Some(worker_id),
                lease_id: None,
                operation_id: None,
                seq: None,
                detail: "it is missing, and its Worker holds a scope".to_owned(),
            });
        }
    }
}

/// Workers whose records are gone without a trace, but not what they hold or were sent.
pub(super) fn name_lost(damaged: &mut Vec<DamagedRecord>, ownerless: BTreeSet<WorkerId>) {
    for worker_id in ownerless {
        if damaged
            .iter()
            .all(|record| record.worker_id != Some(worker_id))
        {
            damaged.push(DamagedRecord {
                table: "worker",
                worker_id: Some(worker_id),
                lease_id: None,
                operation_id: None,
                seq: None,
                detail: "it is missing, and other records of the Worker are there".to_owned(),
            });
        }
    }
}

/// Sets aside each Worker for which the Runtime would act by itself, but of which nobody knows where
/// its stream goes on: as if its record were damaged. Nothing could be told of what is done.
pub(super) fn set_aside(
    workers: &mut HashMap<WorkerId, WorkerState>,
    reader: &dyn StoreReader,
) -> Vec<DamagedRecord> {
    let mut aside = Vec::new();
    workers.retain(|worker_id, worker| {
        let record = &worker.record;
        let acts = !worker.unfinished.is_empty()
            || !record.processes.is_empty()
            || record.ending.is_some() && record.lifecycle == Lifecycle::Active;
        if !acts {
            return true;
        }
        match reader.worker_head(*worker_id) {
            Err(StoreError::Damaged { table, detail }) => {
                warn!(%worker_id, table, detail, "a Worker's newest events are damaged");
                aside.push(DamagedRecord {
                    table,
                    worker_id: Some(*worker_id),
                    lease_id: None,
                    operation_id: None,
                    seq: None,
                    detail,
                });
                false
            }
            // What else can't be read is told by whoever needs it.
            _ => true,
        }
    });
    aside
}

impl State {
    /// That nobody ever had this id: one whose record is gone is not made anew over its history (I5).
    pub(super) fn check_new(&self, worker_id: WorkerId) -> Result<(), CreateError> {
        let detail = match self.around.reader.has_events(worker_id) {
            Ok(false) => return Ok(()),
            Ok(true) => "it is missing, and events of it are there".to_owned(),
            Err(StoreError::Damaged { table, detail }) => {
                format!("it is missing, and so are its newest events, in table {table}: {detail}")
            }
            Err(error) => return Err(Unavailable::from(error).into()),
        };
        Err(WorkerError::Damaged { worker_id, detail }.into())
    }

    /// That it is known where a Worker's stream goes on.
    pub(super) fn check_head(&mut self, worker_id: WorkerId) -> Result<(), WorkerError> {
        let Some(worker) = self.workers.get_mut(&worker_id) else {
            return Ok(());
        };
        if worker.head.is_some() {
            return Ok(());
        }
        match self.around.reader.worker_head(worker_id) {
            Ok(head) => {
                worker.head = Some(Head {
                    seq: head.seq,
                    items: head.items,
                });
                Ok(())
            }
            Err(StoreError::Damaged { table, detail }) => Err(WorkerError::Damaged {
                worker_id,
                detail: format!("its newest events can't be read from table {table}: {detail}"),
            }),
            // What else can't be read is told by whoever needs it.
            Err(_) => Ok(()),
        }
    }
}
