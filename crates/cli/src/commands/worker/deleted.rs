//! The receipt of a deletion whose answer was lost: nothing of the Worker can be asked any more, but
//! the Runtime's stream tells of its end.

use std::time::Duration;

use worker_runtime_core::{
    Cursor, EventType, Stream,
    cursor::From,
    record::Lifecycle,
    view::{LifecycleReceipt, WorkerView},
};
use worker_runtime_http::client::Client;

/// How many events are read at once.
const PAGE_EVENTS: usize = 1_000;

/// What the deletion of this Worker was answered with; nothing when that can't be found. `worker` is
/// what it was shortly before.
pub(super) async fn receipt(client: &Client, worker: &WorkerView) -> Option<LifecycleReceipt> {
    let (worker_id, known) = (worker.worker_id, worker.cursor);
    let runtime_id = client.runtime().await.ok()?.runtime_id;
    let of = |stream, cursor: Cursor| {
        let (position, incarnation_id) = (cursor.position(), cursor.incarnation_id());
        Cursor::new(runtime_id, stream, position, incarnation_id)
    };
    let mut from = From::After(of(Stream::Runtime, known));
    loop {
        let page = client
            .events(Stream::Runtime, from, PAGE_EVENTS, Duration::ZERO)
            .await
            .ok()?;
        let deletion = page.events.iter().find(|received| {
            let event = &received.event;
            event.kind == EventType::WORKER_DELETED
                && event
                    .worker
                    .is_some_and(|place| place.worker_id == worker_id)
        });
        if let Some(deletion) = deletion {
            return Some(LifecycleReceipt {
                worker_id,
                lifecycle: Lifecycle::Deleted,
                ending: false,
                ending_kind: None,
                position: deletion.event.position,
                cursor: of(Stream::Worker(worker_id), deletion.cursor),
                repeated: false,
            });
        }
        if page.up_to_date {
            return None;
        }
        from = From::After(page.next);
    }
}
