//! Pins: what retention must not trim, also over a restart, until whoever reads it is done.

use worker_runtime_core::{Position, store::StoreError};

use super::PackedStore;
use crate::{
    engine::Writing,
    layout::{
        meta,
        pin::{self, Pin},
    },
};

impl PackedStore {
    /// Keeps retention from trimming anything at or after `from`.
    pub(crate) fn pin(&mut self, from: Position) -> Result<u64, StoreError> {
        let id = self.pins.last_key_value().map_or(1, |(id, _)| id + 1);
        self.medium.make_room(false)?;
        self.change_pin(|rows| {
            let key = pin::key(id);
            rows.put_record(pin::TABLE, key.as_bytes(), &Pin { id, from })
        })?;
        self.pins.insert(id, from);
        Ok(id)
    }

    /// Lets go of a pin.
    pub(crate) fn unpin(&mut self, id: u64) -> Result<(), StoreError> {
        self.change_pin(|rows| {
            let key = pin::key(id);
            rows.remove(pin::TABLE, key.as_bytes()).map(|_| ())
        })?;
        self.pins.remove(&id);
        Ok(())
    }

    fn change_pin(
        &mut self,
        change: impl FnOnce(&mut Writing<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.known()?;
        let mut next = self.state.clone();
        let written = self
            .shared
            .engine
            .write(self.mode(), &self.state.sums, |rows| {
                change(rows)?;
                next.sums = rows.sums();
                rows.put_record(meta::TABLE, meta::STATE, &next)
            });
        self.note(written)?;
        self.state = next;
        self.dirty = true;
        Ok(())
    }
}
