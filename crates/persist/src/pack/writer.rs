//! Filling packs. An event is encoded twice, once in each form, without an allocation of its own.

use twox_hash::XxHash3_128;
use worker_runtime_core::{Digest, Event, event::EVENT_TYPE_LEN_MAX_BYTES, store::StoreError};

use super::{
    Entry, HAS_ITEM, HAS_RUN, HAS_WORKER, Header, IS_LARGE, Kind, PACK_LEN_MAX_BYTES,
    PACK_OVERHEAD_BYTES, link,
};
use crate::{
    codec,
    layout::{Table, large::INLINE_LEN_MAX_BYTES},
};

/// What the account of a pack needs to know of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncodedEvent {
    pub(crate) digest: Digest,
    pub(crate) body: Body,
}

/// How long an event's data is, and whether it stands in `large`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) len: usize,
    pub(crate) is_large: bool,
}

impl Body {
    /// As a new event is stored.
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            len: event.data.len(),
            is_large: event.data.len() > INLINE_LEN_MAX_BYTES,
        }
    }

    /// As an event was stored whose data may not have been fetched.
    pub(crate) fn of_entry(entry: &Entry) -> Self {
        if let Some(body) = entry.purged {
            return body;
        }
        Self {
            len: entry.large_len.unwrap_or(entry.event.data.len()),
            is_large: entry.large_len.is_some(),
        }
    }
}

/// Appends the event's form for packs of this kind, data included unless it is large.
pub(crate) fn encode(
    kind: Kind,
    event: &Event,
    body: Body,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    encode_head(kind, event, body, out)?;
    if !body.is_large {
        out.extend_from_slice(&event.data);
    }
    Ok(())
}

/// The event's digest; `scratch` saves an allocation.
pub(crate) fn event_digest(
    event: &Event,
    body: Body,
    scratch: &mut Vec<u8>,
) -> Result<Digest, StoreError> {
    scratch.clear();
    scratch.extend_from_slice(&event.position.0.to_le_bytes());
    encode_head(Kind::Log, event, body, scratch)?;
    Ok(Digest(XxHash3_128::oneshot(scratch).to_be_bytes()))
}

fn encode_head(kind: Kind, event: &Event, body: Body, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let text = event.kind.as_str().as_bytes();
    let lens = (u8::try_from(text.len()), u32::try_from(body.len));
    let (Ok(text_len), Ok(data_len)) = lens else {
        return Err(StoreError::Bug {
            invariant: format!(
                "an event's type has at most {EVENT_TYPE_LEN_MAX_BYTES} bytes and its data less than 4 GiB"
            ),
        });
    };
    let item = event.worker.and_then(|place| place.item);
    let mut flags = 0;
    flags |= if event.worker.is_some() {
        HAS_WORKER
    } else {
        0
    };
    flags |= if item.is_some() { HAS_ITEM } else { 0 };
    flags |= if event.run_id.is_some() { HAS_RUN } else { 0 };
    flags |= if body.is_large { IS_LARGE } else { 0 };
    out.push(flags);
    if kind == Kind::History {
        out.extend_from_slice(&event.position.0.to_le_bytes());
    }
    out.extend_from_slice(&event.at.unix_ms().to_le_bytes());
    if let (Kind::Log, Some(place)) = (kind, event.worker) {
        out.extend_from_slice(&place.worker_id.to_bytes());
        out.extend_from_slice(&place.seq.0.to_le_bytes());
        if let Some(item) = item {
            out.extend_from_slice(&item.0.to_le_bytes());
        }
    }
    if let Some(run_id) = event.run_id {
        out.extend_from_slice(&run_id.to_bytes());
    }
    out.push(text_len);
    out.extend_from_slice(text);
    out.extend_from_slice(&event.data_digest.0);
    out.extend_from_slice(&data_len.to_le_bytes());
    Ok(())
}

/// A pack that refers to more than this is ended, so that retention, which takes whole packs, is
/// never coarse.
const LARGE_BYTES_MAX: u64 = 1 << 20;

impl Header {
    /// Whether an entry of this length still fits behind this many bytes of entries.
    pub(crate) fn has_room(&self, entries_len: usize, entry_len: usize) -> bool {
        self.count == 0
            || (PACK_OVERHEAD_BYTES + entries_len + entry_len <= PACK_LEN_MAX_BYTES
                && self.large_bytes < LARGE_BYTES_MAX)
    }

    /// Takes an event into the account.
    pub(crate) fn add(&mut self, event: &Event, encoded: EncodedEvent, store_ms: u64) {
        if self.count == 0 {
            self.first_position = event.position;
            self.first_at = event.at;
        }
        self.count = self.count.saturating_add(1);
        self.last_position = event.position;
        self.last_at = event.at;
        self.store_ms = store_ms;
        if event.worker.is_some_and(|place| place.item.is_some()) {
            self.items = self.items.saturating_add(1);
        }
        if encoded.body.is_large {
            match (self.kind, event.worker) {
                (Kind::History, _) => self.large_bytes += encoded.body.len as u64,
                (Kind::Log, None) => self.runtime_large = true,
                (Kind::Log, Some(_)) => {}
            }
        }
        self.chain_after = link(self.chain_after, encoded.digest);
    }
}

/// Writes the sealed pack of these entries (in parts, so that nobody has to join them first).
pub(crate) fn seal(
    table: Table,
    key: &[u8],
    header: &Header,
    entries: [&[u8]; 2],
    out: &mut Vec<u8>,
) {
    codec::start(out);
    header.encode(out);
    for part in entries {
        out.extend_from_slice(part);
    }
    codec::finish(table, key, out);
}
