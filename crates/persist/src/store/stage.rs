//! Staging: what a batch adds to the tails, kept apart until the commit has succeeded.
//!
//! A failed commit leaves tails and readers as they were. The committed entries of a tail are not
//! copied: a stage holds the new ones and remembers whether the old ones still belong to its pack.

use std::collections::HashMap;

use worker_runtime_core::{Event, Position, WorkerId, store::StoreError};

use super::tails::{Tail, TailState};
use crate::{
    engine::Writing,
    layout::{age, history, log, stream},
    pack::{self, EncodedEvent, Kind},
};

/// What is staged of one stream.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) state: TailState,
    /// How many bytes of committed entries are the front of the open pack.
    front_len: usize,
    /// Entries behind them.
    fresh: Vec<u8>,
    /// After the commit the tail is let go; it is read from `history` when it is needed.
    pub(crate) forget: bool,
}

/// Where the rows of a stream's packs go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Log,
    History(WorkerId),
}

impl Place {
    fn kind(self) -> Kind {
        match self {
            Self::Log => Kind::Log,
            Self::History(_) => Kind::History,
        }
    }
}

/// How many bytes writing a pack added to its table.
pub(crate) type Grown = u64;

impl Stage {
    pub(crate) fn new(state: TailState, front_len: usize) -> Self {
        Self {
            state,
            front_len,
            fresh: Vec::new(),
            forget: false,
        }
    }

    fn reset(&mut self, state: TailState, front_len: usize) {
        self.state = state;
        self.front_len = front_len;
        self.fresh.clear();
        self.forget = false;
    }

    /// Appends an event; writes the open pack first when it is full. `committed` are the entries of
    /// the tail that the stage was begun from.
    pub(crate) fn push<'c>(
        &mut self,
        place: Place,
        event: &Event,
        encoded: EncodedEvent,
        store_ms: u64,
        committed: impl FnOnce() -> &'c [u8],
        out: &mut Output<'_, '_>,
    ) -> Result<(), StoreError> {
        let before = self.fresh.len();
        pack::encode(place.kind(), event, encoded.body, &mut self.fresh)?;
        let entry_len = self.fresh.len() - before;
        if !self
            .state
            .header
            .has_room(self.front_len + before, entry_len)
        {
            let full = self.fresh.get(..before).unwrap_or_default();
            let stored = write(place, &self.state, [self.front(committed()), full], out)?;
            self.state.stored_bytes = stored;
            self.state = self.state.ended();
            self.front_len = 0;
            self.fresh.drain(..before);
        }
        self.state.header.add(event, encoded, store_ms);
        self.state.unflushed_from.get_or_insert(event.position);
        Ok(())
    }

    /// Writes the open pack as far as it is filled; it goes on being filled.
    pub(crate) fn flush(
        &mut self,
        place: Place,
        committed: &[u8],
        out: &mut Output<'_, '_>,
    ) -> Result<(), StoreError> {
        if self.state.header.count > 0 && self.state.unflushed_from.is_some() {
            let entries = [self.front(committed), self.fresh.as_slice()];
            self.state.stored_bytes = write(place, &self.state, entries, out)?;
        }
        self.state.unflushed_from = None;
        Ok(())
    }

    /// Ends the open pack, which was just flushed: what comes next begins another one.
    pub(crate) fn end(&mut self) {
        self.state = self.state.ended();
        self.front_len = 0;
        self.fresh.clear();
    }

    fn front<'c>(&self, committed: &'c [u8]) -> &'c [u8] {
        committed.get(..self.front_len).unwrap_or_default()
    }

    /// Gives the committed tail what was staged.
    pub(crate) fn apply(&self, tail: &mut Tail) {
        tail.state = self.state;
        tail.entries.truncate(self.front_len);
        tail.entries.extend_from_slice(&self.fresh);
    }

    pub(crate) fn fresh_len(&self) -> usize {
        self.fresh.len()
    }
}

/// Where packs are written, and what that added up to.
pub(crate) struct Output<'a, 't> {
    pub(crate) rows: &'a mut Writing<'t>,
    pub(crate) value: &'a mut Vec<u8>,
    /// Bytes added to the log.
    pub(crate) log_grown: Grown,
    /// Bytes added to history.
    pub(crate) history_grown: Grown,
    /// Packs of the log that were begun: first position and length.
    pub(crate) log_packs: &'a mut Vec<(Position, u64)>,
    /// Workers of which a pack was written.
    pub(crate) touched: &'a mut Vec<WorkerId>,
}

fn write(
    place: Place,
    state: &TailState,
    entries: [&[u8]; 2],
    out: &mut Output<'_, '_>,
) -> Result<u64, StoreError> {
    let first = state.header.first_position;
    match place {
        Place::Log => {
            let key = log::key(first);
            pack::seal(
                log::TABLE,
                key.as_bytes(),
                &state.header,
                entries,
                out.value,
            );
            out.rows.put(log::TABLE, key.as_bytes(), out.value)?;
        }
        Place::History(worker_id) => {
            let key = history::key(worker_id, first);
            pack::seal(
                history::TABLE,
                key.as_bytes(),
                &state.header,
                entries,
                out.value,
            );
            out.rows.put(history::TABLE, key.as_bytes(), out.value)?;
            if state.stored_bytes == 0 {
                let key = age::key(first);
                out.rows
                    .put_bytes(age::TABLE, key.as_bytes(), &worker_id.to_bytes())?;
                let key = stream::newest_key(worker_id);
                out.rows.put_record(stream::TABLE, key.as_bytes(), &first)?;
            }
            out.touched.push(worker_id);
        }
    }
    let len = out.value.len() as u64;
    let grown = len.saturating_sub(state.stored_bytes);
    match place {
        Place::Log => {
            out.log_grown += grown;
            out.log_packs.push((first, len));
        }
        Place::History(_) => out.history_grown += grown,
    }
    Ok(len)
}

/// The stages of one batch. Their buffers are used again by the next one.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    index: HashMap<WorkerId, usize>,
    list: Vec<(WorkerId, Stage)>,
    used: usize,
}

impl Stages {
    /// Begins a batch.
    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.used = 0;
    }

    /// The stage of a Worker, if it was begun.
    pub(crate) fn of(&mut self, worker_id: WorkerId) -> Result<&mut Stage, StoreError> {
        let at = self.index.get(&worker_id);
        match at.and_then(|at| self.list.get_mut(*at)) {
            Some((_, stage)) => Ok(stage),
            None => Err(StoreError::Bug {
                invariant: "every Worker of a batch is staged".to_owned(),
            }),
        }
    }

    pub(crate) fn has(&self, worker_id: WorkerId) -> bool {
        self.index.contains_key(&worker_id)
    }

    /// Begins the stage of a Worker from its tail.
    pub(crate) fn begin(&mut self, worker_id: WorkerId, tail: &Tail) {
        let at = self.used;
        match self.list.get_mut(at) {
            Some((id, stage)) => {
                *id = worker_id;
                stage.reset(tail.state, tail.entries.len());
            }
            None => {
                let stage = Stage::new(tail.state, tail.entries.len());
                self.list.push((worker_id, stage));
            }
        }
        self.used += 1;
        self.index.insert(worker_id, at);
    }

    pub(crate) fn get(&self, worker_id: WorkerId) -> Option<&Stage> {
        let at = self.index.get(&worker_id)?;
        self.list.get(*at).map(|(_, stage)| stage)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, &Stage)> {
        self.list
            .iter()
            .take(self.used)
            .map(|(worker_id, stage)| (*worker_id, stage))
    }
}
