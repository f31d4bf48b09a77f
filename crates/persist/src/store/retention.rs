//! Trimming: whole packs from the front, in the commit that goes over a limit (I2, I9).
//!
//! What is left starts from a recorded base: position, seq, item and chain of the last event that
//! went. Nothing at or after a pinned position goes, nothing that an open after a crash would have to
//! read, and nothing of the batch itself: an event that went with the commit that wrote it could be
//! read by nobody, although it was acknowledged (I10). What is over a limit by that goes with the next.

use std::ops::ControlFlow;

use worker_runtime_core::{
    Position, Seq, Stream, WorkerId,
    sabotage::{self, Sabotage},
    store::StoreError,
};

use super::{apply::Applying, tails::load_base};
use crate::{
    codec::{self, Damage},
    engine::{End, Rows},
    layout::{
        age, history,
        large::{self, Owner},
        log,
        stream::{self, Base},
        worker,
    },
    pack::{Header, Pack},
};

/// A pack's row, as far as trimming is concerned.
pub(super) struct Row {
    pub(super) first: Position,
    pub(super) len: u64,
    pub(super) header: Result<Header, Damage>,
}

/// The first position of a pack, and whose it is.
type Aged = (Position, Option<WorkerId>);

/// What became of the first pack of a Worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trimmed {
    /// It went.
    Front,
    /// There is none, or none that may go now.
    Nothing,
    /// It holds events of this batch.
    New,
    /// It is damaged, and what follows too: what is left would start from nobody knows where.
    Damaged,
}

impl Applying<'_, '_> {
    /// Trims what is over a limit now. Only a commit that wrote packs can be.
    pub(super) fn retain(&mut self) -> Result<(), StoreError> {
        if sabotage::is(Sabotage::IgnoreRetention) {
            return Ok(());
        }
        let mut touched = std::mem::take(self.out.touched);
        touched.sort_unstable();
        touched.dedup();
        for worker_id in &touched {
            self.retain_worker(*worker_id)?;
        }
        if !touched.is_empty() {
            self.retain_runtime()?;
        }
        self.retain_log()
    }

    fn retain_worker(&mut self, worker_id: WorkerId) -> Result<(), StoreError> {
        loop {
            let Some(tail) = self.tail_of(worker_id) else {
                return Ok(());
            };
            let header = tail.header;
            let base = match load_base(self.out.rows, Stream::Worker(worker_id)) {
                Err(StoreError::Damaged { table, detail }) => {
                    tracing::warn!(%worker_id, table, detail, "a Worker is not trimmed: what was trimmed before is not known");
                    return Ok(());
                }
                base => base?,
            };
            let written = header.bytes_before + tail.stored_bytes + header.large_bytes;
            let bytes = written.saturating_sub(base.bytes);
            let is_within = bytes <= over(self.limits.retention.worker_bytes_max);
            if is_within || self.trim_front(worker_id)? != Trimmed::Front {
                return Ok(());
            }
        }
    }

    /// The oldest packs of the Runtime go first; each is the first of its Worker. A Worker whose
    /// first pack is being written, or can't be trimmed because it is damaged, is passed over.
    fn retain_runtime(&mut self) -> Result<(), StoreError> {
        let mut from = Position(0);
        while let Some((first, owner)) = self.oldest_pack(from)? {
            let Some(worker_id) = owner else {
                // Nobody's pack is there: what the row stood for has gone.
                self.remove_age(first)?;
                continue;
            };
            let too_much = self.state.history_bytes > over(self.limits.retention.runtime_bytes_max);
            if !too_much && !self.is_too_old(worker_id)? {
                return Ok(());
            }
            if self.history_row(worker_id, Position(0))?.is_some() {
                match self.trim_front(worker_id)? {
                    Trimmed::Front => {}
                    Trimmed::Nothing => return Ok(()),
                    Trimmed::New | Trimmed::Damaged => {
                        from = first.next();
                        continue;
                    }
                }
            }
            // A pack that is not where the index says must not stop retention.
            self.remove_age(first)?;
        }
        Ok(())
    }

    fn remove_age(&mut self, first: Position) -> Result<(), StoreError> {
        let key = age::key(first);
        self.out.rows.remove(age::TABLE, key.as_bytes()).map(|_| ())
    }

    /// The oldest pack at or after this position, and whose it is.
    fn oldest_pack(&mut self, from: Position) -> Result<Option<Aged>, StoreError> {
        let (from, to) = (age::key(from), age::key(Position(u64::MAX)));
        let range = (from.as_bytes(), to.as_bytes());
        let rows = &mut *self.out.rows;
        let found = rows.at_end(age::TABLE, range, End::First, |key, value| {
            let owner = codec::open(age::TABLE, key, value)
                .and_then(|value| crate::cut::Cut::new(value).array());
            age::parse(key).map(|first| (first, owner.map(WorkerId::from_bytes)))
        })?;
        let found = found
            .transpose()
            .map_err(|damage| damage.in_table(age::TABLE))?;
        Ok(match found {
            None => None,
            Some((first, Ok(worker_id))) => Some((first, Some(worker_id))),
            Some((first, Err(damage))) => {
                let owner = self.owner_of_pack(first)?;
                tracing::warn!(position = %first, %damage, ?owner, "a row of the index of ages was damaged");
                if let Some(worker_id) = owner {
                    let key = age::key(first);
                    let id = worker_id.to_bytes();
                    self.out.rows.put_bytes(age::TABLE, key.as_bytes(), &id)?;
                }
                Some((first, owner))
            }
        })
    }

    /// Whose pack begins at this position. The index said so; without it every Worker is asked.
    fn owner_of_pack(&mut self, first: Position) -> Result<Option<WorkerId>, StoreError> {
        let (mut workers, last) = (Vec::new(), [u8::MAX; 16]);
        let rows = &mut *self.out.rows;
        rows.scan(worker::TABLE, (&[], &last), End::First, &mut |key, _| {
            workers.extend(crate::cut::Cut::new(key).array().map(WorkerId::from_bytes));
            Ok(ControlFlow::Continue(()))
        })?;
        for worker_id in workers {
            let key = history::key(worker_id, first);
            let is_there = |value: Option<&[u8]>| value.is_some();
            if rows.get(history::TABLE, key.as_bytes(), is_there)? {
                return Ok(Some(worker_id));
            }
        }
        Ok(None)
    }

    fn is_too_old(&mut self, worker_id: WorkerId) -> Result<bool, StoreError> {
        let Some(age_ms_max) = self.limits.retention.age_ms_max else {
            return Ok(false);
        };
        if sabotage::is(Sabotage::IgnoreAge) {
            return Ok(false);
        }
        let first = self.history_row(worker_id, Position(0))?;
        let header = first.and_then(|row| row.header.ok());
        let written_ms = header.map(|header| header.store_ms);
        Ok(written_ms.is_some_and(|ms| self.state.store_ms.saturating_sub(ms) > age_ms_max))
    }

    /// The first pack of a Worker at or after a position.
    pub(super) fn history_row(
        &mut self,
        worker_id: WorkerId,
        from: Position,
    ) -> Result<Option<Row>, StoreError> {
        let (from, to) = (
            history::key(worker_id, from),
            history::key(worker_id, Position(u64::MAX)),
        );
        let range = (from.as_bytes(), to.as_bytes());
        let row = self
            .out
            .rows
            .at_end(history::TABLE, range, End::First, |key, value| {
                Ok(Row {
                    first: history::parse(key)?.1,
                    len: value.len() as u64,
                    header: Pack::open_header(history::TABLE, key, value),
                })
            })?;
        row.transpose()
            .map_err(|damage: Damage| damage.in_table(history::TABLE))
    }

    /// Trims the first pack of a Worker.
    fn trim_front(&mut self, worker_id: WorkerId) -> Result<Trimmed, StoreError> {
        let Some(row) = self.history_row(worker_id, Position(0))? else {
            return Ok(Trimmed::Nothing);
        };
        let tail = self.tail_of(worker_id);
        let is_open = tail
            .is_some_and(|tail| tail.stored_bytes > 0 && tail.header.first_position == row.first);
        if is_open && tail.is_some_and(|tail| tail.unflushed_from.is_some()) {
            return Ok(Trimmed::Nothing);
        }
        let stored = self.whole_after(worker_id, row.first)?;
        let follows = stored.or(tail.filter(|_| !is_open).map(|tail| tail.header));
        let Some(base) = base_after(&row, follows.as_ref()) else {
            tracing::warn!(%worker_id, "a damaged pack can't be trimmed: what follows is damaged too");
            return Ok(Trimmed::Damaged);
        };
        if base.position > self.before {
            return Ok(Trimmed::New);
        }
        if self.is_pinned(base.position) {
            return Ok(Trimmed::Nothing);
        }
        self.remove_pack(worker_id, &row)?;
        self.set_base(worker_id, &base)?;
        if is_open {
            self.forget(worker_id)?;
        }
        Ok(Trimmed::Front)
    }

    /// Whether a trim up to and including this position would take what is pinned.
    fn is_pinned(&self, last: Position) -> bool {
        let is_pinned = self.pins.values().any(|pin| last >= *pin);
        is_pinned && !sabotage::is(Sabotage::IgnorePin)
    }

    /// The next pack that is not damaged; those between go with the one that is trimmed.
    pub(super) fn whole_after(
        &mut self,
        worker_id: WorkerId,
        mut first: Position,
    ) -> Result<Option<Header>, StoreError> {
        while let Some(row) = self.history_row(worker_id, first.next())? {
            if let Ok(header) = row.header {
                return Ok(Some(header));
            }
            first = row.first;
        }
        Ok(None)
    }

    pub(super) fn remove_pack(&mut self, worker_id: WorkerId, row: &Row) -> Result<(), StoreError> {
        let key = history::key(worker_id, row.first);
        self.out.rows.remove(history::TABLE, key.as_bytes())?;
        let key = age::key(row.first);
        self.out.rows.remove(age::TABLE, key.as_bytes())?;
        self.state.history_bytes = self.state.history_bytes.saturating_sub(row.len);
        Ok(())
    }

    /// Records what the stream starts from now, and removes what hangs on the events before.
    pub(super) fn set_base(&mut self, worker_id: WorkerId, base: &Base) -> Result<(), StoreError> {
        let (first, last) = (
            Owner::Worker(worker_id, Seq(0)).key(0),
            Owner::Worker(worker_id, base.seq).key(u32::MAX),
        );
        let rows = &mut *self.out.rows;
        let range = (first.as_bytes(), last.as_bytes());
        let large_bytes = rows.remove_range(large::TABLE, range)?;
        self.state.history_bytes = self.state.history_bytes.saturating_sub(large_bytes);
        put_base(rows, Stream::Worker(worker_id), base)
    }

    /// Trims every event of a Worker up to and including `seq`. Its tail was flushed before.
    pub(super) fn trim_to(&mut self, worker_id: WorkerId, seq: Seq) -> Result<(), StoreError> {
        // What was written by this batch counts from here on as stored.
        self.state.history_bytes += std::mem::take(&mut self.out.history_grown);
        while let Some(row) = self.history_row(worker_id, Position(0))? {
            let follows = self.whole_after(worker_id, row.first)?;
            let Some(base) = base_after(&row, follows.as_ref()) else {
                return Ok(());
            };
            if base.seq <= seq {
                self.remove_pack(worker_id, &row)?;
                self.set_base(worker_id, &base)?;
                continue;
            }
            if let Ok(header) = &row.header
                && header.first_seq <= seq
            {
                self.split(worker_id, &row, seq)?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Trims the log. Events that stand only there stay.
    fn retain_log(&mut self) -> Result<(), StoreError> {
        while self.state.log_bytes > over(self.limits.retention.log_bytes_max) {
            let Some(row) = self.log_row(Position(0))? else {
                return Ok(());
            };
            let Some(next) = self.log_row(row.first.next())? else {
                return Ok(());
            };
            let needed = next.first > self.state.tail_floor || row.first >= self.log_open_from();
            let pinned = self.is_pinned(Position(next.first.0.saturating_sub(1)));
            let is_new = next.first > self.before.next();
            if needed || pinned || is_new {
                return Ok(());
            }
            let header = next.header.as_ref().ok();
            let ended = row.header.as_ref().ok();
            let chain = header.map(|header| header.chain_before);
            let base = Base {
                position: Position(next.first.0.saturating_sub(1)),
                chain: chain
                    .or(ended.map(|header| header.chain_after))
                    .unwrap_or_default(),
                ..Base::default()
            };
            let rows = &mut *self.out.rows;
            rows.remove(log::TABLE, log::key(row.first).as_bytes())?;
            self.state.log_bytes = self.state.log_bytes.saturating_sub(row.len);
            if ended.is_none_or(|header| header.runtime_large) {
                let first = Owner::Runtime(Position(0)).key(0);
                let last = Owner::Runtime(base.position).key(u32::MAX);
                rows.remove_range(large::TABLE, (first.as_bytes(), last.as_bytes()))?;
            }
            put_base(rows, Stream::Runtime, &base)?;
        }
        Ok(())
    }

    fn log_row(&mut self, from: Position) -> Result<Option<Row>, StoreError> {
        let (from, to) = (log::key(from), log::key(Position(u64::MAX)));
        let range = (from.as_bytes(), to.as_bytes());
        let row = self
            .out
            .rows
            .at_end(log::TABLE, range, End::First, |key, value| {
                Ok(Row {
                    first: log::parse(key)?,
                    len: value.len() as u64,
                    header: Pack::open_header(log::TABLE, key, value),
                })
            })?;
        row.transpose()
            .map_err(|damage: Damage| damage.in_table(log::TABLE))
    }
}

/// Above so many bytes a stream with this limit is trimmed.
fn over(limit: u64) -> u64 {
    match sabotage::is(Sabotage::TrimTooMuch) {
        true => limit / 2,
        false => limit,
    }
}

fn put_base(
    rows: &mut crate::engine::Writing<'_>,
    stream: Stream,
    base: &Base,
) -> Result<(), StoreError> {
    let first = stream::gap_key(stream, Position(0));
    let last = stream::gap_key(stream, base.position);
    rows.remove_range(stream::TABLE, (first.as_bytes(), last.as_bytes()))?;
    rows.put_record(stream::TABLE, stream::base_key(stream).as_bytes(), base)
}

/// The base when this pack has gone: from what follows, or else from its own end.
fn base_after(row: &Row, follows: Option<&Header>) -> Option<Base> {
    let ended = row.header.as_ref().ok();
    let following = ended.map(|header| header.following(row.len));
    let next = follows.copied().or(following)?;
    let position = match (ended, follows) {
        (Some(header), _) => header.last_position,
        (None, Some(next)) if next.count > 0 => Position(next.first_position.0.saturating_sub(1)),
        (None, Some(next)) => next.last_position,
        (None, None) => return None,
    };
    Some(Base {
        position,
        seq: Seq(next.first_seq.0.saturating_sub(1)),
        items: next.first_item,
        chain: next.chain_before,
        bytes: next.bytes_before,
    })
}
