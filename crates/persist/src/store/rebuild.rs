//! The tails, rebuilt from the part of the log that no history has (I1).
//!
//! Damage in that part may concern the newest events of any Worker, so nothing is made up here: it is
//! told, and [`super::losses`] settles it. A Worker whose own history is damaged where its tail begins
//! is named and left out; the others open (I7).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, hash_map::Entry},
    ops::ControlFlow,
};

use worker_runtime_core::{
    Position, WorkerId,
    store::{DamagedRecord, StoreError},
};

use super::tails::{Tail, TailState, Tails};
use crate::{
    codec::Damage,
    engine::{End, Rows},
    layout::{log, meta::State},
    pack::{self, Body, EncodedEvent, Kind, Pack},
};

/// The tails, as the log tells them.
pub(super) struct Rebuilding<'a> {
    state: &'a State,
    pub(super) log: Tail,
    pub(super) log_recent: VecDeque<(Position, u64)>,
    pub(super) tails: Tails,
    pub(super) unflushed: BTreeMap<Position, WorkerId>,
    /// Workers without a tail: theirs can't be read.
    pub(super) damaged: Vec<DamagedRecord>,
    left_out: BTreeSet<WorkerId>,
    scratch: Vec<u8>,
}

impl<'a> Rebuilding<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self {
            state,
            log: Tail::empty(Kind::Log),
            log_recent: VecDeque::new(),
            tails: Tails::default(),
            unflushed: BTreeMap::new(),
            damaged: Vec::new(),
            left_out: BTreeSet::new(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, rows: &mut impl Rows) -> Result<(), StoreError> {
        let mut expected = self.begin(rows)?;
        let mut packs: Vec<Pack> = Vec::new();
        let (from, to) = (log::key(expected), log::key(Position(u64::MAX)));
        rows.scan(
            log::TABLE,
            (from.as_bytes(), to.as_bytes()),
            End::First,
            &mut |key, value| {
                let pack = Pack::open_log(log::TABLE, key, value)
                    .map_err(|damage| damage.in_table(log::TABLE))?;
                let first = pack.header.first_position;
                if first != expected {
                    return Err(Damage::of(log::TABLE, missing(expected)));
                }
                expected = pack.header.last_position.next();
                self.log_recent.push_back((first, value.len() as u64));
                packs.push(pack);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        if expected != self.state.position.next() {
            return Err(Damage::of(log::TABLE, missing(expected)));
        }
        for pack in &packs {
            for entry in pack.events() {
                let entry = entry.map_err(|damage| damage.in_table(log::TABLE))?;
                if entry.event.position >= self.state.tail_floor {
                    self.add(rows, &entry)?;
                }
            }
        }
        Ok(())
    }

    /// Takes up the log's tail pack, and finds the first pack that has to be read: the one with
    /// the oldest event that no history has.
    fn begin(&mut self, rows: &mut impl Rows) -> Result<Position, StoreError> {
        let nothing_unflushed = self.state.tail_floor > self.state.position;
        let (from, to) = (log::key(Position(0)), log::key(self.state.position));
        let range = (from.as_bytes(), to.as_bytes());
        let last = rows.at_end(log::TABLE, range, End::Last, |key, value| {
            Pack::open_log(log::TABLE, key, value)
                .map(|pack| (Tail::of_pack(&pack, value.len() as u64), value.len()))
        })?;
        let fits = |tail: &Tail| {
            let header = &tail.state.header;
            header.last_position == self.state.position && header.chain_after == self.state.chain
        };
        match last {
            Some(Ok((tail, _))) if fits(&tail) => self.log = tail,
            // The log goes on in a new pack; what is damaged shows as a gap to its readers.
            Some(_) if nothing_unflushed => self.log.state = follow(self.state),
            Some(Ok(_)) => {
                return Err(Damage::of(
                    log::TABLE,
                    "the last pack is of an older commit",
                ));
            }
            Some(Err(damage)) => return Err(damage.in_table(log::TABLE)),
            None => self.log.state = follow(self.state),
        }
        if nothing_unflushed {
            return Ok(self.state.position.next());
        }
        let to = log::key(self.state.tail_floor);
        let range = (from.as_bytes(), to.as_bytes());
        let first = rows.at_end(log::TABLE, range, End::Last, |key, _| log::parse(key))?;
        match first {
            Some(first) => first.map_err(|damage| damage.in_table(log::TABLE)),
            None => Err(Damage::of(log::TABLE, missing(self.state.tail_floor))),
        }
    }

    fn add(&mut self, rows: &mut impl Rows, entry: &pack::Entry) -> Result<(), StoreError> {
        let event = &entry.event;
        let Some(place) = event.worker else {
            return Ok(());
        };
        if self.left_out.contains(&place.worker_id) {
            return Ok(());
        }
        let tail = match self.tails.by_worker.entry(place.worker_id) {
            Entry::Occupied(tail) => tail.into_mut(),
            Entry::Vacant(slot) => {
                let tail = match Tail::load_before(rows, place.worker_id, place.seq) {
                    Err(StoreError::Damaged { table, detail }) => {
                        self.left_out.insert(place.worker_id);
                        self.damaged.push(DamagedRecord {
                            table,
                            worker_id: Some(place.worker_id),
                            lease_id: None,
                            operation_id: None,
                            seq: None,
                            detail,
                        });
                        return Ok(());
                    }
                    tail => tail?,
                };
                self.tails.bytes += tail.entries.len();
                if let Some(position) = tail.state.unflushed_from {
                    self.unflushed.insert(position, place.worker_id);
                }
                slot.insert(tail)
            }
        };
        let header = &mut tail.state.header;
        if place.seq < header.next_seq() {
            return Ok(());
        }
        if place.seq != header.next_seq() {
            return Err(Damage::of(
                log::TABLE,
                format!(
                    "seq {} of {} is missing",
                    header.next_seq(),
                    place.worker_id
                ),
            ));
        }
        let body = Body::of_entry(entry);
        let encoded = EncodedEvent {
            digest: pack::event_digest(event, body, &mut self.scratch)?,
            body,
        };
        let before = tail.entries.len();
        pack::encode(Kind::History, event, body, &mut tail.entries)?;
        header.add(event, encoded, self.state.store_ms);
        self.tails.bytes += tail.entries.len() - before;
        if tail.state.unflushed_from.is_none() {
            tail.state.unflushed_from = Some(event.position);
            self.unflushed.insert(event.position, place.worker_id);
        }
        Ok(())
    }
}

fn missing(position: Position) -> String {
    format!("position {position} is missing from the log")
}

/// An empty pack of the log after this state.
fn follow(state: &State) -> TailState {
    let mut tail = TailState::empty(Kind::Log);
    tail.header.last_position = state.position;
    tail.header.last_at = state.at;
    tail.header.chain_before = state.chain;
    tail.header.chain_after = state.chain;
    tail
}
