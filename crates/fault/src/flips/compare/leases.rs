//! Leases of a damaged store beside the truth: as they were, or missing and told; who asks for one whose
//! record is damaged is told that, and not that it is free (I6, I7).

use std::collections::BTreeSet;

use worker_runtime_core::{Code, LeaseId, view::DamagedView};

use super::{KEPT_MAX, lacking};
use crate::{flips::reading::Reading, report::Violation};

pub(super) fn leases(truth: &Reading, read: &Reading, found: &mut Vec<Violation>) {
    let served = read.leases.iter();
    let wrong = served.filter(|(id, view)| truth.leases.get(*id) != Some(view));
    for (id, view) in wrong.take(KEPT_MAX) {
        let was = truth.leases.get(id);
        let detail = format!("lease {id} is shown as {view:?}, and was {was:?}");
        found.push(Violation::new("I7 damaged is never served", detail));
    }
    let records = || read.damaged.iter().filter(|it| it.table == "lease");
    let named: BTreeSet<LeaseId> = records().filter_map(|it| it.lease_id).collect();
    // A key may be what is damaged, and is then of a lease that never was.
    let is_strange =
        |it: &&DamagedView| it.lease_id.is_none_or(|id| !truth.leases.contains_key(&id));
    let strange: usize = records().filter(is_strange).map(lacking).sum();
    let missing = truth.leases.keys();
    let missing = missing.filter(|id| !read.leases.contains_key(*id));
    let (told, untold): (Vec<_>, Vec<_>) = missing.partition(|id| named.contains(*id));
    for id in untold.into_iter().skip(strange).take(KEPT_MAX) {
        let detail = format!("lease {id} is not there, and nothing tells of it");
        found.push(Violation::new("I7 a damaged lease is told", detail));
    }
    for id in told.into_iter().take(KEPT_MAX) {
        let answer = read.lost_leases.get(id);
        if answer != Some(&Code::RecordDamaged) {
            let detail = format!("lease {id} is damaged, and who asks for it gets {answer:?}");
            found.push(Violation::new("I7 a damaged lease is told", detail));
        }
    }
}
