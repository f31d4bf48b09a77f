//! Observation: status, events, transcripts. Every read takes the published position first and
//! returns nothing beyond it; none waits for the writer (I1, I12).

use std::{collections::BTreeMap, sync::Arc, sync::atomic::Ordering};

use super::{
    catalog::{ListOrder, WorkerFilter, WorkerList},
    redact::redact,
    shared::{PublishedWorker, Shared, Snapshot},
};
use crate::{
    Code, Cursor, ItemIndex, Position, RuntimeId, Stream, WorkerId,
    cursor::From as Start,
    error::{ReadError, Unavailable, WorkerError},
    record::Lifecycle,
    state::count_lifecycles,
    store::ReplayRequest,
    view::{
        Diagnostic, EventPage, RuntimeStatus, TranscriptItem, TranscriptPage, UnfinishedBlock,
        WorkerView,
    },
};

/// How large a page may be; capped by the Runtime's own limits.
#[derive(Debug, Clone, Copy)]
pub struct PageSize {
    /// At most this many events.
    pub events_max: usize,
    /// About this many bytes of data.
    pub bytes_max: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self {
            events_max: 100,
            bytes_max: 1 << 20,
        }
    }
}

/// From which end a transcript is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptFrom {
    /// From this item on.
    Item(u64),
    /// The newest ones.
    End,
    /// Those before this item.
    Before(u64),
}

/// Reads a Runtime, or a store that nobody runs.
#[derive(Clone)]
pub struct Observation {
    pub(super) shared: Arc<Shared>,
}

impl Observation {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Which Runtime this is.
    pub fn runtime_id(&self) -> RuntimeId {
        self.shared.runtime_id
    }

    fn is_live(&self) -> bool {
        self.shared.incarnation.is_some()
    }

    /// What the Runtime says of itself.
    pub fn runtime(&self) -> RuntimeStatus {
        let (snapshot, position) = self.shared.read();
        let records = snapshot.workers.values();
        let waiting = records.clone().map(|worker| {
            worker
                .unfinished
                .iter()
                .filter(|input| input.run.is_none())
                .count()
        });
        RuntimeStatus {
            runtime_id: self.shared.runtime_id,
            created_at: snapshot.runtime.created_at,
            incarnation: self
                .shared
                .incarnation
                .map(|incarnation| incarnation.to_string()),
            live: self.is_live(),
            stopped: snapshot.runtime.stopped,
            workers: count_lifecycles(records.clone().map(|worker| &*worker.record)),
            busy: records
                .clone()
                .filter(|worker| {
                    worker
                        .unfinished
                        .front()
                        .is_some_and(|front| front.run.is_some())
                })
                .count(),
            queued: waiting.sum(),
            allocations: records.filter(|worker| worker.allocation.is_some()).count(),
            late_messages: self
                .shared
                .late_messages
                .load(Ordering::Relaxed)
                .saturating_add(self.shared.live.late()),
            commits_unknown: self.shared.commits_unknown.load(Ordering::Relaxed),
            damaged: snapshot.damaged.iter().map(Into::into).collect(),
            went_back: snapshot.went_back.map(Into::into),
            cursor: self.shared.cursor(Stream::Runtime, position),
            position,
        }
    }

    /// What an operator should know, each with the command that helps.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let (snapshot, _) = self.shared.read();
        let mut found = Vec::new();
        if let Some(went) = snapshot.went_back {
            found.push(Diagnostic {
                code: Code::StateWentBack,
                worker_id: None,
                message: format!("acknowledged state is gone: position {} was acknowledged, {} is the newest that is left", went.witnessed, went.found),
                command: None,
            });
        }
        found.extend(snapshot.damaged.iter().map(|record| {
            Diagnostic {
                code: match record.table {
                    "worker" => Code::WorkerDamaged,
                    "history" => Code::EventDamaged,
                    _ => Code::RecordDamaged,
                },
                worker_id: record.worker_id,
                message: format!(
                    "a record of table {} is damaged: {}",
                    record.table, record.detail
                ),
                command: record
                    .worker_id
                    .map(|worker_id| format!("worker-runtime event ls --worker {worker_id}")),
            }
        }));
        let mut workers: Vec<_> = snapshot.workers.values().collect();
        workers.sort_by_key(|worker| worker.record.worker_id);
        workers
            .iter()
            .for_each(|worker| self.diagnose(worker, &mut found));
        found
    }

    fn diagnose(&self, worker: &PublishedWorker, found: &mut Vec<Diagnostic>) {
        let worker_id = worker.record.worker_id;
        if worker.record.lifecycle != Lifecycle::Active {
            return;
        }
        if let Some(reason) = &worker.record.unproven {
            found.push(Diagnostic {
                code: Code::RunUnproven,
                worker_id: Some(worker_id),
                message: format!(
                    "its processes can't be shown to be dead, so it keeps its scope: {reason}"
                ),
                command: Some(format!(
                    "worker-runtime worker cancel {worker_id} --assume-dead"
                )),
            });
        }
        if let Err(reason) = self
            .shared
            .backends
            .input_capable(worker.record.backend.as_ref())
        {
            found.push(Diagnostic {
                code: Code::InputIncapable,
                worker_id: Some(worker_id),
                message: format!(
                    "it takes no input: {}",
                    crate::error::describe_incapable(&reason)
                ),
                command: Some(format!("worker-runtime worker show {worker_id}")),
            });
        }
    }

    /// One Worker; ended ones too.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn worker(&self, worker_id: WorkerId) -> Result<WorkerView, WorkerError> {
        let (snapshot, position) = self.shared.read();
        self.shared.check_readable(&snapshot, worker_id)?;
        match snapshot.workers.get(&worker_id) {
            Some(worker) => Ok(self.view(worker, position)),
            None => Err(damaged(&snapshot, worker_id)),
        }
    }

    /// Workers, filtered, sorted and paged.
    pub fn workers(
        &self,
        filter: &WorkerFilter,
        order: ListOrder,
        offset: usize,
        count_max: usize,
    ) -> WorkerList {
        let (snapshot, position) = self.shared.read();
        let mut found: Vec<&PublishedWorker> = snapshot
            .workers
            .values()
            .filter(|worker| filter.takes(worker))
            .collect();
        match order {
            ListOrder::Created => found
                .sort_by_key(|worker| (worker.record.created.position, worker.record.worker_id)),
            ListOrder::Name => found.sort_by(|a, b| {
                (&a.record.display_name, a.record.worker_id)
                    .cmp(&(&b.record.display_name, b.record.worker_id))
            }),
        }
        let total = found.len();
        let workers: Vec<WorkerView> = found
            .into_iter()
            .skip(offset)
            .take(count_max)
            .map(|worker| self.view(worker, position))
            .collect();
        let end = offset.saturating_add(workers.len());
        let next = (end < total && !workers.is_empty()).then_some(end);
        WorkerList {
            workers,
            total,
            next,
            cursor: self.shared.cursor(Stream::Runtime, position),
        }
    }

    fn view(&self, worker: &PublishedWorker, position: Position) -> WorkerView {
        let cursor = self
            .shared
            .cursor(Stream::Worker(worker.record.worker_id), position);
        WorkerView::new(
            worker,
            self.shared.runtime_id,
            &self.shared.backends,
            self.is_live(),
            cursor,
        )
    }

    /// The cursor that a start means, as it is now.
    ///
    /// # Errors
    /// [`ReadError`] when the Worker is unknown or the cursor can't be followed.
    pub fn resolve(&self, stream: Stream, start: Start) -> Result<Cursor, ReadError> {
        let (position, _) = self.start(stream, start)?;
        Ok(self.shared.cursor(stream, position))
    }

    /// The same cursor for another stream of this Runtime: a Worker's for the Runtime's, or back.
    ///
    /// # Errors
    /// [`ReadError`] when the cursor can't be followed in `from`.
    pub fn convert(&self, cursor: Cursor, from: Stream, to: Stream) -> Result<Cursor, ReadError> {
        let position = self
            .shared
            .check_cursor(from, cursor, self.shared.position())?;
        Ok(self.shared.cursor(to, position))
    }

    /// Where a read begins, and the published position that bounds it.
    pub(super) fn start(
        &self,
        stream: Stream,
        start: Start,
    ) -> Result<(Position, Position), ReadError> {
        let until = {
            let (snapshot, position) = self.shared.read();
            if let Stream::Worker(worker_id) = stream {
                self.shared.check_readable(&snapshot, worker_id)?;
            }
            position
        };
        let bounds = self
            .shared
            .reader
            .bounds(stream)
            .map_err(Unavailable::from)?;
        let position = match start {
            Start::Beginning => bounds.trimmed_to,
            Start::Now => until,
            Start::After(cursor) => {
                let position = self.shared.check_cursor(stream, cursor, until)?;
                if position < bounds.trimmed_to {
                    let earliest = self.shared.cursor(stream, bounds.trimmed_to);
                    let tail = self.shared.cursor(stream, until);
                    return Err(crate::CursorError::Expired { earliest, tail }.into());
                }
                position
            }
        };
        Ok((position, until))
    }

    /// A page of a stream. What is damaged is told as a gap, and the next page goes on after it.
    ///
    /// # Errors
    /// [`ReadError`] when the Worker is unknown, the cursor can't be followed, or the store can't
    /// be read.
    pub fn events(
        &self,
        stream: Stream,
        start: Start,
        size: PageSize,
    ) -> Result<EventPage, ReadError> {
        let (after, until) = self.start(stream, start)?;
        self.page(stream, after, until, size)
    }

    pub(super) fn page(
        &self,
        stream: Stream,
        after: Position,
        until: Position,
        size: PageSize,
    ) -> Result<EventPage, ReadError> {
        let limits = &self.shared.limits;
        let request = ReplayRequest {
            stream,
            after,
            until,
            events_max: size.events_max.clamp(1, limits.page_events_max),
            bytes_max: size.bytes_max.clamp(1, limits.page_bytes_max),
        };
        let page = self
            .shared
            .reader
            .replay(&request)
            .map_err(Unavailable::from)?;
        let next = self.shared.cursor(stream, page.scanned_to);
        let events = match stream {
            Stream::Worker(_) => page.events,
            Stream::Runtime => redact(page.events, &self.shared.read().0.deleted),
        };
        let events = events
            .into_iter()
            .map(|event| (self.shared.cursor(stream, event.position), event));
        Ok(EventPage {
            runtime_id: self.shared.runtime_id,
            gap: page.gap,
            events: events.collect(),
            next,
            up_to_date: page.up_to_date,
        })
    }

    /// A page of a Worker's transcript, and what has not ended of it.
    ///
    /// # Errors
    /// [`ReadError`] when the Worker is unknown or the store can't be read.
    pub fn transcript(
        &self,
        worker_id: WorkerId,
        from: TranscriptFrom,
        count_max: usize,
    ) -> Result<TranscriptPage, ReadError> {
        let until = {
            let (snapshot, position) = self.shared.read();
            self.shared.check_readable(&snapshot, worker_id)?;
            position
        };
        let reader = &self.shared.reader;
        let count = count_max.clamp(1, self.shared.limits.page_events_max) as u64;
        let total = reader
            .transcript(worker_id, ItemIndex(0)..ItemIndex(0), until)
            .map_err(Unavailable::from)?
            .items
            .0;
        let range = match from {
            TranscriptFrom::Item(first) => first..first.saturating_add(count).min(total),
            TranscriptFrom::End => total.saturating_sub(count)..total,
            TranscriptFrom::Before(end) => end.min(total).saturating_sub(count)..end.min(total),
        };
        let slice = reader
            .transcript(
                worker_id,
                ItemIndex(range.start)..ItemIndex(range.end.max(range.start)),
                until,
            )
            .map_err(Unavailable::from)?;
        Ok(TranscriptPage {
            worker_id,
            items: slice
                .events
                .iter()
                .filter_map(TranscriptItem::from_event)
                .collect(),
            gap: slice.gap,
            items_total: slice.items.0,
            unfinished: self.unfinished(worker_id)?,
            cursor: self.shared.cursor(Stream::Worker(worker_id), until),
        })
    }

    /// Blocks that have not ended: from the live run, or as they were last checkpointed.
    fn unfinished(&self, worker_id: WorkerId) -> Result<Vec<UnfinishedBlock>, ReadError> {
        if self.is_live() {
            return Ok(self.shared.live.unfinished(worker_id));
        }
        let stored = self
            .shared
            .reader
            .in_flight(worker_id)
            .map_err(Unavailable::from)?;
        let blocks = stored.into_iter().map(|block| UnfinishedBlock {
            block: block.block,
            kind: block.kind,
            text: String::from_utf8_lossy(&block.bytes).into_owned(),
            offset_bytes: block.bytes.len() as u64,
        });
        Ok(blocks.collect())
    }
}

fn damaged(snapshot: &Snapshot, worker_id: WorkerId) -> WorkerError {
    let record = snapshot
        .damaged
        .iter()
        .find(|record| record.worker_id == Some(worker_id));
    WorkerError::Damaged {
        worker_id,
        detail: record.map_or_else(String::new, |record| record.detail.clone()),
    }
}

impl WorkerFilter {
    fn takes(&self, worker: &PublishedWorker) -> bool {
        let record = &worker.record;
        let has = |labels: &BTreeMap<String, String>| {
            self.labels
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
        };
        let named = |text: &String| {
            record
                .display_name
                .as_ref()
                .is_some_and(|name| name.contains(text.as_str()))
        };
        record.lifecycle != Lifecycle::Deleted
            && (self.archived || !record.archived)
            && (self.lifecycles.is_empty()
                || self
                    .lifecycles
                    .iter()
                    .any(|wanted| wanted == record.lifecycle.as_str()))
            && has(&record.labels)
            && self.name_contains.as_ref().is_none_or(named)
            && self
                .busy
                .is_none_or(|busy| busy != worker.unfinished.is_empty())
    }
}
