//! Tails: the newest events of each Worker, in memory until their pack is full or old.
//!
//! They save a page of the engine per Worker and commit. What is here is committed (it stands in
//! `log`), so a crash loses nothing: an open rebuilds them. The writer alone changes them, after a
//! commit; a reader takes its copy *before* its read transaction, so that what is flushed in between
//! is seen in `history` (I10).

use std::collections::HashMap;

use bytes::Bytes;
use worker_runtime_core::{
    Position, Seq, Stream, WorkerId,
    store::{StoreError, WorkerHead},
};

use super::{heal, losses};
use crate::{
    codec::{self, Damage},
    engine::{End, Rows},
    layout::{
        history, log,
        stream::{self, Base},
    },
    pack::{Header, Kind, PACK_LEN_MAX_BYTES, Pack},
};

/// The account of a pack that is being filled, and of the stream up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TailState {
    /// The open pack; with no event in it, what the next one follows on.
    pub(crate) header: Header,
    /// How long the row of the open pack is, as it was last stored; 0 when it never was.
    pub(crate) stored_bytes: u64,
    /// The oldest event that stands only in `log`.
    pub(crate) unflushed_from: Option<Position>,
}

impl TailState {
    pub(crate) fn empty(kind: Kind) -> Self {
        Self {
            header: Header::empty(kind),
            stored_bytes: 0,
            unflushed_from: None,
        }
    }

    /// Where the stream stands.
    pub(crate) fn head(&self) -> WorkerHead {
        WorkerHead {
            seq: self.header.last_seq(),
            position: self.header.last_position,
            items: self.header.next_item(),
        }
    }

    /// What follows on the open pack as it was stored; nothing changes when it holds no event.
    pub(crate) fn ended(&self) -> Self {
        if self.header.count == 0 {
            return *self;
        }
        Self {
            header: self.header.following(self.stored_bytes),
            stored_bytes: 0,
            unflushed_from: None,
        }
    }

    /// What follows when all of a stream was trimmed.
    pub(crate) fn after(base: &Base) -> Self {
        let mut state = Self::empty(Kind::History);
        state.header.first_seq = base.seq.next();
        state.header.first_item = base.items;
        state.header.last_position = base.position;
        state.header.chain_before = base.chain;
        state.header.chain_after = base.chain;
        state.header.bytes_before = base.bytes;
        state
    }
}

/// The tail of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) state: TailState,
    /// The entries of the open pack.
    pub(crate) entries: Vec<u8>,
}

impl Tail {
    pub(crate) fn empty(kind: Kind) -> Self {
        Self {
            state: TailState::empty(kind),
            entries: Vec::new(),
        }
    }

    /// The tail that a stored pack is: it goes on being filled, or a new one follows on it.
    pub(crate) fn of_pack(pack: &Pack, stored_bytes: u64) -> Self {
        let state = TailState {
            header: pack.header,
            stored_bytes,
            unflushed_from: None,
        };
        let mut tail = Self {
            state,
            entries: Vec::new(),
        };
        if stored_bytes < (PACK_LEN_MAX_BYTES as u64) / 4 * 3 {
            tail.entries = pack.entries().to_vec();
        } else {
            tail.state = state.ended();
        }
        tail
    }

    /// A Worker's tail as `history` tells it; a damaged last pack is made again from the log if that
    /// still has its events, and is unflushed then.
    ///
    /// # Errors
    /// When the last pack is damaged and the log can't help, or when the row that says what was
    /// trimmed is damaged.
    pub(crate) fn load(rows: &mut impl Rows, worker_id: WorkerId) -> Result<Self, StoreError> {
        let mut tail = Self::load_known(rows, worker_id)?;
        losses::skip(rows, &mut tail)?;
        Ok(tail)
    }

    /// The same, as it was before the event with this seq: a Worker that began after a part of the log
    /// was lost skipped nothing.
    pub(super) fn load_before(
        rows: &mut impl Rows,
        worker_id: WorkerId,
        seq: Seq,
    ) -> Result<Self, StoreError> {
        let mut tail = Self::load_known(rows, worker_id)?;
        if seq > tail.state.header.next_seq() {
            losses::skip(rows, &mut tail)?;
        }
        Ok(tail)
    }

    /// The same, without the seqs that may have been lost with a part of the log.
    pub(crate) fn load_known(
        rows: &mut impl Rows,
        worker_id: WorkerId,
    ) -> Result<Self, StoreError> {
        let loaded = Self::load_stored(rows, worker_id);
        if let Ok(tail) = &loaded
            && is_lost_after(rows, worker_id, tail.state.header.last_position)?
        {
            return Err(Damage::of(history::TABLE, "the newest pack is not there"));
        }
        let Err(StoreError::Damaged { .. }) = &loaded else {
            return loaded;
        };
        let healed = match heal::newest_in_log(rows)? {
            Some(newest) => heal::tail(rows, worker_id, newest)?,
            None => None,
        };
        match healed {
            Some(tail) => {
                tracing::warn!(%worker_id, "a damaged pack was made again from the log");
                Ok(tail)
            }
            None => loaded,
        }
    }

    fn load_stored(rows: &mut impl Rows, worker_id: WorkerId) -> Result<Self, StoreError> {
        let (first, last) = (
            history::key(worker_id, Position(0)),
            history::key(worker_id, Position(u64::MAX)),
        );
        let range = (first.as_bytes(), last.as_bytes());
        let found = rows.at_end(history::TABLE, range, End::Last, |key, value| {
            Pack::open_history(history::TABLE, key, value, worker_id)
                .map(|pack| Self::of_pack(&pack, value.len() as u64))
                .map_err(|damage| damage.in_table(history::TABLE))
        })?;
        match found {
            Some(tail) => tail,
            None => Ok(Self {
                state: TailState::after(&load_base(rows, Stream::Worker(worker_id))?),
                entries: Vec::new(),
            }),
        }
    }

    /// The tail as a pack that can be read.
    pub(crate) fn to_pack(&self, worker_id: WorkerId) -> Pack {
        Pack::of_tail(
            self.state.header,
            Bytes::copy_from_slice(&self.entries),
            worker_id,
        )
    }
}

/// What was trimmed from the front of a stream; nothing, when there is no row. When the row is damaged,
/// the first pack that is left tells the same, but for the position: of that it tells an upper bound.
///
/// # Errors
/// When both are damaged.
pub(crate) fn load_base(rows: &mut impl Rows, stream: Stream) -> Result<Base, StoreError> {
    let key = stream::base_key(stream);
    let base = rows.get(stream::TABLE, key.as_bytes(), |value| {
        value.map(|value| codec::open_record::<Base>(stream::TABLE, key.as_bytes(), value))
    })?;
    let damage = match base {
        None => return Ok(Base::default()),
        Some(Ok(base)) => return Ok(base),
        Some(Err(damage)) => damage,
    };
    tracing::warn!(?stream, %damage, "the record of what was trimmed is damaged");
    let (table, from, to) = match stream {
        Stream::Runtime => (
            log::TABLE,
            log::key(Position(0)),
            log::key(Position(u64::MAX)),
        ),
        Stream::Worker(worker_id) => (
            history::TABLE,
            history::key(worker_id, Position(0)),
            history::key(worker_id, Position(u64::MAX)),
        ),
    };
    let range = (from.as_bytes(), to.as_bytes());
    let first = rows.at_end(table, range, End::First, |key, value| {
        Pack::open_header(table, key, value)
    })?;
    match first {
        Some(Ok(header)) => Ok(Base::before(&header)),
        _ => Err(damage.in_table(stream::TABLE)),
    }
}

/// Whether the newest pack that was ever written of a Worker begins after this position.
pub(crate) fn is_lost_after(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    reached: Position,
) -> Result<bool, StoreError> {
    let key = stream::newest_key(worker_id);
    let newest = rows.get(stream::TABLE, key.as_bytes(), |value| {
        value.map(|value| codec::open_record::<Position>(stream::TABLE, key.as_bytes(), value))
    })?;
    // A damaged row says nothing, as does one that an older store never had.
    Ok(matches!(newest, Some(Ok(first)) if first > reached))
}

impl Base {
    /// What was trimmed before this pack.
    fn before(header: &Header) -> Self {
        Self {
            position: Position(header.first_position.0.saturating_sub(1)),
            seq: Seq(header.first_seq.0.saturating_sub(1)),
            items: header.first_item,
            chain: header.chain_before,
            bytes: header.bytes_before,
        }
    }
}

/// All tails, and the position up to which they are true.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    /// Everything up to here is committed.
    pub(crate) committed: Position,
    pub(crate) by_worker: HashMap<WorkerId, Tail>,
    /// The bytes of all entries.
    pub(crate) bytes: usize,
}
