//! Damage in the part of the log that nothing else has, found by an opening after a kill (I2, I7).
//!
//! Which seqs were lost is known only for Workers with a later event. Of every other one there may have
//! been as many lost events as positions: it goes on behind that many seqs, so that none is used twice.
//! The jump is in its stream, and is told there as a gap (I10).
//!
//! What is left of the window is put into `history` in one transaction, so that the log is not needed
//! any more; the lost positions are noted in `meta`, and [`skip`] applies them when a Worker's tail is
//! read. Called by `open` and `tails`.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry as Slot},
    ops::ControlFlow,
};

use worker_runtime_core::{
    ItemIndex, Position, Seq, WorkerId,
    store::{DamagedRecord, StoreError},
};

use super::{
    open::read_state,
    stage::{Output, Place, Stage},
    tails::Tail,
};
use crate::{
    codec,
    engine::{CommitMode, End, Engine, Rows, Writing},
    layout::{
        log,
        meta::{self, Loss, State},
    },
    pack::{self, Body, EncodedEvent, Entry, Pack},
};

/// What was lost so far.
pub(super) fn load(rows: &mut impl Rows) -> Result<Vec<Loss>, StoreError> {
    let losses = rows.get(meta::TABLE, meta::LOSSES, |value| {
        value.map(|value| codec::open_record(meta::TABLE, meta::LOSSES, value))
    })?;
    let losses: Result<Option<Vec<Loss>>, codec::Damage> = losses.transpose();
    losses
        .map(Option::unwrap_or_default)
        .map_err(|damage| damage.in_table(meta::TABLE))
}

/// Skips the seqs and items that a Worker may have lost after the end of this tail, as it was read.
pub(super) fn skip(rows: &mut impl Rows, tail: &mut Tail) -> Result<(), StoreError> {
    let losses = load(rows)?;
    let after = tail.state.header.last_position;
    // A part of what is lost may be in this Worker's history all the same.
    let lost: u64 = losses.iter().map(|loss| loss.len_after(after)).sum();
    let last = losses.iter().map(|loss| loss.to).max();
    let Some(last) = last.filter(|_| lost > 0) else {
        return Ok(());
    };
    if tail.state.unflushed_from.is_some() {
        return Err(codec::Damage::of(
            log::TABLE,
            "a Worker's last pack and what followed on it are both damaged",
        ));
    }
    tail.state = tail.state.ended();
    tail.entries.clear();
    let header = &mut tail.state.header;
    header.first_seq = Seq(header.first_seq.0.saturating_add(lost));
    header.first_item = ItemIndex(header.first_item.0.saturating_add(lost));
    header.last_position = last;
    Ok(())
}

impl Loss {
    /// How many of its positions come after this one.
    fn len_after(&self, position: Position) -> u64 {
        let before = self.from.0.saturating_sub(1).max(position.0);
        self.to.0.saturating_sub(before)
    }
}

/// Puts what is left of the window into `history`, and notes what is lost.
///
/// # Errors
/// When that fails; nothing was changed then.
///
/// # Durability
/// Durable when it returns.
pub(super) fn settle(engine: &Engine, mode: CommitMode) -> Result<Vec<DamagedRecord>, StoreError> {
    let mut state = engine.read(read_state)?;
    engine.write(mode, &state.sums.clone(), |rows| {
        let window = Window::read(rows, &state)?;
        let mut damaged: Vec<DamagedRecord> = window.lost.iter().map(named).collect();
        let mut settling = Settling {
            state: &mut state,
            items: window.items(),
            tails: HashMap::new(),
            damaged: &mut damaged,
            value: Vec::new(),
            scratch: Vec::new(),
        };
        for (part, entries) in window.parts.iter().enumerate() {
            for entry in entries {
                settling.add(rows, part, entry)?;
            }
        }
        settling.finish(rows)?;
        let mut losses = load(rows)?;
        losses.extend(&window.lost);
        rows.put_record(meta::TABLE, meta::LOSSES, &losses)?;
        state.tail_floor = state.position.next();
        state.sums = rows.sums();
        rows.put_record(meta::TABLE, meta::STATE, &state)?;
        Ok(damaged)
    })
}

fn named(loss: &Loss) -> DamagedRecord {
    DamagedRecord {
        table: log::TABLE.name,
        worker_id: None,
        lease_id: None,
        operation_id: None,
        seq: None,
        detail: format!(
            "the events at positions {} to {} are lost",
            loss.from, loss.to
        ),
    }
}

/// The part of the log that nothing else has: what is whole, between what is lost.
#[derive(Default)]
struct Window {
    parts: Vec<Vec<Entry>>,
    lost: Vec<Loss>,
}

impl Window {
    fn read(rows: &mut impl Rows, state: &State) -> Result<Self, StoreError> {
        let floor = state.tail_floor;
        let (from, to) = (log::key(Position(0)), log::key(floor));
        let range = (from.as_bytes(), to.as_bytes());
        let first = rows.at_end(log::TABLE, range, End::Last, |key, _| key.to_vec())?;
        let first = first.unwrap_or_else(|| to.as_bytes().to_vec());
        let last = log::key(state.position);
        let mut window = Self {
            parts: vec![Vec::new()],
            lost: Vec::new(),
        };
        let mut expected = floor;
        let range = (first.as_slice(), last.as_bytes());
        rows.scan(log::TABLE, range, End::First, &mut |key, value| {
            match Pack::open_log(log::TABLE, key, value) {
                Ok(pack) => window.add(&pack, floor, &mut expected),
                Err(damage) => tracing::error!(%damage, "a pack of the log is damaged"),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        window.lose(expected, state.position.next());
        Ok(window)
    }

    fn add(&mut self, pack: &Pack, floor: Position, expected: &mut Position) {
        for entry in pack.events().map_while(Result::ok) {
            let position = entry.event.position;
            if position < floor.max(*expected) {
                continue;
            }
            self.lose(*expected, position);
            *expected = position.next();
            if let Some(part) = self.parts.last_mut() {
                part.push(entry);
            }
        }
    }

    /// Everything from `expected` on and before `next` is lost.
    fn lose(&mut self, expected: Position, next: Position) {
        if expected < next {
            let to = Position(next.0.saturating_sub(1));
            self.lost.push(Loss { from: expected, to });
            self.parts.push(Vec::new());
        }
    }

    /// The first item of each Worker in each part.
    fn items(&self) -> BTreeMap<(WorkerId, usize), ItemIndex> {
        let mut items = BTreeMap::new();
        for (part, entries) in self.parts.iter().enumerate() {
            for place in entries.iter().filter_map(|entry| entry.event.worker) {
                if let Some(item) = place.item {
                    items.entry((place.worker_id, part)).or_insert(item);
                }
            }
        }
        items
    }
}

struct Settling<'a> {
    state: &'a mut State,
    items: BTreeMap<(WorkerId, usize), ItemIndex>,
    /// `None` for a Worker whose tail can't be read.
    tails: HashMap<WorkerId, Option<(Tail, Stage)>>,
    damaged: &'a mut Vec<DamagedRecord>,
    value: Vec<u8>,
    scratch: Vec<u8>,
}

impl Settling<'_> {
    fn add(
        &mut self,
        rows: &mut Writing<'_>,
        part: usize,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let event = &entry.event;
        let Some(place) = event.worker else {
            return Ok(());
        };
        let slot = match self.tails.entry(place.worker_id) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => slot.insert(match Tail::load_known(rows, place.worker_id) {
                Ok(tail) => {
                    let stage = Stage::new(tail.state, tail.entries.len());
                    Some((tail, stage))
                }
                Err(StoreError::Damaged { table, detail }) => {
                    let worker_id = Some(place.worker_id);
                    self.damaged.push(DamagedRecord {
                        table,
                        worker_id,
                        lease_id: None,
                        operation_id: None,
                        seq: None,
                        detail,
                    });
                    None
                }
                Err(error) => return Err(error),
            }),
        };
        let Some((tail, stage)) = slot else {
            return Ok(());
        };
        let next = stage.state.header.next_seq();
        if place.seq < next {
            return Ok(());
        }
        let to = Place::History(place.worker_id);
        let mut packs = (Vec::new(), Vec::new());
        let mut out = output(rows, &mut self.value, &mut packs);
        if place.seq > next {
            stage.flush(to, &tail.entries, &mut out)?;
            stage.end();
            let later = self
                .items
                .range((place.worker_id, part)..=(place.worker_id, usize::MAX))
                .next()
                .map(|(_, item)| *item);
            let header = &mut stage.state.header;
            let lost = place.seq.0 - next.0;
            let bound = ItemIndex(header.first_item.0.saturating_add(lost));
            header.first_item = later.unwrap_or(bound);
            header.first_seq = place.seq;
        }
        let body = Body::of_entry(entry);
        let digest = pack::event_digest(event, body, &mut self.scratch)?;
        let encoded = EncodedEvent { digest, body };
        let store_ms = self.state.store_ms;
        let committed = || tail.entries.as_slice();
        stage.push(to, event, encoded, store_ms, committed, &mut out)?;
        self.state.history_bytes += out.history_grown;
        Ok(())
    }

    fn finish(self, rows: &mut Writing<'_>) -> Result<(), StoreError> {
        let Self {
            state,
            tails,
            mut value,
            ..
        } = self;
        for (worker_id, slot) in tails {
            let Some((tail, mut stage)) = slot else {
                continue;
            };
            let mut packs = (Vec::new(), Vec::new());
            let mut out = output(rows, &mut value, &mut packs);
            stage.flush(Place::History(worker_id), &tail.entries, &mut out)?;
            state.history_bytes += out.history_grown;
        }
        Ok(())
    }
}

fn output<'a, 't>(
    rows: &'a mut Writing<'t>,
    value: &'a mut Vec<u8>,
    packs: &'a mut (Vec<(Position, u64)>, Vec<WorkerId>),
) -> Output<'a, 't> {
    Output {
        rows,
        value,
        log_grown: 0,
        history_grown: 0,
        log_packs: &mut packs.0,
        touched: &mut packs.1,
    }
}
