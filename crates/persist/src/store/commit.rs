//! A batch becomes one write transaction (I3), and then the tails' (I1).
//!
//! Order: stage every Worker of the batch, open the transaction, append events to the log's tail
//! pack and to the Workers' tails, change records, flush tails that are full or old, trim, write the
//! state, commit; then, and only then, show the tails what was staged and note the witness. A
//! failure before the commit leaves no trace; a failed commit leaves the tails as they were.

use std::{collections::BTreeMap, time::Duration};

use worker_runtime_core::{
    Event, Position, WorkerId,
    store::{Batch, Change, StoreError},
};

use super::{
    Limits, PackedStore, Witnessed, records,
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
                    state: &mut next,
                };
                apply.run(batch, flush, old_before)
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
        let mut missing: BTreeMap<WorkerId, bool> = BTreeMap::new();
        {
            let tails = self.shared.tails();
            let placed = batch.events.iter().filter_map(|event| event.worker);
            let placed = placed.map(|place| (place.worker_id, place.seq.0 == 1));
            let trimmed = batch.changes.iter().filter_map(|change| match change {
                Change::Trim(worker_id, _) => Some((*worker_id, false)),
                _ => None,
            });
            for (worker_id, is_new) in placed.chain(trimmed) {
                if self.stages.has(worker_id) {
                    continue;
                }
                match tails.by_worker.get(&worker_id) {
                    Some(tail) => self.stages.begin(worker_id, tail),
                    None => {
                        missing.entry(worker_id).or_insert(is_new);
                    }
                }
            }
        }
        for (worker_id, is_new) in missing {
            let tail = if is_new {
                Tail::empty(pack::Kind::History)
            } else {
                let read = self
                    .shared
                    .engine
                    .read(|rows| Tail::load(rows, worker_id))
                    .map_err(undecided);
                self.note(read)?
            };
            self.stages.begin(worker_id, &tail);
            if let Some(position) = tail.state.unflushed_from {
                self.unflushed.insert(position, worker_id);
            }
            // What was just read is true, whatever becomes of this batch.
            let mut tails = self.shared.tails_mut();
            tails.bytes += tail.entries.len();
            tails.by_worker.insert(worker_id, tail);
            self.clean.push_back(worker_id);
        }
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
        self.medium.witness(Witnessed {
            position: self.state.position,
            chain: self.state.chain,
            incarnation: self.incarnation.number,
        });
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
                Some(last) if last.0 == first => last.1 = len,
                _ => self.log_recent.push_back((first, len)),
            }
        }
        let mut bytes: u64 = self.log_recent.iter().map(|(_, len)| len).sum();
        while bytes > self.limits.log_window_bytes && self.log_recent.len() > 1 {
            bytes -= self
                .log_recent
                .pop_front()
                .map(|(_, len)| len)
                .unwrap_or_default();
        }
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

/// A read that failed under a commit may be a failing disk: what is durable must be looked at.
fn undecided(error: StoreError) -> StoreError {
    match error {
        StoreError::Read { detail } => StoreError::OutcomeUnknown { detail },
        other => other,
    }
}

/// A batch on its way into the transaction.
pub(super) struct Applying<'a, 't> {
    pub(super) out: Output<'a, 't>,
    scratch: &'a mut Vec<u8>,
    tails: &'a Tails,
    stages: &'a mut Stages,
    log: &'a Tail,
    log_stage: &'a mut Stage,
    unflushed: &'a BTreeMap<Position, WorkerId>,
    /// What must stay, by whoever asked for it.
    pub(super) pins: &'a BTreeMap<u64, Position>,
    pub(super) limits: Limits,
    pub(super) state: &'a mut State,
}

impl Applying<'_, '_> {
    fn run(&mut self, batch: &Batch, flush: Flush, old_before: Position) -> Result<(), StoreError> {
        for event in &batch.events {
            self.append(event)?;
        }
        self.log_stage
            .flush(Place::Log, &self.log.entries, &mut self.out)?;
        for change in &batch.changes {
            match change {
                Change::Trim(worker_id, seq) => {
                    self.flush_worker(*worker_id)?;
                    self.trim_to(*worker_id, *seq)?;
                    self.stages.of(*worker_id)?.forget = true;
                }
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

    fn flush_worker(&mut self, worker_id: WorkerId) -> Result<(), StoreError> {
        let stage = self.stages.of(worker_id)?;
        let committed = entries_of(self.tails, worker_id);
        stage.flush(Place::History(worker_id), committed, &mut self.out)
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
