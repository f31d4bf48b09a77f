//! A bounded reader of the committed transcript, for backends that build their context from it.

use std::sync::Arc;

use super::shared::Shared;
use crate::{
    ItemIndex, Position, WorkerId,
    error::{ReadError, Unavailable},
    view::TranscriptItem,
};

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
        let none = ItemIndex(0)..ItemIndex(0);
        Ok(self
            .shared
            .reader
            .transcript(self.worker_id, none, self.until)
            .map_err(Unavailable::from)?
            .items
            .0)
    }

    /// Whether nothing was said yet.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn is_empty(&self) -> Result<bool, ReadError> {
        Ok(self.len()? == 0)
    }

    /// At most `count_max` items from item `from` on; bounded by the Runtime's page limit.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn read(&self, from: u64, count_max: usize) -> Result<Vec<TranscriptItem>, ReadError> {
        let count = count_max.min(self.shared.limits.page_events_max) as u64;
        let items = ItemIndex(from)..ItemIndex(from.saturating_add(count));
        let slice = self
            .shared
            .reader
            .transcript(self.worker_id, items, self.until)
            .map_err(Unavailable::from)?;
        Ok(slice
            .events
            .iter()
            .filter_map(TranscriptItem::from_event)
            .collect())
    }
}
