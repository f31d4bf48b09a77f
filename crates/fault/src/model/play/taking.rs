//! What Workers hold, taken by force: what runs is ended, and it is free when all is quiet (I6).

use serde_json::json;
use worker_runtime_core::{Position, WorkerId, record::CancelCause};

use super::{Game, allocations::REASON, ends::Then};
use crate::model::{
    expect::{Expect, position_of},
    plain::{Taken, Worker},
    stop::Played,
};

/// How what was asked for at one Worker comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settles {
    /// It has, or waits for what nobody can do anything about.
    Done,
    /// With its run.
    WithRun(Then),
    /// With its backend.
    WithBackend,
}

impl Game {
    pub(super) async fn taken(&mut self, index: usize) -> Played<(Position, Vec<WorkerId>)> {
        let id = self.id_of(index);
        let asked_before = self
            .plain
            .worker(id)
            .and_then(|worker| worker.taken.clone());
        if let Some(taken) = asked_before {
            self.count("repeated takings of a scope");
            return Ok((taken.position, vec![id]));
        }
        let (expected, settles) = self.take_from(index);
        let waits = self.is_waiting(index);
        let events = self.events(expected).await?;
        self.note_taken(index, &events);
        self.settled(vec![(index, settles)]).await?;
        let position = position_of(&events, "allocation.releasing");
        Ok((position, waits.then_some(id).into_iter().collect()))
    }

    /// Whether what was taken from a Worker is still held.
    fn is_waiting(&self, index: usize) -> bool {
        let worker = self.plain.workers.get(index);
        worker.is_some_and(Worker::is_settling)
    }

    /// Asks for what a Worker holds: what waits is held, what runs is cancelled, and it is free when all
    /// is quiet.
    fn take_from(&mut self, index: usize) -> (Vec<Expect>, Settles) {
        let at = self.world.now();
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return (Vec::new(), Settles::Done);
        };
        let id = worker.id;
        let run_id = worker.run.as_ref().map(|run| run.run_id);
        let data = json!({ "fence": worker.holds, "run_id": run_id, "reason": REASON });
        let mut expected = vec![Expect::of(id, "allocation.releasing", data)];
        worker.taken = Some(Taken {
            at,
            position: Position(0),
            reason: REASON.to_owned(),
        });
        if !std::mem::replace(&mut worker.paused, true) {
            expected.push(Expect::of(id, "worker.paused", json!({})));
        }
        let (asked, settles) = self.settle(index, CancelCause::ScopeTaken);
        expected.extend(asked);
        (expected, settles)
    }

    /// Where it was recorded that a Worker's scope is taken, and that it is paused for that.
    fn note_taken(&mut self, index: usize, events: &[worker_runtime_core::Event]) {
        let id = self.id_of(index);
        let own: Vec<_> = events
            .iter()
            .filter(|event| event.worker.is_some_and(|place| place.worker_id == id))
            .cloned()
            .collect();
        let (asked, paused) = (
            position_of(&own, "allocation.releasing"),
            position_of(&own, "worker.paused"),
        );
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return;
        };
        if let Some(taken) = &mut worker.taken {
            taken.position = asked;
        }
        if paused != Position(0) {
            worker.changed = paused;
        }
    }

    pub(super) async fn reclaimed_by_force(
        &mut self,
        index: usize,
    ) -> Played<(Position, Vec<WorkerId>)> {
        let id = self.id_of(index);
        let below: Vec<WorkerId> = self.plain.family.below(id).collect();
        let (mut expected, mut settling) = (Vec::new(), Vec::new());
        for child in &below {
            let Some(child) = self.plain.index_of(*child) else {
                continue;
            };
            // Of one that is about to let go of it, it is free with that.
            if !self.is_waiting(child) {
                let (told, settles) = self.take_from(child);
                expected.extend(told);
                settling.push((child, settles));
            }
        }
        let waits = |child: &WorkerId| {
            let worker = self.plain.worker(*child);
            worker.is_some_and(Worker::is_settling)
        };
        let waits_for: Vec<WorkerId> = below.iter().copied().filter(waits).collect();
        let data = json!({ "from": below, "waits_for": waits_for, "reason": REASON });
        expected.push(Expect::of(id, "allocation.reclaimed", data));
        let events = self.events(expected).await?;
        for (child, _) in &settling {
            self.note_taken(*child, &events);
        }
        self.outcome.count("scopes reclaimed", below.len() as u64);
        self.settled(settling).await?;
        Ok((position_of(&events, "allocation.reclaimed"), waits_for))
    }

    /// A Worker comes to what it was asked for: at once where nothing runs, else when all is quiet.
    pub(super) fn settle(&mut self, index: usize, cause: CancelCause) -> (Vec<Expect>, Settles) {
        let Some(worker) = self.plain.workers.get(index) else {
            return (Vec::new(), Settles::Done);
        };
        if worker.run.is_some() {
            let (asked, then) = self.ask_for_end(index, cause);
            return (asked, Settles::WithRun(then));
        }
        let unproven = worker.unproven;
        let side = self.sides.get(index);
        let (has_task, is_stopping) =
            side.map_or((false, false), |side| (side.has_task, side.stop.is_some()));
        match (unproven || is_stopping, has_task) {
            (true, _) => (Vec::new(), Settles::Done),
            (false, true) => (Vec::new(), Settles::WithBackend),
            (false, false) => (self.end_of_worker(index), Settles::Done),
        }
    }

    /// What follows once that is recorded.
    pub(super) async fn settled(&mut self, settling: Vec<(usize, Settles)>) -> Played<()> {
        let runs = settling
            .iter()
            .filter_map(|(index, settles)| match settles {
                Settles::WithRun(then) => Some((*index, *then)),
                _ => None,
            });
        let (runs, mut stops) = (runs.collect(), Vec::new());
        for (index, settles) in settling {
            if settles == Settles::WithBackend {
                stops.push(index);
            }
        }
        self.follow(runs).await?;
        self.backends_stop(stops).await
    }
}
