//! What others than Workers hold is shown as it was told, of the live store and of the stopped one; its fence
//! is good in the opening that granted it, while it is held, and never else (I6).

use std::collections::BTreeMap;

use worker_runtime_core::{
    Code, Fence, LeaseId, Observation, Permission,
    view::{LeaseView, VerifyFence},
    worker::MountRef,
};

use super::{Game, held::SHOWN};
use crate::model::{
    expect::differs,
    held::{TARGETS, left_at},
    lease::Lease,
    stop::{Played, broken, ensure},
    world::MOUNT,
};

const FENCED: &str = "I6 a fence is good while its lease is held";

impl Game {
    /// Everybody holds what the log tells, and what the model says.
    pub(super) fn check_leases(&self) -> Played<()> {
        let told = self.plain.family.lease_count();
        let held = self.plain.leases.len();
        ensure(told == held, SHOWN, || {
            format!("{told} leases are told to be held, not {held}")
        })?;
        for held in &self.plain.leases {
            let told = self.plain.family.leased(held.id);
            let expected = Some((&held.request.scope, held.fence));
            ensure(told == expected, SHOWN, || {
                format!("lease {} is told to be {told:?}, not {expected:?}", held.id)
            })?;
        }
        self.check_leases_shown(&self.world.observation, true)?;
        self.check_lessees()?;
        for held in &self.plain.leases {
            self.check_lease_fences(held)?;
        }
        match self.plain.lease_gone {
            Some(gone) if self.plain.lease(gone).is_none() => self.check_lease_gone(gone),
            _ => Ok(()),
        }
    }

    pub(super) fn check_leases_shown(&self, seen: &Observation, is_live: bool) -> Played<()> {
        let list = seen.leases(0, usize::MAX);
        let shown = list.leases.iter();
        let shown: BTreeMap<LeaseId, &LeaseView> =
            shown.map(|view| (view.lease_id, view)).collect();
        let held = self.plain.leases.len();
        ensure(shown.len() == held && list.total == held, SHOWN, || {
            format!("{} leases are shown, and {held} are held", shown.len())
        })?;
        for held in &self.plain.leases {
            let Some(view) = shown.get(&held.id) else {
                return broken(SHOWN, format!("{held:?} is not shown"));
            };
            let actual = serde_json::to_value(view).unwrap_or_default();
            let expected = self.expected_lease(held, is_live);
            if let Some(differs) = differs(&expected, &actual, "lease") {
                return broken(SHOWN, format!("{} (live: {is_live}): {differs}", held.id));
            }
        }
        Ok(())
    }

    /// Any of the places: there are many steps.
    fn place_of_now(&self) -> MountRef {
        let position = usize::try_from(self.plain.position().0).unwrap_or_default();
        let path = TARGETS.get(position % TARGETS.len());
        MountRef {
            mount: MOUNT.to_owned(),
            path: path.copied().unwrap_or("a").to_owned(),
        }
    }

    /// Whoever asks who holds a place is told of every lease.
    fn check_lessees(&self) -> Played<()> {
        let place = self.place_of_now();
        let path = place.path.clone();
        let allocations = self.world.runtime()?.allocations();
        let who = match allocations.who(&place) {
            Ok(who) => who,
            Err(error) => return broken(SHOWN, format!("who holds {path:?}: {error}")),
        };
        let told = who.holders.iter();
        let told = told.filter_map(|it| Some((it.holder.lease_id()?, it.permission?)));
        let told: BTreeMap<LeaseId, Permission> = told.collect();
        let expected: BTreeMap<_, _> = self.plain.family.lessees_at(&path).collect();
        ensure(told == expected, SHOWN, || {
            format!("{told:?} are told to hold {path:?}, not {expected:?}")
        })
    }

    /// A fence of this opening is good where its holder may do that; every other one is stale.
    fn check_lease_fences(&self, held: &Lease) -> Played<()> {
        let place = self.place_of_now();
        let left = left_at(&held.request.scope, &place.path);
        let is_current = held.opening == self.world.openings;
        let before = Fence(held.fence.0.saturating_sub(1));
        let fences = [Some(held.fence), held.shown, Some(before)];
        for fence in fences.into_iter().flatten() {
            for permission in [Permission::Read, Permission::Write] {
                let told = self.verified(held.id, fence, permission, &place)?;
                let expected = match left {
                    _ if !is_current || fence != held.fence => Err(Code::FenceStale),
                    Some(left) if left >= permission => Ok(left),
                    _ => Err(Code::ScopeDenied),
                };
                ensure(told == expected, FENCED, || {
                    let path = &place.path;
                    format!(
                        "{fence} of {held:?} for {permission:?} at {path:?}: {told:?}, not {expected:?}"
                    )
                })?;
            }
        }
        Ok(())
    }

    fn check_lease_gone(&self, gone: LeaseId) -> Played<()> {
        let (fence, place) = (Fence(self.plain.fence), self.place_of_now());
        let told = self.verified(gone, fence, Permission::Read, &place)?;
        ensure(told == Err(Code::LeaseUnknown), FENCED, || {
            format!("{fence} of {gone}, which nobody holds: {told:?}")
        })
    }

    fn verified(
        &self,
        id: LeaseId,
        fence: Fence,
        permission: Permission,
        place: &MountRef,
    ) -> Played<Result<Permission, Code>> {
        let asked = VerifyFence {
            fence,
            place: place.clone(),
            permission,
        };
        let allocations = self.world.runtime()?.allocations();
        let told = allocations.verify_lease(id, &asked);
        let told = told.map(|verified| verified.permission);
        Ok(told.map_err(|error| error.code()))
    }
}
