//! The next command of a user, chosen by what the user sees.

use std::collections::BTreeMap;

use serde_json::json;
use worker_runtime_core::{
    ActionId, AsJson, InputId, Permission, RunId, Scope, ScopeRule, SeededEntropy, WorkerId,
    input::{InputKind, InputMode, SubmitInput},
    record::Lifecycle,
    view::WorkerView,
    worker::{BackendSelection, CreateWorker, Intent, UpdateWorker},
};

use super::{
    asked::{Asked, HoldChange, LifeChange},
    client::Client,
    leases::LeaseChange,
    limits::{MOUNT, clock},
};
use crate::backend::{BACKEND, NO_START, REFUSED_CONFIG, REJECTED_INPUT};

/// A small tree, so that scopes meet.
const PATHS: [&str; 7] = ["a", "a/b", "a/b/c", "d", "d/e", "f", "g"];

/// Workers that live at a time, and that are ever made.
const LIVE_MAX: usize = 8;
const MADE_MAX: usize = 18;

impl Client {
    /// The next thing to ask, by what can be seen.
    pub(super) fn choose(&mut self) -> Option<Asked> {
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        if self.rng.u8(0..100) < 8 {
            return self.choose_lease();
        }
        let waits = self.runs.values().any(|turn| !turn.actions.is_empty());
        if waits && self.rng.u8(0..100) < 9 {
            return self.choose_answer();
        }
        let roll = self.rng.u8(0..100);
        if let (0..70, Some(run_id)) = (roll, self.rng.choice(&runs)) {
            return self.choose_word(*run_id);
        }
        if self.observation()?.runtime().stopped && self.rng.bool() {
            return Some(Asked::StartRuntime);
        }
        let views = self.views();
        let live = views
            .iter()
            .filter(|view| view.lifecycle == Lifecycle::Active)
            .count();
        if live < 3 && self.workers.len() < MADE_MAX {
            return self.choose_create(&views);
        }
        match self.rng.u8(0..100) {
            0..12 if live < LIVE_MAX && self.workers.len() < MADE_MAX => self.choose_create(&views),
            0..16 => self.choose_again(|asked| matches!(asked, Asked::Create(..))),
            16..48 => self.choose_send(&views),
            48..56 => self.choose_again(|asked| matches!(asked, Asked::Send(..))),
            56..66 => self.choose_answer(),
            66..70 => self.choose_cancel_run(&views),
            70..88 => self.choose_life(&views),
            88..95 => self.choose_hold(&views),
            95..98 => self.choose_late_word(),
            _ => Some(Asked::StopRuntime(self.rng.bool())),
        }
    }

    fn choose_create(&mut self, views: &[WorkerView]) -> Option<Asked> {
        let number = self.number();
        let mut entropy = SeededEntropy::new(self.options.seed ^ number << 20);
        let at = worker_runtime_core::Clock::now(&clock());
        let worker_id = WorkerId::mint(at, &mut entropy);
        let mut request = CreateWorker::new(match self.rng.bool() {
            true => Intent::Assistant { purpose: None },
            false => Intent::Task {
                objective: format!("reach {number}"),
            },
        });
        request.worker_id = Some(worker_id);
        request.display_name = self.rng.bool().then(|| format!("worker {number}"));
        (request.spec.parent, request.scope, request.delegation) = self.choose_held(views);
        if self.rng.bool() {
            request.labels = BTreeMap::from([("number".to_owned(), number.to_string())]);
        }
        let (name, config) = match self.rng.u8(0..20) {
            0 => (None, json!({})),
            1 => (Some("missing"), json!({})),
            2 => (Some(BACKEND), json!({ REFUSED_CONFIG: true })),
            3 => (Some(BACKEND), json!({ NO_START: true })),
            _ => (Some(BACKEND), json!({})),
        };
        request.backend = name.map(|name| BackendSelection {
            name: name.to_owned(),
            config: AsJson(config),
        });
        if self.rng.u8(0..3) == 0 {
            request.initial_input = Some(self.new_input(number));
        }
        self.workers.push(worker_id);
        Some(Asked::Create(worker_id, Box::new(request)))
    }

    /// What to hold, and below whom: often a part of what somebody may hand on.
    fn choose_held(&mut self, views: &[WorkerView]) -> (Option<WorkerId>, Scope, Scope) {
        let lends = |view: &&WorkerView| !view.delegation.is_empty();
        let above: Vec<&WorkerView> = views.iter().filter(lends).collect();
        let above = self.rng.choice(above).filter(|_| self.rng.u8(0..3) > 0);
        let Some(above) = above else {
            let scope = self.choose_scope();
            let delegation = match self.rng.u8(0..3) {
                0 => Scope::default(),
                _ => self.choose_scope(),
            };
            return (None, scope, delegation);
        };
        let (scope, delegation) = (
            self.part_of(&above.delegation),
            self.part_of(&above.delegation),
        );
        match self.rng.u8(0..3) {
            0 => (Some(above.worker_id), scope, Scope::default()),
            1 => (Some(above.worker_id), Scope::default(), delegation),
            _ => (Some(above.worker_id), scope, delegation),
        }
    }

    /// One of these rules, or what lies below it.
    fn part_of(&mut self, scope: &Scope) -> Scope {
        let Some(mut rule) = self.rng.choice(&scope.allow).cloned() else {
            return Scope::default();
        };
        let below = PATHS.iter().filter(|path| {
            let rest = path.strip_prefix(rule.path.as_str());
            rule.recursive && rest.is_some_and(|rest| rest.starts_with('/'))
        });
        let below: Vec<&&str> = below.collect();
        if let Some(path) = self.rng.choice(below).filter(|_| self.rng.bool()) {
            rule.path = (*path).to_owned();
        }
        Scope {
            allow: vec![rule],
            deny: Vec::new(),
        }
    }

    fn choose_hold(&mut self, views: &[WorkerView]) -> Option<Asked> {
        let holds = |view: &&WorkerView| !view.scope.is_empty() || !view.delegation.is_empty();
        let holders: Vec<&WorkerView> = views.iter().filter(holds).collect();
        // Now and then somebody who holds nothing.
        let any = self.rng.choice(views)?;
        let view = match self.rng.u8(0..10) {
            0 => any,
            _ => self.rng.choice(holders).unwrap_or(any),
        };
        let by_force = self.rng.bool();
        let change = match self.rng.u8(0..10) {
            0..3 => HoldChange::Change(view.scope.clone(), self.choose_scope()),
            3..5 => {
                let (scope, delegation) = (&view.scope, &view.delegation);
                HoldChange::Change(self.part_of(scope), self.part_of(delegation))
            }
            5..7 => HoldChange::Release(by_force),
            _ => HoldChange::Reclaim(by_force),
        };
        Some(Asked::Hold(view.worker_id, change))
    }

    pub(super) fn choose_scope(&mut self) -> Scope {
        let count = self.rng.usize(0..3);
        let rules = (0..count).map(|_| ScopeRule {
            mount: MOUNT.to_owned(),
            path: self.rng.choice(PATHS).unwrap_or_default().to_owned(),
            permission: match self.rng.u8(0..3) {
                0 => Permission::Read,
                _ => Permission::Write,
            },
            recursive: self.rng.u8(0..3) > 0,
        });
        Scope {
            allow: rules.collect(),
            deny: Vec::new(),
        }
    }

    fn new_input(&mut self, number: u64) -> SubmitInput {
        let bytes = match self.rng.u8(0..10) {
            0..7 => self.rng.usize(1..60),
            7 => self.rng.usize(60..1500),
            8 => self.rng.usize(2_100..4_500),
            _ => {
                let input = SubmitInput::text(format!("{REJECTED_INPUT} {number}"));
                return with_id(input, number);
            }
        };
        let mut input = with_id(SubmitInput::text(self.words(bytes)), number);
        input.kind = match self.rng.u8(0..6) {
            0 => InputKind::System,
            1 => InputKind::Notify,
            _ => InputKind::User,
        };
        input.mode = match self.rng.u8(0..10) {
            0..6 => InputMode::Queue,
            _ => InputMode::Reject,
        };
        input.budget.time_ms = (self.rng.u8(0..6) == 0).then(|| self.rng.u64(4..30));
        input
    }

    fn choose_send(&mut self, views: &[WorkerView]) -> Option<Asked> {
        // Now and then to one that is gone, or was never made.
        let worker_id = match self.rng.u8(0..20) {
            0 => *self.rng.choice(&self.workers)?,
            _ => self.rng.choice(views)?.worker_id,
        };
        let number = self.number();
        Some(Asked::Send(worker_id, self.new_input(number)))
    }

    /// Something that was asked before; sometimes with another content.
    pub(super) fn choose_again(&mut self, is_meant: impl Fn(&Asked) -> bool) -> Option<Asked> {
        let before = self.journal.entries.iter().map(|entry| &entry.asked);
        let before: Vec<&Asked> = before.filter(|asked| is_meant(asked)).collect();
        let mut again = (*self.rng.choice(before)?).clone();
        if self.rng.u8(0..4) == 0 {
            let other = self.words(20);
            match &mut again {
                Asked::Send(_, input) => input.segments = SubmitInput::text(other).segments,
                Asked::Create(_, request) => request.display_name = Some(other),
                Asked::Lease(_, LeaseChange::Acquire(request)) => request.holder = other,
                _ => {}
            }
        }
        Some(again)
    }

    fn choose_answer(&mut self) -> Option<Asked> {
        let runs = self.runs.values();
        let open = runs.flat_map(|turn| {
            let place = (turn.worker_id, turn.run_id);
            turn.actions
                .iter()
                .map(move |action| (place, action.clone()))
        });
        let open: Vec<_> = open.collect();
        let ((worker_id, run_id), (action_id, options)) = self.rng.choice(open)?;
        let (action_id, option) = match self.rng.u8(0..6) {
            0 => (ActionId::new("no such action").ok()?, "yes".to_owned()),
            1 => (action_id, "maybe".to_owned()),
            _ => {
                let option = self.rng.choice(&options).cloned();
                (action_id, option.unwrap_or_else(|| self.words(12)))
            }
        };
        Some(Asked::Answer(worker_id, run_id, action_id, option))
    }

    fn choose_cancel_run(&mut self, views: &[WorkerView]) -> Option<Asked> {
        let runs = views.iter().filter_map(|view| {
            let running = view.activity.run_id.map(|run_id| (view.worker_id, run_id));
            running.or(Some((view.worker_id, view.last_run.as_ref()?.run_id)))
        });
        let (worker_id, run_id) = self.rng.choice(runs.collect::<Vec<_>>())?;
        Some(Asked::CancelRun(worker_id, run_id))
    }

    fn choose_life(&mut self, views: &[WorkerView]) -> Option<Asked> {
        let view = self.rng.choice(views)?;
        let roll = self.rng.u8(0..100);
        let change = match (view.lifecycle, roll) {
            (Lifecycle::Active, 0..22) if view.paused => LifeChange::Resume,
            (Lifecycle::Active, 0..22) => LifeChange::Pause,
            (Lifecycle::Active, 22..46) => {
                let label = self.rng.bool().then(|| self.words(8));
                let name = format!("label-{}", self.rng.u8(0..3));
                LifeChange::Update(UpdateWorker {
                    display_name: self.rng.bool().then(|| self.words(10)),
                    labels: BTreeMap::from([(name, label)]),
                    reason: None,
                })
            }
            (Lifecycle::Active, 46..66) => LifeChange::Stop,
            (Lifecycle::Active, 66..72) => LifeChange::Cancel,
            (Lifecycle::Stopped, 0..50) => LifeChange::Restore,
            (Lifecycle::Stopped | Lifecycle::Cancelled, 50..70) => LifeChange::Archive,
            (Lifecycle::Stopped | Lifecycle::Cancelled, 70..88) => {
                LifeChange::Delete(self.rng.bool())
            }
            (Lifecycle::Cancelled, 0..50) => LifeChange::Cancel,
            // What is refused, or changes nothing.
            (_, 88..92) => LifeChange::Delete(false),
            (_, 92..96) => LifeChange::Restore,
            _ => LifeChange::Pause,
        };
        Some(Asked::Life(view.worker_id, change))
    }

    /// Something that is refused and changes nothing, but waits for all that was asked before.
    pub(super) fn ask_nothing(&self) -> Asked {
        let nobody = WorkerId::from_bytes([0; 16]);
        Asked::CancelRun(nobody, RunId::from_bytes([0; 16]))
    }
}

fn with_id(input: SubmitInput, number: u64) -> SubmitInput {
    match InputId::new(format!("input-{number}")) {
        Ok(input_id) => input.with_id(input_id),
        Err(_) => input,
    }
}
