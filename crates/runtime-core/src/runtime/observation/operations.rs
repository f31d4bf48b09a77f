//! Operations: the same of a live store and of a stopped one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Observation, Snapshot};
use crate::{
    OperationId, Stream,
    error::NoOperation,
    operation::{OperationList, OperationOrder, OperationsRequest},
    record::OperationRecord,
    view::OperationView,
};

impl Observation {
    /// Operations, from either end, filtered and paged.
    pub fn operations(&self, request: &OperationsRequest) -> OperationList {
        let (snapshot, position) = self.shared.read();
        let kept = &snapshot.operations;
        let records: Box<dyn Iterator<Item = &_>> = match (request.order, request.after) {
            (OperationOrder::Oldest, None) => Box::new(kept.values()),
            (OperationOrder::Oldest, Some(after)) => {
                Box::new(kept.range(after.next()..).map(|(_, record)| record))
            }
            (OperationOrder::Newest, None) => Box::new(kept.values().rev()),
            (OperationOrder::Newest, Some(after)) => {
                Box::new(kept.range(..after).rev().map(|(_, record)| record))
            }
        };
        let mut wanted = records.filter(|record| request.takes(record));
        let page = wanted.by_ref().take(request.count_max);
        let operations: Vec<_> = page.map(|record| self.operation_view(record)).collect();
        let more = wanted.next().is_some();
        let last = operations.last().map(|last| last.operation_id);
        let damaged = damaged(&snapshot).map(|(id, _)| id);
        let damaged: BTreeSet<_> = damaged.chain(missing(kept)).collect();
        OperationList {
            next: last.filter(|_| more),
            operations,
            kept_from: kept.keys().next().copied(),
            damaged: damaged.into_iter().collect(),
            cursor: self.shared.cursor(Stream::Runtime, position),
        }
    }

    /// One operation.
    ///
    /// # Errors
    /// [`NoOperation`].
    pub fn operation(&self, operation_id: OperationId) -> Result<OperationView, NoOperation> {
        let (snapshot, _) = self.shared.read();
        if let Some(record) = snapshot.operations.get(&operation_id) {
            return Ok(self.operation_view(record));
        }
        let mut damaged = damaged(&snapshot);
        if let Some((_, detail)) = damaged.find(|(id, _)| *id == operation_id) {
            let detail = detail.to_owned();
            return Err(NoOperation::Damaged {
                operation_id,
                detail,
            });
        }
        if missing(&snapshot.operations).any(|id| id == operation_id) {
            return Err(NoOperation::Damaged {
                operation_id,
                detail: "it is missing".to_owned(),
            });
        }
        match snapshot.operations.keys().next() {
            Some(kept_from) if operation_id.0 > 0 && operation_id < *kept_from => {
                Err(NoOperation::Gone {
                    operation_id,
                    kept_from: *kept_from,
                })
            }
            _ => Err(NoOperation::Unknown(operation_id)),
        }
    }

    fn operation_view(&self, record: &OperationRecord) -> OperationView {
        let cursor = self.shared.cursor(Stream::Runtime, record.position);
        OperationView::of(record, cursor)
    }
}

impl OperationsRequest {
    fn takes(&self, record: &OperationRecord) -> bool {
        self.since.is_none_or(|since| record.at >= since)
            && (self.worker_id.is_none() || record.worker_id == self.worker_id)
    }
}

/// Numbers without a record between those that have one: they are dense.
fn missing(
    kept: &BTreeMap<OperationId, Arc<OperationRecord>>,
) -> impl Iterator<Item = OperationId> {
    let mut next = kept.keys().next().copied().unwrap_or_default();
    kept.keys().flat_map(move |id| {
        let gap = next.0..id.0;
        next = id.next();
        gap.map(OperationId)
    })
}

fn damaged(snapshot: &Snapshot) -> impl Iterator<Item = (OperationId, &str)> {
    let named = snapshot.damaged.iter();
    named.filter_map(|record| Some((record.operation_id?, record.detail.as_str())))
}
