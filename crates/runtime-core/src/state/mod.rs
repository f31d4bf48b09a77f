//! The working state: a deterministic function of (state, command, time, randomness).
//!
//! Every command is validated here against the working state and turned into events and record
//! changes of the batch that is being gathered (I3). Nothing here waits, sleeps or asks the machine
//! for the time; the writer (`crate::runtime::writer`) sets [`Now`], commits the batch, and carries
//! out the [`Effect`]s only after the commit (I1). After a failed commit the whole state is
//! discarded and made anew from the store.
//!
//! One file per family of commands; each refuses before it changes anything. What they add to the batch goes
//! through `batch`.

mod allocation;
mod batch;
mod create;
mod damage;
mod dispatch;
mod lease;
mod lifecycle;
mod manage;
mod operation;
mod recover;
mod sink;
mod submit;
mod taking;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

pub(crate) use allocation::{AllocationOp, Grant};
pub(crate) use create::CheckedCreate;
pub(crate) use create::PreparedCreate;
pub(crate) use damage::{FENCE_LOST, hold_undamaged};
pub(crate) use dispatch::{RunEnd, phase_of};
pub(crate) use lease::{LeaseEnd, Leasing, PreparedLease, Renewal, no_lease, void_at_opening};
pub(crate) use lifecycle::LifecycleOp;
pub(crate) use operation::Asked;
pub(crate) use recover::{ProvenWorker, partial_blocks};
pub(crate) use sink::{ActionRequest, FinishedBlock, SinkOp};
pub(crate) use submit::PreparedInput;
pub(crate) use taking::Taking;

use operation::Operations;

use crate::{
    Cursor, Digest, Entropy, EventDraft, EventType, Fence, ItemIndex, LeaseId, OperationId,
    Position, RunId, Seq, Stream, Timestamp, WorkerId,
    backend::ActionAnswer,
    error::{Unavailable, WorkerError},
    holdings::Holdings,
    limits::Limits,
    record::{
        IncarnationRecord, Lifecycle, ReceiptRecord, Recorded, RuntimeRecord, UnfinishedRecord,
        WorkerRecord,
    },
    runtime::{Backends, LiveRuns},
    sabotage::{self, Sabotage},
    scope::RunScope,
    store::{Batch, Change, DamagedRecord, Loaded, StoreReader},
};

/// Time and randomness of one command.
pub(crate) struct Now {
    /// Store time.
    pub(crate) at: Timestamp,
}

/// What is done after the commit, outside the state.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Give an input to the Worker's backend.
    Start {
        worker: Arc<WorkerRecord>,
        unfinished: Arc<UnfinishedRecord>,
        scope: Option<RunScope>,
    },
    /// End a run.
    Cancel { worker_id: WorkerId, run_id: RunId },
    /// Give an answer to a run.
    Respond {
        worker_id: WorkerId,
        run_id: RunId,
        action_id: crate::ActionId,
        answer: ActionAnswer,
    },
    /// End the Worker's backend.
    StopBackend { worker_id: WorkerId },
}

/// Which Workers' waiting inputs are dispatched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Dispatch {
    /// All: a host that serves its Workers.
    #[default]
    All,
    /// These alone: a command that runs one Worker on a stopped store.
    Only(BTreeSet<WorkerId>),
    /// None: a command that changes a stopped store.
    None,
}

impl Dispatch {
    fn includes(&self, worker_id: WorkerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(workers) => workers.contains(&worker_id),
            Self::None => false,
        }
    }
}

/// One Worker in the working state.
#[derive(Debug, Clone)]
pub(crate) struct WorkerState {
    pub(crate) record: Arc<WorkerRecord>,
    /// Accepted inputs without outcome, in order; only the first can have a run.
    pub(crate) unfinished: VecDeque<Arc<UnfinishedRecord>>,
    /// Where its stream stands; read from the store when it is first needed.
    head: Option<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    seq: Seq,
    items: ItemIndex,
}

/// What the state shares with the rest of the Runtime.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) reader: Arc<dyn StoreReader>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) live: Arc<LiveRuns>,
    pub(crate) limits: Arc<Limits>,
}

/// Whose published views are made anew after a commit.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) workers: BTreeSet<WorkerId>,
    pub(crate) leases: BTreeSet<LeaseId>,
    pub(crate) operations: BTreeSet<OperationId>,
}

/// The working state.
pub(crate) struct State {
    pub(crate) runtime: RuntimeRecord,
    pub(crate) incarnations: Arc<Vec<IncarnationRecord>>,
    pub(crate) incarnation_id: u32,
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
    pub(crate) workers: HashMap<WorkerId, WorkerState>,
    pub(crate) damaged: Vec<DamagedRecord>,
    /// What is held, also by Workers whose records are damaged: nobody else is granted it (I6).
    pub(crate) holdings: Holdings,
    pub(crate) leasing: Leasing,
    pub(crate) operations: Operations,
    pub(crate) dispatch: Dispatch,
    pub(crate) around: Surroundings,
    /// What the batch changes: its published views are made anew.
    pub(crate) touched: Touched,
    pub(crate) batch: Batch,
    pub(crate) batch_bytes: usize,
    pub(crate) effects: Vec<Effect>,
    /// Why there is no room for new work; asked for before each command that may bring some.
    pub(crate) room: Result<(), Unavailable>,
    /// An input was not dispatched for lack of room.
    pub(crate) waits_for_room: bool,
    /// Messages of runs that were over.
    pub(crate) late_messages: u64,
    /// The earliest deadline that the batch adds.
    pub(crate) deadline: Option<Timestamp>,
    entropy: Box<dyn Entropy>,
    now: Timestamp,
    /// Receipts of this batch, which the store doesn't show yet.
    receipts: HashMap<(WorkerId, [u8; 16]), ReceiptRecord>,
    /// Workers whose records this batch changes: each is written once, as the batch leaves it.
    changed: BTreeSet<WorkerId>,
    /// Where the batch holds the state of an input; a later change replaces it.
    inputs: HashMap<(WorkerId, Seq), usize>,
    /// Events and changes of this batch, replaced ones included.
    edits: usize,
}

impl State {
    /// The state that a store holds.
    pub(crate) fn new(
        loaded: Loaded,
        dispatch: Dispatch,
        around: Surroundings,
        entropy: Box<dyn Entropy>,
    ) -> Self {
        let incarnation_id = loaded
            .incarnations
            .last()
            .map_or(0, |last| last.incarnation.id);
        let mut workers: HashMap<WorkerId, WorkerState> = loaded
            .workers
            .into_iter()
            .map(|record| {
                let state = WorkerState {
                    record,
                    unfinished: VecDeque::new(),
                    head: None,
                };
                (state.record.worker_id, state)
            })
            .collect();
        let mut holdings = Holdings::new(loaded.allocations).and(loaded.leases);
        let mut ownerless = BTreeSet::new();
        for unfinished in loaded.unfinished {
            match workers.get_mut(&unfinished.worker_id) {
                Some(worker) => worker.unfinished.push_back(unfinished),
                None => drop(ownerless.insert(unfinished.worker_id)),
            }
        }
        let owners = holdings.iter().map(|held| held.worker_id);
        ownerless.extend(owners.filter(|owner| !workers.contains_key(owner)));
        let mut damaged = loaded.damaged;
        damage::name_lost(&mut damaged, ownerless);
        let records = workers.values().map(|worker| &*worker.record);
        damage::hold_undamaged(records, &mut holdings, &mut damaged);
        damaged.append(&mut damage::set_aside(&mut workers, &*around.reader));
        let operations = Operations::new(loaded.operations, &damaged, &around.limits);
        Self {
            operations,
            leasing: Leasing::after(loaded.runtime.fence),
            runtime: loaded.runtime,
            incarnations: Arc::new(loaded.incarnations),
            incarnation_id,
            position: loaded.position,
            at: loaded.at,
            workers,
            damaged,
            holdings,
            dispatch,
            around,
            touched: Touched::default(),
            batch: Batch::default(),
            batch_bytes: 0,
            effects: Vec::new(),
            room: Ok(()),
            waits_for_room: false,
            late_messages: 0,
            deadline: None,
            entropy,
            now: loaded.at,
            receipts: HashMap::new(),
            changed: BTreeSet::new(),
            inputs: HashMap::new(),
            edits: 0,
        }
    }

    /// Sets the time of the commands that follow. Store time never goes back (I2).
    pub(crate) fn set_now(&mut self, now: Now) {
        self.now = now.at.max(self.at);
        self.at = self.now;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// How much was done to the batch, to see whether a command has changed anything.
    pub(crate) fn edits(&self) -> usize {
        self.edits
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.batch.is_empty() && self.changed.is_empty()
    }

    /// Takes the batch that was gathered, and what to do after its commit.
    pub(crate) fn take_batch(&mut self) -> (Batch, Vec<Effect>, Touched) {
        self.batch_bytes = 0;
        self.receipts.clear();
        self.inputs.clear();
        self.edits = 0;
        let mut batch = std::mem::take(&mut self.batch);
        let changed = std::mem::take(&mut self.changed);
        let changed = changed.iter().filter_map(|id| self.workers.get(id));
        let records = changed.map(|worker| Change::Worker(worker.record.clone()));
        batch.changes.extend(records);
        (
            batch,
            std::mem::take(&mut self.effects),
            std::mem::take(&mut self.touched),
        )
    }

    /// Gives up the randomness, so that a state made anew goes on with it.
    pub(crate) fn give_entropy(&mut self) -> Box<dyn Entropy> {
        std::mem::replace(&mut self.entropy, Box::new(crate::SystemEntropy))
    }

    /// The Worker that a command is about.
    pub(crate) fn worker(&self, worker_id: WorkerId) -> Result<&WorkerState, WorkerError> {
        match self.workers.get(&worker_id) {
            Some(worker) if worker.record.lifecycle == Lifecycle::Deleted => {
                Err(WorkerError::Deleted(worker_id))
            }
            Some(worker) => Ok(worker),
            None => Err(self.absent(worker_id)),
        }
    }

    fn absent(&self, worker_id: WorkerId) -> WorkerError {
        let damaged = self
            .damaged
            .iter()
            .find(|record| record.worker_id == Some(worker_id));
        match damaged {
            Some(record) => WorkerError::Damaged {
                worker_id,
                detail: record.detail.clone(),
            },
            None => WorkerError::Unknown(worker_id),
        }
    }

    fn worker_mut(&mut self, worker_id: WorkerId) -> Result<&mut WorkerState, Unavailable> {
        self.workers
            .get_mut(&worker_id)
            .ok_or_else(|| Unavailable::Bug {
                invariant: format!("Worker {worker_id} was validated and is gone"),
            })
    }

    /// The next fence of the Runtime.
    fn grant_fence(&mut self) -> Fence {
        if sabotage::is(Sabotage::ReuseFence) {
            return self.runtime.fence;
        }
        self.runtime.fence = self.runtime.fence.next();
        self.change(Change::Runtime(self.runtime.clone()));
        self.runtime.fence
    }

    /// Has the writer look again at this moment.
    fn wake_at(&mut self, deadline: Option<Timestamp>) {
        self.deadline = match (self.deadline, deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    fn mint_run(&mut self) -> RunId {
        RunId::mint(self.now, &mut *self.entropy)
    }

    fn mint_worker(&mut self) -> WorkerId {
        WorkerId::mint(self.now, &mut *self.entropy)
    }

    fn receipt(
        &self,
        worker_id: WorkerId,
        key: [u8; 16],
    ) -> Result<Option<ReceiptRecord>, Unavailable> {
        match self.receipts.get(&(worker_id, key)) {
            Some(receipt) => Ok(Some(*receipt)),
            None => Ok(self.around.reader.receipt(worker_id, key)?),
        }
    }

    /// The cursor after a recorded event, in the Worker's stream.
    pub(crate) fn cursor_of(&self, worker_id: WorkerId, recorded: Recorded) -> Cursor {
        let stream = Stream::Worker(worker_id);
        Cursor::new(
            self.runtime.runtime_id,
            stream,
            recorded.position,
            recorded.incarnation_id,
        )
    }
}

/// Writes the data of an event that the Runtime itself tells.
fn draft(
    kind: EventType,
    run_id: Option<RunId>,
    data: &impl serde::Serialize,
) -> Result<EventDraft, Unavailable> {
    EventDraft::new(kind, run_id, data).map_err(|error| Unavailable::Bug {
        invariant: format!("an event can't be written as JSON: {error}"),
    })
}

/// The key of a receipt.
fn receipt_key(input_id: &crate::InputId) -> [u8; 16] {
    Digest::of(input_id.as_str().as_bytes()).0
}
