//! What is published: records, and the newest position.
//!
//! The writer changes it after the commit and before any answer (I1). Readers take the position and
//! the records in one short look, so that every view carries the cursor at which it is true.
//!
//! - `news`: who waits for it
//! - `recent`: the newest events, for whoever keeps up

mod news;
mod recent;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use news::News;
use recent::Recent;

pub(crate) use news::NewsOf;

use super::{Backends, LiveRuns, Observation};
use crate::{
    Cursor, CursorError, Event, EventType, Fence, Incarnation, LeaseId, OperationId, Position,
    RuntimeId, Stream, Timestamp, WorkerId,
    backend::BackendFactory,
    error::{OpenError, WorkerError},
    holdings::Holdings,
    limits::Limits,
    record::{
        IncarnationRecord, Lifecycle, OperationRecord, RuntimeRecord, UnfinishedRecord,
        WorkerRecord,
    },
    sabotage::{self, Sabotage},
    state::{State, Touched, WorkerState, hold_undamaged, void_at_opening},
    store::{DamagedRecord, Loaded, ReplayPage, ReplayRequest, StoreError, StoreReader, WentBack},
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// One Worker, as it is published.
#[derive(Debug, Clone)]
pub(crate) struct PublishedWorker {
    pub(crate) record: Arc<WorkerRecord>,
    pub(crate) unfinished: VecDeque<Arc<UnfinishedRecord>>,
}

impl PublishedWorker {
    /// What is published of a Worker once its batch is committed.
    pub(crate) fn of(worker: &WorkerState) -> Self {
        Self {
            record: worker.record.clone(),
            unfinished: worker.unfinished.clone(),
        }
    }
}

/// All records, as they are published.
pub(crate) struct Snapshot {
    pub(crate) runtime: RuntimeRecord,
    pub(crate) workers: HashMap<WorkerId, PublishedWorker>,
    pub(crate) holdings: Holdings,
    /// When the time of each lease is over, as far as is known; none is on a store that nobody runs.
    pub(crate) leases_expire_at: HashMap<LeaseId, Timestamp>,
    pub(crate) operations: BTreeMap<OperationId, Arc<OperationRecord>>,
    /// Those of them that were deleted.
    pub(crate) deleted: HashSet<WorkerId>,
    pub(crate) damaged: Vec<DamagedRecord>,
    pub(crate) went_back: Option<WentBack>,
}

impl Snapshot {
    /// Takes over when the time of these leases is over.
    fn show_expiry(&mut self, state: &State, leases: impl Iterator<Item = LeaseId>) {
        for lease_id in leases {
            let held = self.holdings.lease(lease_id);
            match held.and_then(|_| state.lease_expires_at(lease_id)) {
                Some(at) => self.leases_expire_at.insert(lease_id, at),
                None => self.leases_expire_at.remove(&lease_id),
            };
        }
    }
}

/// What the writer, the readers and the planes share.
pub(crate) struct Shared {
    pub(crate) runtime_id: RuntimeId,
    pub(crate) incarnations: Arc<Vec<IncarnationRecord>>,
    pub(crate) reader: Arc<dyn StoreReader>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) live: Arc<LiveRuns>,
    pub(crate) limits: Arc<Limits>,
    /// `None` when the store is only read.
    pub(crate) incarnation: Option<Incarnation>,
    /// The last fence that was granted before this opening; `None` when the store is only read.
    pub(crate) fences_void_to: Option<Fence>,
    pub(crate) late_messages: AtomicU64,
    pub(crate) commits_unknown: AtomicU64,
    position: AtomicU64,
    snapshot: RwLock<Snapshot>,
    news: Mutex<News>,
    recent: Recent,
}

impl Shared {
    pub(crate) fn new(
        loaded: Loaded,
        reader: Arc<dyn StoreReader>,
        backends: Arc<Backends>,
        live: Arc<LiveRuns>,
        limits: Arc<Limits>,
        writes: bool,
    ) -> Self {
        let position = loaded.position;
        let went_back = loaded
            .went_back
            .or_else(|| loaded.runtime.went_back.map(Into::into));
        let mut workers: HashMap<WorkerId, PublishedWorker> = loaded
            .workers
            .into_iter()
            .map(|record| {
                (
                    record.worker_id,
                    PublishedWorker {
                        record,
                        unfinished: VecDeque::new(),
                    },
                )
            })
            .collect();
        let mut holdings = Holdings::new(loaded.allocations).and(loaded.leases);
        let mut damaged = loaded.damaged;
        let records = workers.values().map(|worker| &*worker.record);
        hold_undamaged(records, &mut holdings, &mut damaged);
        for unfinished in loaded.unfinished {
            if let Some(worker) = workers.get_mut(&unfinished.worker_id) {
                worker.unfinished.push_back(unfinished);
            }
        }
        let deleted = workers
            .values()
            .filter(|worker| worker.record.lifecycle == Lifecycle::Deleted)
            .map(|worker| worker.record.worker_id)
            .chain(buried(&damaged, &*reader, position))
            .collect();
        let operations = loaded.operations.into_iter();
        let operations = operations.map(|record| (record.operation_id, record));
        let incarnation = loaded
            .incarnations
            .last()
            .filter(|_| writes)
            .map(|last| last.incarnation);
        Self {
            runtime_id: loaded.runtime.runtime_id,
            incarnations: Arc::new(loaded.incarnations),
            reader,
            backends,
            live,
            limits,
            incarnation,
            fences_void_to: writes.then(|| void_at_opening(loaded.runtime.fence)),
            late_messages: AtomicU64::new(0),
            commits_unknown: AtomicU64::new(0),
            position: AtomicU64::new(position.0),
            snapshot: RwLock::new(Snapshot {
                runtime: loaded.runtime,
                workers,
                holdings,
                leases_expire_at: HashMap::new(),
                operations: operations.collect(),
                deleted,
                damaged,
                went_back,
            }),
            news: Mutex::new(News::open(position)),
            recent: Recent::default(),
        }
    }

    /// The newest position that anybody may see.
    pub(crate) fn position(&self) -> Position {
        Position(self.position.load(Ordering::Acquire))
    }

    /// The records, and the position at which they are true.
    pub(crate) fn read(&self) -> (RwLockReadGuard<'_, Snapshot>, Position) {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        let position = self.position();
        (snapshot, position)
    }

    /// Shows what was committed: these events, the touched records, and the new position, in one step.
    pub(crate) fn publish(&self, state: &State, touched: &Touched, events: Vec<Event>) {
        self.recent.add(events);
        let mut snapshot = self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for lease_id in &touched.leases {
            match state.holdings.lease(*lease_id) {
                Some(held) => snapshot.holdings.insert_lease(held.clone()),
                None => drop(snapshot.holdings.remove_lease(*lease_id)),
            }
        }
        snapshot.damaged.retain(|record| {
            let is_ended = |lease_id| touched.leases.contains(&lease_id);
            let is_forgotten = |operation_id| touched.operations.contains(&operation_id);
            !record.lease_id.is_some_and(is_ended) && !record.operation_id.is_some_and(is_forgotten)
        });
        for operation_id in &touched.operations {
            match state.operations.kept.get(operation_id) {
                Some(kept) => drop(snapshot.operations.insert(*operation_id, kept.clone())),
                None => drop(snapshot.operations.remove(operation_id)),
            }
        }
        snapshot.show_expiry(state, touched.leases.iter().copied());
        for worker_id in &touched.workers {
            if let Some(worker) = state.workers.get(worker_id) {
                if worker.record.lifecycle == Lifecycle::Deleted {
                    snapshot.deleted.insert(*worker_id);
                }
                snapshot
                    .workers
                    .insert(*worker_id, PublishedWorker::of(worker));
                match state.holdings.get(*worker_id) {
                    Some(held) => snapshot.holdings.insert(held.clone()),
                    None => drop(snapshot.holdings.remove(*worker_id)),
                }
            }
        }
        if snapshot.runtime != state.runtime {
            snapshot.runtime = state.runtime.clone();
            snapshot.went_back = state.runtime.went_back.map(Into::into);
        }
        self.late_messages
            .store(state.late_messages, Ordering::Relaxed);
        self.position.store(state.position.0, Ordering::Release);
    }

    /// Shows the state that was made anew after a failed commit.
    pub(crate) fn publish_all(&self, state: &State) {
        let held = state.holdings.leases().map(|held| held.lease_id);
        let all = Touched {
            workers: state.workers.keys().copied().collect(),
            leases: held.collect(),
            // They are taken over as they are.
            operations: BTreeSet::new(),
        };
        {
            let mut snapshot = self
                .snapshot
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            snapshot
                .workers
                .retain(|worker_id, _| state.workers.contains_key(worker_id));
            snapshot.damaged.clone_from(&state.damaged);
            snapshot.holdings.clone_from(&state.holdings);
            snapshot.operations.clone_from(&state.operations.kept);
            snapshot.leases_expire_at.clear();
        }
        self.publish(state, &all, Vec::new());
    }

    /// A part of a stream: from memory if all of it is there, or else from the store.
    pub(crate) fn replay(&self, request: &ReplayRequest) -> Result<ReplayPage, StoreError> {
        match self.replay_recent(request) {
            Some(page) => Ok(page),
            None => self.reader.replay(request),
        }
    }

    /// The same from memory alone: nothing that it would have to wait for.
    pub(crate) fn replay_recent(&self, request: &ReplayRequest) -> Option<ReplayPage> {
        // Of a deleted Worker only its end is left, and the store knows it.
        let is_deleted = |worker_id| self.read().0.deleted.contains(&worker_id);
        match request.stream {
            Stream::Worker(worker_id) if is_deleted(worker_id) => None,
            _ => self.recent.replay(request),
        }
    }

    /// The cursor after a position.
    pub(crate) fn cursor(&self, stream: Stream, position: Position) -> Cursor {
        Cursor::new(
            self.runtime_id,
            stream,
            position,
            incarnation_at(&self.incarnations, position),
        )
    }

    /// Whether a cursor can be followed in this stream, apart from retention.
    pub(crate) fn check_cursor(
        &self,
        stream: Stream,
        cursor: Cursor,
        tail: Position,
    ) -> Result<Position, CursorError> {
        let tail_cursor = self.cursor(stream, tail);
        let position = cursor.position();
        let is_accepted = sabotage::is(Sabotage::AcceptForeignCursor);
        if !cursor.is_of(self.runtime_id, stream) && !is_accepted {
            return Err(CursorError::Foreign { tail: tail_cursor });
        }
        let index = self
            .incarnations
            .iter()
            .position(|known| known.incarnation.id == cursor.incarnation_id());
        let Some(index) = index else {
            // Nothing of that history is known beyond where this incarnation began.
            let began = self
                .incarnations
                .last()
                .map_or(Position(1), |last| last.first_position);
            let fork_at = Position(began.0.saturating_sub(1)).min(position);
            return Err(CursorError::Forked {
                fork_at: self.cursor(stream, fork_at),
                tail: tail_cursor,
            });
        };
        let next = self.incarnations.get(index.saturating_add(1));
        match next.map(|next| Position(next.first_position.0.saturating_sub(1))) {
            Some(end) if position > end => Err(CursorError::Forked {
                fork_at: self.cursor(stream, end),
                tail: tail_cursor,
            }),
            None if position > tail => Err(CursorError::Ahead { tail: tail_cursor }),
            _ => Ok(position),
        }
    }

    /// Whether this Worker can be read: unknown ids are refused, ended and damaged Workers stay
    /// readable.
    pub(crate) fn check_readable(
        &self,
        snapshot: &Snapshot,
        worker_id: WorkerId,
    ) -> Result<(), WorkerError> {
        match snapshot.workers.get(&worker_id) {
            Some(worker) if worker.record.lifecycle == Lifecycle::Deleted => {
                Err(WorkerError::Deleted(worker_id))
            }
            Some(_) => Ok(()),
            None if snapshot
                .damaged
                .iter()
                .any(|record| record.worker_id == Some(worker_id)) =>
            {
                Ok(())
            }
            None => Err(WorkerError::Unknown(worker_id)),
        }
    }
}

/// The deleted ones of the Workers whose records are damaged: all that is left of their streams is their
/// end. What they were is not shown of them either.
fn buried(
    damaged: &[DamagedRecord],
    reader: &dyn StoreReader,
    until: Position,
) -> impl Iterator<Item = WorkerId> {
    let workers = damaged.iter().filter(|record| record.table == "worker");
    workers
        .filter_map(|record| record.worker_id)
        .filter(move |worker_id| {
            let request = ReplayRequest {
                stream: Stream::Worker(*worker_id),
                after: Position(0),
                until,
                events_max: 1,
                bytes_max: 1,
            };
            let page = reader.replay(&request);
            let begins_with_end = |page: ReplayPage| {
                let first = page.events.first();
                first.is_some_and(|event| event.kind == EventType::WORKER_DELETED)
            };
            page.is_ok_and(begins_with_end)
        })
}

/// The id of the incarnation that wrote a position; of the first one for "before everything".
pub(crate) fn incarnation_at(incarnations: &[IncarnationRecord], position: Position) -> u32 {
    let wrote = incarnations
        .iter()
        .rev()
        .find(|record| record.first_position <= position);
    wrote
        .or(incarnations.first())
        .map_or(0, |record| record.incarnation.id)
}

/// Looks at a store that nobody writes: every read of [`Observation`], and not one byte changed
/// (I12).
///
/// # Errors
/// When two execution backends have one name.
pub fn open_read_only(
    loaded: Loaded,
    reader: Arc<dyn StoreReader>,
    backends: Vec<Arc<dyn BackendFactory>>,
    limits: Limits,
) -> Result<Observation, OpenError> {
    let limits = Arc::new(limits);
    let live = Arc::new(LiveRuns::new(limits.clone()));
    let shared = Shared::new(
        loaded,
        reader,
        Arc::new(Backends::new(backends)?),
        live,
        limits,
        false,
    );
    Ok(Observation::new(Arc::new(shared)))
}
