//! How much a trim may take, reckoned from the events alone (I9): nothing goes before a limit is
//! passed, and then whole packs from the front, no more of them than it takes. So what is left of a
//! stream, together with the last pack that went, is over a limit.
//!
//! Where packs end is the store's own affair: the last one that went is taken for as large as a pack
//! may be. Every figure errs to the store's side, so that what is told here is broken for certain.
//! Asked by the client and the model after each of their steps, by the bare store's part after each
//! batch, and by the audit of what is found after a fault.

use std::collections::BTreeMap;

use worker_runtime_core::{Event, Position, Stream, WorkerId};
use worker_runtime_persist::RetentionPolicy;

use super::streams::LARGE_BYTES;
use crate::report::Violation;

const TOO_MUCH: &str = "I9 a trim takes no more than a limit asks for";

/// The most bytes of a pack, without what its events have beside it.
const PACK_BYTES: u64 = 16 << 10;

/// Bytes of a pack that are no event's.
const PACK_FRONT_BYTES: u64 = 128;

/// A stream, and how far it was trimmed.
pub(crate) struct Trim<'a> {
    /// What to call it.
    pub(crate) what: String,
    /// Every event that was ever written to it, in order.
    pub(crate) events: Vec<&'a Event>,
    /// The last position that was trimmed when it was last looked at, or that somebody asked to trim.
    pub(crate) before: Position,
    /// The last one that is trimmed now.
    pub(crate) now: Position,
}

/// Whose packs are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Log,
    Worker,
}

/// Checks how far all streams of a log were trimmed: where each begins, and where it began when it was
/// last looked at. A Worker that can't be looked at may have all of its events.
pub(crate) fn check_trims(
    log: Vec<&Event>,
    began: &BTreeMap<Stream, Position>,
    begins: &BTreeMap<Stream, Position>,
    retention: &RetentionPolicy,
) -> Vec<Violation> {
    let trim = |stream: Stream, what: String, events| {
        let before = began.get(&stream).copied().unwrap_or_default();
        Trim {
            what,
            events,
            before,
            now: begins.get(&stream).copied().unwrap_or(before),
        }
    };
    let mut workers: BTreeMap<WorkerId, Vec<&Event>> = BTreeMap::new();
    for event in &log {
        if let Some(place) = event.worker {
            workers.entry(place.worker_id).or_default().push(event);
        }
    }
    let workers = workers
        .into_iter()
        .map(|(worker_id, events)| trim(Stream::Worker(worker_id), worker_id.to_string(), events));
    let workers: Vec<Trim<'_>> = workers.collect();
    let log = trim(Stream::Runtime, "the log".to_owned(), log);
    let found = [
        check_log(&log, retention.log_bytes_max),
        check_workers(&workers, retention),
    ];
    found.into_iter().filter_map(Result::err).collect()
}

/// Checks how far the Runtime's log was trimmed.
pub(crate) fn check_log(log: &Trim<'_>, bytes_max: u64) -> Result<(), Violation> {
    let bytes = log.before_last_step(Of::Log);
    match log.now <= log.before || bytes > bytes_max {
        true => Ok(()),
        false => Err(log.too_much(&format!(
            "at most {bytes} bytes were there, and the limit is {bytes_max}"
        ))),
    }
}

/// Checks how far the Workers' events were trimmed: each by its own limit, or by that of them all.
pub(crate) fn check_workers(
    workers: &[Trim<'_>],
    retention: &RetentionPolicy,
) -> Result<(), Violation> {
    let all: u64 = workers.iter().map(|trim| trim.after(trim.before)).sum();
    for trim in workers.iter().filter(|trim| trim.now > trim.before) {
        let own = trim.before_last_step(Of::Worker);
        let total = all - trim.after(trim.before) + own;
        let (worker_max, total_max) = (retention.worker_bytes_max, retention.runtime_bytes_max);
        if own <= worker_max && total <= total_max && retention.age_ms_max.is_none() {
            return Err(trim.too_much(&format!(
                "at most {own} of {worker_max} bytes were there, and {total} of {total_max} in all"
            )));
        }
    }
    Ok(())
}

impl Trim<'_> {
    /// What the events after a position take at most.
    fn after(&self, position: Position) -> u64 {
        let events = self.events.iter().rev();
        let left = events.take_while(|event| event.position > position);
        left.map(|event| stored_bytes(event)).sum()
    }

    /// What was there at most before the last pack went.
    fn before_last_step(&self, of: Of) -> u64 {
        let (left, last) = (self.left(of), self.last_pack(of));
        left + last
    }

    fn left(&self, of: Of) -> u64 {
        if of == Of::Worker {
            return self.after(self.now);
        }
        let events = self.events.iter().rev();
        let left = events.take_while(|event| event.position > self.now);
        let (mut bytes, mut ended) = (0, 0);
        for event in left {
            bytes += entry_bytes(Of::Log, event);
            // A purge and an opening may end a pack that is not full.
            ended +=
                u64::from(["worker.deleted", "runtime.started"].contains(&event.kind.as_str()));
        }
        let packs = bytes / (PACK_BYTES / 2) + ended + 2;
        bytes + packs * PACK_FRONT_BYTES
    }

    /// The largest pack that may have gone last.
    fn last_pack(&self, of: Of) -> u64 {
        let gone = self.events.iter().rev();
        let gone = gone.skip_while(|event| event.position > self.now);
        let gone = gone.take_while(|event| event.position > self.before);
        let (mut entries, mut beside) = (0, 0);
        for event in gone {
            let entry = entry_bytes(of, event);
            if entries + entry > PACK_BYTES {
                break;
            }
            entries += entry;
            beside += if of == Of::Worker {
                beside_bytes(event)
            } else {
                0
            };
        }
        entries + beside + PACK_FRONT_BYTES
    }

    fn too_much(&self, why: &str) -> Violation {
        let (what, before, now) = (&self.what, self.before, self.now);
        Violation::new(
            TOO_MUCH,
            format!("{what}: trimmed from {before} to {now}; before the last step {why}"),
        )
    }
}

/// What an event of a Worker takes at most: it may be the first of a pack.
fn stored_bytes(event: &Event) -> u64 {
    PACK_FRONT_BYTES + entry_bytes(Of::Worker, event) + beside_bytes(event)
}

/// What an event takes in a pack.
fn entry_bytes(of: Of, event: &Event) -> u64 {
    // Flags, time, type and its length, digest and length of the data; a position or a Worker and its seq.
    let fixed = 1 + 8 + 1 + 16 + 4 + event.kind.as_str().len() as u64;
    let run = if event.run_id.is_some() { 16 } else { 0 };
    let place = match (of, event.worker) {
        (Of::Worker, _) => 8,
        (Of::Log, None) => 0,
        (Of::Log, Some(place)) => 24 + if place.item.is_some() { 8 } else { 0 },
    };
    let data = if event.data.len() > LARGE_BYTES {
        0
    } else {
        event.data.len() as u64
    };
    fixed + run + place + data
}

/// What an event keeps beside its pack.
fn beside_bytes(event: &Event) -> u64 {
    if event.data.len() > LARGE_BYTES {
        event.data.len() as u64
    } else {
        0
    }
}
