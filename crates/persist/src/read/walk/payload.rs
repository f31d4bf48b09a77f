//! Payloads that are kept in pieces beside their event.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use worker_runtime_core::{
    Digest, Event, Stream,
    store::{GapCause, StoreError},
};

use super::Walk;
use crate::{
    codec::{self, Damage},
    engine::{End, Rows},
    layout::large::{self, Owner},
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
}
