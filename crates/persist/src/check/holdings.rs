//! Whether what is held is what the Workers' records say, each with a fence that was granted, and nobody in
//! anybody's way (I6).

use std::collections::{BTreeMap, BTreeSet};

use worker_runtime_core::{
    Code, Fence, LeaseId, WorkerId,
    record::{AllocationRecord, LeaseRecord, Lifecycle},
    scope::{Claim, ScopeIndex, conflicts, writes},
    store::Loaded,
};

use super::{
    finding::{Cost, Finding},
    look::Look,
    records::Known,
};
use crate::layout::{Table, allocation, lease};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Worker(WorkerId),
    Lease(LeaseId),
}

impl Holder {
    fn finding(self, detail: impl Into<String>) -> Finding {
        let (code, cost) = (Code::CheckHolding, Cost::Nothing);
        match self {
            Self::Worker(worker_id) => {
                Finding::new(code, cost, allocation::TABLE.name, detail.into()).of(worker_id)
            }
            Self::Lease(lease_id) => {
                let mut finding = Finding::new(code, cost, lease::TABLE.name, detail.into());
                finding.lease_id = Some(lease_id);
                finding
            }
        }
    }
}

/// Compares allocations and leases with the Workers' records and with each other.
pub(super) fn compare(loaded: &Loaded, last: Fence, known: &mut Known, look: &mut Look<'_>) {
    let allocations: BTreeMap<WorkerId, &AllocationRecord> = loaded
        .allocations
        .iter()
        .map(|held| (held.worker_id, &**held))
        .collect();
    for worker_id in allocations.keys() {
        known.tell_missing(*worker_id, look);
    }
    let is_damaged = |table: Table, worker_id: WorkerId| {
        let mut damaged = loaded.damaged.iter();
        damaged.any(|one| {
            one.table == table.name && one.worker_id.is_none_or(|named| named == worker_id)
        })
    };
    for record in &loaded.workers {
        let worker_id = record.worker_id;
        let holds = record.lifecycle == Lifecycle::Active
            && (record.scope.is_some() || record.delegation.is_some());
        let holder = Holder::Worker(worker_id);
        match (allocations.get(&worker_id), holds) {
            (Some(_), false) => {
                look.tell(holder.finding("it holds a scope, and its record says that it does not"));
            }
            (Some(held), true) if held.claim() != record.claim() => {
                look.tell(holder.finding("it holds another scope than its record says"));
            }
            (None, true) if !is_damaged(allocation::TABLE, worker_id) => {
                look.tell(
                    holder.finding("its record says that it holds a scope, and none is held"),
                );
            }
            _ => {}
        }
    }
    fences(loaded, last, look);
    rivals(&allocations, &loaded.leases, look);
}

/// Every fence was granted once.
fn fences(loaded: &Loaded, last: Fence, look: &mut Look<'_>) {
    let held = loaded.allocations.iter();
    let held = held.map(|held| (Holder::Worker(held.worker_id), held.fence));
    let leases = loaded.leases.iter();
    let leases = leases.map(|lease| (Holder::Lease(lease.lease_id), lease.fence));
    let mut seen = BTreeSet::new();
    for (holder, fence) in held.chain(leases) {
        if fence > last {
            let detail = format!("its fence is {fence}, and {last} was the last that was granted");
            look.tell(holder.finding(detail));
        } else if !seen.insert(fence) {
            look.tell(holder.finding(format!("its fence {fence} is another one's too")));
        }
    }
}

/// No two hold overlapping write, but whom it was handed on to.
fn rivals(
    allocations: &BTreeMap<WorkerId, &AllocationRecord>,
    leases: &[std::sync::Arc<LeaseRecord>],
    look: &mut Look<'_>,
) {
    let leases: BTreeMap<LeaseId, &LeaseRecord> = leases
        .iter()
        .map(|lease| (lease.lease_id, &**lease))
        .collect();
    let held = allocations.iter();
    let held = held.map(|(id, held)| (Holder::Worker(*id), held.claim()));
    let lent = leases
        .iter()
        .map(|(id, lease)| (Holder::Lease(*id), lease.claim()));
    let claims: BTreeMap<Holder, Claim<'_>> = held.chain(lent).collect();
    let mut index = ScopeIndex::default();
    for (holder, claim) in &claims {
        index.insert(*holder, *claim);
    }
    for (holder, claim) in &claims {
        for other in index.writers_near(writes(*claim)) {
            // Of two, the later one is told.
            let Some(others) = claims.get(&other).filter(|_| other < *holder) else {
                continue;
            };
            if are_family(*holder, other, allocations) {
                continue;
            }
            if let Some((rule, _)) = conflicts(*claim, *others).first() {
                let detail = format!(
                    "it may write at {}:{}, and so may {}",
                    rule.mount,
                    rule.path,
                    match other {
                        Holder::Worker(worker_id) => format!("Worker {worker_id}"),
                        Holder::Lease(lease_id) => format!("lease {lease_id}"),
                    }
                );
                look.tell(holder.finding(detail));
            }
        }
    }
}

fn are_family(a: Holder, b: Holder, allocations: &BTreeMap<WorkerId, &AllocationRecord>) -> bool {
    let (Holder::Worker(a), Holder::Worker(b)) = (a, b) else {
        return false;
    };
    let is_above = |above: WorkerId, below: WorkerId| {
        let parent = |worker_id: &WorkerId| allocations.get(worker_id)?.parent;
        // Nobody is above itself, but damaged records may say so.
        let mut line = std::iter::successors(parent(&below), parent).take(allocations.len());
        line.any(|worker_id| worker_id == above)
    };
    is_above(a, b) || is_above(b, a)
}
