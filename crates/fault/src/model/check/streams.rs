//! The log, each Worker's stream and its transcript, read in small pages from what is left of them
//! (I2, I7, I10).

use worker_runtime_core::{
    Event, EventType, PageSize, Position, Stream, TranscriptFrom, WorkerId, cursor::From as Start,
    view::TranscriptItem,
};

use crate::{
    audit::items::item_of,
    model::{
        expect::tell,
        observers::is_redaction,
        plain::Life,
        play::Game,
        stop::{Played, broken, ensure},
    },
};

/// Small and odd, so that pages end everywhere.
const PAGE: PageSize = PageSize {
    events_max: 7,
    bytes_max: 1 << 20,
};

impl Game {
    /// The streams that can be read.
    pub(super) fn streams(&self) -> Vec<Stream> {
        let alive = self
            .plain
            .workers
            .iter()
            .filter(|worker| worker.life != Life::Deleted);
        let of_workers = alive.map(|worker| Stream::Worker(worker.id));
        std::iter::once(Stream::Runtime).chain(of_workers).collect()
    }

    pub(super) fn check_streams(&mut self) -> Played<()> {
        for stream in self.streams() {
            let begin = self.plain.trimmed.get(&stream).copied().unwrap_or_default();
            self.check_stream(stream, begin)?;
            self.check_retention(stream, begin)?;
        }
        Ok(())
    }

    /// Every page from the beginning on tells the log, without a gap.
    fn check_stream(&self, stream: Stream, begin: Position) -> Played<()> {
        let (mut start, mut after) = (Start::Beginning, begin);
        let mut wanted = self.plain.after(stream, begin);
        loop {
            let page = match self.world.observation.events(stream, start, PAGE) {
                Ok(page) => page,
                Err(error) => return broken("I2 a stream can be read", error.to_string()),
            };
            if let Some(gap) = &page.gap {
                let is_next = gap.from == after.next() && stream == Stream::Runtime;
                ensure(
                    is_next && self.plain.may_miss(gap.from, gap.to),
                    "I7 nothing is missing",
                    || {
                        let missing = self.plain.after(stream, after).next();
                        format!(
                            "{stream:?} has {gap:?} after {after}, before {}",
                            missing.map_or(String::new(), tell)
                        )
                    },
                )?;
                after = gap.to;
                wanted = self.plain.after(stream, after);
            }
            for (cursor, event) in &page.events {
                after = self.check_read(stream, event, after, &mut wanted)?;
                ensure(
                    cursor.position() == event.position,
                    "I2 an event comes with the cursor after it",
                    || format!("{cursor} with {}", tell(event)),
                )?;
            }
            if page.up_to_date {
                let missing = wanted.next();
                return ensure(missing.is_none(), "I1 nothing acknowledged is lost", || {
                    format!(
                        "{stream:?} ends before {}",
                        missing.map_or(String::new(), tell)
                    )
                });
            }
            start = Start::After(page.next);
        }
    }

    /// One event that was read is the next one of the log; gives the position to go on after.
    fn check_read<'a>(
        &self,
        stream: Stream,
        event: &Event,
        after: Position,
        wanted: &mut impl Iterator<Item = &'a Event>,
    ) -> Played<Position> {
        if event.kind == EventType::REDACTED && stream == Stream::Runtime {
            is_redaction(event, after, &self.plain)?;
            for passed in wanted.by_ref() {
                if passed.position >= event.position {
                    break;
                }
            }
            return Ok(event.position);
        }
        let next = wanted.next();
        ensure(next == Some(event), "I2 a stream tells the log", || {
            format!(
                "{stream:?} tells {}; the log has {}",
                tell(event),
                next.map_or("nothing".to_owned(), tell),
            )
        })?;
        let worker = event
            .worker
            .and_then(|place| self.plain.worker(place.worker_id));
        let is_hidden = stream == Stream::Runtime
            && worker.is_some_and(|worker| worker.life == Life::Deleted)
            && event.kind != EventType::WORKER_DELETED;
        ensure(
            !is_hidden,
            "I2 what a deleted Worker said is not shown",
            || tell(event),
        )?;
        Ok(event.position)
    }

    /// Transcripts, from either end.
    pub(super) fn check_transcripts(&mut self) -> Played<()> {
        let alive = self
            .plain
            .workers
            .iter()
            .filter(|worker| worker.life != Life::Deleted);
        let ids: Vec<WorkerId> = alive.map(|worker| worker.id).collect();
        for id in ids {
            let begin = self
                .plain
                .trimmed
                .get(&Stream::Worker(id))
                .copied()
                .unwrap_or_default();
            let items: Vec<TranscriptItem> = self
                .plain
                .after(Stream::Worker(id), begin)
                .filter_map(item_of)
                .collect();
            self.check_transcript(id, &items)?;
            self.check_unfinished(id)?;
        }
        Ok(())
    }

    fn check_transcript(&self, id: WorkerId, items: &[TranscriptItem]) -> Played<()> {
        let read = |from| {
            let page = self.world.observation.transcript(id, from, 4);
            page.map_err(|error| {
                super::super::stop::Stop::Broken(crate::report::Violation::new(
                    "I2 a transcript can be read",
                    error.to_string(),
                ))
            })
        };
        let total = self.plain.worker(id).map_or(0, |worker| worker.items);
        let mut forward = Vec::new();
        let mut next = Some(items.first().map_or(total, |item| item.item));
        while let Some(from) = next {
            let page = read(TranscriptFrom::Item(from))?;
            ensure(
                page.items_total == total && page.items_total_exact,
                "I2 a transcript is counted",
                || format!("{} items of {id}, not {total}", page.items_total),
            )?;
            forward.extend(page.items);
            next = page.next;
        }
        let mut backward = Vec::new();
        let mut page = read(TranscriptFrom::End)?;
        loop {
            let first = page.items.first().map(|item| item.item);
            backward.splice(0..0, page.items);
            match page.previous.filter(|_| first.is_some()) {
                Some(before) => page = read(TranscriptFrom::Before(before))?,
                None => break,
            }
        }
        let differs = |read: &[TranscriptItem]| read != items;
        ensure(
            !differs(&forward) && !differs(&backward),
            "I2 a transcript is what was said",
            || {
                let short = |items: &[TranscriptItem]| -> Vec<u64> {
                    items.iter().map(|item| item.item).collect()
                };
                format!(
                    "of {id}: forward {:?}, backward {:?}, said {:?} (differs: {} and {})",
                    short(&forward),
                    short(&backward),
                    short(items),
                    differs(&forward),
                    differs(&backward),
                )
            },
        )
    }

    /// What has not ended is shown as it is.
    fn check_unfinished(&self, id: WorkerId) -> Played<()> {
        let page = match self
            .world
            .observation
            .transcript(id, TranscriptFrom::End, 1)
        {
            Ok(page) => page,
            Err(error) => return broken("I2 a transcript can be read", error.to_string()),
        };
        let Some(worker) = self.plain.worker(id).filter(|worker| !worker.unproven) else {
            return Ok(());
        };
        let blocks = worker.run.iter().flat_map(|run| {
            let of_run = run.blocks.iter();
            of_run.map(|(index, block)| (run.generation, *index, block.text.as_str()))
        });
        let wanted: Vec<_> = blocks.collect();
        let shown: Vec<_> = page
            .unfinished
            .iter()
            .map(|block| {
                (
                    block.block.generation,
                    block.block.index,
                    block.text.as_str(),
                )
            })
            .collect();
        ensure(
            shown == wanted,
            "I4 unfinished output is shown as it is",
            || format!("{} blocks of {id}, not {}", shown.len(), wanted.len()),
        )
    }
}
