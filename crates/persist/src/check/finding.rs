//! What a check tells: one finding for each thing that is wrong, and an account of what it looked at.

use worker_runtime_core::{Code, LeaseId, Position, Seq, WorkerId};

use crate::layout::Table;

/// How much of a store is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckDepth {
    /// What an opening would verify: the small tables as wholes, what Workers hold, what is in flight, the
    /// newest part of the log, and the witness.
    Quick,
    /// Also every row, every event with its links and payloads, and whatever nothing refers to.
    Full,
}

/// What it would cost to mend something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Nothing: what is damaged is elsewhere in the store too, follows from what is, or is no longer used.
    Nothing,
    /// Unknown: it could not be looked at.
    Unknown,
    /// What is damaged is nowhere else in the store.
    Data,
}

/// Something that is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is, as every surface calls it.
    pub code: Code,
    /// What a repair would pay for it.
    pub cost: Cost,
    /// Which table; `file` for the file as a whole, `head` for the witness.
    pub table: &'static str,
    /// Whose, if it is a Worker's.
    pub worker_id: Option<WorkerId>,
    /// Whose, if it is a lease's.
    pub lease_id: Option<LeaseId>,
    /// The Worker's seqs that are concerned, the first and the last.
    pub seqs: Option<(Seq, Seq)>,
    /// The Runtime's positions among which it lies, the first and the last.
    pub positions: Option<(Position, Position)>,
    /// What is wrong, in words.
    pub detail: String,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Workers with a record or with events, deleted ones included.
    pub workers: u64,
    /// Events of Workers' histories and of the log; one that both have counts twice.
    pub events: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Stretches of events whose loss is on record: they are gaps to every reader, and nothing new.
    pub recorded_gaps: u64,
    /// The newest position.
    pub position: Position,
}

/// Who is told of findings as they are made, so that however many there are, none is kept here (I9).
pub trait CheckWatcher {
    /// Something is wrong.
    fn found(&mut self, finding: Finding);

    /// So many bytes of values were looked at, of about so many.
    fn progress(&mut self, _done_bytes: u64, _all_bytes: u64) {}
}

impl Finding {
    pub(super) fn new(code: Code, cost: Cost, table: &'static str, detail: String) -> Self {
        Self {
            code,
            cost,
            table,
            worker_id: None,
            lease_id: None,
            seqs: None,
            positions: None,
            detail,
        }
    }

    /// Events that are nowhere else.
    pub(super) fn events_lost(table: Table, detail: impl Into<String>) -> Self {
        Self::new(Code::EventDamaged, Cost::Data, table.name, detail.into())
    }

    /// A record that is nowhere else.
    pub(super) fn record_lost(table: Table, detail: impl Into<String>) -> Self {
        Self::new(Code::RecordDamaged, Cost::Data, table.name, detail.into())
    }

    /// One of two copies of events.
    pub(super) fn copy(table: Table, detail: impl Into<String>) -> Self {
        Self::new(Code::CheckCopy, Cost::Nothing, table.name, detail.into())
    }

    /// What follows from other rows.
    pub(super) fn derived(table: Table, detail: impl Into<String>) -> Self {
        Self::new(Code::CheckDerived, Cost::Nothing, table.name, detail.into())
    }

    /// What nothing refers to.
    pub(super) fn leftover(table: Table, detail: impl Into<String>) -> Self {
        Self::new(
            Code::CheckLeftover,
            Cost::Nothing,
            table.name,
            detail.into(),
        )
    }

    #[must_use]
    pub(super) fn of(mut self, worker_id: WorkerId) -> Self {
        self.worker_id = Some(worker_id);
        self
    }

    #[must_use]
    pub(super) fn at_seqs(mut self, first: Seq, last: Seq) -> Self {
        self.seqs = (first <= last).then_some((first, last));
        self
    }

    #[must_use]
    pub(super) fn at(mut self, first: Position, last: Position) -> Self {
        self.positions = (first <= last).then_some((first, last));
        self
    }
}
