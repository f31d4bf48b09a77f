//! What is missing from a stream: told, explained by what a repair recorded, or made again from the
//! log (I2, I7, I10).

use worker_runtime_core::{
    Code, Digest, Position, Seq, Stream,
    sabotage::{self, Sabotage},
    store::{Gap, GapCause, StoreError},
};

use super::{Each, Flow, Found, Link, Stop, Walk, told};
use crate::{
    codec,
    engine::{End, Rows},
    layout::stream::{self, RecordedGap},
    pack::{Entry, Header},
    store::heal::{self, Before, Missing},
};

impl<R: Rows> Walk<'_, R> {
    /// Notes that the pack at `first` is damaged. When the walk did not come from the pack before, it
    /// looks for what the damaged stretch follows on.
    pub(super) fn pack_damaged(&mut self, first: Position) -> Result<(), StoreError> {
        let mut from = first;
        if let (None, None, Stream::Worker(worker_id)) = (&self.damaged, self.link, self.stream) {
            let Before { header, first } = heal::before(self.rows, worker_id, first)?;
            from = first;
            self.link = Some(Link {
                number: header.last_seq().0,
                position: header.last_position,
                chain: header.chain_before,
            });
        }
        self.damage(from);
        Ok(())
    }

    /// From here on everything is damaged, until a pack that isn't.
    pub(super) fn damage(&mut self, from: Position) {
        let link = self.link.take();
        self.damaged.get_or_insert((from, link));
    }

    /// A damaged stretch ends at `to`, before what `next` tells: the number and the chain before the
    /// event that follows, as far as they are known.
    pub(super) fn end_damage(
        &mut self,
        to: Position,
        next: (Option<u64>, Option<Digest>),
        each: Each<'_>,
    ) -> Result<Flow, StoreError> {
        let Some((from, link)) = self.damaged.take() else {
            return Ok(Flow::Continue(()));
        };
        let (last, chain) = next;
        let is_dense = |link: Link| last == Some(link.number) && chain == Some(link.chain);
        if link.is_some_and(is_dense) {
            // What is damaged comes after all that is asked for.
            return Ok(Flow::Continue(()));
        }
        let seqs = link.zip(last);
        let seqs = seqs.and_then(|(link, last)| self.seqs(link.number + 1, last));
        let chains = link.map(|link| link.chain).zip(chain);
        if let Some(flow) = self.heal((from, to), seqs, chains, each)? {
            return Ok(flow);
        }
        // Where it begins is the key of a damaged row, which is no more to be trusted than the rest.
        let from = link.map_or(from, |link| from.min(link.position.next()));
        Ok(self.tell(GapCause::Damaged, from, to, seqs, each))
    }

    /// Tells that events are missing, unless the log has them still. `chains` are the values before
    /// and after what is missing.
    pub(super) fn tell_or_heal(
        &mut self,
        positions: (Position, Position),
        seqs: Option<(Seq, Seq)>,
        chains: Option<(Digest, Digest)>,
        each: Each<'_>,
    ) -> Result<Flow, StoreError> {
        if let Some(flow) = self.heal(positions, seqs, chains, each)? {
            return Ok(flow);
        }
        let (from, to) = positions;
        Ok(self.tell(GapCause::Damaged, from, to, seqs, each))
    }

    /// Gives what is missing out of the log, if it has all of it.
    fn heal(
        &mut self,
        positions: (Position, Position),
        seqs: Option<(Seq, Seq)>,
        chains: Option<(Digest, Digest)>,
        each: Each<'_>,
    ) -> Result<Option<Flow>, StoreError> {
        let (Stream::Worker(worker_id), Some(seqs), Some(chains)) = (self.stream, seqs, chains)
        else {
            return Ok(None);
        };
        let missing = Missing {
            worker_id,
            positions,
            seqs,
            chains,
        };
        match heal::missing(self.rows, &missing)? {
            Some(entries) => self.healed(entries, each).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn healed(
        &mut self,
        entries: Vec<Entry>,
        each: Each<'_>,
    ) -> Result<Flow, StoreError> {
        for entry in entries {
            if entry.event.position <= self.after {
                continue;
            }
            if entry.event.position > self.until {
                return Ok(Flow::Break(Stop::Until));
            }
            let flow = self.event(entry, each)?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(Flow::Continue(()))
    }

    pub(super) fn seqs(&self, first: u64, last: u64) -> Option<(Seq, Seq)> {
        let is_worker = matches!(self.stream, Stream::Worker(_));
        (is_worker && first <= last).then_some((Seq(first), Seq(last)))
    }

    /// Tells a gap, as far as it is asked for.
    pub(super) fn tell(
        &self,
        cause: GapCause,
        from: Position,
        to: Position,
        seqs: Option<(Seq, Seq)>,
        each: Each<'_>,
    ) -> Flow {
        let asked = (from.max(self.after.next()), to.min(self.until));
        // Of a part nobody knows which seqs it held.
        let seqs = seqs.filter(|_| cause == GapCause::Retention || asked == (from, to));
        let (from, to) = asked;
        if from > to || sabotage::is(Sabotage::HideGap) {
            return Flow::Continue(());
        }
        let code = match cause {
            // The other one is told of a reader, never of what is stored.
            GapCause::Retention | GapCause::Cursor => None,
            GapCause::Damaged | GapCause::Quarantine | GapCause::Salvage => {
                Some(Code::EventDamaged)
            }
        };
        told(each(Found::Missing(Gap {
            cause,
            from,
            to,
            seqs,
            code,
        })))
    }

    /// The gap that a repair recorded between what was read last and this pack.
    pub(super) fn recorded_gap(
        &mut self,
        link: Link,
        header: &Header,
    ) -> Result<Option<RecordedGap>, StoreError> {
        let from = stream::gap_key(self.stream, link.position.next());
        let to = stream::gap_key(self.stream, header.first_position);
        let range = (from.as_bytes(), to.as_bytes());
        let gap = self
            .rows
            .at_end(stream::TABLE, range, End::Last, |key, value| {
                codec::open_record::<RecordedGap>(stream::TABLE, key, value)
            })?;
        // A damaged row explains nothing: then the gap is told as damage.
        Ok(gap.and_then(Result::ok))
    }
}
