//! Opening: the format is looked at first, then the state; the tails are rebuilt from the part of
//! the log that is not in `history` yet. After a clean close there is none, so an open does not
//! depend on how many events there are.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
    sync::Arc,
};

use worker_runtime_core::{
    Fence, Generation, Incarnation, Position, RuntimeId, WorkerId,
    record::{IncarnationRecord, RuntimeRecord, WorkerRecord},
    store::{DamagedRecord, Loaded, StoreError, WentBack},
};

use super::{
    Buffers, Limits, PackedStore, Shared, Witnessed,
    load::load_table,
    losses,
    medium::Medium,
    rebuild::Rebuilding,
    stage::{Stage, Stages},
    tails::{Tail, TailState, Tails},
};
use crate::{
    OpenError, StoreOptions, codec,
    cut::Cut,
    engine::{CommitMode, End, Engine, Rows},
    layout::{
        Table, incarnation, log,
        meta::{self, FORMAT_VERSION, Format, State},
        pin::{self, Pin},
        worker,
    },
    pack::Kind,
};

/// At a fork, numbers that fence others go on this much later.
const FORK_STEP: u64 = 1 << 32;

/// What a store is made of that was opened.
pub(crate) struct Opened {
    state: State,
    log: Tail,
    log_recent: VecDeque<(Position, u64)>,
    tails: Tails,
    unflushed: BTreeMap<Position, WorkerId>,
    pins: BTreeMap<u64, Position>,
    /// What was found to be damaged besides records that [`super::load_all`] names.
    damaged: Vec<DamagedRecord>,
}

impl Opened {
    /// Everything of this store but the engine, read from it. When the part of the log that nothing
    /// else has is damaged, what is left of it is put where it belongs first.
    pub(crate) fn read(engine: &Engine, mode: CommitMode) -> Result<Self, OpenError> {
        let read = engine.read(|rows| Ok(read_all(rows)))?;
        let is_log = |error: &OpenError| matches!(error, OpenError::Store(StoreError::Damaged { table, .. }) if *table == log::TABLE.name);
        match read {
            Err(error) if is_log(&error) => {
                tracing::error!(%error, "events are lost");
                let damaged = losses::settle(engine, mode)?;
                let mut opened = engine.read(|rows| Ok(read_all(rows)))??;
                opened.damaged.extend(damaged);
                Ok(opened)
            }
            read => read,
        }
    }

    #[cfg(feature = "fs-store")]
    pub(crate) fn position(&self) -> Position {
        self.state.position
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// For readers alone.
    #[cfg(feature = "fs-store")]
    pub(crate) fn into_tails(self) -> (State, Tails, Vec<DamagedRecord>) {
        (self.state, self.tails, self.damaged)
    }
}

fn read_all(rows: &mut impl Rows) -> Result<Opened, OpenError> {
    check_format(rows)?;
    let state = read_state(rows)?;
    losses::load(rows)?;
    let mut rebuilding = Rebuilding::new(&state);
    rebuilding.run(rows)?;
    let Rebuilding {
        log,
        log_recent,
        mut tails,
        unflushed,
        mut damaged,
        ..
    } = rebuilding;
    tails.committed = state.position;
    let pins: Vec<Pin> = load_table(rows, pin::TABLE, &state, &mut Vec::new())?;
    let mut pins: BTreeMap<_, _> = pins.into_iter().map(|pin| (pin.id, pin.from)).collect();
    // What a damaged pin kept is not known: while it is there, nothing is trimmed.
    for id in keys(rows, pin::TABLE)? {
        pins.entry(id).or_insert(Position(0));
    }
    damaged.dedup();
    Ok(Opened {
        state,
        log,
        log_recent,
        tails,
        unflushed,
        pins,
        damaged,
    })
}

/// Where the store stands.
pub(super) fn read_state(rows: &mut impl Rows) -> Result<State, StoreError> {
    let state = rows.get(meta::TABLE, meta::STATE, |value| match value {
        Some(value) => codec::open_record::<State>(meta::TABLE, meta::STATE, value),
        None => Err("the state is missing".into()),
    })?;
    state.map_err(|damage| damage.in_table(meta::TABLE))
}

/// The numbers that a table has rows for, damaged ones included.
fn keys(rows: &mut impl Rows, table: Table) -> Result<Vec<u64>, StoreError> {
    let mut keys = Vec::new();
    let range: (&[u8], &[u8]) = (&[], &[u8::MAX; 8]);
    rows.scan(table, range, End::First, &mut |key, _| {
        keys.extend(Cut::new(key).key_u64());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

/// The refusal of a format that this program does not know, if it is one.
#[cfg(feature = "fs-store")]
pub(crate) fn format_of(rows: &mut impl Rows) -> Result<Option<OpenError>, StoreError> {
    match check_format(rows) {
        Err(OpenError::Store(StoreError::Damaged { .. })) | Ok(()) => Ok(None),
        Err(OpenError::Store(error)) => Err(error),
        Err(newer) => Ok(Some(newer)),
    }
}

/// Makes the tails anew as an opening would, and tells which can't be read.
///
/// # Errors
/// When the part of the log is damaged that nothing else has, or the store can't be read.
#[cfg(feature = "fs-store")]
pub(crate) fn rebuilt(
    rows: &mut impl Rows,
    state: &State,
) -> Result<Vec<DamagedRecord>, StoreError> {
    let mut rebuilding = Rebuilding::new(state);
    rebuilding.run(rows)?;
    rebuilding.damaged.dedup();
    Ok(rebuilding.damaged)
}

fn check_format(rows: &mut impl Rows) -> Result<(), OpenError> {
    let format = rows.get(meta::TABLE, meta::FORMAT, |value| match value {
        Some(value) => codec::open_record::<Format>(meta::TABLE, meta::FORMAT, value),
        None => Err("the format is missing".into()),
    })?;
    let found = format
        .map_err(|damage| damage.in_table(meta::TABLE))?
        .version;
    if found > FORMAT_VERSION {
        return Err(OpenError::Newer {
            found,
            known: FORMAT_VERSION,
        });
    }
    Ok(())
}

/// Opens a store for writing, or makes it when the database is empty.
///
/// # Errors
/// When the format is newer, the store is damaged where nothing can be isolated, or the first commit
/// fails.
pub(crate) fn open_for_writing(
    engine: Engine,
    medium: Box<dyn Medium>,
    witnessed: Option<Witnessed>,
    mut options: StoreOptions,
) -> Result<PackedStore, OpenError> {
    let is_new = engine.read(|rows| rows.is_empty())?;
    if is_new {
        create(&engine, medium.mode(), &mut options)?;
    }
    let opened = Opened::read(&engine, medium.mode())?;
    let limits = Limits {
        retention: options.retention,
        tails_bytes_max: options.tails_bytes_max,
        log_window_bytes: options.log_window_bytes,
    };
    let went_back = went_back(opened.state(), witnessed.as_ref());
    let mut store = PackedStore {
        shared: Arc::new(Shared::new(engine, Tails::default())),
        medium,
        limits,
        measured_at: options.clock.monotonic(),
        clock: Arc::clone(&options.clock),
        state: State::default(),
        incarnation: Incarnation { number: 0, id: 0 },
        went_back,
        log: Tail::empty(Kind::Log),
        log_recent: VecDeque::new(),
        log_recent_bytes: 0,
        unflushed: BTreeMap::new(),
        clean: VecDeque::new(),
        pins: BTreeMap::new(),
        damaged: Vec::new(),
        stages: Stages::default(),
        log_stage: Stage::new(TailState::empty(Kind::Log), 0),
        buffers: Buffers::default(),
        dirty: true,
        unknown: false,
    };
    store.install(opened);
    store.begin_incarnation(witnessed, &mut options)?;
    Ok(store)
}

/// Opens what a reader needs: the shared half, and the state for [`super::load_all`].
///
/// # Errors
/// As [`open_for_writing`].
#[cfg(feature = "fs-store")]
pub(crate) fn open_for_reading(
    engine: Engine,
) -> Result<(Arc<Shared>, State, Vec<DamagedRecord>), OpenError> {
    let opened = Opened::read(&engine, CommitMode::Durable)?;
    let (state, tails, damaged) = opened.into_tails();
    Ok((Arc::new(Shared::new(engine, tails)), state, damaged))
}

/// Whether the witness knows of state that is not here: later, or another at the same position.
pub(crate) fn went_back(state: &State, witnessed: Option<&Witnessed>) -> Option<WentBack> {
    let witnessed = witnessed?;
    let is_other = witnessed.position == state.position && witnessed.chain != state.chain;
    (is_other || witnessed.position > state.position).then_some(WentBack {
        witnessed: witnessed.position,
        found: state.position,
    })
}

/// Writes the first records of a store into an empty database.
///
/// # Errors
/// When the commit fails.
pub(crate) fn create(
    engine: &Engine,
    mode: CommitMode,
    options: &mut StoreOptions,
) -> Result<(), StoreError> {
    let now = options.clock.now();
    let runtime = RuntimeRecord {
        runtime_id: RuntimeId::mint(now, options.entropy.as_mut()),
        created_at: now,
        stopped: false,
        fence: Fence(0),
        went_back: None,
    };
    let mut state = State {
        tail_floor: Position(1),
        ..State::default()
    };
    engine.write(mode, &state.sums.clone(), |rows| {
        crate::layout::TABLES
            .iter()
            .try_for_each(|table| rows.touch(*table))?;
        let format = Format {
            version: FORMAT_VERSION,
        };
        rows.put_record(meta::TABLE, meta::FORMAT, &format)?;
        rows.put_record(meta::TABLE, meta::RUNTIME, &runtime)?;
        state.sums = rows.sums();
        rows.put_record(meta::TABLE, meta::STATE, &state)
    })
}

impl PackedStore {
    /// Takes over what was read from the engine.
    pub(super) fn install(&mut self, opened: Opened) {
        let Opened {
            state,
            log,
            log_recent,
            tails,
            unflushed,
            pins,
            damaged,
        } = opened;
        self.state = state;
        self.log = log;
        self.log_recent_bytes = log_recent.iter().map(|(_, len)| len).sum();
        self.log_recent = log_recent;
        self.clean = tails
            .by_worker
            .iter()
            .filter(|(_, tail)| tail.state.unflushed_from.is_none())
            .map(|(worker_id, _)| *worker_id)
            .collect();
        self.unflushed = unflushed;
        self.pins = pins;
        self.damaged = damaged;
        self.stages.clear();
        *self.shared.tails_mut() = tails;
        self.unknown = false;
        self.dirty = true;
    }

    fn load_records(&self) -> Result<Loaded, StoreError> {
        let engine = &self.shared.engine;
        engine.read(|rows| super::load_all(rows, &self.state))
    }

    /// Appends the record of this opening. When acknowledged state is gone, every number that fences
    /// others goes on far behind what may have been handed out.
    fn begin_incarnation(
        &mut self,
        witnessed: Option<Witnessed>,
        options: &mut StoreOptions,
    ) -> Result<(), OpenError> {
        // The keys tell the numbers, whatever the rows are worth.
        let numbers = self
            .shared
            .engine
            .read(|rows| keys(rows, incarnation::TABLE))?;
        let last = numbers.into_iter().max();
        let step = if self.went_back.is_some() {
            FORK_STEP
        } else {
            1
        };
        let reached = witnessed.map(|witnessed| witnessed.incarnation).max(last);
        let mut id = [0; 4];
        options.entropy.fill(&mut id);
        self.incarnation = Incarnation {
            number: reached.unwrap_or_default().saturating_add(step),
            id: u32::from_le_bytes(id),
        };
        let record = IncarnationRecord {
            incarnation: self.incarnation,
            first_position: self.state.position.next(),
            at: options.clock.now(),
        };
        let mut next = self.state.clone();
        let forked = match self.went_back {
            Some(_) => Some(self.load_records()?),
            None => None,
        };
        let written = self
            .shared
            .engine
            .write(self.mode(), &next.sums.clone(), |rows| {
                let key = incarnation::key(record.incarnation.number);
                rows.put_record(incarnation::TABLE, key.as_bytes(), &record)?;
                if let Some(loaded) = &forked {
                    let mut runtime = loaded.runtime.clone();
                    runtime.fence = Fence(runtime.fence.0.saturating_add(FORK_STEP));
                    rows.put_record(meta::TABLE, meta::RUNTIME, &runtime)?;
                    for worker in &loaded.workers {
                        let mut worker = WorkerRecord::clone(worker);
                        worker.generation =
                            Generation(worker.generation.0.saturating_add(FORK_STEP));
                        let key = worker::key(worker.worker_id);
                        rows.put_record(worker::TABLE, key.as_bytes(), &worker)?;
                    }
                }
                next.sums = rows.sums();
                rows.put_record(meta::TABLE, meta::STATE, &next)
            });
        written?;
        self.state = next;
        self.medium.witness(Witnessed {
            position: self.state.position,
            chain: self.state.chain,
            incarnation: self.incarnation.number,
        });
        self.medium.announce(self.incarnation.number)?;
        Ok(())
    }
}
