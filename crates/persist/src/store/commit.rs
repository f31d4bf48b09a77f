//! A batch becomes one write transaction (I3), and then the tails' (I1).
//!
//! Order: stage every Worker of the batch, open the transaction, append events to the log's tail
//! pack and to the Workers' tails, change records, flush tails that are full or old, trim, write the
//! state, commit; then, and only then, show the tails what was staged and note the witness. A
//! failure before the commit leaves no trace; a failed commit leaves the tails as they were.

use std::{collections::BTreeMap, time::Duration};

use worker_runtime_core::{
    Incarnation, Position, Seq, WorkerId,
    sabotage::{self, Sabotage},
    store::{Batch, Change, StoreError},
};

use super::{
    Limits, PackedStore, Witnessed,
    apply::Applying,
    stage::{Output, Stage},
    tails::{Tail, Tails},
};
use crate::{
    codec::Damage,
    layout::{history, meta::State},
};

/// Which tails are written into `history`, apart from those that are full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// Those that an open after a crash should not have to read the log for, or that take too much
    /// memory.
    Old,
    /// All, so that the next open reads no log.
    All,
}

impl PackedStore {
    pub(super) fn commit_batch(&mut self, batch: &Batch, flush: Flush) -> Result<(), StoreError> {
        self.stage(batch)?;
        let now = self.clock.monotonic();
        let elapsed = now.saturating_sub(self.measured_at);
        let mut next = self.state.clone();
        next.store_ms += u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let old_before = self.window_floor();
        let shared = std::sync::Arc::clone(&self.shared);
        let result = {
            let tails = shared.tails();
            shared.engine.write(self.mode(), &self.state.sums, |rows| {
                self.buffers.log_packs.clear();
                self.buffers.touched.clear();
                let mut apply = Applying {
                    out: Output {
                        rows,
                        value: &mut self.buffers.value,
                        log_grown: 0,
                        history_grown: 0,
                        log_packs: &mut self.buffers.log_packs,
                        touched: &mut self.buffers.touched,
                    },
                    scratch: &mut self.buffers.scratch,
                    tails: &tails,
                    stages: &mut self.stages,
                    log: &self.log,
                    log_stage: &mut self.log_stage,
                    unflushed: &self.unflushed,
                    pins: &self.pins,
                    limits: self.limits,
                    before: self.state.position,
                    state: &mut next,
                };
                apply.run(batch, flush, old_before)?;
                if sabotage::is(Sabotage::WriteHeadBeforeCommit) {
                    self.medium.witness(witnessed(&next, self.incarnation));
                }
                Ok(())
            })
        };
        self.note(result)?;
        // Milliseconds that did not fill one are counted next time.
        self.measured_at += Duration::from_millis(next.store_ms - self.state.store_ms);
        self.show(next);
        Ok(())
    }

    /// Begins the stage of every Worker of the batch, reading tails that are not in memory.
    fn stage(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.stages.clear();
        self.log_stage = Stage::new(self.log.state, self.log.entries.len());
        let mut missing: BTreeMap<WorkerId, Use> = BTreeMap::new();
        {
            let tails = self.shared.tails();
            let placed = batch.events.iter().filter_map(|event| event.worker);
            let placed = placed.map(|place| {
                let is_first = place.seq == Seq(1);
                (
                    place.worker_id,
                    if is_first { Use::Begin } else { Use::Append },
                )
            });
            let trimmed = batch.changes.iter().filter_map(trims);
            for (worker_id, used) in placed.chain(trimmed) {
                if self.stages.has(worker_id) {
                    continue;
                }
                match tails.by_worker.get(&worker_id) {
                    Some(tail) => {
                        begins(worker_id, used, tail)?;
                        self.stages.begin(worker_id, tail);
                    }
                    None => {
                        missing.entry(worker_id).or_insert(used);
                    }
                }
            }
        }
        for (worker_id, used) in missing {
            self.stage_stored(worker_id, used)?;
        }
        Ok(())
    }

    /// Begins the stage of a Worker whose tail is not in memory. A Worker that can't be read is not
    /// trimmed; what can be is found out by whoever trims.
    fn stage_stored(&mut self, worker_id: WorkerId, used: Use) -> Result<(), StoreError> {
        let read = self
            .shared
            .engine
            .read(|rows| match used {
                Use::Begin => Tail::load_known(rows, worker_id),
                Use::Append | Use::Trim => Tail::load(rows, worker_id),
            })
            .map_err(undecided);
        let tail = match self.note(read) {
            Err(StoreError::Damaged { .. }) if used == Use::Trim => return Ok(()),
            read => read?,
        };
        begins(worker_id, used, &tail)?;
        self.stages.begin(worker_id, &tail);
        if let Some(position) = tail.state.unflushed_from {
            self.unflushed.insert(position, worker_id);
        }
        // What was just read is true, whatever becomes of this batch.
        let mut tails = self.shared.tails_mut();
        tails.bytes += tail.entries.len();
        tails.by_worker.insert(worker_id, tail);
        self.clean.push_back(worker_id);
        Ok(())
    }

    /// Tails with events before this position are old.
    fn window_floor(&self) -> Position {
        self.log_recent
            .front()
            .map(|(first, _)| *first)
            .unwrap_or_default()
    }

    /// After the commit: gives the tails what was staged, and notes the witness.
    fn show(&mut self, next: State) {
        let shared = std::sync::Arc::clone(&self.shared);
        let mut tails = shared.tails_mut();
        for (worker_id, stage) in self.stages.iter() {
            let Some(tail) = tails.by_worker.get_mut(&worker_id) else {
                continue;
            };
            let (before, len) = (tail.state.unflushed_from, tail.entries.len());
            stage.apply(tail);
            let (after, grown) = (tail.state.unflushed_from, tail.entries.len());
            if before != after {
                before.map(|position| self.unflushed.remove(&position));
                after.map(|position| self.unflushed.insert(position, worker_id));
            }
            tails.bytes = tails.bytes.saturating_sub(len) + grown;
            if stage.forget {
                after.map(|position| self.unflushed.remove(&position));
                forget(&mut tails, worker_id);
            } else if before.is_some() && after.is_none() {
                self.clean.push_back(worker_id);
            }
        }
        self.log_stage.apply(&mut self.log);
        self.note_log_packs();
        self.shrink(&mut tails);
        self.state = next;
        tails.committed = self.state.position;
        drop(tails);
        self.dirty = true;
        let told = witnessed(&self.state, self.incarnation);
        self.medium.witness(told);
    }

    /// Lets go of entries that `history` has too, and of accounts beyond their number.
    fn shrink(&mut self, tails: &mut Tails) {
        for _ in 0..self.clean.len() {
            let has_room = tails.bytes <= self.limits.tails_bytes_max;
            let is_short = self.clean.len() <= self.limits.clean_len_max();
            if has_room && is_short {
                return;
            }
            let Some(worker_id) = self.clean.pop_front() else {
                return;
            };
            let Some(tail) = tails.by_worker.get_mut(&worker_id) else {
                continue;
            };
            if tail.state.unflushed_from.is_some() {
                continue;
            }
            if is_short {
                // The account stays: with it, the next event needs no read.
                tails.bytes = tails.bytes.saturating_sub(tail.entries.len());
                tail.state = tail.state.ended();
                tail.entries = Vec::new();
                self.clean.push_back(worker_id);
            } else {
                forget(tails, worker_id);
            }
        }
    }

    fn note_log_packs(&mut self) {
        for (first, len) in self.buffers.log_packs.drain(..) {
            match self.log_recent.back_mut() {
                Some(last) if last.0 == first => {
                    self.log_recent_bytes -= last.1;
                    last.1 = len;
                }
                _ => self.log_recent.push_back((first, len)),
            }
            self.log_recent_bytes += len;
        }
        while self.log_recent_bytes > self.limits.log_window_bytes && self.log_recent.len() > 1 {
            let oldest = self.log_recent.pop_front();
            self.log_recent_bytes -= oldest.map_or(0, |(_, len)| len);
        }
    }
}

/// What the witness is told of a state.
fn witnessed(state: &State, incarnation: Incarnation) -> Witnessed {
    Witnessed {
        position: state.position,
        chain: state.chain,
        incarnation: incarnation.number,
    }
}

fn forget(tails: &mut Tails, worker_id: WorkerId) {
    if let Some(tail) = tails.by_worker.remove(&worker_id) {
        tails.bytes = tails.bytes.saturating_sub(tail.entries.len());
    }
}

impl Limits {
    /// How many tails without anything to flush are kept as accounts.
    fn clean_len_max(&self) -> usize {
        (self.tails_bytes_max / 256).max(1024)
    }
}

/// What a batch wants of a Worker's tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Its first event.
    Begin,
    Append,
    Trim,
}

/// A stream begins once. Whoever begins it again does not know what it has, as when a Worker's record
/// was lost; its seqs must not be used twice (I2).
fn begins(worker_id: WorkerId, used: Use, tail: &Tail) -> Result<(), StoreError> {
    let last = tail.state.header.last_seq();
    if used == Use::Begin && last > Seq(0) {
        let detail = format!("{worker_id} has events up to seq {last}, and begins again at seq 1");
        return Err(Damage::of(history::TABLE, detail));
    }
    Ok(())
}

/// The Worker whose events a change trims.
fn trims(change: &Change) -> Option<(WorkerId, Use)> {
    match change {
        Change::Trim(worker_id, _) => Some((*worker_id, Use::Trim)),
        // What can't be read can't be purged either: that is refused, not done by half.
        Change::Purge(worker_id) => Some((*worker_id, Use::Append)),
        _ => None,
    }
}

/// A read that failed under a commit may be a failing disk: what is durable must be looked at.
fn undecided(error: StoreError) -> StoreError {
    match error {
        StoreError::Read { detail } => StoreError::OutcomeUnknown { detail },
        other => other,
    }
}
