//! A damaged pack of a Worker's history, made again from the log while the log still has its events
//! (I7). What is served was verified twice: each log pack by its checksum, and the events by the chain
//! of their Worker, from the pack before to the pack after.

use worker_runtime_core::{Digest, Position, Seq, Stream, WorkerId, store::StoreError};

use super::tails::{Tail, TailState, load_base};
use crate::{
    codec::Damage,
    engine::{End, Rows},
    layout::{history, log},
    pack::{self, Body, EncodedEvent, Entry, Header, Kind, Pack},
};

/// What a stretch of damaged packs follows on.
pub(crate) struct Before {
    /// An empty pack where the stretch begins.
    pub(crate) header: Header,
    /// The first position of the stretch.
    pub(crate) first: Position,
}

/// What the damaged pack at `first`, and the damaged ones right before it, had to follow on.
pub(crate) fn before(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    mut first: Position,
) -> Result<Before, StoreError> {
    loop {
        // No pack begins at 0, but a damaged key may say so: nothing is before that.
        let pack = match first.0.checked_sub(1) {
            None => None,
            Some(last) => {
                let from = history::key(worker_id, Position(0));
                let to = history::key(worker_id, Position(last));
                let range = (from.as_bytes(), to.as_bytes());
                rows.at_end(history::TABLE, range, End::Last, |key, value| {
                    let header = Pack::open_header(history::TABLE, key, value)
                        .map(|header| header.following(value.len() as u64));
                    history::parse(key).map(|(_, first)| (first, header))
                })?
            }
        };
        let header = match pack.transpose() {
            Ok(Some((_, Ok(header)))) => header,
            Ok(Some((earlier, Err(_)))) => {
                first = earlier;
                continue;
            }
            Ok(None) => {
                let base = load_base(rows, Stream::Worker(worker_id))?;
                TailState::after(&base).header
            }
            Err(damage) => return Err(damage.in_table(history::TABLE)),
        };
        return Ok(Before { header, first });
    }
}

/// What the log has of a Worker from one position to another; `None` unless the log is whole there.
fn from_log(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    from: Position,
    to: Position,
) -> Result<Option<Vec<Entry>>, StoreError> {
    let mut entries = Vec::new();
    let mut expected = from;
    while expected <= to {
        let (first, last) = (log::key(Position(0)), log::key(expected));
        let range = (first.as_bytes(), last.as_bytes());
        let pack = rows.at_end(log::TABLE, range, End::Last, |key, value| {
            Pack::open_log(log::TABLE, key, value)
        })?;
        let Some(Ok(pack)) = pack else {
            return Ok(None);
        };
        if pack.header.last_position < expected {
            return Ok(None);
        }
        for entry in pack.events() {
            let Ok(entry) = entry else { return Ok(None) };
            let is_owners = entry
                .event
                .worker
                .is_some_and(|place| place.worker_id == worker_id);
            let position = entry.event.position;
            if is_owners && from <= position && position <= to {
                entries.push(entry);
            }
        }
        expected = pack.header.last_position.next();
    }
    Ok(Some(entries))
}

/// What is missing from a Worker's stream.
pub(crate) struct Missing {
    pub(crate) worker_id: WorkerId,
    /// Positions between the events that are there.
    pub(crate) positions: (Position, Position),
    /// The seqs that are missing.
    pub(crate) seqs: (Seq, Seq),
    /// The chain before and after them.
    pub(crate) chains: (Digest, Digest),
}

/// Exactly what is missing, out of the log; `None` unless all of it is there and fits.
pub(crate) fn missing(
    rows: &mut impl Rows,
    missing: &Missing,
) -> Result<Option<Vec<Entry>>, StoreError> {
    let (from, to) = missing.positions;
    let Some(entries) = from_log(rows, missing.worker_id, from, to)? else {
        return Ok(None);
    };
    let (mut next, last) = missing.seqs;
    let (mut chain, after) = missing.chains;
    let mut scratch = Vec::new();
    for entry in &entries {
        if entry.event.worker.is_none_or(|place| place.seq != next) {
            return Ok(None);
        }
        let digest = pack::event_digest(&entry.event, Body::of_entry(entry), &mut scratch)?;
        chain = pack::link(chain, digest);
        next = next.next();
    }
    let fits = next == last.next() && chain == after;
    Ok(fits.then_some(entries))
}

/// The tail of a Worker whose last pack is damaged, made again from the log. It is not in `history`
/// until it is flushed, which overwrites the damaged row.
pub(super) fn tail(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    newest: Position,
) -> Result<Option<Tail>, StoreError> {
    let (from, to) = (
        history::key(worker_id, Position(0)),
        history::key(worker_id, Position(u64::MAX)),
    );
    let range = (from.as_bytes(), to.as_bytes());
    let last = rows.at_end(history::TABLE, range, End::Last, |key, value| {
        history::parse(key).map(|(_, first)| (first, value.len() as u64))
    })?;
    let Some(Ok((first, stored_bytes))) = last else {
        return Ok(None);
    };
    let Before {
        mut header,
        first: begin,
    } = before(rows, worker_id, first)?;
    let Some(entries) = from_log(rows, worker_id, begin, newest)? else {
        return Ok(None);
    };
    // Earlier damaged packs only say how many events and items come before.
    let (mut tail, mut scratch) = (Tail::empty(Kind::History), Vec::new());
    tail.state.stored_bytes = stored_bytes;
    for entry in &entries {
        let event = &entry.event;
        if event.position == first {
            header = header.following(0);
            header.kind = Kind::History;
        }
        if event.worker.map(|place| place.seq) != Some(header.next_seq()) {
            return Ok(None);
        }
        let body = Body::of_entry(entry);
        let digest = pack::event_digest(event, body, &mut scratch)?;
        header.add(event, EncodedEvent { digest, body }, 0);
        if event.position >= first {
            pack::encode(Kind::History, event, body, &mut tail.entries)?;
        }
    }
    tail.state.header = header;
    let is_whole = tail.state.header.count > 0 && tail.state.header.first_position == first;
    tail.state.unflushed_from = is_whole.then_some(first);
    Ok(is_whole.then_some(tail))
}

/// The newest position that the log has.
pub(super) fn newest_in_log(rows: &mut impl Rows) -> Result<Option<Position>, StoreError> {
    let (from, to) = (log::key(Position(0)), log::key(Position(u64::MAX)));
    let range = (from.as_bytes(), to.as_bytes());
    let header = rows.at_end(log::TABLE, range, End::Last, |key, value| {
        Pack::open_header(log::TABLE, key, value)
    })?;
    let header = header.and_then(|header: Result<Header, Damage>| header.ok());
    Ok(header.map(|header| header.last_position))
}
