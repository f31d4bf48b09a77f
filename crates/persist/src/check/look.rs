//! What the parts of a check have in common: whom they tell, what they counted, and the tables as wholes.

use std::collections::BTreeSet;

use worker_runtime_core::{Position, WorkerId, record::RuntimeRecord, store::StoreError};

use super::finding::{CheckWatcher, Checked, Finding};
use crate::{
    codec,
    engine::{End, Rows},
    layout::{
        Table,
        meta::{Loss, State, TableSum},
    },
};

/// Every key is at most this.
pub(super) const LAST_KEY: [u8; 40] = [u8::MAX; 40];

/// How many bytes lie between two reports of progress.
const REPORT_EVERY_BYTES: u64 = 1 << 20;

/// What there is one of.
pub(super) struct Meta {
    pub(super) state: State,
    /// `None` when it is damaged.
    pub(super) runtime: Option<RuntimeRecord>,
    pub(super) losses: Vec<Loss>,
}

impl Meta {
    /// Whether every position from one to another is on record as lost.
    pub(super) fn are_lost(&self, from: Position, to: Position) -> bool {
        let mut next = from;
        let mut losses: Vec<&Loss> = self.losses.iter().collect();
        losses.sort_unstable_by_key(|loss| loss.from);
        for loss in losses {
            if loss.from <= next && next <= loss.to {
                next = loss.to.next();
            }
        }
        next > to
    }

    /// Whether any of them is.
    pub(super) fn is_any_lost(&self, from: Position, to: Position) -> bool {
        let mut losses = self.losses.iter();
        losses.any(|loss| loss.from <= to && from <= loss.to)
    }
}

/// Whom a check tells, and what it has looked at.
pub(super) struct Look<'w> {
    watcher: &'w mut dyn CheckWatcher,
    pub(super) checked: Checked,
    /// Tables of which something was told.
    told: BTreeSet<&'static str>,
    pub(super) workers: BTreeSet<WorkerId>,
    all_bytes: u64,
    reported_bytes: u64,
}

impl<'w> Look<'w> {
    pub(super) fn new(watcher: &'w mut dyn CheckWatcher) -> Self {
        Self {
            watcher,
            checked: Checked::default(),
            told: BTreeSet::new(),
            workers: BTreeSet::new(),
            all_bytes: 0,
            reported_bytes: 0,
        }
    }

    pub(super) fn tell(&mut self, finding: Finding) {
        self.told.insert(finding.table);
        self.watcher.found(finding);
    }

    /// Whether something was told of this table.
    pub(super) fn has_told_of(&self, table: Table) -> bool {
        self.told.contains(table.name)
    }

    pub(super) fn expect_bytes(&mut self, all_bytes: u64) {
        self.all_bytes = all_bytes;
    }

    fn row(&mut self, len: usize) {
        self.checked.rows += 1;
        self.checked.bytes += len as u64;
        if self.checked.bytes >= self.reported_bytes + REPORT_EVERY_BYTES {
            self.reported_bytes = self.checked.bytes;
            let all_bytes = self.all_bytes.max(self.checked.bytes);
            self.watcher.progress(self.checked.bytes, all_bytes);
        }
    }
}

/// Counts the rows of a table, to be compared with what the last commit says that there are.
pub(super) struct Counting {
    table: Table,
    found: TableSum,
    is_whole: bool,
    pub(super) bytes: u64,
}

impl Counting {
    pub(super) fn new(table: Table) -> Self {
        Self {
            table,
            found: TableSum::default(),
            is_whole: true,
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, value: &[u8], look: &mut Look<'_>) {
        self.found.rows += 1;
        self.found.digest ^= codec::stored_checksum(value);
        self.bytes += value.len() as u64;
        look.row(value.len());
    }

    /// That a row is damaged: its checksum may be what is.
    pub(super) fn damaged(&mut self) {
        self.is_whole = false;
    }

    /// What the count says, unless more was told of the table already.
    pub(super) fn end(
        self,
        state: &State,
        finding: fn(Table, String) -> Finding,
        look: &mut Look<'_>,
    ) {
        let sum = self.table.sum.and_then(|sum| state.sums.get(sum));
        let expected = sum.copied().unwrap_or_default();
        let is_other = self.is_whole && self.found.digest != expected.digest;
        if (self.found.rows != expected.rows || is_other) && !look.has_told_of(self.table) {
            let detail = format!(
                "{} rows were written last and {} are there, or a row is of an older commit",
                expected.rows, self.found.rows
            );
            look.tell(finding(self.table, detail));
        }
    }
}

/// The first row at or after a key, as `read` takes it, and the key to go on from.
pub(super) fn next_row<T>(
    rows: &mut impl Rows,
    table: Table,
    from: &mut Vec<u8>,
    read: impl FnOnce(&[u8], &[u8]) -> T,
) -> Result<Option<T>, StoreError> {
    let range = (from.as_slice(), LAST_KEY.as_slice());
    let found = rows.at_end(table, range, End::First, |key, value| {
        // No key lies between a key and the same with a zero behind it.
        let mut after = key.to_vec();
        after.push(0);
        (after, read(key, value))
    })?;
    Ok(found.map(|(after, row)| {
        *from = after;
        row
    }))
}
