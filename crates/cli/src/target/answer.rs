//! An answer to what a run asks for, through a server. An action takes one answer, so the same one again
//! is refused; whether the first attempt was taken, whose own answer was lost, is what the events tell.

use std::time::Duration;

use serde_json::Value;
use worker_runtime_core::{
    ActionId, Cursor, Event, EventType, Position, RunId, Stream, WorkerId, cursor::From,
};

use super::{About, Remote};
use crate::error::CliError;

/// How many events are read at once.
const PAGE_EVENTS: usize = 100;

/// Who is answered, and what.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) worker_id: WorkerId,
    pub(crate) run_id: RunId,
    pub(crate) action_id: ActionId,
    pub(crate) option: String,
}

impl Remote {
    /// Answers; the action was asked for before the cursor.
    ///
    /// # Errors
    /// What the server refuses, or that it can't be reached.
    pub(crate) async fn answer(
        &self,
        answer: &Answer,
        after: Cursor,
    ) -> Result<Position, CliError> {
        let (worker_id, run_id) = (answer.worker_id, answer.run_id);
        let call = || {
            let option = answer.option.clone();
            let action_id = &answer.action_id;
            self.client.answer(worker_id, run_id, action_id, option)
        };
        let taken = |_| self.taken(answer, after);
        let insisting = self.insist_or(About::worker(worker_id), call, taken);
        Ok(insisting.await?.answer)
    }

    /// Where this very answer was taken after a cursor, if it was.
    async fn taken(&self, answer: &Answer, after: Cursor) -> Option<Position> {
        let stream = Stream::Worker(answer.worker_id);
        let mut start = From::After(after);
        loop {
            let page = self
                .client
                .events(stream, start, PAGE_EVENTS, Duration::ZERO);
            let page = page.await.ok()?;
            let taken = page
                .events
                .iter()
                .find(|event| answer.is_told_by(&event.event));
            if let Some(taken) = taken {
                return Some(taken.event.position);
            }
            if page.up_to_date {
                return None;
            }
            start = From::After(page.next);
        }
    }
}

impl Answer {
    fn is_told_by(&self, event: &Event) -> bool {
        let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        event.kind == EventType::RUN_ACTION_ANSWERED
            && event.run_id == Some(self.run_id)
            && text("action_id") == Some(self.action_id.as_str())
            && text("option") == Some(self.option.as_str())
    }
}
