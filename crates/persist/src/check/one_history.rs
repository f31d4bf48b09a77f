//! The history of one Worker, pack by pack. What is damaged or missing is looked for in the log, as a reader
//! would, before it is told as lost.

use worker_runtime_core::{Digest, ItemIndex, Position, Seq, WorkerId, store::StoreError};

use super::{
    finding::Finding,
    history,
    large::{self, Referred},
    log::{Logged, Sum},
    look::{Look, Meta},
    streams::OnRecord,
};
use crate::{
    codec::Damage,
    engine::Rows,
    layout::history::TABLE,
    pack::{self, Body, Header, Pack},
    store::{
        heal::{self, Missing},
        tails::Tail,
    },
};

/// What the next pack has to follow on.
#[derive(Debug, Clone, Copy)]
struct Link {
    seq: Seq,
    position: Position,
    chain: Digest,
    items: ItemIndex,
}

pub(super) struct OneHistory<'m> {
    pub(super) worker_id: WorkerId,
    meta: &'m Meta,
    on_record: &'m OnRecord,
    link: Link,
    /// Why rows since the last whole one can't be used.
    damage: Option<String>,
    /// Whether everything that there should be was read.
    is_whole: bool,
    sum: Sum,
    pieces: u64,
    scratch: Vec<u8>,
}

impl<'m> OneHistory<'m> {
    pub(super) fn new(worker_id: WorkerId, meta: &'m Meta, on_record: &'m OnRecord) -> Self {
        let base = &on_record.base;
        Self {
            worker_id,
            meta,
            on_record,
            link: Link {
                seq: base.seq,
                position: base.position,
                chain: base.chain,
                items: base.items,
            },
            damage: None,
            is_whole: true,
            sum: Sum::default(),
            pieces: 0,
            scratch: Vec::new(),
        }
    }

    /// The next row.
    pub(super) fn row(
        &mut self,
        rows: &mut impl Rows,
        first: Position,
        pack: Result<Pack, Damage>,
        logged: &mut Logged,
        look: &mut Look<'_>,
    ) -> Result<(), StoreError> {
        let pack = match pack {
            Ok(pack) if pack.header.first_position == first && pack.header.count > 0 => pack,
            other => {
                let damage = other.err().unwrap_or("it is not what its key says".into());
                self.damage.get_or_insert(damage.to_string());
                return Ok(());
            }
        };
        let header = pack.header;
        if !history::is_aged(rows, self.worker_id, first)? {
            let detail = format!("the index does not know the pack at position {first}");
            look.tell(Finding::derived(crate::layout::age::TABLE, detail).of(self.worker_id));
        }
        let is_dense = header.first_seq == self.link.seq.next();
        if self.damage.is_some() || !is_dense {
            self.before(rows, &header, look)?;
        } else if header.chain_before != self.link.chain || header.first_item != self.link.items {
            self.lost("a pack does not follow on the one before", &header, look);
        }
        self.events(rows, &pack, logged, look)?;
        self.link = Link {
            seq: header.last_seq(),
            position: header.last_position,
            chain: header.chain_after,
            items: header.next_item(),
        };
        Ok(())
    }

    fn lost(&mut self, detail: &str, header: &Header, look: &mut Look<'_>) {
        self.is_whole = false;
        let finding = Finding::events_lost(TABLE, detail).of(self.worker_id);
        let finding = finding.at_seqs(header.first_seq, header.last_seq());
        look.tell(finding.at(header.first_position, header.last_position));
    }

    /// What is missing before a pack.
    fn before(
        &mut self,
        rows: &mut impl Rows,
        next: &Header,
        look: &mut Look<'_>,
    ) -> Result<(), StoreError> {
        let damage = self.damage.take();
        let seqs = (
            self.link.seq.next(),
            Seq(next.first_seq.0.saturating_sub(1)),
        );
        let to = Position(next.first_position.0.saturating_sub(1));
        let positions = (self.link.position.next(), to);
        if seqs.0 > seqs.1 {
            if seqs.0 == next.first_seq && self.link.chain == next.chain_before {
                let detail = damage.unwrap_or_else(|| "a row that nothing needs".to_owned());
                let detail = format!("a damaged row that no event is missing for: {detail}");
                look.tell(Finding::leftover(TABLE, detail).of(self.worker_id));
            } else {
                self.lost("a pack does not follow on the one before", next, look);
            }
            return Ok(());
        }
        let (from, until) = positions;
        let mut gaps = self.on_record.gaps.iter();
        let recorded = gaps.any(|(first, gap)| {
            from <= *first && gap.to_seq == seqs.1 && gap.chain == next.chain_before
        });
        // What was lost with the newest part of the log left the chain as it was.
        let skipped = self.link.chain == next.chain_before && self.meta.is_any_lost(from, until);
        if recorded || skipped {
            look.checked.recorded_gaps += 1;
            return Ok(());
        }
        self.is_whole = false;
        let missing = Missing {
            worker_id: self.worker_id,
            positions,
            seqs,
            chains: (self.link.chain, next.chain_before),
        };
        let detail = damage.unwrap_or_else(|| "events are missing".to_owned());
        let finding = match heal::missing(rows, &missing)? {
            Some(_) => Finding::copy(TABLE, format!("{detail}; the log has all of it")),
            None => Finding::events_lost(TABLE, detail),
        };
        let finding = finding.of(self.worker_id).at_seqs(seqs.0, seqs.1);
        look.tell(finding.at(from, until));
        Ok(())
    }

    fn events(
        &mut self,
        rows: &mut impl Rows,
        pack: &Pack,
        logged: &mut Logged,
        look: &mut Look<'_>,
    ) -> Result<(), StoreError> {
        let header = &pack.header;
        let mut chain = header.chain_before;
        let mut position = Position(header.first_position.0.saturating_sub(1));
        let mut is_ordered = true;
        for entry in pack.events() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(damage) => {
                    self.lost(&damage.to_string(), header, look);
                    return Ok(());
                }
            };
            let event = &entry.event;
            let digest = pack::event_digest(event, Body::of_entry(&entry), &mut self.scratch)?;
            chain = pack::link(chain, digest);
            is_ordered &= event.position > position;
            position = event.position;
            look.checked.events += 1;
            logged.has(position);
            if logged.is_here(position) {
                self.sum.add(digest);
            }
            let damage: Option<Damage> = match entry.large_len {
                Some(len) => {
                    let read = large::read(rows, event, len)?;
                    self.pieces += read.pieces;
                    read.damage
                }
                None if entry.purged.is_some() => None,
                None if Digest::of(&event.data) == event.data_digest => None,
                None => Some("its data is not what its digest says".into()),
            };
            if let Some(damage) = damage {
                let seq = event.worker.map(|place| place.seq).unwrap_or_default();
                let finding = Finding::events_lost(TABLE, damage.to_string()).of(self.worker_id);
                look.tell(finding.at_seqs(seq, seq).at(position, position));
            }
        }
        if chain != header.chain_after || position != header.last_position || !is_ordered {
            self.lost(
                "a pack's links don't come to what its header says",
                header,
                look,
            );
        }
        Ok(())
    }

    /// What comes after the last pack, and whether the log says the same.
    pub(super) fn end(
        mut self,
        rows: &mut impl Rows,
        logged: &mut Logged,
        referred: &mut Referred,
        look: &mut Look<'_>,
    ) -> Result<(), StoreError> {
        let worker_id = self.worker_id;
        look.workers.insert(worker_id);
        let newest = self.on_record.newest;
        let is_newest_gone = newest.is_some_and(|newest| newest > self.link.position);
        if self.damage.is_some() || is_newest_gone {
            self.is_whole = false;
            let detail = self.damage.take();
            let detail = detail.unwrap_or_else(|| "the newest pack is not there".to_owned());
            let healed = match Tail::load_known(rows, worker_id) {
                Ok(tail) => Some(tail.state.header.last_seq()),
                Err(StoreError::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            let finding = match healed {
                Some(last) => Finding::copy(TABLE, format!("{detail}; the log has all of it"))
                    .at_seqs(self.link.seq.next(), last),
                None => Finding::events_lost(TABLE, detail),
            };
            let positions = (self.link.position.next(), self.meta.state.position);
            look.tell(finding.of(worker_id).at(positions.0, positions.1));
        }
        if self.is_whole
            && logged
                .sum(worker_id, self.link.seq)
                .is_some_and(|sum| sum != self.sum)
        {
            let detail = "the log and the history of the Worker don't have the same events";
            let (from, to) = (logged.first, self.meta.state.position);
            look.tell(
                Finding::events_lost(TABLE, detail)
                    .of(worker_id)
                    .at(from, to),
            );
            self.is_whole = false;
        }
        if !self.is_whole {
            referred.unknown.insert(worker_id);
        }
        referred.reached.insert(worker_id, self.link.seq);
        *referred.by_worker.entry(worker_id).or_default() += self.pieces;
        Ok(())
    }
}
