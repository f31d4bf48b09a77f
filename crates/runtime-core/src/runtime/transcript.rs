//! A bounded reader of the committed transcript, for backends that build their context from it.

use std::{ops::Range, sync::Arc};

use super::shared::Shared;
use crate::{
    ItemIndex, Position, WorkerId,
    error::{ReadError, Unavailable},
    store::{Gap, KeepItems, TranscriptRequest, TranscriptSlice},
    view::TranscriptItem,
};

/// Some items of a transcript.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscriptPart {
    /// The items, in order.
    pub items: Vec<TranscriptItem>,
    /// What is missing of them, or after the last item that is known.
    pub gap: Option<Gap>,
    /// The item to read on from; `None` at the end.
    pub next: Option<u64>,
}

/// Reads a Worker's transcript up to the input that is being run.
#[derive(Clone)]
pub struct TranscriptReader {
    shared: Arc<Shared>,
    worker_id: WorkerId,
    until: Position,
}

impl TranscriptReader {
    pub(crate) fn new(shared: Arc<Shared>, worker_id: WorkerId, until: Position) -> Self {
        Self {
            shared,
            worker_id,
            until,
        }
    }

    /// How many items there are, the input that is being run included.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn len(&self) -> Result<u64, ReadError> {
        Ok(self.slice(ItemIndex(0)..ItemIndex(0))?.items.0)
    }

    /// Whether nothing was said yet.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn is_empty(&self) -> Result<bool, ReadError> {
        Ok(self.len()? == 0)
    }

    /// At most `count_max` items from item `from` on, and no more than the Runtime's limits of a
    /// page; at least one when there is one.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn read(&self, from: u64, count_max: usize) -> Result<TranscriptPart, ReadError> {
        let count = count_max.clamp(1, self.shared.limits.page_events_max) as u64;
        let slice = self.slice(ItemIndex(from)..ItemIndex(from.saturating_add(count)))?;
        let end = slice.covered.end;
        let items = slice.events.iter().filter_map(TranscriptItem::from_event);
        Ok(TranscriptPart {
            items: items.collect(),
            gap: slice.gap.or(slice.end_gap.filter(|_| end >= slice.items)),
            next: (end < slice.items).then_some(end.0),
        })
    }

    fn slice(&self, items: Range<ItemIndex>) -> Result<TranscriptSlice, ReadError> {
        let request = TranscriptRequest {
            worker_id: self.worker_id,
            items,
            until: self.until,
            bytes_max: self.shared.limits.page_bytes_max,
            keep: KeepItems::First,
        };
        let slice = self.shared.reader.transcript(&request);
        Ok(slice.map_err(Unavailable::from)?)
    }
}
