//! The fixed front of a pack: what it holds and what it follows on.

use worker_runtime_core::{Digest, ItemIndex, Position, Seq, Timestamp};

use crate::{codec::Damage, cut::Cut};

/// The length of an encoded header.
pub(crate) const HEADER_LEN_BYTES: usize = 114;

/// Whose events a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All, in command order.
    Log,
    /// One Worker's.
    History,
}

/// What a pack holds and what it follows on. It also serves as the running account of a pack that
/// is being filled; then `count` may be 0, and `first_*` say what the next event must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Some payload is in `large` under the Runtime: trimming the log must look for it.
    pub(crate) runtime_large: bool,
    /// How many events.
    pub(crate) count: u32,
    /// How many of them are transcript items.
    pub(crate) items: u32,
    pub(crate) first_position: Position,
    pub(crate) last_position: Position,
    /// In history; 0 in the log.
    pub(crate) first_seq: Seq,
    /// In history: the index of the first item at or after the first event.
    pub(crate) first_item: ItemIndex,
    pub(crate) first_at: Timestamp,
    pub(crate) last_at: Timestamp,
    /// The store's own time at the newest event; ages are measured with it.
    pub(crate) store_ms: u64,
    /// The bytes of everything of this stream before this pack, trimmed packs included.
    pub(crate) bytes_before: u64,
    /// The bytes of payloads that its events have in `large`.
    pub(crate) large_bytes: u64,
    /// The chain before its first event.
    pub(crate) chain_before: Digest,
    /// The chain after its last event.
    pub(crate) chain_after: Digest,
}

impl Header {
    /// An empty pack at the beginning of a stream.
    pub(crate) fn empty(kind: Kind) -> Self {
        Self {
            kind,
            runtime_large: false,
            count: 0,
            items: 0,
            first_position: Position(0),
            last_position: Position(0),
            first_seq: Seq(1),
            first_item: ItemIndex(0),
            first_at: Timestamp::default(),
            last_at: Timestamp::default(),
            store_ms: 0,
            bytes_before: 0,
            large_bytes: 0,
            chain_before: Digest::default(),
            chain_after: Digest::default(),
        }
    }

    /// The empty pack that follows on this one, which was stored with this many bytes.
    pub(crate) fn following(&self, stored_bytes: u64) -> Self {
        Self {
            first_seq: Seq(self.next_seq().0),
            first_item: self.next_item(),
            first_at: self.last_at,
            last_position: self.last_position,
            last_at: self.last_at,
            bytes_before: self.bytes_before + stored_bytes + self.large_bytes,
            chain_before: self.chain_after,
            chain_after: self.chain_after,
            ..Self::empty(self.kind)
        }
    }

    /// The seq that follows.
    pub(crate) fn next_seq(&self) -> Seq {
        Seq(self.first_seq.0.saturating_add(u64::from(self.count)))
    }

    /// The seq of its last event (of the event before it, when it is empty).
    pub(crate) fn last_seq(&self) -> Seq {
        Seq(self.next_seq().0.saturating_sub(1))
    }

    /// The item index that follows.
    pub(crate) fn next_item(&self) -> ItemIndex {
        ItemIndex(self.first_item.0.saturating_add(u64::from(self.items)))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            Kind::Log => 1,
            Kind::History => 2,
        });
        out.push(u8::from(self.runtime_large));
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.items.to_le_bytes());
        let numbers = [
            self.first_position.0,
            self.last_position.0,
            self.first_seq.0,
            self.first_item.0,
            self.first_at.unix_ms(),
            self.last_at.unix_ms(),
            self.store_ms,
            self.bytes_before,
            self.large_bytes,
        ];
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.chain_before.0);
        out.extend_from_slice(&self.chain_after.0);
    }

    pub(crate) fn decode(cut: &mut Cut<'_>) -> Result<Self, Damage> {
        let kind = match cut.u8()? {
            1 => Kind::Log,
            2 => Kind::History,
            _ => return Err("the pack is of no known kind".into()),
        };
        Ok(Self {
            kind,
            runtime_large: match cut.u8()? {
                0 => false,
                1 => true,
                _ => return Err("the pack has a mark that is not known".into()),
            },
            count: cut.u32()?,
            items: cut.u32()?,
            first_position: Position(cut.u64()?),
            last_position: Position(cut.u64()?),
            first_seq: Seq(cut.u64()?),
            first_item: ItemIndex(cut.u64()?),
            first_at: Timestamp::from_unix_ms(cut.u64()?),
            last_at: Timestamp::from_unix_ms(cut.u64()?),
            store_ms: cut.u64()?,
            bytes_before: cut.u64()?,
            large_bytes: cut.u64()?,
            chain_before: Digest(cut.array()?),
            chain_after: Digest(cut.array()?),
        })
    }
}
