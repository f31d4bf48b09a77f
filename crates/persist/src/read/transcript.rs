//! A Worker's transcript items, from either end: packs carry their first item and how many there are,
//! so that a page costs a search and its own packs.

use std::ops::{ControlFlow, Range};

use worker_runtime_core::{
    ItemIndex, Position, Stream, WorkerId,
    store::{Gap, StoreError, TranscriptSlice},
};

use super::{
    Snapshot,
    replay::readable_until,
    walk::{Found, Walk},
};
use crate::{
    codec::Damage,
    engine::{End, Rows},
    layout::history,
    pack::{Header, Pack},
    store::tails::load_base,
};

pub(super) fn slice(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    wanted: Range<ItemIndex>,
    until: Position,
    snapshot: Snapshot,
) -> Result<TranscriptSlice, StoreError> {
    let until = readable_until(until, &snapshot);
    let mut slice = TranscriptSlice {
        items: count(rows, worker_id, until, &snapshot)?,
        ..TranscriptSlice::default()
    };
    let end = wanted.end.min(slice.items);
    if wanted.start >= end {
        return Ok(slice);
    }
    let after = before_item(rows, worker_id, wanted.start, until)?;
    let mut walk = Walk::new(rows, Stream::Worker(worker_id), after, until)?;
    let first_left = walk.base().items;
    let mut next = wanted.start;
    let mut missing: Option<Gap> = None;
    let mut told = None;
    let mut events = Vec::new();
    let _all = walk.run(&snapshot, &mut |found| {
        match found {
            Found::Missing(gap) => missing = Some(gap),
            Found::Event(event) => {
                let item = event.worker.and_then(|place| place.item);
                let Some(item) = item.filter(|item| *item >= wanted.start) else {
                    return ControlFlow::Continue(());
                };
                // Only a gap that swallowed items that are asked for is told.
                if item > next && told.is_none() {
                    told = missing.take();
                }
                if item >= end {
                    return ControlFlow::Break(());
                }
                next = item.next();
                events.push(event);
            }
        }
        ControlFlow::Continue(())
    })?;
    if next < end && told.is_none() {
        told = missing;
    }
    if wanted.start < first_left && told.is_none() {
        told = trimmed(rows, worker_id)?;
    }
    slice.events = events;
    slice.gap = told;
    Ok(slice)
}

/// The gap that retention left at the front.
fn trimmed(rows: &mut impl Rows, worker_id: WorkerId) -> Result<Option<Gap>, StoreError> {
    let base = load_base(rows, Stream::Worker(worker_id))?;
    Ok(Some(Gap {
        cause: worker_runtime_core::store::GapCause::Retention,
        from: Position(1),
        to: base.position,
        seqs: Some((worker_runtime_core::Seq(1), base.seq)),
        code: None,
    }))
}

/// How many items there are up to `until`.
fn count(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    until: Position,
    snapshot: &Snapshot,
) -> Result<ItemIndex, StoreError> {
    if let Some(state) = snapshot.state
        && state.head().position <= until
    {
        return Ok(state.head().items);
    }
    let base = load_base(rows, Stream::Worker(worker_id))?;
    let (mut items, mut after) = (base.items, base.position);
    if let Some((first, header)) = header_at(rows, worker_id, until)? {
        match header {
            Ok(header) if header.last_position <= until => return Ok(header.next_item()),
            Ok(header) => (items, after) = (header.first_item, Position(first.0.saturating_sub(1))),
            // Counting from the front finds what is behind the damage.
            Err(_) => {}
        }
    }
    let mut walk = Walk::new(rows, Stream::Worker(worker_id), after, until)?;
    let _all = walk.run(snapshot, &mut |found| {
        if let Found::Event(event) = found
            && let Some(item) = event.worker.and_then(|place| place.item)
        {
            items = item.next();
        }
        ControlFlow::Continue(())
    })?;
    Ok(items)
}

/// A position from which a walk comes to this item: that before its pack.
///
/// Packs are found by position, so this halves the range of positions; a damaged pack on the way ends
/// the search early, which only makes the walk longer.
fn before_item(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    item: ItemIndex,
    until: Position,
) -> Result<Position, StoreError> {
    let base = load_base(rows, Stream::Worker(worker_id))?;
    let (mut low, mut high) = (base.position, until);
    let mut found = base.position;
    while low < high {
        let middle = Position(low.0 + (high.0 - low.0).div_ceil(2));
        let Some((first, header)) = header_at(rows, worker_id, middle)? else {
            low = middle;
            continue;
        };
        let Ok(header) = header else { break };
        if header.first_item > item {
            high = Position(first.0.saturating_sub(1));
        } else {
            found = found.max(Position(first.0.saturating_sub(1)));
            if header.next_item() > item {
                break;
            }
            low = middle;
        }
    }
    Ok(found)
}

/// A pack's first position, as its key has it, and its header.
type AtKey = (Position, Result<Header, Damage>);

/// The pack that holds this position, or the one before it.
fn header_at(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    position: Position,
) -> Result<Option<AtKey>, StoreError> {
    let (from, to) = (
        history::key(worker_id, Position(0)),
        history::key(worker_id, position),
    );
    let range = (from.as_bytes(), to.as_bytes());
    let found = rows.at_end(history::TABLE, range, End::Last, |key, value| {
        let header = Pack::open_header(history::TABLE, key, value);
        history::parse(key).map(|(_, first)| (first, header))
    })?;
    found
        .transpose()
        .map_err(|damage| damage.in_table(history::TABLE))
}
