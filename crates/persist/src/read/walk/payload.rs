//! Payloads that are kept in pieces beside their event.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use worker_runtime_core::{
    Digest, Event, Stream, WorkerId,
    record::{Lifecycle, WorkerRecord},
    store::{GapCause, StoreError},
};

use super::Walk;
use crate::{
    codec::{self, Damage},
    engine::{End, Rows},
    layout::{
        large::{self, Owner},
        worker,
    },
    pack::PURGED_DATA,
    store::tails::load_base,
};

impl<R: Rows> Walk<'_, R> {
    /// The pieces of a payload, joined and compared with its digest.
    pub(super) fn large(
        &mut self,
        event: &Event,
        len: usize,
    ) -> Result<Result<Bytes, (GapCause, Damage)>, StoreError> {
        let owner = Owner::of(event);
        let mut data = BytesMut::with_capacity(len.min(1 << 24));
        let (from, to) = (owner.key(0), owner.key(u32::MAX));
        let mut damage = None;
        self.rows.scan(
            large::TABLE,
            (from.as_bytes(), to.as_bytes()),
            End::First,
            &mut |key, value| match codec::open(large::TABLE, key, value) {
                Ok(piece) => {
                    data.extend_from_slice(piece);
                    Ok(ControlFlow::Continue(()))
                }
                Err(found) => {
                    damage = Some(found);
                    Ok(ControlFlow::Break(()))
                }
            },
        )?;
        if damage.is_none() && (data.len() != len || Digest::of(&data) != event.data_digest) {
            damage = Some("its pieces don't join to what was written".into());
        }
        let Some(damage) = damage else {
            return Ok(Ok(data.freeze()));
        };
        // The log may still name a payload that went with its Worker's history.
        let trimmed = match (self.stream, event.worker) {
            (Stream::Runtime, Some(place)) => {
                let base = load_base(self.rows, Stream::Worker(place.worker_id))?;
                if place.seq <= base.seq && self.is_deleted(place.worker_id)? {
                    return Ok(Ok(Bytes::from_static(PURGED_DATA)));
                }
                place.seq <= base.seq
            }
            _ => false,
        };
        let cause = if trimmed {
            GapCause::Retention
        } else {
            GapCause::Damaged
        };
        Ok(Err((cause, damage)))
    }

    /// Whether this Worker was deleted: then its events are there in the log, whatever their size, and
    /// only what they said is gone.
    fn is_deleted(&mut self, worker_id: WorkerId) -> Result<bool, StoreError> {
        let key = worker::key(worker_id);
        let record = self.rows.get(worker::TABLE, key.as_bytes(), |value| {
            let value = value?;
            codec::open_record::<WorkerRecord>(worker::TABLE, key.as_bytes(), value).ok()
        })?;
        Ok(record.is_some_and(|record| record.lifecycle == Lifecycle::Deleted))
    }
}
