//! Views: what is shown of the Runtime and of each Worker is what the events derive (I3, I4, I6).

use std::{collections::BTreeMap, fmt::Debug};

use worker_runtime_core::{
    ListOrder, Observation, WorkerFilter, WorkerId,
    record::Lifecycle,
    view::{Phase, WorkerView},
};

use super::world::{Held, Life, World};
use crate::report::Violation;

const DERIVED: &str = "I3 records are what the events tell";

/// Notes what is not as it should be.
struct Compare<'a> {
    what: String,
    found: &'a mut Vec<Violation>,
}

impl Compare<'_> {
    fn same<T: PartialEq + Debug>(&mut self, field: &str, shown: &T, wanted: &T) {
        if shown != wanted {
            let detail = format!(
                "{}: {field} is {shown:?}, and the events say {wanted:?}",
                self.what
            );
            self.found.push(Violation::new(DERIVED, detail));
        }
    }
}

/// Checks the Runtime's status, its diagnostics, and every Worker.
pub(super) fn check_views(observation: &Observation, world: &World, found: &mut Vec<Violation>) {
    let status = observation.runtime();
    let mut runtime = Compare {
        what: "the Runtime".to_owned(),
        found,
    };
    runtime.same("its position", &status.position, &world.position);
    runtime.same("stopped", &status.stopped, &world.stopped);
    runtime.same("queued", &status.queued, &world.queued());
    runtime.same("allocations", &status.allocations, &world.held());
    runtime.same("unproven", &status.unproven, &0);
    let running = world.workers.values().filter(|life| life.run.is_some());
    runtime.same("busy", &status.busy, &running.count());
    for lifecycle in [Lifecycle::Active, Lifecycle::Stopped, Lifecycle::Cancelled] {
        let shown = status.workers.get(&lifecycle).copied().unwrap_or_default();
        runtime.same(lifecycle.as_str(), &shown, &world.count(lifecycle));
    }
    if !status.damaged.is_empty() {
        let detail = format!("{:?}", status.damaged);
        runtime
            .found
            .push(Violation::new("I7 nothing is damaged", detail));
    }
    if let Some(went) = status.went_back {
        let detail = format!("{went:?}");
        runtime
            .found
            .push(Violation::new("I1 nothing goes back", detail));
    }
    let filter = WorkerFilter {
        archived: true,
        ..WorkerFilter::default()
    };
    let list = observation.workers(&filter, ListOrder::Created, 0, usize::MAX);
    let shown: BTreeMap<WorkerId, &WorkerView> = list
        .workers
        .iter()
        .map(|view| (view.worker_id, view))
        .collect();
    let alive = world
        .workers
        .iter()
        .filter(|(_, life)| life.lifecycle != Lifecycle::Deleted);
    let alive: BTreeMap<WorkerId, &Life> = alive.map(|(id, life)| (*id, &**life)).collect();
    let ids = |workers: Vec<&WorkerId>| format!("{workers:?}");
    runtime.same(
        "Workers",
        &ids(shown.keys().collect()),
        &ids(alive.keys().collect()),
    );
    for (worker_id, life) in &alive {
        if let Some(view) = shown.get(worker_id) {
            check_view(view, life, found);
        }
    }
    check_held(observation, world, found);
    // What a backend of another kind would need is no damage.
    for told in observation.diagnostics() {
        if told.code != worker_runtime_core::Code::InputIncapable {
            let detail = format!("{}: {}", told.code, told.message);
            found.push(Violation::new("I7 nothing is damaged", detail));
        }
    }
}

/// What is held, by itself: below whom, and who has some of it.
fn check_held(observation: &Observation, world: &World, found: &mut Vec<Violation>) {
    let list = observation.allocations(0, usize::MAX);
    let mut shown: Vec<_> = list
        .allocations
        .iter()
        .map(|view| {
            let rules = (view.scope.allow.clone(), view.delegation.allow.clone());
            let fence = view.fence.map(|fence| fence.0).unwrap_or_default();
            (
                view.worker_id,
                view.parent,
                fence,
                rules,
                view.lent_to.clone(),
            )
        })
        .collect();
    shown.sort_by_key(|(worker_id, ..)| *worker_id);
    let lives = world.workers.iter();
    let held = lives.filter_map(|(id, life)| Some((*id, life.held.as_ref()?)));
    let held: Vec<(WorkerId, &Held)> = held.collect();
    let wanted = held.iter().map(|(id, of_it)| {
        let rules = (of_it.allow.clone(), of_it.lends.clone());
        let below = held.iter().filter(|(_, other)| other.parent == Some(*id));
        let below: Vec<WorkerId> = below.map(|(child, _)| *child).collect();
        (*id, of_it.parent, of_it.fence, rules, below)
    });
    let wanted: Vec<_> = wanted.collect();
    let mut compare = Compare {
        what: "what is held".to_owned(),
        found,
    };
    compare.same("all of it", &shown, &wanted);
}

fn check_view(view: &WorkerView, life: &Life, found: &mut Vec<Violation>) {
    let mut worker = Compare {
        what: view.worker_id.to_string(),
        found,
    };
    worker.same("lifecycle", &view.lifecycle, &life.lifecycle);
    worker.same("epoch", &view.epoch.0, &life.epoch);
    worker.same("paused", &view.paused, &life.paused);
    worker.same("archived", &view.archived, &life.archived);
    worker.same("display_name", &view.display_name, &life.display_name);
    worker.same("labels", &view.labels, &life.labels);
    worker.same("backend", &view.backend, &life.backend);
    worker.same("created_at", &view.created_at, &life.created_at);
    worker.same("unproven", &view.unproven, &false);
    worker.same("usage", &view.usage, &life.usage);
    worker.same("status", &view.status, &life.status);
    worker.same(
        "input_count",
        &view.input_count,
        &(life.accepted.len() as u64),
    );
    let kind = |kind: worker_runtime_core::worker::EndKind| {
        let word = serde_json::to_value(kind).unwrap_or_default();
        word.as_str().unwrap_or_default().to_owned()
    };
    let ending = view.ending.as_ref();
    let ending = ending.map(|ending| (kind(ending.kind), ending.reason.clone()));
    worker.same("ending", &ending, &life.ending);
    let last = view.last_run.as_ref();
    let last = last.map(|last| {
        (
            last.run_id,
            last.input_id.to_string(),
            last.at,
            last.outcome.clone(),
        )
    });
    let wanted = life.last_run.clone();
    let wanted = wanted.map(|last| (last.run_id, last.input_id, last.at, last.outcome));
    worker.same("last_run", &last, &wanted);
    let held = life.held.as_ref();
    worker.same(
        "fence",
        &view.fence.map(|fence| fence.0),
        &held.map(|held| held.fence),
    );
    let (allow, deny) = held.map_or((&[][..], &[][..]), |held| (&held.allow, &held.deny));
    worker.same(
        "scope",
        &(&view.scope.allow[..], &view.scope.deny[..]),
        &(allow, deny),
    );
    let lends = held.map_or(&[][..], |held| &held.lends);
    worker.same("delegation", &&view.delegation.allow[..], &lends);
    worker.same("releasing", &view.releasing.is_some(), &life.releasing);
    let activity = &view.activity;
    worker.same("queued", &activity.queued, &life.queue.len());
    let run = life.run.as_ref();
    worker.same("run", &activity.run_id, &run.map(|run| run.run_id));
    let first = run.map(|run| &run.input_id).or(life.queue.front());
    let input_id = activity.input_id.as_ref().map(ToString::to_string);
    worker.same("input", &input_id, &first.cloned());
    let phase = match run {
        None => life.queue.front().map(|_| Phase::Queued),
        Some(run) if run.cancel.is_some() => Some(Phase::Cancelling),
        Some(run) if !run.actions.is_empty() => Some(Phase::RequiresAction),
        Some(_) => Some(Phase::Running),
    };
    worker.same("phase", &activity.phase, &phase);
    let actions = activity.actions.iter();
    let mut actions: Vec<_> = actions
        .map(|action| {
            (
                action.action_id.to_string(),
                action.options.clone(),
                action.deadline,
            )
        })
        .collect();
    actions.sort();
    let wanted = run.map(|run| &run.actions).into_iter().flatten();
    let wanted: Vec<_> = wanted
        .map(|(id, (options, deadline))| (id.clone(), options.clone(), *deadline))
        .collect();
    worker.same("actions", &actions, &wanted);
}
