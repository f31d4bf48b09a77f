//! A limit of age: what is older goes, pack by pack, and nothing before its time (I9).
//!
//! The time is the store's own, which the clock of the load makes pass. Limits of bytes are far away, so
//! that age alone trims.

use std::{collections::BTreeMap, path::Path, time::Duration};

use worker_runtime_core::{Clock, Event, Position, Stream, Timestamp};
use worker_runtime_persist::RetentionPolicy;

use super::{Load, WORKERS, open_store};
use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::Settings,
};

/// How old an event may become.
const AGE_MAX: Duration = Duration::from_secs(100);

/// What passes with each step.
const STEP: Duration = Duration::from_secs(1);

/// In this time every Worker fills a pack, and packs are written: then what is too old has gone.
const LATE_MAX: Duration = Duration::from_secs(60);

/// The most bytes of a pack.
const PACK_BYTES: usize = 16 << 10;

const RETENTION: RetentionPolicy = RetentionPolicy {
    worker_bytes_max: 1 << 40,
    runtime_bytes_max: 1 << 40,
    age_ms_max: Some(AGE_MAX.as_millis() as u64),
    log_bytes_max: 1 << 40,
};

/// Tells events while time goes on, and looks at what went after each step.
pub(super) async fn load(
    settings: &Settings,
    directory: &Path,
    outcome: &mut Outcome,
) -> Result<(), HarnessError> {
    let store = open_store(settings.seed, directory, RETENTION)?;
    let mut load = Load::open(settings.seed, store).await?;
    let mut began = load.begins()?;
    for step in 0..settings.size.pick(300, 900, 9_000) {
        load.tell_of(step % WORKERS).await?;
        load.read_log()?;
        let begins = load.begins()?;
        let trims = begins
            .iter()
            .filter(|(stream, at)| began.get(*stream) != Some(*at));
        outcome.count("trims by age", trims.count() as u64);
        if let Err(violation) = look(&load.log, load.clock.now(), (&began, &begins)) {
            let at = format!("seed {}, step {step} of a limit of age", settings.seed);
            outcome.violated(at, violation);
            break;
        }
        load.log.retain(|event| is_left(event, &begins));
        began = begins;
        load.clock.advance(STEP);
        tokio::task::yield_now().await;
    }
    load.close().await
}

fn is_left(event: &Event, begins: &BTreeMap<Stream, Position>) -> bool {
    let begin = stream_of(event).and_then(|stream| begins.get(&stream));
    begin.is_some_and(|begin| event.position > *begin)
}

fn stream_of(event: &Event) -> Option<Stream> {
    event.worker.map(|place| Stream::Worker(place.worker_id))
}

/// What went since was too old, and nothing is left that is.
fn look(
    log: &[Event],
    now: Timestamp,
    (began, begins): (&BTreeMap<Stream, Position>, &BTreeMap<Stream, Position>),
) -> Result<(), Violation> {
    for (stream, begin) in begins {
        let own: Vec<&Event> = log
            .iter()
            .filter(|event| stream_of(event) == Some(*stream))
            .collect();
        let (gone, left) = own.split_at(own.partition_point(|event| event.position <= *begin));
        let before = began.get(stream).copied().unwrap_or_default();
        if let Some(last) = gone.last().filter(|_| before < *begin)
            && now.since(last.at) <= AGE_MAX
        {
            let age = now.since(last.at);
            let why = format!("{stream:?} was trimmed to {begin}, which is {age:?} old");
            return Err(Violation::new(
                "I9 a trim takes no more than a limit asks for",
                why,
            ));
        }
        if *stream == Stream::Runtime && *begin > Position(0) {
            let why = format!("the log has no limit of age, and begins after {begin}");
            return Err(Violation::new(
                "I9 a trim takes no more than a limit asks for",
                why,
            ));
        }
        // Whatever the first pack is, it ends before this one.
        let mut bytes = 0;
        let after_first = left.iter().find(|event| {
            bytes += event.data.len();
            bytes > PACK_BYTES
        });
        if let Some(event) = after_first.filter(|event| now.since(event.at) > AGE_MAX + LATE_MAX) {
            let age = now.since(event.at);
            let why = format!(
                "{stream:?} has a whole pack before {}, which is {age:?} old",
                event.position
            );
            return Err(Violation::new("I9 what is too old goes", why));
        }
    }
    Ok(())
}
