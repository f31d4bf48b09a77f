//! Leases, as their holders were answered: against what was told, and against what an opening shows (I1,
//! I6, I8). How long a lease lasts when it is renewed is told by no event, so that is followed here.

use worker_runtime_core::{
    Code, Event, LeaseId, Mounts, Observation, Permission, Position, Scope, Timestamp,
    view::{LeaseView, VerifyFence},
    worker::MountRef,
};

use super::{
    apply::Data,
    expected::Expected,
    world::{Leased, World},
};
use crate::{
    report::Violation,
    workload::{Answer, Asked, Done, Entry, Journal, LeaseChange, limits::mounts},
};

const KEPT: &str = "I1 a lease that was acknowledged is kept";
const SHOWN: &str = "I3 leases are what the events tell";
const HELD: &str = "I6 a lease keeps others from its scope";
const FENCED: &str = "I6 the fence of a lease is void after an opening";
const ASKED: &str = "I8 no lease is made up";
const OVER: &str = "I6 a lease is held until its time is over";

/// Whether an event is what was asked of a lease.
pub(super) fn fits_lease(
    lease_id: LeaseId,
    change: &LeaseChange,
    kind: &str,
    told: &serde_json::Value,
) -> bool {
    let tells = |field: &str, wanted: serde_json::Value| told.get(field) == Some(&wanted);
    let is_its = tells("lease_id", serde_json::json!(lease_id));
    is_its
        && match change {
            LeaseChange::Acquire(request) => {
                kind == "lease.granted"
                    && tells("holder", serde_json::json!(request.holder))
                    && tells("allow", serde_json::json!(request.scope.allow))
                    && tells("reason", serde_json::json!(request.reason))
            }
            LeaseChange::Renew(fence, _) => {
                kind == "lease.granted" && tells("renewed", serde_json::json!(fence))
            }
            LeaseChange::Release(_) => {
                kind == "lease.released" && tells("by_force", serde_json::json!(false))
            }
            LeaseChange::Take => {
                kind == "lease.released" && tells("by_force", serde_json::json!(true))
            }
        }
}

/// Where an answer is true.
fn true_at(done: &Done) -> Option<Position> {
    done.position.max(done.durable_to)
}

/// What was asked of a lease, in the order in which it may have happened.
fn asked_of(
    journal: &Journal,
    lease_id: LeaseId,
) -> impl DoubleEndedIterator<Item = (&Entry, &LeaseChange)> {
    let entries = journal.entries.iter();
    entries.filter_map(move |entry| match &entry.asked {
        Asked::Lease(of, change) if *of == lease_id => Some((entry, change)),
        _ => None,
    })
}

/// Why the time of a lease can't have been over at an event that tells so, by what its holder was told.
pub(super) fn is_early(journal: &Journal, event: &Event) -> Option<String> {
    let lease_id: LeaseId = Data::of(event).read("lease_id")?;
    for (entry, change) in asked_of(journal, lease_id).rev() {
        let Some(done) = entry.answer.done() else {
            // It may have happened, and made its time shorter.
            let is_unknown = matches!(entry.answer, Answer::Unknown | Answer::Pending);
            if is_unknown && matches!(change, LeaseChange::Renew(_, Some(_))) {
                return None;
            }
            continue;
        };
        if true_at(done).is_none_or(|at| at >= event.position) {
            continue;
        }
        let promised: Timestamp = done.leased.as_ref()?.expires_at?;
        let at = event.at;
        return (at < promised).then(|| format!("{lease_id} is over at {at}, not at {promised}"));
    }
    None
}

impl Expected<'_> {
    /// Checks every answer to whom asked something of a lease, and that all that was told of leases was
    /// asked for.
    pub(super) fn check_lease_answers(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for entry in &self.journal.entries {
            let (Some(lease_id), Some(done)) = (entry.asked.lease_id(), entry.answer.done()) else {
                continue;
            };
            let Some(view) = &done.leased else {
                continue;
            };
            let world = true_at(done).map(|at| self.world(at));
            let is_there = match world {
                Some(Some(world)) => {
                    let leased = world.leases.get(&lease_id);
                    leased.is_some_and(|leased| leased.is_shown_as(view))
                }
                Some(None) => !self.journal.gaps.is_empty(),
                None => false,
            };
            let is_as_asked = match &entry.asked {
                Asked::Lease(_, LeaseChange::Renew(_, Some(ttl_ms))) => view.ttl_ms == *ttl_ms,
                _ => true,
            };
            if !is_there || !is_as_asked || !view.is_current {
                let detail = format!("{}: {done:?}", entry.asked.word());
                found.push(Violation::new(KEPT, detail));
            }
        }
        for told in self.journal.told.values() {
            let event = &told.event;
            match event.kind.as_str() {
                "lease.expired" => {
                    let early = is_early(self.journal, event);
                    found.extend(early.map(|detail| Violation::new(OVER, detail)));
                }
                "lease.granted" | "lease.released" if !self.is_lease_asked(event) => {
                    let (at, data) = (event.position, Data::of(event));
                    let detail = format!("{} at {at}: {}", event.kind, data.value());
                    found.push(Violation::new(ASKED, detail));
                }
                _ => {}
            }
        }
        found
    }

    /// Whether somebody asked for this, and was answered with it or knows nothing of it.
    fn is_lease_asked(&self, event: &Event) -> bool {
        let told = Data::of(event);
        let Some(lease_id) = told.read::<LeaseId>("lease_id") else {
            return false;
        };
        asked_of(self.journal, lease_id).any(|(entry, change)| {
            let is_meant = match &entry.answer {
                Answer::Done(done) => true_at(done) == Some(event.position),
                Answer::Refused(_) => false,
                Answer::Unknown | Answer::Pending => true,
            };
            // Who asks for the same again gets the next fence for the one that it knows.
            is_meant && fits_lease(lease_id, change, event.kind.as_str(), told.value())
        })
    }

    /// Checks the leases that an opening shows: all that were told, whole and with their whole time, and
    /// their fences good for nothing.
    pub(super) fn check_leases(
        &self,
        observation: &Observation,
        world: &World,
        index: u64,
        found: &mut Vec<Violation>,
    ) {
        let list = observation.leases(0, usize::MAX);
        let ids: Vec<LeaseId> = list.leases.iter().map(|view| view.lease_id).collect();
        let mut wanted: Vec<(&LeaseId, Timestamp)> = world
            .leases
            .iter()
            .map(|(id, leased)| (id, leased.granted_at))
            .collect();
        wanted.sort_by_key(|(id, at)| (*at, **id));
        let status = observation.runtime().leases;
        if ids.iter().ne(wanted.iter().map(|(id, _)| *id)) || status != ids.len() {
            let detail = format!("{status}: {ids:?}, and the events tell of {wanted:?}");
            found.push(Violation::new(SHOWN, detail));
        }
        if world.leases.is_empty() {
            return;
        }
        let mounts = match mounts() {
            Ok(mounts) => mounts,
            Err(error) => {
                let promise = "the harness has its mount";
                return found.push(Violation::new(promise, error.to_string()));
            }
        };
        for view in &list.leases {
            let Some(leased) = world.leases.get(&view.lease_id) else {
                continue;
            };
            let times = self.times_of(view.lease_id, leased, index);
            let lasts = view
                .expires_at
                .map(|at| at >= world.at.plus(lasting(view.ttl_ms)));
            let is_one = observation.lease(view.lease_id).as_ref() == Ok(view);
            if !leased.is_shown_as(view)
                || !times.contains(&view.ttl_ms)
                || lasts != Some(true)
                || !is_one
            {
                let detail = format!("{view:?}, told was {leased:?}, it lasts one of {times:?}");
                found.push(Violation::new(SHOWN, detail));
            }
            check_claim(observation, &mounts, view, found);
        }
    }

    /// How long a lease may be kept to last: since its fence was granted that is told by answers alone.
    fn times_of(&self, lease_id: LeaseId, leased: &Leased, index: u64) -> Vec<u64> {
        let mut times = Vec::new();
        let (fenced_at, _) = leased.fenced;
        for (entry, change) in asked_of(self.journal, lease_id).rev() {
            let done = entry.answer.done();
            let is_known = entry.answered_at.is_some_and(|at| at <= index);
            if let Some(done) = done.filter(|_| is_known) {
                let is_later = true_at(done).is_some_and(|at| at >= fenced_at);
                if let Some(view) = done.leased.as_ref().filter(|_| is_later) {
                    times.push(view.ttl_ms);
                    return times;
                }
            }
            if let LeaseChange::Renew(_, Some(ttl_ms)) = change
                && entry.asked_at <= index
                && !matches!(entry.answer, Answer::Refused(_))
            {
                times.push(*ttl_ms);
            }
        }
        times.push(leased.ttl_ms);
        times
    }

    /// How many answers were given by then that are true of leases and are told by no event.
    pub(super) fn find_lease_answers(&mut self) {
        let renewals = self.journal.entries.iter().filter_map(|entry| {
            let done = entry.answer.done()?;
            done.leased.as_ref().filter(|_| done.position.is_none())?;
            entry.answered_at
        });
        self.leases_since = renewals.collect();
        self.leases_since.sort_unstable();
    }
}

const fn lasting(ttl_ms: u64) -> std::time::Duration {
    std::time::Duration::from_millis(ttl_ms)
}

/// Others are kept from what a lease holds to write, and are told whose it is; its fence is stale.
fn check_claim(
    observation: &Observation,
    mounts: &Mounts,
    view: &LeaseView,
    found: &mut Vec<Violation>,
) {
    let id = view.lease_id;
    for rule in &view.scope.allow {
        let asked = VerifyFence {
            fence: view.fence,
            place: MountRef {
                mount: rule.mount.clone(),
                path: rule.path.clone(),
            },
            permission: Permission::Read,
        };
        let verified = observation.verify_lease(mounts, id, &asked);
        let code = verified.as_ref().map_err(|error| error.code());
        if view.is_current || code.err() != Some(Code::FenceStale) {
            let detail = format!("{} of {id} gives {verified:?}", view.fence);
            found.push(Violation::new(FENCED, detail));
        }
        if rule.permission != Permission::Write {
            continue;
        }
        let scope = Scope {
            allow: vec![rule.clone()],
            deny: Vec::new(),
        };
        let checked = observation.check_scope(mounts, &scope, &Scope::default(), None);
        let code = checked.as_ref().map_err(|error| error.code());
        if code.err() != Some(Code::ScopeConflict) {
            let detail = format!("{rule:?} of {id} is free for others: {checked:?}");
            found.push(Violation::new(HELD, detail));
        }
    }
}
