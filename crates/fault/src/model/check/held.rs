//! What is held is shown as it was told, of the live store and of the stopped one, and a fence is good
//! while its run goes on and never else (I6).

use std::{collections::BTreeMap, path::Path};

use serde_json::json;
use worker_runtime_core::{
    Code, Fence, Observation, Permission, WorkerId, open_read_only, sabotage,
    view::{AllocationView, VerifyFence},
    worker::MountRef,
};
use worker_runtime_persist::{CheckDepth, CheckWatcher, Finding, ReadStore, check};

use super::Game;
use crate::{
    model::{
        expect::differs,
        held::TARGETS,
        plain::Worker,
        stop::{Played, broken, ensure},
        world::MOUNT,
    },
    report::Doing,
};

pub(super) const SHOWN: &str = "I6 what is held is what the log tells";
const CLEAN: &str = "I7 a check finds nothing in a store that nothing damaged";
const FENCED: &str = "I6 a fence is good while its run goes on";

impl Game {
    /// Everybody holds what the log tells, and what the model says.
    pub(in crate::model) fn check_held(&mut self) -> Played<()> {
        for worker in &self.plain.workers {
            let held = self.plain.family.get(worker.id);
            let told = held.map(|held| (held.fence, &held.asked));
            let expected = worker.holds.map(|fence| (fence, &worker.keeps));
            ensure(told == expected, SHOWN, || {
                format!("{} is told to hold {told:?}, not {expected:?}", worker.id)
            })?;
        }
        self.check_shown(&self.world.observation, true)?;
        self.check_fences()?;
        self.check_leases()
    }

    /// The same of the store that nobody has open now.
    pub(in crate::model) fn check_stopped(&mut self) -> Played<()> {
        let Some(directory) = self.world.stopped_at() else {
            return Ok(());
        };
        self.check_is_clean(directory)?;
        let store = ReadStore::open(directory).doing("read the stopped store")?;
        let loaded = store.load().doing("read the stopped store")?;
        let limits = Default::default();
        let seen = open_read_only(loaded, store.reader(), Vec::new(), limits);
        let seen = seen.doing("read the stopped store")?;
        self.check_shown(&seen, false)?;
        self.check_leases_shown(&seen, false)?;
        self.count("allocations read of a stopped store");
        Ok(())
    }

    /// Nothing damaged it, so a check of it finds nothing.
    fn check_is_clean(&self, directory: &Path) -> Played<()> {
        // What is put in on purpose is for the audit to find, which shares nothing with the store.
        if sabotage::inherited().is_some() {
            return Ok(());
        }
        struct Told(Vec<Finding>);
        impl CheckWatcher for Told {
            fn found(&mut self, finding: Finding) {
                self.0.push(finding);
            }
        }
        let mut told = Told(Vec::new());
        check(directory, CheckDepth::Full, &mut told).doing("check the stopped store")?;
        ensure(told.0.is_empty(), CLEAN, || format!("{:?}", told.0))
    }

    fn check_shown(&self, seen: &Observation, is_live: bool) -> Played<()> {
        let list = seen.allocations(0, usize::MAX);
        let shown = list.allocations.iter();
        let shown: BTreeMap<WorkerId, &AllocationView> =
            shown.map(|view| (view.worker_id, view)).collect();
        let held = self.plain.family.iter().count();
        ensure(shown.len() == held && list.total == held, SHOWN, || {
            format!(
                "{} are shown to hold something, {held} were told to",
                shown.len()
            )
        })?;
        for (id, held) in self.plain.family.iter() {
            let below: Vec<WorkerId> = self.plain.family.below(id).collect();
            let worker = self.plain.worker(id);
            let run_id = worker.and_then(|worker| worker.run.as_ref().map(|run| run.run_id));
            let releasing = worker.and_then(|worker| worker.taken.as_ref());
            let mut expected = json!({
                "parent": held.parent,
                "scope": held.asked.scope,
                "lent_to": below,
                "fence": held.fence,
                "run_id": run_id,
                "releasing": releasing.map(|taken| json!({ "at": taken.at, "reason": taken.reason })),
            });
            if let Some(fields) = expected.as_object_mut() {
                if !held.asked.delegation.allow.is_empty() {
                    fields.insert("delegation".to_owned(), json!(held.asked.delegation));
                }
                if is_live {
                    let unproven = worker.is_some_and(|worker| worker.unproven);
                    fields.insert("unproven".to_owned(), json!(unproven));
                }
            }
            let Some(view) = shown.get(&id) else {
                return broken(SHOWN, format!("{id} is not shown to hold {held:?}"));
            };
            let actual = serde_json::to_value(view).unwrap_or_default();
            if let Some(differs) = differs(&expected, &actual, "allocation") {
                return broken(SHOWN, format!("{id} (live: {is_live}): {differs}"));
            }
        }
        Ok(())
    }

    /// The fence of each run that goes on is good where its Worker may do that, and every other one is
    /// stale.
    fn check_fences(&self) -> Played<()> {
        for (id, held) in self.plain.family.iter() {
            let Some(worker) = self.plain.worker(id) else {
                continue;
            };
            let of_run = worker.run.as_ref().and_then(|run| run.fence);
            let current = of_run.filter(|fence| *fence == held.fence && !worker.unproven);
            let before = Fence(held.fence.0.saturating_sub(1));
            self.check_fence(worker, before, None)?;
            self.check_fence(worker, held.fence, current)?;
        }
        Ok(())
    }

    fn check_fence(&self, worker: &Worker, fence: Fence, current: Option<Fence>) -> Played<()> {
        // Any of them: there are many steps.
        let position = usize::try_from(self.plain.position().0).unwrap_or_default();
        let path = TARGETS
            .get(position % TARGETS.len())
            .copied()
            .unwrap_or("a");
        let left = self.plain.family.effective_at(worker.id, path);
        for permission in [Permission::Read, Permission::Write] {
            let place = MountRef {
                mount: MOUNT.to_owned(),
                path: path.to_owned(),
            };
            let asked = VerifyFence {
                fence,
                place,
                permission,
            };
            let answer = self
                .world
                .runtime()?
                .allocations()
                .verify(worker.id, &asked);
            let told = answer.map(|verified| verified.permission);
            let told = told.map_err(|error| error.code());
            let expected = match (current, left) {
                (None, _) => Err(Code::FenceStale),
                (Some(_), Some(left)) if left >= permission => Ok(left),
                (Some(_), _) => Err(Code::ScopeDenied),
            };
            ensure(told == expected, FENCED, || {
                let id = worker.id;
                format!(
                    "{fence} of {id} for {permission:?} at {path:?}: {told:?}, not {expected:?}"
                )
            })?;
        }
        Ok(())
    }
}
