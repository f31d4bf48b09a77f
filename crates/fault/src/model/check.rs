//! What a user can read, against the model: each Worker's view after every step, and everything there
//! is now and then.
//!
//! - here: views, status and lists (I4: activity is derived; I6: what is held)
//! - `streams`: the log, each Worker's stream and transcript (I2, I7, I10); `retention`: what was left
//!   of them, and what was taken (I9)
//! - `held`, `leases`: what is held, of the live store and of the stopped one
//! - `cursors`: every kind of cursor that can be followed or not

mod cursors;
mod held;
mod leases;
mod retention;
mod streams;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use worker_runtime_core::{Code, ListOrder, Stream, WorkerFilter, view::WorkerView};

use super::{
    expect::differs,
    plain::{Life, Worker},
    play::Game,
    step::Begin,
    stop::{Played, broken, ensure},
};

impl Game {
    /// Every Worker is shown as the model has it.
    pub(super) fn check_views(&mut self) -> Played<()> {
        let runtime_id = self.world.observation.runtime_id();
        for index in 0..self.plain.workers.len() {
            let Some(worker) = self.plain.workers.get(index) else {
                continue;
            };
            let (id, shown) = (worker.id, self.world.observation.worker(worker.id));
            let view = match (worker.life, shown) {
                (Life::Deleted, Err(error)) if error.code() == Code::WorkerDeleted => continue,
                (Life::Deleted, shown) => {
                    return broken("I4 a deleted Worker is gone", format!("{shown:?}"));
                }
                (_, Ok(view)) => view,
                (_, Err(error)) => return broken("I4 a Worker is shown", error.to_string()),
            };
            let expected = expected_view(worker);
            let actual = serde_json::to_value(&view).unwrap_or_default();
            let fits = view.runtime_id == runtime_id
                && view.cursor.is_of(runtime_id, Stream::Worker(id))
                && view.cursor.position() == self.plain.position();
            ensure(fits, "I1 a view says where it is true", || {
                format!("{} of {id} at {}", view.cursor, self.plain.position())
            })?;
            if let Some(differs) = differs(&expected, &actual, "view") {
                return broken(
                    "I4 a view is what happened",
                    format!("Worker {index} ({id}): {differs}"),
                );
            }
            self.check_revision(index, &view)?;
        }
        Ok(())
    }

    /// A revision never goes back.
    fn check_revision(&mut self, index: usize, view: &WorkerView) -> Played<()> {
        let Some(worker) = self.plain.workers.get_mut(index) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut worker.revision, view.revision.0);
        ensure(
            before <= view.revision.0,
            "I3 a record changes with its events",
            || {
                format!(
                    "revision {} after {before} of {}",
                    view.revision, view.worker_id
                )
            },
        )
    }

    /// Everything that can be read.
    pub(super) fn check_all(&mut self) -> Played<()> {
        self.look_at_trims()?;
        self.check_status()?;
        self.check_lists()?;
        self.check_streams()?;
        self.check_transcripts()?;
        self.check_cursors()?;
        self.count("whole comparisons");
        Ok(())
    }

    fn check_status(&self) -> Played<()> {
        let status = self.world.observation.runtime();
        let workers = &self.plain.workers;
        let mut lives: BTreeMap<String, usize> = BTreeMap::new();
        for worker in workers.iter().filter(|worker| worker.life != Life::Deleted) {
            *lives.entry(worker.life.word().to_owned()).or_default() += 1;
        }
        let told = status
            .workers
            .iter()
            .map(|(life, count)| (life.to_string(), *count));
        let mut told: BTreeMap<String, usize> = told.collect();
        told.retain(|life, count| *count > 0 && life != "deleted");
        let unproven = workers.iter().filter(|worker| worker.unproven);
        let busy = workers
            .iter()
            .filter(|worker| worker.run.is_some() && !worker.unproven);
        let queued: usize = workers.iter().map(|worker| worker.queue.len()).sum();
        let held = workers.iter().filter(|worker| worker.holds.is_some());
        let expected = json!({
            "stopped": self.plain.stopped,
            "busy": busy.count(),
            "unproven": unproven.count(),
            "queued": queued,
            "allocations": held.count(),
            "leases": self.plain.leases.len(),
            "late_messages": self.plain.late,
            "commits_unknown": 0,
            "position": self.plain.position(),
            "live": true,
        });
        let actual = serde_json::to_value(&status).unwrap_or_default();
        ensure(
            told == lives && status.damaged.is_empty(),
            "I4 the status is what happened",
            || {
                format!(
                    "{:?}, not {lives:?}; damaged: {:?}",
                    status.workers, status.damaged
                )
            },
        )?;
        match differs(&expected, &actual, "status") {
            Some(differs) => broken("I4 the status is what happened", differs),
            None => Ok(()),
        }
    }

    /// Lists hold what their filter takes, in order, in pages that don't overlap.
    fn check_lists(&self) -> Played<()> {
        let any = WorkerFilter {
            archived: true,
            ..WorkerFilter::default()
        };
        type Takes = fn(&Worker) -> bool;
        let team = [("team".to_owned(), "1".to_owned())].into();
        let filters: [(WorkerFilter, Takes); 5] = [
            (any.clone(), |_| true),
            (WorkerFilter::default(), |worker| !worker.archived),
            (
                WorkerFilter {
                    busy: Some(true),
                    ..any.clone()
                },
                |worker| worker.unfinished() > 0,
            ),
            (
                WorkerFilter {
                    lifecycles: vec!["stopped".into()],
                    ..any.clone()
                },
                |worker| worker.life == Life::Stopped,
            ),
            (
                WorkerFilter {
                    labels: team,
                    ..any
                },
                |worker| worker.labels.get("team").is_some_and(|team| team == "1"),
            ),
        ];
        for (filter, takes) in filters {
            let workers = self.plain.workers.iter();
            let taken = workers.filter(|worker| worker.life != Life::Deleted && takes(worker));
            let wanted: Vec<_> = taken.map(|worker| worker.id).collect();
            let (mut listed, mut offset) = (Vec::new(), Some(0));
            while let Some(from) = offset {
                let page = self
                    .world
                    .observation
                    .workers(&filter, ListOrder::Created, from, 3);
                ensure(
                    page.total == wanted.len() && page.damaged.is_empty(),
                    "I4 a list is what there is",
                    || {
                        format!(
                            "{} of {} with {filter:?}; {:?}",
                            page.total,
                            wanted.len(),
                            page.damaged
                        )
                    },
                )?;
                listed.extend(page.workers.iter().map(|view| view.worker_id));
                offset = page.next;
            }
            ensure(listed == wanted, "I4 a list is what there is", || {
                format!("{listed:?}, not {wanted:?}, with {filter:?}")
            })?;
        }
        Ok(())
    }

    /// Another observer, where a step wants it to begin.
    pub(super) fn observe(
        &mut self,
        worker: Option<usize>,
        begin: Begin,
        deltas: bool,
    ) -> Played<()> {
        use worker_runtime_core::cursor::From as Start;
        self.look_at_trims()?;
        let found = worker.and_then(|index| self.plain.workers.get(index));
        let stream = found.map_or(Stream::Runtime, |worker| Stream::Worker(worker.id));
        let is_gone = found.is_some_and(|worker| worker.life == Life::Deleted);
        let known = self
            .cursors
            .iter()
            .filter(|(of, _)| *of == stream)
            .map(|(_, cursor)| *cursor);
        let known: Vec<_> = known.collect();
        let start = match begin {
            Begin::Beginning => Start::Beginning,
            Begin::Now => Start::Now,
            Begin::Cursor(nth) => match known.get(nth % known.len().max(1)) {
                Some(cursor) => Start::After(*cursor),
                None => Start::Beginning,
            },
        };
        let observation = self.world.observation.clone();
        let observed = observation.observe(stream, start, super::observers::options(deltas));
        let live = match (observed, is_gone) {
            (Err(error), true) if error.code() == Code::WorkerDeleted => {
                self.count("refused WR-WORKER-DELETED");
                return Ok(());
            }
            (Ok(live), false) => live,
            (other, _) => {
                let other = other.map(|_| "a stream");
                return broken(
                    "I2 a stream can be observed",
                    format!("{other:?} for {stream:?} from {start:?}"),
                );
            }
        };
        let cursor = match start {
            Start::After(cursor) => cursor,
            start => match observation.resolve(stream, start) {
                Ok(cursor) => cursor,
                Err(error) => return broken("I2 a start can be resolved", error.to_string()),
            },
        };
        self.observers.add(stream, cursor, deltas, live);
        self.count("observers");
        Ok(())
    }

    /// One observer reads everything that it lacks.
    pub(super) async fn drain(&mut self, nth: usize) -> Played<()> {
        self.look_at_trims()?;
        self.observers
            .drain(nth, &self.plain, &self.world.watchdog)
            .await
    }
}

/// A Worker as it must be shown.
fn expected_view(worker: &Worker) -> Value {
    let run = worker.run.as_ref();
    let first = worker.queue.first().and_then(|id| worker.inputs.get(id));
    let since = run
        .map(|run| run.started_at)
        .or(first.map(|first| first.receipt.accepted.at));
    let actions = run
        .map_or(&[][..], |run| &run.actions)
        .iter()
        .map(|action| {
            json!({
                "action_id": action.id,
                "options": action.options,
                "at": action.at,
                "deadline": action.deadline,
            })
        });
    let last_run = worker.last_run.as_ref().map(|(run_id, input_id, at, kind, stop)| {
        json!({ "run_id": run_id, "input_id": input_id, "at": at, "outcome": { "kind": kind, "stop": stop } })
    });
    let holds = worker.holds.map(|_| &worker.keeps);
    let scope = holds.map_or(json!({}), |keeps| json!(keeps.scope));
    let lends = holds.map(|keeps| &keeps.delegation);
    let delegation = lends.filter(|lends| !lends.allow.is_empty());
    let releasing = worker.taken.as_ref();
    let releasing = releasing.map(|taken| json!({ "at": taken.at, "reason": taken.reason }));
    json!({
        "worker_id": worker.id,
        "display_name": worker.name,
        "labels": worker.labels,
        "lifecycle": worker.life.word(),
        "ending": worker.end.as_ref().map(|end| json!({ "kind": end.kind, "at": end.at, "reason": end.reason })),
        "epoch": worker.epoch,
        "paused": worker.paused,
        "archived": worker.archived,
        "activity": {
            "phase": worker.phase(),
            "input_id": run.map(|run| &run.input_id).or(worker.queue.first()),
            "run_id": run.map(|run| run.run_id),
            "generation": run.map(|run| run.generation),
            "since": since,
            "actions": actions.collect::<Vec<_>>(),
            "queued": worker.queue.len(),
        },
        "unproven": worker.unproven,
        "input_capable": { "capable": worker.is_capable() },
        "spec": worker.request.spec,
        "profile": "default",
        "tools_less": true,
        "backend": worker.request.backend.as_ref().map(|backend| &backend.name),
        "scope": scope,
        "delegation": delegation,
        "releasing": releasing,
        "fence": worker.holds,
        "last_run": last_run,
        "usage": worker.usage,
        "status": worker.status,
        "input_count": worker.inputs.len(),
        "created_at": worker.created.created_at,
    })
}
