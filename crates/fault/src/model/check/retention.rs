//! Where streams begin, and how much retention left of them and took (I2, I9).

use std::collections::BTreeMap;

use worker_runtime_core::{Event, EventType, Position, Stream, cursor::From as Start};

use crate::{
    audit::trims::{Trim, check_log, check_workers},
    model::{
        plain::{LARGE_BYTES, Life},
        play::Game,
        stop::{Played, Stop, broken, ensure},
    },
};

/// What retention may leave beside its limit: packs that are being filled, and what an opening after a
/// crash would have to read.
const SPARE_BYTES: u64 = 32 << 10;

impl Game {
    /// Where each stream begins now. It never goes back, and is nowhere where nothing is trimmed.
    pub(in crate::model) fn look_at_trims(&mut self) -> Played<()> {
        let trimmed_before = self.plain.trimmed.clone();
        for stream in self.streams() {
            let begin = match self.world.observation.resolve(stream, Start::Beginning) {
                Ok(begin) => begin.position(),
                Err(error) => return broken("I2 a start can be resolved", error.to_string()),
            };
            let known = self.plain.trimmed.entry(stream).or_default();
            let before = std::mem::replace(known, begin);
            let fits = begin >= before
                && begin <= self.plain.position()
                && (begin == Position(0) || self.world.shape.trims);
            ensure(fits, "I2 what is trimmed stays so", || {
                format!("{stream:?} begins after {begin}, and began after {before}")
            })?;
            if begin > before {
                self.count("trims");
            }
        }
        match self.world.shape.trims && self.plain.trimmed != trimmed_before {
            true => self.check_trims(&trimmed_before),
            false => Ok(()),
        }
    }

    /// What went since was over a limit.
    fn check_trims(&self, trimmed_before: &BTreeMap<Stream, Position>) -> Played<()> {
        let trim = |stream: Stream, what: String| Trim {
            what,
            events: self.plain.after(stream, Position(0)).collect(),
            before: trimmed_before.get(&stream).copied().unwrap_or_default(),
            now: self.plain.trimmed.get(&stream).copied().unwrap_or_default(),
        };
        let policy = self.world.shape.retention();
        let log = trim(Stream::Runtime, "the log".to_owned());
        let workers = self.plain.workers.iter().map(|worker| {
            let own = trim(Stream::Worker(worker.id), worker.id.to_string());
            match worker.life {
                // Its events may still be there, and nobody can look.
                Life::Deleted => Trim {
                    before: worker.trimmed_alive,
                    now: worker.trimmed_alive,
                    ..own
                },
                _ => own,
            }
        });
        let workers: Vec<Trim<'_>> = workers.collect();
        check_log(&log, policy.log_bytes_max)
            .and_then(|()| check_workers(&workers, &policy))
            .map_err(Stop::Broken)
    }

    /// No more is left than retention allows.
    pub(super) fn check_retention(&mut self, stream: Stream, begin: Position) -> Played<()> {
        let policy = self.world.shape.retention();
        // In the log a large payload is only named.
        let counted = |event: &Event| match stream {
            Stream::Runtime if event.data.len() > LARGE_BYTES => 0,
            _ => event.data.len() as u64,
        };
        let bytes: u64 = self.plain.after(stream, begin).map(counted).sum();
        let max = match stream {
            Stream::Runtime => policy.log_bytes_max,
            Stream::Worker(_) => policy.worker_bytes_max,
        };
        // What a commit wrote stays until the next one of the same stream; the largest one is the end
        // of a run, with what it left unfinished.
        let mut ends: BTreeMap<_, u64> = BTreeMap::new();
        for event in self.plain.after(stream, begin) {
            if event.kind == EventType::BLOCK_FINISHED {
                *ends.entry(event.run_id).or_default() += counted(event);
            }
        }
        let end = ends.into_values().max().unwrap_or_default();
        ensure(
            bytes <= max.saturating_add(SPARE_BYTES).saturating_add(end),
            "I9 retention trims",
            || format!("{stream:?} has {bytes} bytes of data, and may have {max} and a few packs"),
        )
    }
}
