//! Operations of the script: each with the change that it tells of, and never more than a few (I3).

use std::sync::Arc;

use worker_runtime_core::{
    AsJson, OperationId, WorkerId,
    operation::{OperationKind, Operator},
    record::OperationRecord,
    store::Change,
};

use super::{Making, Script};

/// How many are kept.
const OPERATIONS_MAX: usize = 2;

impl Script {
    /// Somebody is named for what was just done to a Worker; the oldest operation goes when there are
    /// too many. It is the state's to say, so that it takes no randomness from what follows.
    pub(super) fn operation(&self, making: &mut Making, worker_id: WorkerId) {
        let kept = &making.state.operations;
        let last = kept.keys().next_back().copied().unwrap_or_default();
        let oldest = kept.keys().next().copied();
        let oldest = oldest.filter(|_| kept.len() >= OPERATIONS_MAX);
        let record = self.operation_record(last.next(), worker_id, making);
        making.change(Change::Operation(Arc::new(record)));
        if let Some(oldest) = oldest {
            making.change(Change::ForgetOperation(oldest));
        }
    }

    fn operation_record(
        &self,
        operation_id: OperationId,
        worker_id: WorkerId,
        making: &Making,
    ) -> OperationRecord {
        OperationRecord {
            operation_id,
            at: self.at,
            by: AsJson(Operator::Program {
                name: "script".to_owned(),
            }),
            kind: OperationKind::WorkerPause,
            worker_id: Some(worker_id),
            run_id: None,
            lease_id: None,
            reason: Some(format!("operation {operation_id}")),
            before: None,
            after: None,
            position: making.state.position,
        }
    }
}
