//! A stream from a position on: packs in order, each verified and each following on the one before
//! (I2, I7). What is damaged or missing is told as a gap, and the walk goes on after it (I10).
//!
//! Both streams are walked by the same code. What is dense in a Worker's stream is seq, in the
//! Runtime's it is position; `number` below means the one or the other.

mod gaps;
mod payload;

use std::ops::ControlFlow;

use worker_runtime_core::{
    Digest, Event, Position, Seq, Stream,
    store::{Gap, GapCause, StoreError},
};

use super::Snapshot;
use crate::{
    codec::Damage,
    cut::Key,
    engine::{End, Rows},
    layout::{Table, history, log, stream::Base},
    pack::{Entry, Header, Kind, Pack},
    store::tails::{Tail, is_lost_after, load_base},
};

/// What a walk comes across.
#[derive(Debug)]
pub(super) enum Found {
    Event(Event),
    Missing(Gap),
}

/// What the next pack has to follow on.
#[derive(Debug, Clone, Copy)]
struct Link {
    number: u64,
    position: Position,
    chain: Digest,
}

pub(super) struct Walk<'a, R> {
    rows: &'a mut R,
    stream: Stream,
    /// Nothing at or before this is given.
    after: Position,
    /// Nothing beyond this is given.
    until: Position,
    base: Base,
    /// `None` when what comes before is unknown or damaged.
    link: Option<Link>,
    /// The first position of a stretch that is damaged, and whose end is not known yet; with what
    /// it follows on, if that is known.
    damaged: Option<(Position, Option<Link>)>,
}

/// Why a walk ended before the end of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was told to.
    Told,
    /// It came to the last position that was asked for.
    Until,
}

/// Whether the walk goes on.
type Flow = ControlFlow<Stop>;
type Each<'e> = &'e mut dyn FnMut(Found) -> ControlFlow<()>;

/// A pack, and its first position as its key has it.
type AtKey = (Position, Result<Pack, Damage>);

impl<'a, R: Rows> Walk<'a, R> {
    pub(super) fn new(
        rows: &'a mut R,
        stream: Stream,
        after: Position,
        until: Position,
    ) -> Result<Self, StoreError> {
        let base = load_base(rows, stream)?;
        let mut walk = Self {
            rows,
            stream,
            after,
            until,
            base,
            link: None,
            damaged: None,
        };
        walk.link = Some(walk.base_link());
        Ok(walk)
    }

    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    fn base_link(&self) -> Link {
        Link {
            number: match self.stream {
                Stream::Runtime => self.base.position.0,
                Stream::Worker(_) => self.base.seq.0,
            },
            position: self.base.position,
            chain: self.base.chain,
        }
    }

    /// Gives every event and every gap in order, until told to stop. `true` when all was given.
    pub(super) fn run(&mut self, snapshot: &Snapshot, each: Each<'_>) -> Result<bool, StoreError> {
        let flow = self.walk(snapshot, each)?;
        Ok(flow != Flow::Break(Stop::Told))
    }

    fn walk(&mut self, snapshot: &Snapshot, each: Each<'_>) -> Result<Flow, StoreError> {
        if self.after < self.base.position {
            let seqs = match self.stream {
                Stream::Worker(_) if self.after.0 == 0 => Some((Seq(1), self.base.seq)),
                _ => None,
            };
            let to = self.base.position;
            let flow = self.tell(GapCause::Retention, self.after.next(), to, seqs, each);
            if flow.is_break() {
                return Ok(flow);
            }
            self.after = to;
        }
        let mut from = self.start()?;
        while let Some((first, pack)) = self.pack_at(from)? {
            from = first.next();
            let flow = match pack {
                Ok(pack) => self.pack(&pack, each)?,
                Err(damage) => {
                    tracing::warn!(stream = ?self.stream, position = %first, %damage, "a pack is damaged");
                    self.pack_damaged(first)?;
                    if first > self.until {
                        // Its key may be what is damaged, so that it is missing in what is asked for.
                        break;
                    }
                    Flow::Continue(())
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
            if first > self.until {
                return Ok(Flow::Break(Stop::Until));
            }
        }
        self.end(snapshot, each)
    }

    /// Where to begin: at the pack before what is asked for, so that a pack that vanished between
    /// two reads is noticed.
    fn start(&mut self) -> Result<Position, StoreError> {
        let (from, to) = (self.key(Position(0)), self.key(self.after));
        let table = self.table();
        let range = (from.as_bytes(), to.as_bytes());
        let before = self
            .rows
            .at_end(table, range, End::Last, |key, _| parse(table, key))?;
        match before {
            Some(first) => {
                let first = first.map_err(|damage| damage.in_table(table))?;
                self.link = None;
                Ok(first)
            }
            None => Ok(Position(0)),
        }
    }

    fn table(&self) -> Table {
        match self.stream {
            Stream::Runtime => log::TABLE,
            Stream::Worker(_) => history::TABLE,
        }
    }

    fn key(&self, first: Position) -> Key {
        match self.stream {
            Stream::Runtime => log::key(first),
            Stream::Worker(worker_id) => history::key(worker_id, first),
        }
    }

    fn pack_at(&mut self, from: Position) -> Result<Option<AtKey>, StoreError> {
        let (from, to) = (self.key(from), self.key(Position(u64::MAX)));
        let range = (from.as_bytes(), to.as_bytes());
        let (table, stream) = (self.table(), self.stream);
        let found = self.rows.at_end(table, range, End::First, |key, value| {
            let pack = match stream {
                Stream::Runtime => Pack::open_log(table, key, value),
                Stream::Worker(worker_id) => Pack::open_history(table, key, value, worker_id),
            };
            parse(table, key).map(|first| (first, pack))
        })?;
        found.transpose().map_err(|damage| damage.in_table(table))
    }

    /// One pack: what is missing before it, and its events.
    fn pack(&mut self, pack: &Pack, each: Each<'_>) -> Result<Flow, StoreError> {
        let header = &pack.header;
        let before = before_first(header);
        let follows_base = before == self.base_link().number;
        let link = self.link.or(follows_base.then(|| self.base_link()));
        if self.damaged.is_none()
            && let Some(link) = link
        {
            let is_dense = link.number == before;
            let recorded = if is_dense {
                None
            } else {
                self.recorded_gap(link, header)?
            };
            let chain = recorded.map_or(link.chain, |gap| gap.chain);
            if before < link.number
                || (is_dense || recorded.is_some()) && chain != header.chain_before
            {
                // It does not follow on what it should: one of the two is of another history.
                self.damage(header.first_position);
                return Ok(Flow::Continue(()));
            }
            if !is_dense {
                let to = Position(header.first_position.0.saturating_sub(1));
                let seqs = self.seqs(link.number + 1, before);
                let flow = match recorded {
                    Some(gap) => self.tell(gap.cause, link.position.next(), to, seqs, each),
                    None => {
                        let chains = Some((link.chain, header.chain_before));
                        let positions = (link.position.next(), to);
                        self.tell_or_heal(positions, seqs, chains, each)?
                    }
                };
                if flow.is_break() {
                    return Ok(flow);
                }
            }
        }
        let to = Position(header.first_position.0.saturating_sub(1));
        let next = (Some(before), Some(header.chain_before));
        let flow = self.end_damage(to, next, each)?;
        if flow.is_break() {
            return Ok(flow);
        }
        self.events(pack, each)
    }

    fn events(&mut self, pack: &Pack, each: Each<'_>) -> Result<Flow, StoreError> {
        let header = &pack.header;
        let mut number = before_first(header);
        let mut position = header.first_position;
        for entry in pack.events() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(damage) => {
                    tracing::warn!(stream = ?self.stream, %position, %damage, "an event is damaged");
                    self.damaged = Some((position, None));
                    self.link = None;
                    return Ok(Flow::Continue(()));
                }
            };
            number += 1;
            position = entry.event.position.next();
            let skip = entry.event.position <= self.after
                || self.link.is_some_and(|link| number <= link.number);
            if skip {
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
        self.link = Some(Link {
            number,
            position: header.last_position,
            chain: header.chain_after,
        });
        Ok(Flow::Continue(()))
    }

    fn event(&mut self, entry: Entry, each: Each<'_>) -> Result<Flow, StoreError> {
        let Entry {
            mut event,
            large_len,
            ..
        } = entry;
        if let Some(len) = large_len {
            match self.large(&event, len)? {
                Ok(data) => event.data = data,
                Err((cause, damage)) => {
                    let position = event.position;
                    tracing::warn!(stream = ?self.stream, %position, %damage, "an event's data is missing");
                    let seq = event.worker.map(|place| place.seq);
                    let seqs = match self.stream {
                        Stream::Runtime => None,
                        Stream::Worker(_) => seq.map(|seq| (seq, seq)),
                    };
                    return Ok(self.tell(cause, position, position, seqs, each));
                }
            }
        }
        Ok(told(each(Found::Event(event))))
    }

    /// After the last stored pack: the tail in memory, and whether the stream reached its head.
    fn end(&mut self, snapshot: &Snapshot, each: Each<'_>) -> Result<Flow, StoreError> {
        if let Some(tail) = &snapshot.tail {
            let header = &tail.header;
            // Where it overlaps what was stored meanwhile, what was given is not given again.
            let reached = self.link.map(|link| link.number);
            let is_new = reached.is_none_or(|reached| reached <= before_first(header));
            let flow = if is_new {
                self.pack(tail, each)?
            } else {
                self.overlapping(tail, each)?
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        if let (Stream::Worker(worker_id), None, Some(_)) =
            (self.stream, snapshot.state, self.damaged)
            && let Ok(healed) = Tail::load(self.rows, worker_id)
            && healed.state.unflushed_from.is_some()
        {
            return self.pack(&healed.to_pack(worker_id), each);
        }
        let head = match (self.stream, snapshot.state) {
            (Stream::Runtime, _) => Some((snapshot.committed.0, snapshot.committed, None)),
            (Stream::Worker(_), Some(state)) => {
                let head = state.head();
                Some((head.seq.0, head.position, Some(state.header.chain_after)))
            }
            (Stream::Worker(_), None) => None,
        };
        if let (None, Some(link), Some((number, position, chain))) = (self.damaged, self.link, head)
            && link.number < number
        {
            let seqs = self.seqs(link.number + 1, number);
            let chains = chain.map(|chain| (link.chain, chain));
            let positions = (link.position.next(), position);
            return self.tell_or_heal(positions, seqs, chains, each);
        }
        if let (Stream::Worker(worker_id), None, None, Some(link)) =
            (self.stream, head, self.damaged, self.link)
            && is_lost_after(self.rows, worker_id, link.position)?
        {
            self.damage(link.position.next());
        }
        match head {
            Some((number, to, chain)) => self.end_damage(to, (Some(number), chain), each),
            None => self.end_damage(self.until, (None, None), each),
        }
    }

    fn overlapping(&mut self, tail: &Pack, each: Each<'_>) -> Result<Flow, StoreError> {
        let before = self.link;
        let flow = self.events(tail, each)?;
        // The stored packs may have been newer than the copy of the tail.
        if let (Some(before), Some(now)) = (before, self.link)
            && before.number > now.number
        {
            self.link = Some(before);
        }
        Ok(flow)
    }
}

fn told(flow: ControlFlow<()>) -> Flow {
    flow.map_break(|()| Stop::Told)
}

fn before_first(header: &Header) -> u64 {
    let first = match header.kind {
        Kind::Log => header.first_position.0,
        Kind::History => header.first_seq.0,
    };
    first.saturating_sub(1)
}

fn parse(table: Table, key: &[u8]) -> Result<Position, Damage> {
    if table == log::TABLE {
        log::parse(key)
    } else {
        history::parse(key).map(|(_, first)| first)
    }
}
