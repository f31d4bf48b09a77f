//! Who holds what, by a list of paths: written from the contract alone, and followed event by event (I6).
//!
//! The tree is tiny: the targets that rules have here, and of each a child and a grandchild that no rule
//! names. At each position of the log no two overlap in write outside a delegation, nobody holds more
//! than whoever is above hands on, and fences only grow.
//!
//! What others than Workers hold for a time is beside it, in `leased`.
//!
//! Used by whoever plays a step (what must be answered) and by the checks (what must be read).

mod leased;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use worker_runtime_core::{
    Event, EventType, Fence, LeaseId, Permission, Scope, ScopeRule, WorkerId, view::Holder,
};

use leased::Leased;

/// Every target of a rule.
pub(super) const TARGETS: [&str; 5] = ["a", "a/b", "a/b/c", "d", "d/e"];

/// What is asked for: to touch, and to hand on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Asked {
    pub(super) scope: Scope,
    pub(super) delegation: Scope,
}

/// What a Worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) parent: Option<WorkerId>,
    pub(super) asked: Asked,
    pub(super) fence: Fence,
}

/// Why something is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Whoever is above may not hand that on.
    Undelegated(WorkerId),
    /// These hold some of it.
    Held(BTreeSet<Holder>),
}

/// Everybody who holds something.
#[derive(Debug, Clone, Default)]
pub(super) struct Family {
    held: BTreeMap<WorkerId, Held>,
    leases: BTreeMap<LeaseId, Leased>,
    /// Who is still to be told who is above it now: since when, and who that is.
    owed: BTreeMap<WorkerId, (WorkerId, Option<WorkerId>)>,
}

/// Paths of which each stands for all that the same rules cover.
fn places() -> impl Iterator<Item = String> {
    let near = |target: &str| {
        [
            target.to_owned(),
            format!("{target}/z"),
            format!("{target}/z/z"),
        ]
    };
    TARGETS.into_iter().flat_map(near).chain(["z".to_owned()])
}

fn covers(rule: &ScopeRule, place: &str) -> bool {
    match place.strip_prefix(rule.path.as_str()) {
        Some("") => true,
        Some(below) if below.starts_with('/') => rule.recursive || below.matches('/').count() == 1,
        _ => false,
    }
}

/// What a scope leaves at a place.
pub(super) fn left_at(scope: &Scope, place: &str) -> Option<Permission> {
    let any = |rules: &[ScopeRule], permission: Permission| {
        let mut at = rules.iter().filter(|rule| covers(rule, place));
        at.any(|rule| rule.permission == permission)
    };
    let (reads, writes) = (
        any(&scope.allow, Permission::Read),
        any(&scope.allow, Permission::Write),
    );
    let (blind, held_back) = (
        any(&scope.deny, Permission::Read),
        any(&scope.deny, Permission::Write),
    );
    match (reads || writes, blind) {
        (false, _) | (_, true) => None,
        _ if writes && !held_back => Some(Permission::Write),
        _ => Some(Permission::Read),
    }
}

impl Asked {
    pub(super) fn is_nothing(&self) -> bool {
        self.scope.allow.is_empty() && self.delegation.allow.is_empty()
    }

    /// What others are kept from.
    fn claim_at(&self, place: &str) -> Option<Permission> {
        left_at(&self.scope, place).max(left_at(&self.delegation, place))
    }

    /// What those below may ask for: what may be handed on, and to look at what is looked at.
    fn authority_at(&self, place: &str) -> Option<Permission> {
        let looks = left_at(&self.scope, place).map(|_| Permission::Read);
        left_at(&self.delegation, place).max(looks)
    }

    fn may_hand_on(&self, other: &Self) -> bool {
        places().all(|place| other.claim_at(&place) <= self.authority_at(&place))
    }

    /// Whether it is at least what another one is: nothing that was started with that has less now.
    pub(super) fn is_no_less_than(&self, other: &Self) -> bool {
        places().all(|place| {
            other.claim_at(&place) <= self.claim_at(&place)
                && left_at(&other.scope, &place) <= left_at(&self.scope, &place)
        })
    }

    fn both_write(&self, other: &Self) -> Option<String> {
        let write = Some(Permission::Write);
        places().find(|place| [self, other].map(|asked| asked.claim_at(place)) == [write; 2])
    }

    /// As an event tells it: one that hands nothing on says nothing of that.
    pub(super) fn told(&self, parent: Option<WorkerId>) -> Value {
        let (scope, delegation) = (kept(&self.scope), kept(&self.delegation));
        json!({
            "parent": parent,
            "allow": scope.allow,
            "deny": scope.deny,
            "delegation": delegation.allow.first().map(|_| &delegation),
        })
    }
}

/// A scope that allows nothing is none.
pub(super) fn kept(scope: &Scope) -> Scope {
    match scope.allow.is_empty() {
        true => Scope::default(),
        false => scope.clone(),
    }
}

impl Family {
    pub(super) fn get(&self, id: WorkerId) -> Option<&Held> {
        self.held.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (WorkerId, &Held)> {
        self.held.iter().map(|(id, held)| (*id, held))
    }

    /// Who lies directly below, in the order of their ids.
    pub(super) fn below(&self, id: WorkerId) -> impl Iterator<Item = WorkerId> {
        let below = self.iter().filter(move |(_, held)| held.parent == Some(id));
        below.map(|(child, _)| child)
    }

    /// Who lies above, as far as each holds something.
    fn above(&self, parent: Option<WorkerId>) -> impl Iterator<Item = WorkerId> {
        let holds = |id: &WorkerId| self.held.contains_key(id);
        let next = move |id: &WorkerId| self.get(*id)?.parent.filter(holds);
        std::iter::successors(parent.filter(holds), next)
    }

    /// Why this is not granted below `parent`; `asker` holds something already, or did.
    pub(super) fn refusal(
        &self,
        asked: &Asked,
        parent: Option<WorkerId>,
        asker: Option<WorkerId>,
    ) -> Option<Refusal> {
        if asked.is_nothing() {
            return None;
        }
        if let Some(parent) = parent {
            let nothing = Asked::default();
            let above = self.get(parent).map_or(&nothing, |held| &held.asked);
            if !above.may_hand_on(asked) {
                return Some(Refusal::Undelegated(parent));
            }
        }
        let above: BTreeSet<WorkerId> = self.above(parent).collect();
        let is_asker = |id: WorkerId| Some(id) == asker;
        let rivals = self.iter().filter(|(id, held)| {
            let is_family =
                is_asker(*id) || above.contains(id) || self.above(held.parent).any(is_asker);
            !is_family && held.asked.both_write(asked).is_some()
        });
        let rivals = rivals.map(|(id, _)| id.into());
        let rivals: BTreeSet<Holder> = rivals.chain(self.lessees_of(asked)).collect();
        (!rivals.is_empty()).then_some(Refusal::Held(rivals))
    }

    /// Who lies below a Worker and holds what that could not hand on any more.
    pub(super) fn beyond(&self, id: WorkerId, asked: &Asked) -> BTreeSet<WorkerId> {
        let below = self.below(id);
        let beyond = below.filter(|child| {
            let held = self.get(*child);
            held.is_some_and(|held| !asked.may_hand_on(&held.asked))
        });
        beyond.collect()
    }

    /// What a Worker may do at a place just now: what those directly below it hold to write, it reads.
    pub(super) fn effective_at(&self, id: WorkerId, place: &str) -> Option<Permission> {
        let own = left_at(&self.get(id)?.asked.scope, place)?;
        let below = self.below(id).filter_map(|child| self.get(child));
        let mut lent = below.map(|held| held.asked.claim_at(place));
        Some(match lent.any(|lent| lent == Some(Permission::Write)) {
            true => Permission::Read,
            false => own,
        })
    }

    /// How much would still be to be told after these events.
    pub(super) fn owed_after(&self, events: &[Event]) -> usize {
        let mut family = self.clone();
        // What is wrong with them is told when they are taken.
        events.iter().for_each(|event| drop(family.follow(event)));
        family.owed()
    }

    /// What is still to be told.
    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Goes on by one event; tells what is wrong then.
    pub(super) fn follow(&mut self, event: &Event) -> Result<(), String> {
        if event.kind != EventType::ALLOCATION_REPARENTED {
            self.is_told()?;
        }
        if event.kind.as_str().starts_with("lease.") {
            self.follow_lease(event)?;
            return self.is_whole();
        }
        let Some(id) = event.worker.map(|place| place.worker_id) else {
            return Ok(());
        };
        let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let field = |name: &str| data.get(name).cloned().unwrap_or_default();
        let worker = |name: &str| field(name).as_str().and_then(|text| text.parse().ok());
        let fence = field("fence").as_u64().map(Fence);
        match event.kind.as_str() {
            kind @ ("allocation.granted" | "allocation.changed") => {
                let parent = worker("parent");
                let before = self.held.get(&id);
                let was_held = before.is_some();
                if was_held != (kind == "allocation.changed")
                    || before.is_some_and(|before| before.parent != parent)
                {
                    return Err(format!("it holds {before:?} already, below {parent:?} now"));
                }
                let Some(fence) = fence else {
                    return Err("it has no fence".to_owned());
                };
                let scope = json!({ "allow": field("allow"), "deny": field("deny") });
                let read = |value: Value| serde_json::from_value::<Scope>(value);
                let delegation = match field("delegation") {
                    Value::Null => Ok(Scope::default()),
                    told => read(told),
                };
                let (Ok(scope), Ok(delegation)) = (read(scope), delegation) else {
                    return Err("its rules can't be read".to_owned());
                };
                let asked = Asked { scope, delegation };
                let held = Held {
                    parent,
                    asked,
                    fence,
                };
                self.held.insert(id, held);
            }
            "allocation.released" => {
                let Some(held) = self.held.remove(&id) else {
                    return Err("it holds nothing".to_owned());
                };
                let below: Vec<WorkerId> = self.below(id).collect();
                self.owed
                    .extend(below.into_iter().map(|child| (child, (id, held.parent))));
            }
            "allocation.reparented" => {
                let told = (worker("from"), worker("to"));
                let owed = self.owed.remove(&id);
                if owed.map(|(from, to)| (Some(from), to)) != Some(told) {
                    return Err(format!("{told:?} is told, and {owed:?} was to be"));
                }
                if let Some(held) = self.held.get_mut(&id) {
                    held.parent = told.1;
                }
            }
            "run.started" => {
                if let (Some(held), Some(fence)) = (self.held.get_mut(&id), fence) {
                    held.fence = fence;
                }
                return Ok(());
            }
            _ => return Ok(()),
        }
        match self.owed.is_empty() {
            true => self.is_whole(),
            // In the middle of one commit: each is told who is above it now.
            false => Ok(()),
        }
    }

    /// Nothing comes before those below are told who is above them.
    fn is_told(&self) -> Result<(), String> {
        match self.owed.is_empty() {
            true => Ok(()),
            false => Err(format!("{:?} were to be told who is above them", self.owed)),
        }
    }

    /// Nobody overlaps another one in write outside a delegation, and nobody holds more than it was
    /// handed.
    fn is_whole(&self) -> Result<(), String> {
        for (id, held) in self.iter() {
            if let Some(parent) = held.parent {
                let above = self.get(parent);
                if !above.is_some_and(|above| above.asked.may_hand_on(&held.asked)) {
                    return Err(format!(
                        "{id} holds more than {parent} above it may hand on"
                    ));
                }
            }
            let later = self.held.range(id..).skip(1);
            for (other, others) in later {
                let is_family = self.above(held.parent).any(|above| above == *other)
                    || self.above(others.parent).any(|above| above == id);
                let shared = held.asked.both_write(&others.asked);
                if let Some(place) = shared.filter(|_| !is_family) {
                    return Err(format!("{id} and {other} may both write {place:?}"));
                }
            }
        }
        self.is_nobody_beside_leases()
    }
}

#[cfg(test)]
mod tests;
