//! A change of what a Worker holds, through a server: decided on what is there, and made once (I5).
//!
//! It is made only while its Worker is as it was read (`If-Match`): where somebody else changed it in between,
//! or a run of it went on, it is read and decided again. Such a change bears no id of its own, and the same
//! one again may be refused or take what was granted since; so an attempt whose answer was lost is looked for
//! in the Worker's events before the next one is made. One that arrives later finds another Worker.

use std::time::Duration;

use serde_json::Value;
use worker_runtime_core::{
    Code, Cursor, Event, EventType, Scope, ScopeRule, Stream, WorkerId,
    cursor::From,
    view::{AllocationReceipt, WorkerView},
};
use worker_runtime_http::client::{Client, ClientError};

use super::{About, Remote, again::PAUSES};
use crate::error::CliError;

/// How often a Worker that changes meanwhile is read again.
const LOOKS_MAX: usize = 20;
/// How many events are read at once.
const PAGE_EVENTS: usize = 100;

/// How an event tells of the change that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// What it is, one of these.
    pub(crate) kinds: Vec<EventType>,
    pub(crate) reason: Option<String>,
    /// What is held by then, where that was asked for.
    pub(crate) holds: Option<(Scope, Scope)>,
}

/// Why an attempt came to nothing.
enum Failed {
    /// It was not made: what came before it failed.
    Before(ClientError),
    /// It was refused, or nobody knows.
    Asked(ClientError),
    /// There is nothing to ask for.
    Undecided(CliError),
}

impl Remote {
    /// Decides on what the Worker is, and asks for that.
    ///
    /// # Errors
    /// What `decide` says, what the server refuses, or that it can't be reached.
    pub(crate) async fn change_held<T, F>(
        &self,
        about: About,
        worker_id: WorkerId,
        decide: impl Fn(&WorkerView) -> Result<(T, Told), CliError>,
        ask: impl Fn(Client, T) -> F,
    ) -> Result<AllocationReceipt, CliError>
    where
        F: Future<Output = Result<AllocationReceipt, ClientError>>,
    {
        let mut pauses = PAUSES.into_iter();
        let mut looks = LOOKS_MAX;
        // Since when an attempt was made whose answer was lost.
        let mut lost: Option<Cursor> = None;
        loop {
            let mut began = lost;
            let attempt = self.attempt(worker_id, &decide, &ask, lost, &mut began);
            let (error, asked) = match attempt.await {
                Ok(receipt) => return Ok(receipt),
                Err(Failed::Undecided(error)) => return Err(error),
                Err(Failed::Before(error)) => (error, false),
                Err(Failed::Asked(error)) => (error, true),
            };
            if asked && error.is_unknown() {
                lost = lost.or(began);
            }
            if asked && error.code() == Code::WorkerChanged && looks > 0 {
                looks = looks.saturating_sub(1);
                continue;
            }
            if lost.is_some()
                && error.is_transient()
                && let Some(pause) = pauses.next()
            {
                tokio::time::sleep(pause).await;
                continue;
            }
            let is_known = asked && !error.is_transient();
            let mut told = self.told_of(error, about).await;
            if lost.is_some() && !is_known {
                told.message.push_str("; nobody knows whether it was done");
            }
            return Err(told);
        }
    }

    async fn attempt<T, F>(
        &self,
        worker_id: WorkerId,
        decide: impl Fn(&WorkerView) -> Result<(T, Told), CliError>,
        ask: impl Fn(Client, T) -> F,
        lost: Option<Cursor>,
        began: &mut Option<Cursor>,
    ) -> Result<AllocationReceipt, Failed>
    where
        F: Future<Output = Result<AllocationReceipt, ClientError>>,
    {
        let seen = self.client.worker_tagged(worker_id).await;
        let (worker, tag) = seen.map_err(Failed::Before)?;
        let (change, told) = decide(&worker).map_err(Failed::Undecided)?;
        if let Some(since) = lost {
            let done = self.done_since(worker_id, since, &told).await;
            if let Some(receipt) = done.map_err(Failed::Before)? {
                return Ok(receipt);
            }
        }
        began.get_or_insert(worker.cursor);
        let answer = ask(self.client.only_if(&tag), change).await;
        answer.map_err(Failed::Asked)
    }

    /// What the attempt whose answer was lost would have been answered, if it was made.
    async fn done_since(
        &self,
        worker_id: WorkerId,
        since: Cursor,
        told: &Told,
    ) -> Result<Option<AllocationReceipt>, ClientError> {
        let stream = Stream::Worker(worker_id);
        let mut start = From::After(since);
        loop {
            let events = self
                .client
                .events(stream, start, PAGE_EVENTS, Duration::ZERO);
            let page = events.await?;
            let found = page.events.iter().find(|event| told.is_by(&event.event));
            if let Some(found) = found {
                let worker = self.client.worker(worker_id).await?;
                return Ok(Some(AllocationReceipt {
                    worker_id,
                    fence: worker.fence,
                    waits_for: waits_for(&worker, &found.event),
                    position: found.event.position,
                    cursor: found.cursor,
                    repeated: false,
                }));
            }
            if page.up_to_date {
                return Ok(None);
            }
            start = From::After(page.next);
        }
    }
}

impl Told {
    fn is_by(&self, event: &Event) -> bool {
        let data = data(event);
        let field = |name: &str| data.get(name).cloned().unwrap_or(Value::Null);
        let is_same = |name: &str, rules: &[ScopeRule]| {
            serde_json::to_value(rules).is_ok_and(|rules| rules == field(name))
        };
        let holds = self.holds.as_ref().is_none_or(|(scope, delegation)| {
            let handed_on: Scope = serde_json::from_value(field("delegation")).unwrap_or_default();
            is_same("allow", &scope.allow)
                && is_same("deny", &scope.deny)
                && handed_on == *delegation
        });
        self.kinds.contains(&event.kind)
            && field("reason").as_str() == self.reason.as_deref()
            && holds
    }
}

/// Who holds on to what was taken until all is quiet: those that the event names, else the Worker itself
/// while it does.
fn waits_for(worker: &WorkerView, event: &Event) -> Vec<WorkerId> {
    let named = data(event).get("waits_for").cloned();
    let named: Option<Vec<WorkerId>> = named.and_then(|ids| serde_json::from_value(ids).ok());
    let itself = worker.releasing.is_some().then_some(worker.worker_id);
    named.unwrap_or_else(|| itself.into_iter().collect())
}

fn data(event: &Event) -> Value {
    serde_json::from_slice(&event.data).unwrap_or_default()
}
