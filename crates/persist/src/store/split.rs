//! A pack cut in two, where a trim ends inside it (I2). Called by `retention`.

use worker_runtime_core::{ItemIndex, Seq, WorkerId, store::StoreError};

use super::{apply::Applying, retention::Row};
use crate::{
    codec::Damage,
    engine::Rows,
    layout::{age, history, stream::Base},
    pack::{self, Body, Header, Pack},
};

impl Applying<'_, '_> {
    /// Writes the pack again without its events up to and including `seq`.
    pub(super) fn split(
        &mut self,
        worker_id: WorkerId,
        row: &Row,
        seq: Seq,
    ) -> Result<(), StoreError> {
        let key = history::key(worker_id, row.first);
        let pack = self.out.rows.get(history::TABLE, key.as_bytes(), |value| {
            let value = value.ok_or(Damage::from("the pack is gone"))?;
            Pack::open_history(history::TABLE, key.as_bytes(), value, worker_id)
        })?;
        let pack = pack.map_err(|damage| damage.in_table(history::TABLE))?;
        let Cutting {
            header,
            base,
            offset,
        } = cut(&pack, seq)?;
        let left = pack.entries().get(offset..).unwrap_or_default();
        let key = history::key(worker_id, header.first_position);
        let mut header = header;
        let value = &mut *self.out.value;
        pack::seal(history::TABLE, key.as_bytes(), &header, [left, &[]], value);
        // What went counts as trimmed, so that the sums of what follows stay as they are.
        let gone = row.len.saturating_sub(value.len() as u64);
        let large_gone = pack.header.large_bytes.saturating_sub(header.large_bytes);
        header.bytes_before = pack.header.bytes_before + gone + large_gone;
        pack::seal(history::TABLE, key.as_bytes(), &header, [left, &[]], value);
        let len = value.len() as u64;
        self.remove_pack(worker_id, row)?;
        self.out
            .rows
            .put(history::TABLE, key.as_bytes(), self.out.value)?;
        let age_key = age::key(header.first_position);
        let owner = worker_id.to_bytes();
        self.out
            .rows
            .put_bytes(age::TABLE, age_key.as_bytes(), &owner)?;
        self.state.history_bytes += len;
        let bytes = header.bytes_before;
        self.set_base(worker_id, &Base { bytes, ..base })
    }
}

struct Cutting {
    header: Header,
    base: Base,
    offset: usize,
}

/// What is left of a pack after `seq`, and the base before it.
fn cut(pack: &Pack, seq: Seq) -> Result<Cutting, StoreError> {
    let damaged = |damage: Damage| damage.in_table(history::TABLE);
    let mut header = pack.header;
    let mut base = Base::default();
    let mut offset = 0;
    let mut chain = header.chain_before;
    let mut scratch = Vec::new();
    let mut events = pack.events();
    while let Some(entry) = events.next() {
        let entry = entry.map_err(damaged)?;
        let Some(place) = entry.event.worker else {
            continue;
        };
        if place.seq > seq {
            header.first_position = entry.event.position;
            header.first_at = entry.event.at;
            break;
        }
        let body = Body::of_entry(&entry);
        let digest = pack::event_digest(&entry.event, body, &mut scratch)?;
        chain = pack::link(chain, digest);
        offset = events.offset();
        header.count = header.count.saturating_sub(1);
        header.first_seq = place.seq.next();
        if place.item.is_some() {
            header.items = header.items.saturating_sub(1);
            header.first_item = ItemIndex(header.first_item.0 + 1);
        }
        if body.is_large {
            header.large_bytes = header.large_bytes.saturating_sub(body.len as u64);
        }
        base.position = entry.event.position;
    }
    header.chain_before = chain;
    base.seq = Seq(header.first_seq.0.saturating_sub(1));
    base.items = header.first_item;
    base.chain = chain;
    Ok(Cutting {
        header,
        base,
        offset,
    })
}
