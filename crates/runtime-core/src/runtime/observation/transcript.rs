//! Pages of what was said, from either end, and what has not ended yet. Items that are damaged are
//! told as a gap, and so is an end that is: nothing that is not known looks as if it were not there
//! (I7, I10).

use super::Observation;
use crate::{
    BlockId, Code, Generation, ItemIndex, Stream, WorkerId,
    error::{ReadError, Unavailable},
    store::{InFlightBlock, KeepItems, StoreError, TranscriptRequest},
    view::{TranscriptItem, TranscriptPage, UnfinishedBlock},
};

/// From which end a transcript is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptFrom {
    /// From this item on.
    Item(u64),
    /// The newest ones.
    End,
    /// Those before this item.
    Before(u64),
}

/// What has not ended; none of it, and why, when some is damaged.
type Unfinished = (Vec<UnfinishedBlock>, Option<Code>);

impl Observation {
    /// A page of a Worker's transcript, and what has not ended of it. At least one item is given,
    /// and no more than the Runtime's limits of a page.
    ///
    /// # Errors
    /// [`ReadError`] when the Worker is unknown or the store can't be read.
    pub fn transcript(
        &self,
        worker_id: WorkerId,
        from: TranscriptFrom,
        count_max: usize,
    ) -> Result<TranscriptPage, ReadError> {
        let until = {
            let (snapshot, position) = self.shared.read();
            self.shared.check_readable(&snapshot, worker_id)?;
            position
        };
        let (reader, limits) = (&self.shared.reader, &self.shared.limits);
        let mut request = TranscriptRequest {
            worker_id,
            items: ItemIndex(0)..ItemIndex(0),
            until,
            bytes_max: limits.page_bytes_max,
            keep: KeepItems::First,
        };
        let count = count_max.clamp(1, limits.page_events_max) as u64;
        let known = reader.transcript(&request).map_err(Unavailable::from)?;
        let total = known.items.0;
        let (first, end) = match from {
            TranscriptFrom::Item(first) => (first, first.saturating_add(count)),
            TranscriptFrom::End => (total.saturating_sub(count), total),
            TranscriptFrom::Before(end) => {
                let end = end.min(total);
                (end.saturating_sub(count), end)
            }
        };
        request.items = ItemIndex(first)..ItemIndex(end.min(total).max(first));
        if !matches!(from, TranscriptFrom::Item(_)) {
            request.keep = KeepItems::Last;
        }
        let slice = reader.transcript(&request).map_err(Unavailable::from)?;
        let (start, end) = (slice.covered.start.0, slice.covered.end.0);
        let items = slice.events.iter().filter_map(TranscriptItem::from_event);
        let items_total_exact = slice.end_gap.is_none();
        let end_gap = slice.end_gap.filter(|_| end >= total);
        // A page tells of one gap: where there are two, the one at the end has the next page.
        let is_more = end < total || end_gap.is_some() && slice.gap.is_some();
        let (unfinished, unfinished_damaged) = self.unfinished(worker_id)?;
        Ok(TranscriptPage {
            worker_id,
            items: items.collect(),
            gap: slice.gap.or(end_gap),
            items_total: total,
            items_total_exact,
            next: is_more.then_some(end),
            previous: (start > 0).then_some(start.min(total)),
            unfinished,
            unfinished_damaged,
            cursor: self.shared.cursor(Stream::Worker(worker_id), until),
        })
    }

    /// Blocks that have not ended: from the live run, or as they were last checkpointed.
    fn unfinished(&self, worker_id: WorkerId) -> Result<Unfinished, ReadError> {
        if self.is_live() {
            return Ok((self.shared.live.unfinished(worker_id), None));
        }
        let stored = match self.shared.reader.in_flight(worker_id) {
            Err(StoreError::Damaged { .. }) => return Ok((Vec::new(), Some(Code::RecordDamaged))),
            stored => stored.map_err(Unavailable::from)?,
        };
        let current = self.current_generation(worker_id, &stored);
        let of_run = stored
            .into_iter()
            .filter(|block| Some(block.block.generation) == current);
        let blocks = of_run.map(|block| UnfinishedBlock {
            block: block.block,
            kind: block.kind,
            text: String::from_utf8_lossy(&block.bytes).into_owned(),
            offset_bytes: block.bytes.len() as u64,
        });
        Ok((blocks.collect(), None))
    }

    /// The generation of the run that has not ended. What an earlier one left is not its output.
    fn current_generation(
        &self,
        worker_id: WorkerId,
        stored: &[InFlightBlock],
    ) -> Option<Generation> {
        let (snapshot, _) = self.shared.read();
        match snapshot.workers.get(&worker_id) {
            Some(worker) => Some(worker.unfinished.front()?.run.as_ref()?.generation),
            // Of a damaged Worker the newest is all that is known.
            None => stored
                .iter()
                .map(
                    |InFlightBlock {
                         block: BlockId { generation, .. },
                         ..
                     }| *generation,
                )
                .max(),
        }
    }
}
