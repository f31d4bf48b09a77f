//! What Workers hold, changed, given up and taken back (I6); `taking` has the same by force.

use serde_json::{Value, json};
use worker_runtime_core::{
    Code, Permission, Position, Scope, ScopeRule, Stream, WorkerId,
    error::{AllocationError, ScopeRefusal},
    view::AllocationReceipt,
};

use super::{Game, ends::released};
use crate::model::{
    expect::{Expect, position_of},
    held::{Asked, Refusal, TARGETS, kept},
    plain::{Life, Worker},
    step::{Asks, HoldStep},
    stop::{Played, broken, ensure},
    world::MOUNT,
};

/// Why somebody gives or takes something.
pub(super) const REASON: &str = "needed elsewhere";

/// What is answered to whoever does something with what is held.
type Answer = Result<AllocationReceipt, AllocationError>;

/// A scope of one rule, and of what is left out of it.
pub(super) fn scope(choice: u8, deny: Option<u8>) -> Scope {
    let rule = |choice: u8| ScopeRule {
        mount: MOUNT.to_owned(),
        path: TARGETS
            .get(usize::from(choice / 4))
            .copied()
            .unwrap_or("d")
            .to_owned(),
        permission: match choice % 4 {
            3 => Permission::Read,
            _ => Permission::Write,
        },
        recursive: choice % 4 < 2,
    };
    Scope {
        allow: vec![rule(choice)],
        deny: deny.map(rule).into_iter().collect(),
    }
}

impl Asks {
    /// To touch, and to hand on.
    pub(super) fn scopes(self) -> (Scope, Scope) {
        let own = self.scope.map(|choice| scope(choice, self.deny));
        let lends = self.delegation.map(|choice| scope(choice, None));
        (own.unwrap_or_default(), lends.unwrap_or_default())
    }
}

/// The code of a refusal.
pub(super) fn code_of(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Undelegated(_) => Code::ScopeUndelegated,
        Refusal::Held(_) => Code::ScopeConflict,
    }
}

/// A refusal names every owner, or whoever may not hand it on.
pub(super) fn check_refusal(told: &ScopeRefusal, expected: Option<&Refusal>) -> Played<()> {
    let told = match told {
        ScopeRefusal::Undelegated { parent, .. } => Refusal::Undelegated(*parent),
        other => {
            let owners = other.owners().iter();
            Refusal::Held(owners.map(|owner| owner.holder).collect())
        }
    };
    ensure(
        expected == Some(&told),
        "I6 a conflict names every owner",
        || format!("told {told:?}, not {expected:?}"),
    )
}

impl Game {
    pub(super) async fn hold(&mut self, index: usize, op: HoldStep) -> Played<()> {
        let id = self.id_of(index);
        let (scope, delegation) = match op {
            HoldStep::Change(asks) => asks.scopes(),
            _ => Default::default(),
        };
        let asked = Asked {
            scope: kept(&scope),
            delegation: kept(&delegation),
        };
        let codes = self.hold_refusals(index, op, &asked);
        if let HoldStep::Change(_) = op {
            self.would_change(id, &asked, &codes).await?;
        }
        let answer = self.ask_hold(id, op, (&scope, &delegation)).await?;
        if let Err(AllocationError::Refused(told)) = &answer {
            let parent = self.held_below(index);
            let family = &self.plain.family;
            check_refusal(told, family.refusal(&asked, parent, Some(id)).as_ref())?;
        }
        if let Err(AllocationError::Lent { child, .. }) = &answer {
            let beyond = self.plain.family.beyond(id, &asked);
            ensure(
                beyond.contains(child),
                "I6 what others hold below is not taken by a change",
                || format!("{child} is named, and {beyond:?} hold more"),
            )?;
        }
        if !codes.is_empty() {
            let answer = answer.map_err(|error| error.code());
            return self.refused(&codes, answer, &format!("{op:?}"));
        }
        let receipt = match answer {
            Ok(receipt) => receipt,
            Err(error) => {
                return broken(
                    "I6 what nobody holds is granted",
                    format!("{op:?} was refused: {error}"),
                );
            }
        };
        let repeats = match op {
            HoldStep::Change(_) => self.holds_just(id, &asked),
            HoldStep::Release { by_force: true } => self.is_taken(index),
            _ => false,
        };
        let (position, waits_for) = match op {
            HoldStep::Change(_) if repeats => (self.changed(index).0, Vec::new()),
            HoldStep::Change(_) if asked.is_nothing() => self.released(index).await?,
            HoldStep::Change(_) => self.changed_to(index, asked).await?,
            HoldStep::Release { by_force: false } => self.released(index).await?,
            HoldStep::Release { by_force: true } => self.taken(index).await?,
            HoldStep::Reclaim { by_force: false } => self.reclaimed(index).await?,
            HoldStep::Reclaim { by_force: true } => self.reclaimed_by_force(index).await?,
        };
        ensure(
            receipt.repeated == repeats,
            "I5 a repeated call gives the first receipt",
            || format!("{receipt:?} of {op:?} (repeated: {repeats})"),
        )?;
        self.check_receipt_of_held(id, &receipt, position, &waits_for)
    }

    fn is_taken(&self, index: usize) -> bool {
        let worker = self.plain.workers.get(index);
        worker.is_some_and(|worker| worker.taken.is_some())
    }

    /// Whether it holds this already.
    fn holds_just(&self, id: WorkerId, asked: &Asked) -> bool {
        let held = self.plain.family.get(id).map(|held| &held.asked);
        held == Some(asked).filter(|asked| !asked.is_nothing())
    }

    /// A dry run says what the change would come to, and is no change.
    async fn would_change(&self, id: WorkerId, asked: &Asked, codes: &[Code]) -> Played<()> {
        let allocations = self.world.runtime()?.allocations();
        let would = allocations.would_change(id, &asked.scope, &asked.delegation);
        let watchdog = &self.world.watchdog;
        let told = watchdog.within("the answer to a dry run", would).await?;
        let told = told.map_err(|error| error.code());
        let is_other = !self.holds_just(id, asked);
        let fits = match &told {
            Ok(told) => codes.is_empty() && *told == is_other,
            Err(code) => codes.contains(code),
        };
        ensure(fits, "I6 a dry run says what would be", || {
            format!("{told:?}; refused as {codes:?}, or {is_other}")
        })
    }

    async fn ask_hold(
        &self,
        id: WorkerId,
        op: HoldStep,
        (scope, delegation): (&Scope, &Scope),
    ) -> Played<Answer> {
        let allocations = self.world.runtime()?.allocations();
        let reason = || Some(REASON.to_owned());
        let asked = async {
            match op {
                HoldStep::Change(_) => allocations.change(id, scope, delegation, reason()).await,
                HoldStep::Release { by_force: false } => allocations.release(id, reason()).await,
                HoldStep::Release { by_force: true } => {
                    allocations.release_by_force(id, REASON.to_owned()).await
                }
                HoldStep::Reclaim { by_force: false } => allocations.reclaim(id, reason()).await,
                HoldStep::Reclaim { by_force: true } => {
                    allocations.reclaim_by_force(id, REASON.to_owned()).await
                }
            }
        };
        let watchdog = &self.world.watchdog;
        watchdog
            .within("the answer about what is held", asked)
            .await
    }

    /// Below whom it holds what it holds, or would.
    fn held_below(&self, index: usize) -> Option<WorkerId> {
        let id = self.id_of(index);
        match self.plain.family.get(id) {
            Some(held) => held.parent,
            None => self.plain.parent_again(id),
        }
    }

    fn hold_refusals(&self, index: usize, op: HoldStep, asked: &Asked) -> Vec<Code> {
        let Some(worker) = self.plain.workers.get(index) else {
            return vec![Code::WorkerUnknown];
        };
        if worker.life == Life::Deleted {
            return vec![Code::WorkerDeleted];
        }
        if worker.taken.is_some() && op == (HoldStep::Release { by_force: true }) {
            return Vec::new();
        }
        if worker.life != Life::Active || worker.is_settling() {
            return vec![Code::WorkerNotActive];
        }
        let family = &self.plain.family;
        let before = family.get(worker.id).map(|held| held.asked.clone());
        let in_use = worker.run.is_some() || worker.unproven;
        match op {
            HoldStep::Change(_) => {
                let is_less = !asked.is_no_less_than(&before.clone().unwrap_or_default());
                let refusal = family.refusal(asked, self.held_below(index), Some(worker.id));
                if !family.beyond(worker.id, asked).is_empty() {
                    vec![Code::ScopeLent]
                } else if is_less && in_use {
                    vec![Code::ScopeInUse]
                } else if asked.is_nothing() && before.is_none() {
                    vec![Code::ScopeNotHeld]
                } else if asked.is_nothing() && in_use {
                    vec![Code::ScopeInUse]
                } else {
                    refusal.iter().map(code_of).collect()
                }
            }
            _ if before.is_none() => vec![Code::ScopeNotHeld],
            HoldStep::Release { by_force: false } if in_use => vec![Code::ScopeInUse],
            HoldStep::Reclaim { by_force: false } => {
                let below = family.below(worker.id);
                // Whoever is about to let go of it does so when it is quiet, and not before.
                let is_used =
                    |child: &Worker| child.run.is_some() || child.unproven || child.is_settling();
                let mut below = below.filter_map(|child| self.plain.worker(child));
                match below.any(is_used) {
                    true => vec![Code::ScopeInUse],
                    false => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    async fn changed_to(
        &mut self,
        index: usize,
        asked: Asked,
    ) -> Played<(Position, Vec<WorkerId>)> {
        let parent = self.held_below(index);
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok((Position(0), Vec::new()));
        };
        let kind = match worker.holds {
            Some(_) => "allocation.changed",
            None => "allocation.granted",
        };
        let mut data = asked.told(parent);
        if let Value::Object(fields) = &mut data {
            fields.insert("reason".to_owned(), json!(REASON));
        }
        let told = Expect::of(worker.id, kind, data);
        worker.keeps = asked;
        let id = worker.id;
        let events = self.events(vec![told]).await?;
        let fence = self.plain.family.get(id).map(|held| held.fence);
        if let Some(worker) = self.plain.workers.get_mut(index) {
            let of_run = worker.run.as_ref().and_then(|run| run.fence);
            worker.holds = fence;
            ensure(
                of_run.is_none_or(|of_run| fence == Some(of_run)),
                "I6 a run that goes on keeps its fence",
                || format!("{fence:?} is held, and its run has {of_run:?}"),
            )?;
        }
        self.count("scopes changed");
        Ok((position_of(&events, kind), Vec::new()))
    }

    async fn released(&mut self, index: usize) -> Played<(Position, Vec<WorkerId>)> {
        let told = self.gives_up(index);
        let events = self.events(told.into_iter().collect()).await?;
        self.count("scopes released");
        Ok((position_of(&events, "allocation.released"), Vec::new()))
    }

    /// A Worker lets go of what it holds, for good.
    fn gives_up(&mut self, index: usize) -> Option<Expect> {
        let worker = self.plain.workers.get_mut(index)?;
        worker.keeps = Asked::default();
        released(worker, Some(REASON))
    }

    async fn reclaimed(&mut self, index: usize) -> Played<(Position, Vec<WorkerId>)> {
        let id = self.id_of(index);
        let below: Vec<WorkerId> = self.plain.family.below(id).collect();
        let mut expected = Vec::new();
        for child in &below {
            let child = self.plain.index_of(*child);
            expected.extend(child.and_then(|child| self.gives_up(child)));
        }
        let data = json!({ "from": below, "waits_for": [], "reason": REASON });
        expected.push(Expect::of(id, "allocation.reclaimed", data));
        let events = self.events(expected).await?;
        self.outcome.count("scopes reclaimed", below.len() as u64);
        Ok((position_of(&events, "allocation.reclaimed"), Vec::new()))
    }

    fn check_receipt_of_held(
        &self,
        id: WorkerId,
        receipt: &AllocationReceipt,
        position: Position,
        waits_for: &[WorkerId],
    ) -> Played<()> {
        let runtime_id = self.world.observation.runtime_id();
        let fits = receipt.worker_id == id
            && receipt.waits_for == waits_for
            && receipt.position == position
            && receipt.cursor.position() == position
            && receipt.cursor.is_of(runtime_id, Stream::Worker(id));
        ensure(fits, "I1 a receipt names its event", || {
            format!("{receipt:?} for the event at {position}, which waits for {waits_for:?}")
        })
    }
}
