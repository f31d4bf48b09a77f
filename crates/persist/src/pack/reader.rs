//! Reading packs. The value is copied once out of the engine; events are slices of that copy.

use bytes::Bytes;
use worker_runtime_core::{
    Digest, Event, EventType, ItemIndex, Position, RunId, Seq, Timestamp, WorkerId, WorkerPlace,
};

use super::{
    Body, HAS_ITEM, HAS_RUN, HAS_WORKER, HEADER_LEN_BYTES, Header, IS_LARGE, IS_PURGED, Kind,
    PACK_OVERHEAD_BYTES, PURGED_DATA,
};
use crate::{
    codec::{self, Damage},
    cut::Cut,
    layout::Table,
};

/// A pack whose checksum was verified.
#[derive(Debug, Clone)]
pub(crate) struct Pack {
    pub(crate) header: Header,
    entries: Bytes,
    /// Whose, in history.
    worker_id: Option<WorkerId>,
}

/// An event of a pack; its data may have to be fetched from `large`.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    /// The length of the data that is in `large`.
    pub(crate) large_len: Option<usize>,
    /// The data that the event had before it was purged.
    pub(crate) purged: Option<Body>,
}

impl Pack {
    /// Verifies and opens a stored value of the log.
    pub(crate) fn open_log(table: Table, key: &[u8], value: &[u8]) -> Result<Self, Damage> {
        let pack = Self::open(table, key, value, None)?;
        if pack.header.kind == Kind::Log && key == pack.header.first_position.0.to_be_bytes() {
            Ok(pack)
        } else {
            Err("the pack is not what its key says".into())
        }
    }

    /// Verifies and opens a stored value of a Worker's history.
    pub(crate) fn open_history(
        table: Table,
        key: &[u8],
        value: &[u8],
        worker_id: WorkerId,
    ) -> Result<Self, Damage> {
        let pack = Self::open(table, key, value, Some(worker_id))?;
        if pack.header.kind == Kind::History {
            Ok(pack)
        } else {
            Err("the pack is not what its key says".into())
        }
    }

    fn open(
        table: Table,
        key: &[u8],
        value: &[u8],
        worker_id: Option<WorkerId>,
    ) -> Result<Self, Damage> {
        codec::open(table, key, value)?;
        // Copied with its front, so that there is one allocation and one copy.
        let value = Bytes::copy_from_slice(value);
        let mut cut = Cut::new(&value);
        cut.take(codec::SEAL_LEN_BYTES)?;
        let header = Header::decode(&mut cut)?;
        let entries = value.slice(value.len().min(PACK_OVERHEAD_BYTES)..);
        Ok(Self {
            header,
            entries,
            worker_id,
        })
    }

    /// Only the header, after the checksum was verified.
    pub(crate) fn open_header(table: Table, key: &[u8], value: &[u8]) -> Result<Header, Damage> {
        Header::decode(&mut Cut::new(codec::open(table, key, value)?))
    }

    /// The pack that a Worker's tail in memory is.
    pub(crate) fn of_tail(header: Header, entries: Bytes, worker_id: WorkerId) -> Self {
        Self {
            header,
            entries,
            worker_id: Some(worker_id),
        }
    }

    /// The encoded entries.
    pub(crate) fn entries(&self) -> &Bytes {
        &self.entries
    }

    /// The entries without the data of this Worker's events up to `until`; `None` when it has none.
    pub(crate) fn redacted(
        &self,
        worker_id: WorkerId,
        until: Position,
    ) -> Result<Option<(Header, Vec<u8>)>, Damage> {
        let (mut events, mut left) = (self.events(), Vec::with_capacity(self.entries.len()));
        let (mut from, mut any) = (0, false);
        while let Some(entry) = events.next() {
            let Entry { event, purged, .. } = entry?;
            let raw = self.entries.get(from..events.offset()).unwrap_or_default();
            from = events.offset();
            let is_owners = event
                .worker
                .is_some_and(|place| place.worker_id == worker_id);
            if !is_owners || event.position > until || purged.is_some() {
                left.extend_from_slice(raw);
                continue;
            }
            any = true;
            let head = raw.len().saturating_sub(event.data.len());
            let begin = left.len();
            left.extend_from_slice(raw.get(..head).unwrap_or_default());
            if let Some(flags) = left.get_mut(begin) {
                *flags |= IS_PURGED;
            }
        }
        Ok(any.then_some((self.header, left)))
    }

    /// The events, in order; after the first damage there is nothing more.
    pub(crate) fn events(&self) -> Events<'_> {
        Events {
            pack: self,
            cut: Cut::new(&self.entries),
            index: 0,
            items: 0,
            failed: false,
        }
    }
}

/// See [`Pack::events`].
#[derive(Debug)]
pub(crate) struct Events<'a> {
    pack: &'a Pack,
    cut: Cut<'a>,
    index: u32,
    items: u32,
    failed: bool,
}

impl Events<'_> {
    /// How many bytes of entries were read.
    pub(crate) fn offset(&self) -> usize {
        self.pack
            .entries
            .len()
            .saturating_sub(self.cut.rest().len())
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.index == self.pack.header.count {
            let end = std::mem::replace(&mut self.cut, Cut::new(&[])).end();
            let whole = end.and(if self.items == self.pack.header.items {
                Ok(())
            } else {
                Err("the pack's count of items does not fit".into())
            });
            self.failed = true;
            return whole.err().map(Err);
        }
        let entry = self.read();
        self.failed = entry.is_err();
        Some(entry)
    }
}

impl Events<'_> {
    fn read(&mut self) -> Result<Entry, Damage> {
        let header = &self.pack.header;
        let cut = &mut self.cut;
        let flags = cut.u8()?;
        let has = |flag: u8| flags & flag != 0;
        if flags & !(HAS_WORKER | HAS_ITEM | HAS_RUN | IS_LARGE | IS_PURGED) != 0
            || (has(HAS_ITEM) && !has(HAS_WORKER))
        {
            return Err("an event has flags that are not known".into());
        }
        let index = u64::from(self.index);
        let position = match header.kind {
            Kind::Log => Position(header.first_position.0.saturating_add(index)),
            Kind::History => Position(cut.u64()?),
        };
        let at = Timestamp::from_unix_ms(cut.u64()?);
        let worker = match (self.pack.worker_id, has(HAS_WORKER)) {
            (_, false) => None,
            (Some(worker_id), true) => Some(WorkerPlace {
                worker_id,
                seq: Seq(header.first_seq.0.saturating_add(index)),
                item: has(HAS_ITEM)
                    .then(|| ItemIndex(header.first_item.0.saturating_add(u64::from(self.items)))),
            }),
            (None, true) => Some(WorkerPlace {
                worker_id: WorkerId::from_bytes(cut.array()?),
                seq: Seq(cut.u64()?),
                item: if has(HAS_ITEM) {
                    Some(ItemIndex(cut.u64()?))
                } else {
                    None
                },
            }),
        };
        let run_id = if has(HAS_RUN) {
            Some(RunId::from_bytes(cut.array()?))
        } else {
            None
        };
        let text_len = usize::from(cut.u8()?);
        let text = std::str::from_utf8(cut.take(text_len)?)
            .map_err(|_| Damage::from("an event's type is no text"))?;
        let kind = EventType::from_text(text);
        let data_digest = Digest(cut.array()?);
        let data_len = cut.u32()? as usize;
        let purged = has(IS_PURGED).then_some(Body {
            len: data_len,
            is_large: has(IS_LARGE),
        });
        let (data, large_len) = if purged.is_some() {
            (Bytes::from_static(PURGED_DATA), None)
        } else if has(IS_LARGE) {
            (Bytes::new(), Some(data_len))
        } else {
            (self.pack.entries.slice_ref(cut.take(data_len)?), None)
        };
        self.index += 1;
        self.items += u32::from(has(HAS_ITEM));
        Ok(Entry {
            event: Event {
                position,
                at,
                worker,
                kind,
                run_id,
                data,
                data_digest,
            },
            large_len,
            purged,
        })
    }
}

const _: () = assert!(HEADER_LEN_BYTES == 2 + 4 + 4 + 9 * 8 + 32);
