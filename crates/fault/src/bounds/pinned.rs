//! A pin: from its position on nothing goes, over a restart too, until it is let go of (I10); what is
//! before it goes, and all of it afterwards (I9).

use std::path::Path;

use worker_runtime_core::{Position, Stream};

use super::{Load, RETENTION, open_store};
use crate::{
    report::{Doing, HarnessError, Outcome, Violation},
    settings::Settings,
};

/// What is pinned from the first opening on: so far that every stream is over its limit before it.
const PINNED_FROM: Position = Position(1_200);

/// What is told in each opening: more than is kept.
const TOLD_BYTES: u64 = 6 << 20;

/// Tells events under a pin, opens the store again and goes on, and at last lets go of the pin.
pub(super) async fn load(
    settings: &Settings,
    directory: &Path,
    outcome: &mut Outcome,
) -> Result<(), HarnessError> {
    let mut first = open_store(settings.seed, directory, RETENTION)?;
    let pin = first.store.pin(PINNED_FROM).doing("pin what is to come")?;
    let mut load = Load::open(settings.seed, first).await?;
    let mut kept = tell(&mut load, outcome).await?;
    load.close().await?;
    if kept.is_ok() {
        let seed = settings.seed.wrapping_add(1);
        let again = open_store(seed, directory, RETENTION)?;
        let mut load = Load::open(seed, again).await?;
        kept = tell(&mut load, outcome).await?;
        load.close().await?;
    }
    if kept.is_ok() {
        let seed = settings.seed.wrapping_add(2);
        let mut last = open_store(seed, directory, RETENTION)?;
        last.store.unpin(pin).doing("let go of a pin")?;
        let mut load = Load::open(seed, last).await?;
        while load.told_bytes < TOLD_BYTES {
            load.tell().await?;
        }
        kept = goes_on(&load)?;
        load.close().await?;
    }
    if let Err(violation) = kept {
        outcome.violated(format!("seed {}, under a pin", settings.seed), violation);
    }
    Ok(())
}

/// Tells more than is kept; nothing that is pinned goes.
async fn tell(
    load: &mut Load,
    outcome: &mut Outcome,
) -> Result<Result<(), Violation>, HarnessError> {
    let mut began = load.begins()?;
    while load.told_bytes < TOLD_BYTES {
        load.tell().await?;
        let begins = load.begins()?;
        if let Some((stream, at)) = begins.iter().find(|(_, at)| **at >= PINNED_FROM) {
            let why = format!("{stream:?} begins after {at}, and {PINNED_FROM} is pinned");
            return Ok(Err(Violation::new("I10 nothing goes that is pinned", why)));
        }
        let trims = begins
            .iter()
            .filter(|(stream, at)| began.get(*stream) != Some(*at));
        outcome.count("trims under a pin", trims.count() as u64);
        began = begins;
    }
    Ok(Ok(()))
}

/// Nobody pins anything any more: what is over a limit has gone.
fn goes_on(load: &Load) -> Result<Result<(), Violation>, HarnessError> {
    let begins = load.begins()?;
    let runs = load.runs.iter().map(|run| Stream::Worker(run.worker_id()));
    let runs: Vec<Stream> = runs.collect();
    // Of what is told now some was told after the limits were last passed.
    let older = begins.iter().filter(|(stream, _)| !runs.contains(stream));
    let kept = older.into_iter().find(|(_, at)| **at < PINNED_FROM);
    Ok(match kept {
        None => Ok(()),
        Some((stream, at)) => {
            let why = format!("{stream:?} begins after {at}, and nothing is pinned any more");
            Err(Violation::new("I9 retention trims", why))
        }
    })
}
