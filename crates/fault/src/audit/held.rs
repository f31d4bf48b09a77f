//! What events tell of scopes, and when none of them may come: who holds what, below whom, under which
//! fence, at every position (I6).

use std::sync::Arc;

use worker_runtime_core::{Event, EventType, Scope, WorkerId, record::Lifecycle, view::Holder};

use super::{
    apply::{Applied, Data, SCOPES, broken, must},
    scopes::{may_both_write, may_hand_on},
    world::{Held, Life, World},
};

impl World {
    /// Those below one that let go of what it held are told who is above them, before anything else.
    pub(super) fn look_at_owed(&self, event: &Event) -> Applied {
        let is_told = event.kind == EventType::ALLOCATION_REPARENTED;
        let detail = format!("{:?} were to be told who is above them", self.owed);
        must(is_told || self.owed.is_empty(), SCOPES, event, detail)
    }

    pub(super) fn apply_scope(&mut self, life: &mut Life, event: &Event, data: &Data) -> Applied {
        let Some(id) = event.worker.map(|place| place.worker_id) else {
            return Ok(());
        };
        match event.kind.as_str() {
            "allocation.granted" => {
                must(life.held.is_none(), SCOPES, event, "it holds one already")?;
                let held = told(data);
                self.take_fence(held.fence, event)?;
                self.hold(id, life, held, event)
            }
            "allocation.changed" => {
                let Some(before) = life.held.clone() else {
                    return Err(broken(SCOPES, event, "it holds none"));
                };
                let held = told(data);
                must(
                    held.parent == before.parent,
                    SCOPES,
                    event,
                    "another one is above it",
                )?;
                // A run that goes on keeps its fence.
                if life.run.is_none() || held.fence != before.fence {
                    self.take_fence(held.fence, event)?;
                }
                self.hold(id, life, held, event)
            }
            "allocation.releasing" => {
                let may = life.lifecycle == Lifecycle::Active
                    && life.ending.is_none()
                    && !life.releasing
                    && life.held.is_some();
                life.releasing = true;
                must(
                    may,
                    SCOPES,
                    event,
                    "it holds none, or lets go of it already",
                )
            }
            "allocation.released" => self.let_go(id, life, event, data),
            "allocation.reparented" => {
                let told = (data.read::<WorkerId>("from"), data.read::<WorkerId>("to"));
                let owed = self.owed.remove(&id);
                let fits = owed.map(|(from, to)| (Some(from), to)) == Some(told);
                must(fits, SCOPES, event, format!("{owed:?} was to be told"))?;
                let Some(held) = life.held.clone() else {
                    return Err(broken(SCOPES, event, "it holds none"));
                };
                let parent = told.1;
                self.hold(id, life, Held { parent, ..held }, event)
            }
            _ => Ok(()),
        }
    }

    fn let_go(&mut self, id: WorkerId, life: &mut Life, event: &Event, data: &Data) -> Applied {
        must(life.run.is_none(), SCOPES, event, "its Worker runs")?;
        let fence = data.number("fence").unwrap_or_default();
        let held = life.held.take().filter(|held| held.fence == fence);
        let Some(held) = held else {
            let detail = format!("{fence} is not what it holds");
            return Err(broken(SCOPES, event, detail));
        };
        life.releasing = false;
        let lives = self.workers.iter();
        let below = lives.filter(|(_, life)| parent_of(life) == Some(id));
        let owed = below.map(|(child, _)| (*child, (id, held.parent)));
        self.owed.extend(owed.collect::<Vec<_>>());
        Ok(())
    }

    /// It holds this now: no more than it was handed, and nothing of what others hold.
    fn hold(&mut self, id: WorkerId, life: &mut Life, held: Held, event: &Event) -> Applied {
        if let Some(parent) = held.parent {
            let above = self
                .workers
                .get(&parent)
                .and_then(|above| above.held.as_ref());
            let is_within = above.is_some_and(|above| may_hand_on(above, &held));
            must(
                is_within,
                SCOPES,
                event,
                format!("{parent} may not hand that on"),
            )?;
        }
        let rival = self.rivals(Some(id), &held).next();
        life.held = Some(held);
        match rival {
            None => Ok(()),
            Some(rival) => {
                let detail = format!("{rival:?} may write there too");
                Err(broken(SCOPES, event, detail))
            }
        }
    }

    /// Who keeps some of this from whoever would hold it: nobody above it and nobody below,
    /// and whoever took a lease.
    pub(super) fn rivals<'a>(
        &'a self,
        asker: Option<WorkerId>,
        held: &'a Held,
    ) -> impl Iterator<Item = Holder> + 'a {
        let above: Vec<WorkerId> = self.above(held.parent).collect();
        let workers = self.workers.iter().filter_map(move |(other, life)| {
            let others = life.held.as_ref()?;
            let is_below = asker.is_some() && self.above(others.parent).any(|it| Some(it) == asker);
            let is_family = Some(*other) == asker || above.contains(other) || is_below;
            (!is_family && may_both_write(others, held)).then_some((*other).into())
        });
        workers.chain(self.lessees(held))
    }

    /// Who is above, nearest first. One that is looked at just now is not among the others.
    fn above(&self, parent: Option<WorkerId>) -> impl Iterator<Item = WorkerId> + '_ {
        let next = |id: &WorkerId| parent_of(self.workers.get(id)?);
        std::iter::successors(parent, next)
    }
}

fn parent_of(life: &Arc<Life>) -> Option<WorkerId> {
    life.held.as_ref()?.parent
}

fn told(data: &Data) -> Held {
    let delegation: Option<Scope> = data.read("delegation");
    Held {
        fence: data.number("fence").unwrap_or_default(),
        allow: data.read("allow").unwrap_or_default(),
        deny: data.read("deny").unwrap_or_default(),
        lends: delegation.map(|scope| scope.allow).unwrap_or_default(),
        parent: data.read("parent"),
    }
}
