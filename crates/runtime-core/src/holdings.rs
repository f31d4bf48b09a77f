//! Who holds what: the one place where allocations and leases are looked up and compared, and allocations
//! put below each other (I6).
//!
//! It is made from the records of a store, and nothing of it is stored: the writer keeps one as its
//! working state, and one is published for readers. Whatever it answers costs what is near the question,
//! however many allocations there are ([`ScopeIndex`]).

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    HeldRule, LeaseId, Permission, WorkerId,
    error::ScopeRefusal,
    record::{AllocationRecord, LeaseRecord},
    sabotage::{self, Sabotage},
    scope::{
        Authority, Claim, Leaves, NO_SCOPE, OWNERS_MAX, RunScope, ScopeIndex, conflicts, covers,
        meets, uncovered, writes,
    },
    view::{Holder, Owners, ScopeOwner, wire_rule},
};

/// Every allocation and every lease, found by holder and by place; allocations also by who is above.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings {
    held: HashMap<WorkerId, Arc<AllocationRecord>>,
    leases: HashMap<LeaseId, Arc<LeaseRecord>>,
    index: ScopeIndex<Holder>,
    below: HashMap<WorkerId, BTreeSet<WorkerId>>,
}

/// What is held, by whomever.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held<'a> {
    Allocation(&'a AllocationRecord),
    Lease(&'a LeaseRecord),
}

impl<'a> Held<'a> {
    pub(crate) fn claim(self) -> Claim<'a> {
        match self {
            Self::Allocation(held) => held.claim(),
            Self::Lease(held) => held.claim(),
        }
    }

    pub(crate) fn holder(self) -> Holder {
        match self {
            Self::Allocation(held) => Holder::Worker(held.worker_id),
            Self::Lease(held) => Holder::Lease(held.lease_id),
        }
    }
}

/// Who asks: its own allocation, those above it and those below it are no rivals of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) worker_id: Option<WorkerId>,
    pub(crate) parent: Option<WorkerId>,
}

impl Holdings {
    pub(crate) fn new(held: impl IntoIterator<Item = Arc<AllocationRecord>>) -> Self {
        let mut holdings = Self::default();
        for allocation in held {
            holdings.insert(allocation);
        }
        holdings
    }

    /// The same, and what others than Workers hold.
    pub(crate) fn and(mut self, leases: impl IntoIterator<Item = Arc<LeaseRecord>>) -> Self {
        for lease in leases {
            self.insert_lease(lease);
        }
        self
    }

    pub(crate) fn get(&self, worker_id: WorkerId) -> Option<&Arc<AllocationRecord>> {
        self.held.get(&worker_id)
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<AllocationRecord>> {
        self.held.values()
    }

    /// Puts an allocation in the place of what its owner held.
    pub(crate) fn insert(&mut self, allocation: Arc<AllocationRecord>) {
        let worker_id = allocation.worker_id;
        if let Some(before) = self.held.get(&worker_id) {
            let stays = Arc::ptr_eq(before, &allocation)
                || (before.claim(), before.parent) == (allocation.claim(), allocation.parent);
            if stays {
                // Only its fence is another one, as with each run.
                self.held.insert(worker_id, allocation);
                return;
            }
            self.remove(worker_id);
        }
        self.index.insert(worker_id.into(), allocation.claim());
        if let Some(parent) = allocation.parent {
            self.below.entry(parent).or_default().insert(worker_id);
        }
        self.held.insert(worker_id, allocation);
    }

    pub(crate) fn remove(&mut self, worker_id: WorkerId) -> Option<Arc<AllocationRecord>> {
        let gone = self.held.remove(&worker_id)?;
        self.index.remove(worker_id.into(), gone.claim());
        if let Some(parent) = gone.parent
            && let Some(siblings) = self.below.get_mut(&parent)
        {
            siblings.remove(&worker_id);
            if siblings.is_empty() {
                self.below.remove(&parent);
            }
        }
        Some(gone)
    }

    pub(crate) fn lease(&self, lease_id: LeaseId) -> Option<&Arc<LeaseRecord>> {
        self.leases.get(&lease_id)
    }

    pub(crate) fn leases(&self) -> impl ExactSizeIterator<Item = &Arc<LeaseRecord>> {
        self.leases.values()
    }

    /// Puts a lease in the place of the one with its id.
    pub(crate) fn insert_lease(&mut self, lease: Arc<LeaseRecord>) {
        let lease_id = lease.lease_id;
        self.remove_lease(lease_id);
        self.index.insert(lease_id.into(), lease.claim());
        self.leases.insert(lease_id, lease);
    }

    pub(crate) fn remove_lease(&mut self, lease_id: LeaseId) -> Option<Arc<LeaseRecord>> {
        let gone = self.leases.remove(&lease_id)?;
        self.index.remove(lease_id.into(), gone.claim());
        Some(gone)
    }

    fn held_by(&self, holder: Holder) -> Option<Held<'_>> {
        match holder {
            Holder::Worker(worker_id) => {
                let held = self.held.get(&worker_id);
                Some(Held::Allocation(held.filter(|held| !self.is_hidden(held))?))
            }
            Holder::Lease(lease_id) => Some(Held::Lease(self.leases.get(&lease_id)?)),
        }
    }

    /// Whether a fault put in on purpose keeps this one from being seen.
    fn is_hidden(&self, held: &AllocationRecord) -> bool {
        let mut above = self.above(held.parent).filter_map(|above| self.get(above));
        if sabotage::is(Sabotage::DenyHidesChild) {
            let is_denied = |deny| writes(held.claim()).any(|rule| meets(deny, rule));
            return above.any(|above| above.scope.deny.iter().any(is_denied));
        }
        sabotage::is(Sabotage::HideDelegated)
            && above
                .next()
                .is_some_and(|parent| !covers(&*parent.scope, &held.claim()))
    }

    /// Those directly below, in the order of their ids.
    pub(crate) fn children(
        &self,
        worker_id: WorkerId,
    ) -> impl Iterator<Item = &Arc<AllocationRecord>> {
        let below = self.below.get(&worker_id).into_iter().flatten();
        below.filter_map(|child| self.held.get(child))
    }

    /// Those above that hold something, nearest first.
    fn above(&self, parent: Option<WorkerId>) -> impl Iterator<Item = WorkerId> {
        let first = parent.filter(|parent| self.held.contains_key(parent));
        let next = |worker_id: &WorkerId| {
            let parent = self.held.get(worker_id)?.parent?;
            self.held.contains_key(&parent).then_some(parent)
        };
        // Nobody is above itself, but damaged records may say so.
        std::iter::successors(first, next).take(self.held.len())
    }

    /// What those below this Worker may ask for.
    pub(crate) fn authority(&self, worker_id: WorkerId) -> Authority<'_> {
        let nothing = Claim::from(&NO_SCOPE);
        Authority(self.get(worker_id).map_or(nothing, |held| held.claim()))
    }

    /// What this Worker may do at this path just now.
    pub(crate) fn permission_at(&self, worker_id: WorkerId, target: &str) -> Option<Permission> {
        let held = Held::Allocation(self.get(worker_id)?);
        left_at(held, target, &self.lenders_at(target))
    }

    /// Who has handed on to write at this path. However many there are below a Worker, only those are
    /// looked at that hold the path.
    fn lenders_at(&self, target: &str) -> BTreeSet<WorkerId> {
        let writers = self.index.writers_at(target).into_iter();
        // A lease lies below nobody.
        let writers = writers.filter_map(|holder| self.held.get(&holder.worker_id()?));
        let writes = |held: &&Arc<AllocationRecord>| {
            held.claim().permission_at(target) == Some(Permission::Write)
        };
        writers
            .filter(writes)
            .filter_map(|held| held.parent)
            .collect()
    }

    /// What a run of this Worker is told that it may touch.
    pub(crate) fn run_scope(&self, worker_id: WorkerId) -> Option<RunScope> {
        let held = self.get(worker_id)?.clone();
        let lent = self.children(worker_id).cloned().collect();
        Some(RunScope { held, lent })
    }

    /// The first rule of a child's claim that is beyond what would be delegated.
    pub(crate) fn child_beyond(
        &self,
        worker_id: WorkerId,
        claim: Claim<'_>,
    ) -> Option<(WorkerId, HeldRule)> {
        self.children(worker_id).find_map(|child| {
            let beyond = uncovered(&Authority(claim), &child.claim())?.clone();
            Some((child.worker_id, beyond))
        })
    }

    /// Why this is not granted to whoever asks, if it is not: its parent may not hand it on, or others
    /// hold some of it. It changes nothing.
    pub(crate) fn refuse(
        &self,
        asked: Claim<'_>,
        asker: Asker,
        name_of: impl Fn(WorkerId) -> Option<String>,
    ) -> Result<(), ScopeRefusal> {
        if let Some(parent) = asker.parent
            && let Some(rule) = uncovered(&self.authority(parent), &asked)
        {
            let rule = wire_rule(rule);
            let held = self.get(parent);
            return Err(ScopeRefusal::Undelegated {
                parent,
                rule,
                hands_on: held.is_some_and(|held| held.delegation.is_some()),
            });
        }
        let rivals = self.rivals(asked, asker);
        if rivals.is_empty() {
            return Ok(());
        }
        let total = rivals.len();
        let named = rivals.into_iter().take(OWNERS_MAX);
        let named = named.map(|(other, holds, asked)| ScopeOwner {
            holder: other.holder(),
            display_name: match other {
                Held::Allocation(held) => name_of(held.worker_id),
                Held::Lease(held) => Some(held.holder.clone()),
            },
            holds: wire_rule(holds),
            asked: wire_rule(asked),
        });
        let named = named.collect();
        Err(ScopeRefusal::Conflict {
            owners: Owners { total, named },
        })
    }

    /// Every holder that keeps some of this from whoever asks, the deepest rule first, with that rule
    /// and the one that meets it.
    fn rivals<'a>(
        &'a self,
        asked: Claim<'a>,
        asker: Asker,
    ) -> Vec<(Held<'a>, &'a HeldRule, &'a HeldRule)> {
        let above: BTreeSet<WorkerId> = self.above(asker.parent).collect();
        let is_asker = |worker_id| Some(worker_id) == asker.worker_id;
        let is_family = |other: &Held<'_>| match other {
            Held::Allocation(other) => {
                is_asker(other.worker_id)
                    || above.contains(&other.worker_id)
                    || asker.worker_id.is_some() && self.above(other.parent).any(is_asker)
            }
            Held::Lease(_) => false,
        };
        let near = self.index.writers_near(writes(asked)).into_iter();
        let near = near.filter_map(|holder| self.held_by(holder));
        let rivals = near.filter(|other| !is_family(other)).filter_map(|other| {
            let pairs = conflicts(other.claim(), asked).into_iter();
            let (holds, asked) = pairs.max_by_key(|(held, _)| held.target.len())?;
            Some((other, holds, asked))
        });
        let mut rivals: Vec<_> = rivals.collect();
        // Of a Worker and whom it lent to, it is the latter that is in the way.
        let depth = |worker_id| self.above(worker_id).count();
        rivals.sort_by_cached_key(|(other, holds, _)| {
            let holder = other.holder();
            let deepest = Reverse((holds.target.len(), depth(holder.worker_id())));
            (deepest, holder)
        });
        rivals
    }

    /// Who may touch this path, and how: what each holds itself, without what it has lent. A holder
    /// that only may hand the path on is there too, with nothing. Who may only look comes last.
    pub(crate) fn at(&self, target: &str) -> impl Iterator<Item = (Held<'_>, Option<Permission>)> {
        let lenders = self.lenders_at(target);
        let near = self.index.some_at(target);
        let near = near.filter_map(|holder| self.held_by(holder));
        let held = near.filter(|held| held.claim().permission_at(target).is_some());
        held.map(move |held| (held, left_at(held, target, &lenders)))
    }

    /// Who holds something below this path, whoever may write there first.
    pub(crate) fn below(&self, target: &str) -> impl Iterator<Item = Held<'_>> {
        let below = self.index.some_below(target);
        below.filter_map(|holder| self.held_by(holder))
    }
}

/// What is left to a holder at a path: where it has handed on to write, it may only look. It is
/// [`Effective`](crate::scope::Effective) at one path.
fn left_at(held: Held<'_>, target: &str, lenders: &BTreeSet<WorkerId>) -> Option<Permission> {
    let has_lent = |worker_id| lenders.contains(&worker_id);
    match held.claim().scope.permission_at(target)? {
        Permission::Write if held.holder().worker_id().is_some_and(has_lent) => {
            Some(Permission::Read)
        }
        own => Some(own),
    }
}

#[cfg(test)]
mod tests;
