//! Families of Workers that hold below each other, up to three deep: what a Runtime grants, refuses and
//! tells of them, against sets of paths.
//!
//! Only what any user can call is asked: creations, changes, dry runs, and who holds a place.

use std::collections::BTreeSet;

use fastrand::Rng;
use worker_runtime_core::{
    Allocations, Mounts, Runtime, RuntimeOptions, SeededEntropy, WorkerId,
    error::{AllocationError, CreateError, ScopeRefusal},
    view::{Place, PlaceHolders},
    worker::{CreateWorker, Intent},
};
use worker_runtime_persist::{MemoryStore, StoreOptions};

use super::{
    choose::Chooser,
    plain::{Holding, MOUNTS},
    tree::{Path, Tree},
};
use crate::{
    report::{Doing, HarnessError, Outcome, Violation},
    workload::{limits, on_one_thread},
};

const GRANTED: &str = "I6 what meets nobody's is granted, and nothing else";
const CHANGED: &str = "I6 what others hold below is not taken by a change";
const WHO: &str = "I6 whoever holds a place is named";

/// Where the tree lies; nothing is ever made there.
const TOP: &str = "/nonexistent/tree";

/// How deep a family is.
const DEPTH: usize = 3;
/// Creations and changes, dry runs, and places, of one Runtime.
const ASKED: usize = 14;
const DRY_RUNS: usize = 40;
const PLACES: usize = 20;

/// A Worker that holds something.
struct Owner {
    id: WorkerId,
    parent: Option<usize>,
    holding: Holding,
}

/// One Runtime, and what its Workers hold.
struct Family<'a> {
    tree: &'a Tree,
    rng: Rng,
    runtime: Runtime,
    owners: Vec<Owner>,
    outcome: &'a mut Outcome,
}

/// What must be answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Granted,
    /// The parent may not hand that on.
    Undelegated(WorkerId),
    /// These hold some of it, and are no family.
    Held(BTreeSet<WorkerId>),
    /// One below holds what could not be handed on any more.
    Lent(BTreeSet<WorkerId>),
    Other(String),
}

/// Makes a Runtime and asks it, until something is not as the sets say.
///
/// # Errors
/// When the harness can't do its work.
pub(super) fn play(
    tree: &Tree,
    rng: Rng,
    outcome: &mut Outcome,
) -> Result<Option<Violation>, HarnessError> {
    on_one_thread()?.block_on(async {
        let mut family = Family {
            tree,
            runtime: open(rng.clone()).await?,
            rng,
            owners: Vec::new(),
            outcome,
        };
        let found = family.play().await?;
        family.outcome.count("families", 1);
        let words = family.in_words();
        family.runtime.close().await.doing("close the Runtime")?;
        Ok(found.err().map(|mut violation| {
            violation.detail = format!("{}; {words}", violation.detail);
            violation
        }))
    })
}

async fn open(mut rng: Rng) -> Result<Runtime, HarnessError> {
    let clock = std::sync::Arc::new(limits::clock());
    let mut store = StoreOptions::memory();
    store.clock = clock.clone();
    store.entropy = Box::new(SeededEntropy::new(rng.u64(..)));
    let mut mounts = Mounts::default();
    for mount in &MOUNTS {
        let path = format!("{TOP}{}", mount.top);
        mounts.set(mount.name, path).doing("set a mount")?;
    }
    let options = RuntimeOptions {
        mounts,
        clock,
        entropy: Box::new(SeededEntropy::new(rng.u64(..))),
        ..RuntimeOptions::default()
    };
    let store = MemoryStore::new(store).doing("make a store")?;
    let opened = Runtime::open(Box::new(store), options).await;
    opened.doing("open the Runtime")
}

impl Family<'_> {
    async fn play(&mut self) -> Result<Result<(), Violation>, HarnessError> {
        for _ in 0..ASKED {
            let found = match self.owners.is_empty() || self.rng.u8(0..4) > 0 {
                true => self.create().await,
                false => self.change().await,
            };
            if found.is_err() {
                return Ok(found);
            }
        }
        for _ in 0..DRY_RUNS {
            if let Err(found) = self.dry_run() {
                return Ok(Err(found));
            }
        }
        for _ in 0..PLACES {
            let found = self.who()?;
            if found.is_err() {
                return Ok(found);
            }
        }
        Ok(Ok(()))
    }

    fn chooser(&mut self) -> Chooser<'_> {
        Chooser {
            tree: self.tree,
            rng: &mut self.rng,
        }
    }

    /// Somebody to be below, or nobody; and what is asked for then.
    fn choose(&mut self) -> (Option<usize>, Holding) {
        let owners = 0..self.owners.len();
        let may: Vec<usize> = owners
            .filter(|owner| self.above(Some(*owner)).len() < DEPTH)
            .collect();
        let parent = match self.rng.u8(0..3) {
            0 => None,
            _ => self.rng.choice(may),
        };
        let of_parent = parent.and_then(|parent| self.owners.get(parent));
        let of_parent = of_parent.map(|parent| parent.holding.clone());
        let asked = match (of_parent, self.rng.u8(0..4)) {
            (Some(above), 1..) => self.chooser().within(&above),
            (None, 0..2) => self.chooser().in_parts(),
            _ => self.chooser().holding(2),
        };
        (parent, asked)
    }

    async fn create(&mut self) -> Result<(), Violation> {
        let (parent, holding) = self.choose();
        let mut request = CreateWorker::new(Intent::Assistant { purpose: None });
        request.scope = holding.scope.wire();
        request.delegation = holding.delegation.wire();
        request.spec.parent = self.id_of(parent);
        let expected = self.answer(&holding, parent, None);
        let created = self.runtime.catalog().create(request).await;
        let told = match &created {
            Ok(_) => Answer::Granted,
            Err(CreateError::ScopeRefused(refusal)) => refused(refusal),
            Err(error) => Answer::Other(error.to_string()),
        };
        self.ensure(GRANTED, &told, &expected, parent, &holding)?;
        if let Ok(receipt) = created
            && !holding.is_empty()
        {
            self.owners.push(Owner {
                id: receipt.worker_id,
                parent,
                holding,
            });
        }
        Ok(())
    }

    async fn change(&mut self) -> Result<(), Violation> {
        let chosen = self.rng.usize(0..self.owners.len());
        let (_, holding) = self.choose();
        let Some(owner) = self.owners.get(chosen).filter(|_| !holding.is_empty()) else {
            return Ok(());
        };
        let (parent, id) = (owner.parent, owner.id);
        let authority = holding.authority(self.tree);
        let below = self
            .owners
            .iter()
            .filter(|child| child.parent == Some(chosen));
        let beyond = below.filter(|child| !child.holding.claim(self.tree).is_within(authority));
        let beyond: BTreeSet<WorkerId> = beyond.map(|child| child.id).collect();
        let expected = match beyond.is_empty() {
            true => self.answer(&holding, parent, Some(chosen)),
            false => Answer::Lent(beyond),
        };
        let (scope, delegation) = (holding.scope.wire(), holding.delegation.wire());
        let allocations = self.runtime.allocations();
        let changed = allocations.change(id, &scope, &delegation, None).await;
        let told = told(&changed.map(drop));
        if let (Answer::Lent(told), Answer::Lent(expected)) = (&told, &expected)
            && told.is_subset(expected)
        {
            return Ok(());
        }
        self.ensure(CHANGED, &told, &expected, parent, &holding)?;
        if let (Answer::Granted, Some(owner)) = (told, self.owners.get_mut(chosen)) {
            owner.holding = holding;
            self.outcome.count("holdings changed", 1);
        }
        Ok(())
    }

    /// Would this be granted? Often it is what somebody holds, asked for beside it and by strangers.
    fn dry_run(&mut self) -> Result<(), Violation> {
        let (mut parent, mut holding) = self.choose();
        if let Some(owner) = self.rng.choice(&self.owners).filter(|_| self.rng.bool()) {
            holding = owner.holding.clone();
            parent = owner.parent.filter(|_| self.rng.bool());
        }
        let expected = self.answer(&holding, parent, None);
        let allocations: Allocations = self.runtime.allocations();
        let (scope, delegation) = (holding.scope.wire(), holding.delegation.wire());
        let told = told(&allocations.check(&scope, &delegation, self.id_of(parent)));
        self.outcome.count("cases", 1);
        let figure = match &expected {
            Answer::Granted => "asked and free",
            Answer::Undelegated(_) => "asked and not handed on",
            _ => "asked and held",
        };
        self.outcome.count(figure, 1);
        self.ensure(GRANTED, &told, &expected, parent, &holding)
    }

    fn who(&mut self) -> Result<Result<(), Violation>, HarnessError> {
        let paths: Vec<Path> = self.tree.near_targets().collect();
        let path = self.rng.choice(paths).unwrap_or_else(|| self.tree.top());
        let text = self.tree.text(path).to_owned();
        let place = Place {
            mount: Some("top".to_owned()),
            path: text.trim_start_matches('/').to_owned(),
        };
        let told = self
            .runtime
            .allocations()
            .who(place)
            .doing("ask who holds a place")?;
        self.outcome.count("cases", 1);
        let expected = self.holders(path);
        let told = in_order(&told);
        Ok(match told == expected {
            true => Ok(()),
            false => {
                let detail = format!("of {text:?} it tells {told:?}, not {expected:?}");
                Err(Violation::new(WHO, detail))
            }
        })
    }

    /// What a place's holders are told as: how each may touch it, and whether it may be handed on.
    fn holders(&self, path: Path) -> (Vec<String>, BTreeSet<WorkerId>) {
        let mut holders: Vec<_> = Vec::new();
        for (number, owner) in self.owners.iter().enumerate() {
            if owner.holding.claim(self.tree).at(path).is_none() {
                continue;
            }
            let below = self
                .owners
                .iter()
                .filter(|child| child.parent == Some(number));
            let below = below.map(|child| &child.holding);
            let left = owner.holding.effective(self.tree, below).at(path);
            let delegates = owner.holding.delegation.left(self.tree).at(path);
            holders.push((std::cmp::Reverse(left), owner.id, delegates));
        }
        holders.sort_unstable_by_key(|(left, id, _)| (*left, *id));
        let words = holders
            .into_iter()
            .map(|(left, id, delegates)| format!("Worker {id} {:?} {delegates:?}", left.0));
        let lies_below = |owner: &&Owner| {
            let below = |target| target != path && self.tree.all(path).has(target);
            owner.holding.rules().any(|rule| below(rule.target))
        };
        let below = self.owners.iter().filter(lies_below).map(|owner| owner.id);
        (words.collect(), below.collect())
    }

    /// What must be answered to whoever asks for this: `asker` when it changes what it holds.
    fn answer(&self, asked: &Holding, parent: Option<usize>, asker: Option<usize>) -> Answer {
        if asked.is_empty() {
            return Answer::Granted;
        }
        let claim = asked.claim(self.tree);
        if let Some(above) = parent.and_then(|parent| self.owners.get(parent))
            && !claim.is_within(above.holding.authority(self.tree))
        {
            return Answer::Undelegated(above.id);
        }
        let above = self.above(parent);
        let owners = self.owners.iter().enumerate();
        let rivals = owners.filter(|(number, owner)| {
            let is_family = above.contains(number)
                || asker.is_some_and(|asker| self.above(Some(*number)).contains(&asker));
            let shared = owner.holding.claim(self.tree).write.and(claim.write);
            !is_family && !shared.is_empty()
        });
        let rivals: BTreeSet<WorkerId> = rivals.map(|(_, owner)| owner.id).collect();
        match rivals.is_empty() {
            true => Answer::Granted,
            false => Answer::Held(rivals),
        }
    }

    /// An owner, and those above it.
    fn above(&self, owner: Option<usize>) -> Vec<usize> {
        let parent_of = |owner: &usize| self.owners.get(*owner)?.parent;
        std::iter::successors(owner, parent_of).collect()
    }

    fn id_of(&self, owner: Option<usize>) -> Option<WorkerId> {
        self.owners.get(owner?).map(|owner| owner.id)
    }

    fn ensure(
        &self,
        promise: &str,
        told: &Answer,
        expected: &Answer,
        parent: Option<usize>,
        asked: &Holding,
    ) -> Result<(), Violation> {
        if told == expected {
            return Ok(());
        }
        let parent = parent.map_or("nobody".to_owned(), |parent| format!("holder {parent}"));
        let detail = format!("{asked} below {parent} was answered {told:?}, not {expected:?}");
        Err(Violation::new(promise, detail))
    }

    fn in_words(&self) -> String {
        let words = self.owners.iter().enumerate().map(|(number, owner)| {
            let (id, parent, holding) = (owner.id, owner.parent, &owner.holding);
            format!("holder {number} ({id}) below {parent:?}: {holding}")
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

fn told(answer: &Result<(), AllocationError>) -> Answer {
    match answer {
        Ok(()) => Answer::Granted,
        Err(AllocationError::Refused(refusal)) => refused(refusal),
        Err(AllocationError::Lent { child, .. }) => Answer::Lent([*child].into()),
        Err(error) => Answer::Other(error.to_string()),
    }
}

fn refused(refusal: &ScopeRefusal) -> Answer {
    match refusal {
        ScopeRefusal::Undelegated { parent, .. } => Answer::Undelegated(*parent),
        ScopeRefusal::Conflict { owners } => {
            let named = owners.named.iter();
            let named = named.filter_map(|owner| owner.holder.worker_id());
            Answer::Held(named.collect())
        }
        other => Answer::Other(other.to_string()),
    }
}

fn in_order(told: &PlaceHolders) -> (Vec<String>, BTreeSet<WorkerId>) {
    let words = told.holders.iter().map(|holder| {
        let (left, delegates) = (holder.permission, holder.delegates);
        format!("{} {left:?} {delegates:?}", holder.holder)
    });
    let below = told.below.iter();
    let below = below.filter_map(|holder| holder.holder.worker_id());
    (words.collect(), below.collect())
}
