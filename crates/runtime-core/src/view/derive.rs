//! How a Worker's view and a transcript item are derived (I4: nothing of it is stored).

use serde_json::Value;

use crate::{
    Cursor, Event, EventType, RuntimeId,
    backend::IncapableReason,
    record::AllocationRecord,
    runtime::{Backends, PublishedWorker},
    state::{FENCE_LOST, phase_of},
    view::{
        ActionView, Activity, EndView, InputCapability, Phase, TranscriptItem, WorkerView,
        wire_scope,
    },
};

impl WorkerView {
    pub(crate) fn new(
        worker: &PublishedWorker,
        allocation: Option<&AllocationRecord>,
        runtime_id: RuntimeId,
        backends: &Backends,
        live: bool,
        damaged: bool,
        cursor: Cursor,
    ) -> Self {
        let record = &worker.record;
        let capable = match damaged {
            true => Err(IncapableReason::Damaged),
            false => backends.input_capable(record.backend.as_ref()),
        };
        let scope = allocation.map(|held| wire_scope(&held.scope));
        let delegation = allocation.and_then(|held| held.delegation.as_deref().map(wire_scope));
        let name = record.display_name.clone();
        let status = record
            .status
            .iter()
            .filter_map(|(name, json)| Some((name.clone(), serde_json::from_str(json).ok()?)));
        Self {
            runtime_id,
            worker_id: record.worker_id,
            display_ref: format!(
                "{}@{runtime_id}",
                name.clone().unwrap_or_else(|| record.worker_id.to_string())
            ),
            display_name: name,
            labels: record.labels.clone(),
            lifecycle: record.lifecycle,
            ending: record.end_asked().map(EndView::of),
            releasing: record.release_asked().map(Into::into),
            epoch: record.epoch,
            paused: record.paused,
            archived: record.archived,
            activity: activity(worker, live),
            unproven: record.unproven.is_some(),
            input_capable: InputCapability {
                capable: capable.is_ok(),
                reason: capable.err(),
            },
            spec: record.spec.0.clone(),
            profile: record.profile.name.clone(),
            tools_less: record.spec.bundle.is_none()
                && record.spec.capabilities.is_empty()
                && record.profile.tools.is_empty(),
            backend: record.backend.as_ref().map(|backend| backend.name.clone()),
            scope: scope.unwrap_or_default(),
            delegation: delegation.unwrap_or_default(),
            fence: allocation
                .map(|held| held.fence)
                .filter(|fence| *fence != FENCE_LOST),
            last_run: record.last_run.as_ref().map(Into::into),
            usage: record.usage,
            status: status.collect(),
            input_count: record.input_count,
            created_at: record.created.at,
            revision: record.revision,
            cursor,
        }
    }
}

/// How far a Worker's first input without outcome is, if it has one.
pub(crate) fn phase(worker: &PublishedWorker, live: bool) -> Option<Phase> {
    let front = worker.unfinished.front()?;
    let unproven = worker.record.unproven.is_some();
    Some(phase_of(front.run.as_ref(), unproven, live))
}

fn activity(worker: &PublishedWorker, live: bool) -> Activity {
    let waiting = worker.unfinished.len();
    let Some(front) = worker.unfinished.front() else {
        return Activity {
            phase: None,
            input_id: None,
            run_id: None,
            generation: None,
            since: None,
            actions: Vec::new(),
            queued: 0,
        };
    };
    let run = front.run.as_ref();
    let actions = run.map_or(&[][..], |run| &run.actions);
    Activity {
        phase: phase(worker, live),
        input_id: Some(front.input.input_id.clone()),
        run_id: run.map(|run| run.run_id),
        generation: run.map(|run| run.generation),
        since: Some(run.map_or(front.accepted.at, |run| run.started_at)),
        actions: actions
            .iter()
            .map(|action| ActionView {
                action_id: action.action_id.clone(),
                options: action.options.clone(),
                at: action.at,
                deadline: action.deadline,
            })
            .collect(),
        queued: waiting.saturating_sub(usize::from(run.is_some())),
    }
}

impl TranscriptItem {
    /// The item that an event bears, if it bears one.
    pub fn from_event(event: &Event) -> Option<Self> {
        let place = event.worker?;
        let item = place.item?;
        let data: Value = serde_json::from_slice(&event.data).ok()?;
        let text_of = |name: &str| {
            data.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (role, kind, text) = match &event.kind {
            kind if *kind == EventType::INPUT_ACCEPTED => {
                (text_of("kind"), "input".to_owned(), input_text(&data))
            }
            kind if *kind == EventType::BLOCK_FINISHED => {
                ("worker".to_owned(), text_of("kind"), text_of("text"))
            }
            kind if *kind == EventType::RUN_REQUIRES_ACTION
                || *kind == EventType::RUN_ACTION_ANSWERED =>
            {
                ("worker".to_owned(), "action".to_owned(), data.to_string())
            }
            kind => (
                "worker".to_owned(),
                kind.as_str().replace('.', "_"),
                data.to_string(),
            ),
        };
        let marks = data.get("marks").and_then(Value::as_array);
        let marks = marks
            .into_iter()
            .flatten()
            .filter_map(|mark| Some(mark.as_str()?.to_owned()));
        Some(Self {
            item: item.0,
            seq: place.seq,
            at: event.at,
            role,
            kind,
            text,
            run_id: event.run_id,
            marks: marks.collect(),
        })
    }
}

fn input_text(data: &Value) -> String {
    let segments = data.get("segments").and_then(Value::as_array);
    let texts = segments.into_iter().flatten().map(|segment| {
        match segment.get("text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => segment.to_string(),
        }
    });
    texts.collect::<Vec<_>>().join("\n")
}
