//! The part `order`: nothing is acknowledged, shown or told before its commit, and everything is told
//! after it (I1, I10); what is read for an observer that does not read is bounded (I9).
//!
//! A store of the harness's own stands between the Runtime and the real one and stops the writer twice
//! in each commit: before the store has it, and when the store has it but nobody was told. At both
//! places everything that a user can look at must be as it was. No timing is involved: what was done too
//! early was done before the writer got there.
//!
//! - `gate`: the store that stops the writer
//! - `steps`: the commands, and what is looked at
//! - `ahead`: how much is read for observers that don't read

mod ahead;
mod gate;
mod steps;

use crate::{
    report::{Doing, HarnessError, Outcome},
    settings::Settings,
};

/// The part's name.
const PART: &str = "order";

/// Runs it.
///
/// # Errors
/// When the harness can't do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let mut outcome = Outcome::new(PART, settings.seed);
    // The writer is held up by a thread that waits for it: the Runtime's tasks need others.
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .doing("start tokio")?;
    tokio.block_on(steps::run(settings, &mut outcome))?;
    if !settings.until_violation || outcome.violations == 0 {
        tokio.block_on(ahead::run(settings, &mut outcome))?;
    }
    Ok(outcome)
}
