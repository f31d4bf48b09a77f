//! The log: from what was trimmed to the newest commit, each position once, each link and payload recomputed
//! (I2). What is missing of it is judged later, when the histories have said whether they have it.

use std::collections::HashMap;

use worker_runtime_core::{Code, Digest, Event, Position, Seq, WorkerId, store::StoreError};

use super::{
    finding::{Cost, Finding},
    large,
    look::{Counting, Look, Meta, next_row},
    streams::Streams,
};
use crate::{
    codec::Damage,
    engine::Rows,
    layout::log::{self, TABLE},
    pack::{self, Body, Entry, Pack},
};

/// A stretch of the log that can't be read.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) from: Position,
    pub(super) to: Position,
    detail: String,
    /// How many of its events are in histories.
    found: u64,
}

/// Events, whatever their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    count: u64,
    digest: u128,
}

impl Sum {
    pub(super) fn add(&mut self, digest: Digest) {
        self.count += 1;
        self.digest ^= u128::from_be_bytes(digest.0);
    }
}

#[derive(Debug, Default)]
struct OfWorker {
    base: Seq,
    last: Option<Seq>,
    /// The events that its history has too.
    sum: Sum,
    /// Those that it may not have yet: no more than an opening reads.
    newest: Vec<(Seq, Digest)>,
}

/// What the log said.
#[derive(Debug, Default)]
pub(super) struct Logged {
    pub(super) first: Position,
    stretches: Vec<Stretch>,
    /// Stretches that are on record as lost; a history may have some of them all the same.
    recorded: Vec<(Position, Position)>,
    by_worker: HashMap<WorkerId, OfWorker>,
    /// Events whose payload stands beside them and that no history may have yet.
    pub(super) waiting: Vec<(Event, usize)>,
    pub(super) runtime_pieces: u64,
}

impl Logged {
    /// That a history has this event.
    pub(super) fn has(&mut self, position: Position) {
        let at = self
            .stretches
            .partition_point(|stretch| stretch.to < position);
        if let Some(stretch) = self.stretches.get_mut(at)
            && stretch.from <= position
        {
            stretch.found += 1;
        }
    }

    /// Whether the log has the event at a position that a history has.
    pub(super) fn is_here(&self, position: Position) -> bool {
        let mut recorded = self.recorded.iter();
        position >= self.first && !recorded.any(|(from, to)| *from <= position && position <= *to)
    }

    /// What a history that reaches so far must have of a Worker; `None` when the log can't tell.
    pub(super) fn sum(&self, worker_id: WorkerId, reached: Seq) -> Option<Sum> {
        if !self.is_whole() {
            return None;
        }
        let Some(of) = self.by_worker.get(&worker_id) else {
            return Some(Sum::default());
        };
        let mut sum = of.sum;
        let newest = of.newest.iter().filter(|(seq, _)| *seq <= reached);
        newest.for_each(|(_, digest)| sum.add(*digest));
        Some(sum)
    }

    /// Whether nothing of it is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.stretches.is_empty()
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.by_worker.keys().copied()
    }

    /// Tells what is missing, once every history was looked at.
    pub(super) fn tell(&self, look: &mut Look<'_>) {
        for Stretch {
            from,
            to,
            detail,
            found,
        } in &self.stretches
        {
            let all = to.0.saturating_sub(from.0).saturating_add(1);
            let finding = if *found == all {
                Finding::copy(
                    TABLE,
                    format!("{detail}; the histories of Workers have all of it"),
                )
            } else {
                Finding::events_lost(TABLE, detail.clone())
            };
            look.tell(finding.at(*from, *to));
        }
    }
}

struct Walk<'m> {
    meta: &'m Meta,
    logged: Logged,
    next: Position,
    chain: Digest,
    damage: Option<String>,
    scratch: Vec<u8>,
}

/// Walks the whole log.
pub(super) fn walk(
    rows: &mut impl Rows,
    meta: &Meta,
    streams: &Streams,
    look: &mut Look<'_>,
) -> Result<Logged, StoreError> {
    let base = &streams.runtime.base;
    let mut walk = Walk {
        meta,
        logged: Logged {
            first: base.position.next(),
            ..Logged::default()
        },
        next: base.position.next(),
        chain: base.chain,
        damage: None,
        scratch: Vec::new(),
    };
    let (mut counting, mut from) = (Counting::new(TABLE), Vec::new());
    while let Some(pack) = next_row(rows, TABLE, &mut from, |key, value| {
        counting.add(value, look);
        log::parse(key).and_then(|_| Pack::open_log(TABLE, key, value))
    })? {
        match pack {
            Ok(pack) => walk.pack(rows, &pack, streams, look)?,
            Err(damage) => {
                counting.damaged();
                walk.damage.get_or_insert(damage.to_string());
            }
        }
    }
    let state = &meta.state;
    if walk.next != state.position.next() || walk.damage.is_some() {
        walk.missing(state.position.next(), streams, look);
    } else if walk.chain != state.chain {
        let detail = "its chain does not end as the last commit says";
        look.tell(Finding::events_lost(TABLE, detail).at(state.position, state.position));
    }
    let logged = walk.logged;
    if counting.bytes != state.log_bytes && logged.stretches.is_empty() {
        let detail = format!(
            "{} bytes were counted and {} are there",
            state.log_bytes, counting.bytes
        );
        look.tell(Finding::derived(TABLE, detail));
    }
    if logged.stretches.is_empty() {
        counting.end(state, Finding::events_lost, look);
    }
    Ok(logged)
}

impl Walk<'_> {
    /// What is missing before the position `next`.
    fn missing(&mut self, next: Position, streams: &Streams, look: &mut Look<'_>) {
        let (from, to) = (self.next, Position(next.0.saturating_sub(1)));
        let damage = self.damage.take();
        for of in self.logged.by_worker.values_mut() {
            of.last = None;
        }
        let gaps = &streams.runtime.gaps;
        let is_recorded = self.meta.are_lost(from, to)
            || gaps
                .iter()
                .any(|(first, gap)| *first <= from && to <= gap.to);
        if from > to {
            let detail = damage.unwrap_or_else(|| "a pack stands where another one is".to_owned());
            // An opening that reads the end of the log refuses the store for it.
            let finding = Finding::new(Code::EventDamaged, Cost::Data, TABLE.name, detail);
            look.tell(finding.at(next, next));
        } else if is_recorded {
            look.checked.recorded_gaps += 1;
            self.logged.recorded.push((from, to));
        } else {
            self.logged.stretches.push(Stretch {
                from,
                to,
                detail: damage.unwrap_or_else(|| "positions are missing".to_owned()),
                found: 0,
            });
        }
    }

    fn pack(
        &mut self,
        rows: &mut impl Rows,
        pack: &Pack,
        streams: &Streams,
        look: &mut Look<'_>,
    ) -> Result<(), StoreError> {
        let header = pack.header;
        let first = header.first_position;
        if first != self.next || self.damage.is_some() {
            self.missing(first, streams, look);
        } else if header.chain_before != self.chain {
            let detail = "a pack does not follow on the one before";
            look.tell(Finding::events_lost(TABLE, detail).at(first, header.last_position));
        }
        let mut chain = header.chain_before;
        let mut next = first;
        for entry in pack.events() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(damage) => {
                    let finding = Finding::events_lost(TABLE, damage.to_string());
                    look.tell(finding.at(next, header.last_position));
                    break;
                }
            };
            let body = Body::of_entry(&entry);
            let digest = pack::event_digest(&entry.event, body, &mut self.scratch)?;
            chain = pack::link(chain, digest);
            next = entry.event.position.next();
            look.checked.events += 1;
            if let Some(damage) = self.event(rows, entry, digest, streams, look)? {
                let finding = Finding::events_lost(TABLE, damage.to_string());
                let position = Position(next.0.saturating_sub(1));
                look.tell(finding.at(position, position));
            }
        }
        if chain != header.chain_after || next != header.last_position.next() {
            let detail = "a pack's links don't come to what its header says";
            look.tell(Finding::events_lost(TABLE, detail).at(first, header.last_position));
        }
        (self.next, self.chain) = (header.last_position.next(), header.chain_after);
        Ok(())
    }

    fn event(
        &mut self,
        rows: &mut impl Rows,
        entry: Entry,
        digest: Digest,
        streams: &Streams,
        look: &mut Look<'_>,
    ) -> Result<Option<Damage>, StoreError> {
        let Entry {
            event,
            large_len,
            purged,
        } = entry;
        if large_len.is_none() && purged.is_none() && Digest::of(&event.data) != event.data_digest {
            return Ok(Some("its data is not what its digest says".into()));
        }
        let Some(place) = event.worker else {
            if let Some(len) = large_len {
                let read = large::read(rows, &event, len)?;
                self.logged.runtime_pieces += read.pieces;
                return Ok(read.damage);
            }
            return Ok(None);
        };
        let of = self
            .logged
            .by_worker
            .entry(place.worker_id)
            .or_insert_with(|| {
                look.workers.insert(place.worker_id);
                let on_record = streams.by_worker.get(&place.worker_id);
                OfWorker {
                    base: on_record.map(|of| of.base.seq).unwrap_or_default(),
                    ..OfWorker::default()
                }
            });
        let skips = of.last.is_some_and(|last| place.seq != last.next());
        of.last = Some(place.seq);
        let floor = self.meta.state.tail_floor;
        if place.seq > of.base {
            match event.position < floor {
                true => of.sum.add(digest),
                false => of.newest.push((place.seq, digest)),
            }
        }
        if let Some(len) = large_len
            && event.position >= floor
        {
            self.logged.waiting.push((event, len));
        }
        Ok(skips.then(|| "its Worker's seq does not follow on the one before".into()))
    }
}
