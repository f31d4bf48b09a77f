//! A batch inside its transaction: events appended, records changed, full and old tails flushed,
//! and what is over a limit trimmed (I1, I3). Called by `commit` alone.
//!
//! Damage of one Worker never leaves here as the failure of a batch of others (I7): what can't be
//! flushed or trimmed of it is named and left.

use std::collections::BTreeMap;

use worker_runtime_core::{
    Event, Position, WorkerId,
    sabotage::{self, Sabotage},
    store::{Batch, Change, StoreError},
};

use super::{
    Limits,
    commit::Flush,
    forget, records,
    stage::{Output, Place, Stage, Stages},
    tails::{Tail, TailState, Tails},
};
use crate::{
    layout::{
        large::{self, Owner},
        meta::{self, State},
    },
    pack::{self, Body, EncodedEvent},
};

/// A pack that is written because it is old is ended when it has this length.
const ENDED_LEN_MIN_BYTES: u64 = 2048;

/// A batch on its way into the transaction.
pub(super) struct Applying<'a, 't> {
    pub(super) out: Output<'a, 't>,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) tails: &'a Tails,
    pub(super) stages: &'a mut Stages,
    pub(super) log: &'a Tail,
    pub(super) log_stage: &'a mut Stage,
    pub(super) unflushed: &'a BTreeMap<Position, WorkerId>,
    /// What must stay, by whoever asked for it.
    pub(super) pins: &'a BTreeMap<u64, Position>,
    pub(super) limits: Limits,
    /// The last position before the batch: retention trims nothing after it.
    pub(super) before: Position,
    pub(super) state: &'a mut State,
}

impl Applying<'_, '_> {
    pub(super) fn run(
        &mut self,
        batch: &Batch,
        flush: Flush,
        old_before: Position,
    ) -> Result<(), StoreError> {
        for event in &batch.events {
            self.append(event)?;
        }
        self.log_stage
            .flush(Place::Log, &self.log.entries, &mut self.out)?;
        for change in &batch.changes {
            match change {
                Change::Trim(..) if sabotage::is(Sabotage::IgnoreTrim) => {}
                Change::Trim(worker_id, seq) => {
                    if self.stages.has(*worker_id) {
                        self.let_go(*worker_id)?;
                    }
                    self.trim_to(*worker_id, *seq)?;
                }
                Change::Forget(worker_id) => forget::receipts(self.out.rows, *worker_id)?,
                Change::Purge(worker_id) => self.purge(*worker_id, self.before)?,
                other => records::apply(self.out.rows, other)?,
            }
        }
        match flush {
            Flush::Old => self.flush_old(old_before)?,
            Flush::All => self.flush_before(Position(u64::MAX), flush)?,
        }
        self.state.log_bytes += self.out.log_grown;
        self.state.history_bytes += self.out.history_grown;
        self.state.tail_floor = self.tail_floor();
        self.retain()?;
        self.state.sums = self.out.rows.sums();
        self.out
            .rows
            .put_record(meta::TABLE, meta::STATE, &*self.state)
    }

    fn append(&mut self, event: &Event) -> Result<(), StoreError> {
        if event.position != self.state.position.next() {
            return Err(StoreError::Bug {
                invariant: format!(
                    "positions are dense: {} follows {}",
                    event.position, self.state.position
                ),
            });
        }
        let body = Body::of(event);
        let encoded = EncodedEvent {
            digest: pack::event_digest(event, body, self.scratch)?,
            body,
        };
        let store_ms = self.state.store_ms;
        let log = &self.log.entries;
        self.log_stage.push(
            Place::Log,
            event,
            encoded,
            store_ms,
            || log.as_slice(),
            &mut self.out,
        )?;
        if let Some(place) = event.worker {
            let stage = self.stages.of(place.worker_id)?;
            let header = &stage.state.header;
            let item_fits = place.item.is_none_or(|item| item == header.next_item());
            if place.seq != header.next_seq() || !item_fits {
                return Err(StoreError::Bug {
                    invariant: format!(
                        "a Worker's events are dense: seq {} and item {:?} follow seq {} and item {} of {}",
                        place.seq,
                        place.item,
                        header.last_seq(),
                        header.next_item(),
                        place.worker_id
                    ),
                });
            }
            let tails = self.tails;
            stage.push(
                Place::History(place.worker_id),
                event,
                encoded,
                store_ms,
                || entries_of(tails, place.worker_id),
                &mut self.out,
            )?;
        }
        if body.is_large {
            self.put_large(event)?;
        }
        self.state.position = event.position;
        self.state.at = event.at;
        self.state.chain = self.log_stage.state.header.chain_after;
        Ok(())
    }

    fn put_large(&mut self, event: &Event) -> Result<(), StoreError> {
        let owner = Owner::of(event);
        for (piece, bytes) in (0..).zip(large::pieces(&event.data)) {
            let key = owner.key(piece);
            self.out
                .rows
                .put_bytes(large::TABLE, key.as_bytes(), bytes)?;
        }
        if event.worker.is_some() {
            self.out.history_grown += event.data.len() as u64;
        }
        Ok(())
    }

    pub(super) fn flush_worker(&mut self, worker_id: WorkerId) -> Result<(), StoreError> {
        let stage = self.stages.of(worker_id)?;
        let committed = entries_of(self.tails, worker_id);
        stage.flush(Place::History(worker_id), committed, &mut self.out)
    }

    /// Flushes the tail of a Worker, ends its pack and has it let go after the commit. A trim may cut
    /// the stored pack in two: an account of the pack as it was would then be of nothing, and what a
    /// limit trims in the same commit must not be reckoned from it.
    pub(super) fn let_go(&mut self, worker_id: WorkerId) -> Result<(), StoreError> {
        self.flush_worker(worker_id)?;
        let stage = self.stages.of(worker_id)?;
        stage.end();
        stage.forget = true;
        Ok(())
    }

    /// Flushes every tail whose oldest unflushed event is before `before`.
    fn flush_before(&mut self, before: Position, flush: Flush) -> Result<(), StoreError> {
        let unflushed = self.unflushed;
        let mut old: Vec<WorkerId> = unflushed
            .range(..before)
            .map(|(_, worker_id)| *worker_id)
            .collect();
        let staged = self.stages.iter().filter(|(_, stage)| {
            let from = stage.state.unflushed_from;
            from.is_some_and(|from| from < before)
        });
        old.extend(staged.map(|(worker_id, _)| worker_id));
        for worker_id in old {
            self.begin(worker_id)?;
            let from = self.stages.of(worker_id)?.state.unflushed_from;
            if from.is_some_and(|from| from < before) {
                self.flush_worker(worker_id)?;
                let stage = self.stages.of(worker_id)?;
                // A small pack goes on being filled, so that a quiet Worker has few packs.
                if flush == Flush::Old && stage.state.stored_bytes >= ENDED_LEN_MIN_BYTES {
                    stage.end();
                }
            }
        }
        Ok(())
    }

    /// Flushes what is behind the window, and the oldest of the rest while memory is short.
    fn flush_old(&mut self, old_before: Position) -> Result<(), StoreError> {
        self.flush_before(old_before, Flush::Old)?;
        let fresh: usize = self.stages.iter().map(|(_, stage)| stage.fresh_len()).sum();
        let mut excess = (self.tails.bytes + fresh).saturating_sub(self.limits.tails_bytes_max);
        let unflushed = self.unflushed;
        for worker_id in unflushed.values() {
            if excess == 0 {
                break;
            }
            if !self.stages.has(*worker_id) {
                self.begin(*worker_id)?;
                self.flush_worker(*worker_id)?;
                self.stages.of(*worker_id)?.end();
                excess = excess.saturating_sub(entries_of(self.tails, *worker_id).len());
            }
        }
        Ok(())
    }

    fn begin(&mut self, worker_id: WorkerId) -> Result<(), StoreError> {
        if !self.stages.has(worker_id) {
            let Some(tail) = self.tails.by_worker.get(&worker_id) else {
                return Err(StoreError::Bug {
                    invariant: "a Worker with unflushed events has its tail in memory".to_owned(),
                });
            };
            self.stages.begin(worker_id, tail);
        }
        Ok(())
    }

    /// The oldest event that stands only in the log.
    fn tail_floor(&self) -> Position {
        let mut unstaged = self.unflushed.iter();
        let kept = unstaged.find(|(_, worker_id)| !self.stages.has(**worker_id));
        let staged = self.stages.iter();
        staged
            .filter_map(|(_, stage)| stage.state.unflushed_from)
            .chain(kept.map(|(position, _)| *position))
            .min()
            .unwrap_or(self.state.position.next())
    }
}

fn entries_of(tails: &Tails, worker_id: WorkerId) -> &[u8] {
    let tail = tails.by_worker.get(&worker_id);
    tail.map(|tail| tail.entries.as_slice()).unwrap_or_default()
}

impl Applying<'_, '_> {
    /// The tail of a Worker as the batch leaves it, if it is in memory.
    pub(super) fn tail_of(&self, worker_id: WorkerId) -> Option<TailState> {
        let staged = self.stages.get(worker_id).map(|stage| stage.state);
        staged.or_else(|| {
            let tail = self.tails.by_worker.get(&worker_id);
            tail.map(|tail| tail.state)
        })
    }

    /// Has the tail of a Worker let go after the commit.
    pub(super) fn forget(&mut self, worker_id: WorkerId) -> Result<(), StoreError> {
        if self.tails.by_worker.contains_key(&worker_id) {
            self.begin(worker_id)?;
            self.stages.of(worker_id)?.forget = true;
        }
        Ok(())
    }

    /// The first position of the log's tail pack.
    pub(super) fn log_open_from(&self) -> Position {
        self.log_stage.state.header.first_position
    }
}
