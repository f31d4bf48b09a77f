//! What each event changes in the [`World`], and when it may not come at all.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use worker_runtime_core::{
    Digest, Event, EventType, Position, RunId, WorkerId, record::Lifecycle, run::Usage,
};

use super::{
    items::bears_item,
    runs::{apply_input, apply_run, apply_told},
    world::{Life, Run, World},
};
use crate::report::Violation;

/// What an event tells, read field by field.
pub(super) struct Data(Value);

impl Data {
    pub(super) fn of(event: &Event) -> Self {
        Self(serde_json::from_slice(&event.data).unwrap_or_default())
    }

    pub(super) fn text(&self, name: &str) -> String {
        let text = self.0.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.0.get(name)?).ok()
    }

    pub(super) fn value(&self) -> &Value {
        &self.0
    }
}

pub(super) type Applied = Result<(), Violation>;

pub(super) fn broken(promise: &str, event: &Event, detail: impl AsRef<str>) -> Violation {
    let (at, kind) = (event.position, &event.kind);
    let whose = event.worker.map(|place| place.worker_id.to_string());
    let whose = whose.unwrap_or_else(|| "the Runtime".to_owned());
    let detail = detail.as_ref();
    Violation::new(promise, format!("{kind} at {at} of {whose}: {detail}"))
}

pub(super) fn must(holds: bool, promise: &str, event: &Event, detail: impl AsRef<str>) -> Applied {
    match holds {
        true => Ok(()),
        false => Err(broken(promise, event, detail)),
    }
}

const DENSE: &str = "I2 streams are dense";
pub(super) const ONE_OUTCOME: &str = "I4 one outcome for each input";
pub(super) const SCOPES: &str = "I6 scopes and fences";
pub(super) const LIVES: &str = "I3 lives follow their order";

impl World {
    /// Takes the next event of the log.
    ///
    /// # Errors
    /// When it may not come here.
    pub fn apply(&mut self, event: &Event) -> Applied {
        let next = self.position.next();
        let dense = format!("after {}", self.position);
        must(event.position == next, DENSE, event, dense)?;
        must(self.at <= event.at, DENSE, event, "store time went back")?;
        let is_whole = Digest::of(&event.data) == event.data_digest;
        must(
            is_whole,
            "I7 nothing damaged is served",
            event,
            "its data is not what was digested",
        )?;
        self.position = event.position;
        self.at = event.at;
        let data = Data::of(event);
        self.look_at_owed(event)?;
        let Some(place) = event.worker else {
            return self.apply_runtime(event);
        };
        let known = self.workers.remove(&place.worker_id);
        let is_first = event.kind == EventType::WORKER_CREATED;
        must(
            is_first != known.is_some(),
            LIVES,
            event,
            "a Worker is made once, and first",
        )?;
        let mut life = known.unwrap_or_else(|| Arc::new(created(event, &data)));
        let applied = self.apply_worker(Arc::make_mut(&mut life), event, &data);
        self.workers.insert(place.worker_id, life);
        applied
    }

    /// Events that belong to a Worker which was deleted before they could be read.
    pub fn pass_over(&mut self, to: Position, worker_id: WorkerId) {
        self.position = to;
        self.unseen += 1;
        if let Some(life) = self.workers.get_mut(&worker_id) {
            Arc::make_mut(life).is_unseen = true;
        }
    }

    fn apply_runtime(&mut self, event: &Event) -> Applied {
        match event.kind.as_str() {
            kind if kind.starts_with("lease.") => self.apply_lease(event, &Data::of(event)),
            "runtime.started" => {
                self.void_to = self.fence;
                for life in self.workers.values_mut() {
                    if life.run.is_some()
                        && let Some(run) = &mut Arc::make_mut(life).run
                    {
                        run.is_lost = true;
                    }
                }
                let went_back = Data::of(event).value().get("went_back").cloned();
                let is_whole = went_back.is_none_or(|told| told.is_null());
                must(
                    is_whole,
                    "I1 nothing goes back",
                    event,
                    "it tells that state is gone",
                )
            }
            "runtime.stopped" => {
                must(!self.stopped, LIVES, event, "it was stopped already")?;
                self.stopped = true;
                Ok(())
            }
            "runtime.resumed" => {
                must(self.stopped, LIVES, event, "it was not stopped")?;
                self.stopped = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn apply_worker(&mut self, life: &mut Life, event: &Event, data: &Data) -> Applied {
        let Some(place) = event.worker else {
            return Ok(());
        };
        if life.is_unseen {
            if event.kind == EventType::WORKER_DELETED {
                bury(life);
            }
            return Ok(());
        }
        must(
            place.seq.0 == life.seq + 1,
            DENSE,
            event,
            format!("seq {} after {}", place.seq, life.seq),
        )?;
        life.seq = place.seq.0;
        let item = bears_item(event).then_some(life.items);
        must(
            place.item.map(|item| item.0) == item,
            DENSE,
            event,
            "another transcript item is next",
        )?;
        life.items += u64::from(item.is_some());
        if let Some(run_id) = event.run_id
            && event.kind != EventType::RUN_STARTED
        {
            let run = life.run.as_ref().filter(|run| run.run_id == run_id);
            must(
                run.is_some(),
                ONE_OUTCOME,
                event,
                format!("{run_id} does not run"),
            )?;
        }
        match event.kind.as_str() {
            kind if kind.starts_with("worker.") => self.apply_life(life, event, data),
            kind if kind.starts_with("allocation.") => self.apply_scope(life, event, data),
            "run.started" => self.apply_start(life, event, data),
            kind if kind.starts_with("input.") => apply_input(life, event, data),
            kind if kind.starts_with("run.") => apply_run(life, event, data),
            _ => apply_told(life, event, data),
        }
    }

    fn apply_life(&mut self, life: &mut Life, event: &Event, data: &Data) -> Applied {
        let is_active = life.lifecycle == Lifecycle::Active;
        let is_ended = matches!(life.lifecycle, Lifecycle::Stopped | Lifecycle::Cancelled);
        let quiet = life.run.is_none() && life.queue.is_empty() && life.held.is_none();
        let (holds, detail) = match event.kind.as_str() {
            "worker.created" => (life.seq == 1, "it is not the first"),
            "worker.paused" => (is_active && !life.paused, "it was not to be paused"),
            "worker.resumed" => (is_active && life.paused, "it was not paused"),
            "worker.ending" => (
                is_active && life.ending.is_none(),
                "its end was asked for before",
            ),
            kind @ ("worker.stopped" | "worker.cancelled") => {
                let wanted = if kind == "worker.stopped" {
                    "stop"
                } else {
                    "cancel"
                };
                let asked = life
                    .ending
                    .as_ref()
                    .is_some_and(|(asked, _)| asked == wanted);
                (
                    is_active && asked && quiet,
                    "it was not asked for, or not all was quiet",
                )
            }
            "worker.archived" => (is_ended && !life.archived, "it has not ended"),
            "worker.restored" => {
                let is_next = data.number("epoch") == Some(life.epoch + 1);
                (
                    life.lifecycle == Lifecycle::Stopped && is_next,
                    "it was not stopped, or another epoch is next",
                )
            }
            "worker.deleted" => (is_ended && quiet, "it has not ended"),
            _ => (life.lifecycle != Lifecycle::Deleted, "it was deleted"),
        };
        must(holds, LIVES, event, detail)?;
        match event.kind.as_str() {
            "worker.updated" => update(life, data),
            "worker.paused" => life.paused = true,
            "worker.resumed" => life.paused = false,
            "worker.ending" => {
                life.ending = Some((data.text("kind"), data.read("reason")));
                // Its scope is free with its end.
                life.releasing = false;
            }
            "worker.stopped" => life.lifecycle = Lifecycle::Stopped,
            "worker.cancelled" => life.lifecycle = Lifecycle::Cancelled,
            "worker.archived" => life.archived = true,
            "worker.restored" => {
                life.lifecycle = Lifecycle::Active;
                life.epoch += 1;
                life.ending = None;
                life.archived = false;
            }
            "worker.deleted" => bury(life),
            "worker.status" => {
                let value = data.value().get("value").cloned();
                life.status
                    .insert(data.text("name"), value.unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn take_fence(&mut self, fence: u64, event: &Event) -> Applied {
        must(
            fence > self.fence,
            SCOPES,
            event,
            format!("fence {fence} after {}", self.fence),
        )?;
        self.fence = fence;
        Ok(())
    }

    fn apply_start(&mut self, life: &mut Life, event: &Event, data: &Data) -> Applied {
        let input_id = data.text("input_id");
        must(life.run.is_none(), ONE_OUTCOME, event, "another one runs")?;
        let ended = life.ended.contains(&input_id);
        must(
            !ended,
            ONE_OUTCOME,
            event,
            format!("{input_id} has its outcome"),
        )?;
        let first = life.queue.pop_front();
        must(
            first.as_ref() == Some(&input_id),
            ONE_OUTCOME,
            event,
            format!("{first:?} is next, not {input_id}"),
        )?;
        let is_asked = life.ending.is_some() || life.releasing;
        let may = life.lifecycle == Lifecycle::Active && !is_asked && !life.paused;
        must(
            may && !self.stopped,
            LIVES,
            event,
            "nothing may be dispatched",
        )?;
        let generation = data.number("generation").unwrap_or_default();
        must(
            generation > life.generation,
            SCOPES,
            event,
            "the generation does not grow",
        )?;
        life.generation = generation;
        match (&mut life.held, data.number("fence")) {
            (Some(held), Some(fence)) => {
                held.fence = fence;
                self.take_fence(fence, event)?;
            }
            (None, None) => {}
            _ => {
                return Err(broken(
                    SCOPES,
                    event,
                    "a fence without a scope, or none with one",
                ));
            }
        }
        life.run = Some(Run {
            run_id: event.run_id.unwrap_or(RunId::from_bytes([0; 16])),
            input_id,
            generation,
            actions: Default::default(),
            cancel: None,
            blocks: Default::default(),
            is_lost: false,
        });
        Ok(())
    }
}

fn created(event: &Event, data: &Data) -> Life {
    Life {
        created_at: event.at,
        display_name: data.read("display_name"),
        labels: data.read("labels").unwrap_or_default(),
        backend: data.read("backend"),
        lifecycle: Lifecycle::Active,
        ending: None,
        releasing: false,
        epoch: data.number("epoch").unwrap_or_default(),
        paused: false,
        archived: false,
        accepted: Default::default(),
        ended: Default::default(),
        queue: Default::default(),
        run: None,
        last_run: None,
        usage: Usage::default(),
        status: Default::default(),
        held: None,
        generation: 0,
        seq: 0,
        items: 0,
        is_unseen: false,
    }
}

fn update(life: &mut Life, data: &Data) {
    if let Some(name) = data.read("display_name") {
        life.display_name = Some(name);
    }
    let labels: std::collections::BTreeMap<String, Option<String>> =
        data.read("labels").unwrap_or_default();
    for (key, value) in labels {
        match value {
            Some(value) => life.labels.insert(key, value),
            None => life.labels.remove(&key),
        };
    }
}

fn bury(life: &mut Life) {
    life.lifecycle = Lifecycle::Deleted;
    life.held = None;
    life.run = None;
    life.queue.clear();
}
