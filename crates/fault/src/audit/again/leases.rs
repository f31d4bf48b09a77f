//! Asking again for leases: whoever holds one gets the next fence for the one that is void, and who has none
//! is granted one unless somebody is in the way (I5, I6).

use worker_runtime_core::{
    Fence, LeaseId, Permission, Runtime,
    lease::AcquireLease,
    view::{LeaseView, VerifyFence},
    worker::MountRef,
};

use super::{Fitting, Log, fits};
use crate::{
    audit::world::Leased,
    report::Violation,
    workload::{Answer, Asked, Entry, LeaseChange},
};

const NEXT: &str = "I6 a void fence gives the next one";
const ONE: &str = "I6 one fence of a lease is good";

/// Asks for a lease once more, of a Runtime that was opened after a fault.
pub(super) async fn repeat(
    runtime: &Runtime,
    entry: &Entry,
    (lease_id, request): (LeaseId, &AcquireLease),
    log: &mut Log,
) -> Result<(), Violation> {
    log.catch_up()?;
    if !log.is_whole {
        return Ok(());
    }
    let word = format!("{} {lease_id}", entry.asked.word());
    let before = log.world.leases.get(&lease_id).cloned();
    let fitting = Fitting::of(&entry.asked, &log.world);
    let first = entry.asked.clone().carry_out(runtime, None).await;
    let Some(before) = before else {
        fits(&first, fitting.as_ref(), &word)?;
        return match shown(&first) {
            Some(view) => holds(runtime, view, None, log),
            None => Ok(()),
        };
    };
    let is_same = before.holder == request.holder;
    let view = match shown(&first) {
        Some(view) if is_same && is_next(view, &before) => view,
        None if !is_same && is_refused(&first) => return Ok(()),
        _ => return broken(format!("{word} gives {first:?}, and is held as {before:?}")),
    };
    holds(runtime, view, Some(Fence(before.held.fence)), log)?;
    // Who has not heard of it shows the one of before again.
    let renew = LeaseChange::Renew(Fence(before.held.fence), None);
    let renewed = Asked::Lease(lease_id, renew).carry_out(runtime, None).await;
    match shown(&renewed).is_some_and(|renewed| renewed.fence == view.fence) {
        true => Ok(()),
        false => broken(format!(
            "{word} gives {view:?}, and renewed it is {renewed:?}"
        )),
    }
}

fn broken(detail: String) -> Result<(), Violation> {
    Err(Violation::new(NEXT, detail))
}

fn shown(answer: &Answer) -> Option<&LeaseView> {
    answer.done()?.leased.as_deref()
}

fn is_refused(answer: &Answer) -> bool {
    *answer == Answer::Refused(worker_runtime_core::Code::LeaseExists)
}

/// What was held, with the next fence.
fn is_next(view: &LeaseView, before: &Leased) -> bool {
    view.fence.0 > before.held.fence
        && view.is_current
        && (&view.scope.allow, &view.holder) == (&before.held.allow, &before.holder)
}

/// It is in the log, its fence is good, and no other one of it.
fn holds(
    runtime: &Runtime,
    view: &LeaseView,
    void: Option<Fence>,
    log: &mut Log,
) -> Result<(), Violation> {
    log.catch_up()?;
    let told = log.world.leases.get(&view.lease_id);
    let is_told = told.is_some_and(|leased| leased.held.fence == view.fence.0);
    if log.is_whole && !is_told {
        return broken(format!("{view:?} is told as {told:?}"));
    }
    let Some(rule) = view.scope.allow.first() else {
        return Ok(());
    };
    for fence in [Some(view.fence), void].into_iter().flatten() {
        let asked = VerifyFence {
            fence,
            place: MountRef {
                mount: rule.mount.clone(),
                path: rule.path.clone(),
            },
            permission: Permission::Read,
        };
        let verified = runtime.allocations().verify_lease(view.lease_id, &asked);
        if verified.is_ok() != (fence == view.fence) {
            let detail = format!("{fence} of {view:?} gives {verified:?}");
            return Err(Violation::new(ONE, detail));
        }
    }
    Ok(())
}
