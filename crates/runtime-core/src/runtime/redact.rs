//! In the Runtime's stream, the events of a Worker that was deleted are one `redacted` each stretch:
//! positions stay dense, and what was said is not shown. Its bytes go when the log passes them.
//!
//! A reader may see what a delete removed before the delete is published; what is gone is known by its
//! digest, and never shown as if it had been said.

use std::collections::HashSet;

use serde_json::json;

use crate::{Digest, Event, EventType, Position, WorkerId, WorkerPlace};

/// What a store gives for data that went with its Worker.
const NOTHING_SAID: &[u8] = b"{}";

/// Replaces what belongs to deleted Workers; that they were deleted is still told.
pub(super) fn redact(events: Vec<Event>, deleted: &HashSet<WorkerId>) -> Vec<Event> {
    if !events.iter().any(|event| is_hidden(event, deleted)) {
        return events;
    }
    let mut shown: Vec<Event> = Vec::with_capacity(events.len());
    // The stretch that the last shown event stands for, when that is a redaction.
    let mut stretch: Option<(WorkerId, Position)> = None;
    for event in events {
        let hidden = event.worker.filter(|_| is_hidden(&event, deleted));
        let Some(WorkerPlace { worker_id, .. }) = hidden else {
            stretch = None;
            shown.push(event);
            continue;
        };
        let from = match stretch.filter(|(owner, _)| *owner == worker_id) {
            Some((_, from)) => {
                shown.pop();
                from
            }
            None => event.position,
        };
        stretch = Some((worker_id, from));
        shown.push(redacted(event, worker_id, from));
    }
    shown
}

/// Whether an event is a deleted Worker's.
fn is_hidden(event: &Event, deleted: &HashSet<WorkerId>) -> bool {
    let Some(place) = event.worker else {
        return false;
    };
    let is_gone = *event.data == *NOTHING_SAID && event.data_digest != Digest::of(NOTHING_SAID);
    event.kind != EventType::WORKER_DELETED && (deleted.contains(&place.worker_id) || is_gone)
}

fn redacted(event: Event, worker_id: WorkerId, from: Position) -> Event {
    let data = json!({ "worker_id": worker_id, "from": from, "to": event.position });
    let data = bytes::Bytes::from(data.to_string());
    Event {
        worker: None,
        kind: EventType::REDACTED,
        run_id: None,
        data_digest: Digest::of(&data),
        data,
        ..event
    }
}

#[cfg(test)]
mod tests;
