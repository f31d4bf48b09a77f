//! A Worker's transcript items, from either end: packs carry their first item and how many there are,
//! so that a page costs a search and its own packs.

use std::{
    collections::VecDeque,
    ops::{ControlFlow, Range},
};

use worker_runtime_core::{
    Event, ItemIndex, Position, Stream, WorkerId,
    store::{Gap, KeepItems, StoreError, TranscriptRequest, TranscriptSlice},
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
    store::tails::{is_lost_after, load_base},
};

pub(super) fn slice(
    rows: &mut impl Rows,
    request: &TranscriptRequest,
    snapshot: Snapshot,
) -> Result<TranscriptSlice, StoreError> {
    let (worker_id, wanted) = (request.worker_id, &request.items);
    let until = readable_until(request.until, &snapshot);
    let Count { items, end_gap } = count(rows, worker_id, until, &snapshot)?;
    let end = wanted.end.min(items);
    if wanted.start >= end {
        return Ok(TranscriptSlice {
            covered: wanted.start..wanted.start,
            items,
            end_gap,
            ..TranscriptSlice::default()
        });
    }
    let after = before_item(rows, worker_id, wanted.start, until)?;
    let mut walk = Walk::new(rows, Stream::Worker(worker_id), after, until)?;
    let first_left = walk.base().items;
    let mut part = Part::new(request, end);
    let _all = walk.run(&snapshot, &mut |found| part.take(found))?;
    let mut slice = part.end();
    if slice.covered.start < first_left && slice.gap.is_none() {
        slice.gap = trimmed(rows, worker_id)?;
    }
    Ok(TranscriptSlice {
        items,
        end_gap,
        ..slice
    })
}

/// What is gathered of the items that are asked for.
struct Part {
    keep: KeepItems,
    bytes_max: usize,
    covered: Range<ItemIndex>,
    events: VecDeque<Event>,
    bytes: usize,
    /// The item that is looked for next.
    next: ItemIndex,
    /// What was told as missing since the last event.
    missing: Option<Gap>,
    /// What swallowed items that are asked for, each with the item after it.
    gaps: VecDeque<(ItemIndex, Gap)>,
}

impl Part {
    fn new(request: &TranscriptRequest, end: ItemIndex) -> Self {
        Self {
            keep: request.keep,
            bytes_max: request.bytes_max,
            covered: request.items.start..end,
            events: VecDeque::new(),
            bytes: 0,
            next: request.items.start,
            missing: None,
            gaps: VecDeque::new(),
        }
    }

    fn take(&mut self, found: Found) -> ControlFlow<()> {
        let event = match found {
            Found::Missing(gap) => {
                self.missing = Some(gap);
                return ControlFlow::Continue(());
            }
            Found::Event(event) => event,
        };
        let item = event.worker.and_then(|place| place.item);
        let Some(item) = item.filter(|item| *item >= self.covered.start) else {
            return ControlFlow::Continue(());
        };
        let bytes = self.bytes.saturating_add(event.data.len());
        let is_wanted = item < self.covered.end;
        let is_full = is_wanted && bytes > self.bytes_max && !self.events.is_empty();
        if is_full && self.keep == KeepItems::First {
            // A gap before this one is told with it.
            self.covered.end = self.next;
            return ControlFlow::Break(());
        }
        // A gap that swallowed no item is not told.
        if let Some(gap) = self.missing.take()
            && item > self.next
        {
            self.gaps.push_back((item.min(self.covered.end), gap));
        }
        self.next = item.next();
        if !is_wanted {
            return ControlFlow::Break(());
        }
        self.bytes = bytes;
        self.events.push_back(event);
        while self.bytes > self.bytes_max && self.events.len() > 1 {
            self.drop_first();
        }
        ControlFlow::Continue(())
    }

    /// The first one has no room; what is missing up to the next one is told with it.
    fn drop_first(&mut self) {
        let Some(gone) = self.events.pop_front() else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(gone.data.len());
        let first = self.events.front().and_then(|event| event.worker?.item);
        if let Some(first) = first {
            self.covered.start = first;
            self.gaps.retain(|(item, _)| *item > first);
        }
    }

    fn end(mut self) -> TranscriptSlice {
        if self.next < self.covered.end
            && let Some(gap) = self.missing.take()
        {
            self.gaps.push_back((self.covered.end, gap));
        }
        TranscriptSlice {
            events: self.events.into(),
            covered: self.covered,
            gap: self.gaps.pop_front().map(|(_, gap)| gap),
            ..TranscriptSlice::default()
        }
    }
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

/// How many items there are, as far as is known.
struct Count {
    items: ItemIndex,
    /// What is missing after the last of them: nobody knows how many items that held.
    end_gap: Option<Gap>,
}

/// How many items there are up to `until`.
fn count(
    rows: &mut impl Rows,
    worker_id: WorkerId,
    until: Position,
    snapshot: &Snapshot,
) -> Result<Count, StoreError> {
    let exact = |items| Count {
        items,
        end_gap: None,
    };
    if let Some(state) = snapshot.state
        && state.head().position <= until
    {
        return Ok(exact(state.head().items));
    }
    let base = load_base(rows, Stream::Worker(worker_id))?;
    let (mut counted, mut after) = (exact(base.items), base.position);
    if let Some((first, header)) = header_at(rows, worker_id, until)? {
        let tail = snapshot.tail.as_ref().map(|tail| &tail.header);
        let in_tail = tail.is_some_and(|tail| tail.first_position <= until);
        match header {
            Ok(header) if header.last_position <= until => {
                // What is missing behind it is found by going on.
                if !in_tail && !is_lost_after(rows, worker_id, header.last_position)? {
                    return Ok(exact(header.next_item()));
                }
                (counted.items, after) = (header.next_item(), header.last_position);
            }
            Ok(header) => {
                counted.items = header.first_item;
                after = Position(first.0.saturating_sub(1));
            }
            // Counting from the front finds what is behind the damage.
            Err(_) => {}
        }
    }
    let mut walk = Walk::new(rows, Stream::Worker(worker_id), after, until)?;
    let _all = walk.run(snapshot, &mut |found| {
        match found {
            Found::Missing(gap) => counted.end_gap = Some(gap),
            Found::Event(event) => {
                if let Some(item) = event.worker.and_then(|place| place.item) {
                    counted = exact(item.next());
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(counted)
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
