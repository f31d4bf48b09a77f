//! In the Runtime's stream, the events of a Worker that was deleted are one `redacted` each stretch:
//! positions stay dense, and what was said is not shown. Its bytes go when the log passes them.

use std::collections::HashSet;

use serde_json::json;

use crate::{Digest, Event, EventType, Position, WorkerId};

/// Replaces what belongs to deleted Workers; that they were deleted is still told.
pub(super) fn redact(events: Vec<Event>, deleted: &HashSet<WorkerId>) -> Vec<Event> {
    if deleted.is_empty() {
        return events;
    }
    let mut shown: Vec<Event> = Vec::with_capacity(events.len());
    // The stretch that the last shown event stands for, when that is a redaction.
    let mut stretch: Option<(WorkerId, Position)> = None;
    for event in events {
        let of_deleted = event
            .worker
            .map(|place| place.worker_id)
            .filter(|worker_id| {
                deleted.contains(worker_id) && event.kind != EventType::WORKER_DELETED
            });
        let Some(worker_id) = of_deleted else {
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
