//! The store below the Runtime: random batches on a recorded disk, and every state that a power cut
//! may leave of them, reopened and read (I1, I2, I3, I5, I7).
//!
//! - `state`: what a store must hold, as a plain model; `script`: random batches
//! - `session`: a recorded run; `explore`: its crash images; `audit`: whether one is what it must be
//!
//! An image must be exactly the store after some number of batches: at least those that were
//! acknowledged before the power cut, at most those that were begun. Then one more batch is
//! committed and read. For a sample, the opening itself is cut off at any of its calls, and what that
//! leaves must be the same state again.

mod audit;
mod explore;
mod script;
mod session;
mod state;

#[cfg(test)]
mod tests;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    report::{HarnessError, Outcome},
    settings::Settings,
};
use explore::Explore;

const NAME: &str = "bare";

/// How much one run of the part does.
#[derive(Debug, Clone, Copy)]
struct Amount {
    sessions: usize,
    batches: usize,
    images_per_session: usize,
    recoveries_per_session: usize,
}

/// Runs the part.
///
/// # Errors
/// When the harness itself can't do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let amount = settings.size.pick(
        Amount {
            sessions: 2,
            batches: 20,
            images_per_session: 1_000,
            recoveries_per_session: 50,
        },
        Amount {
            sessions: 24,
            batches: 24,
            images_per_session: 5_000,
            recoveries_per_session: 100,
        },
        Amount {
            sessions: 200,
            batches: 40,
            images_per_session: 10_000,
            recoveries_per_session: 500,
        },
    );
    run_amount(settings, amount)
}

fn run_amount(settings: &Settings, amount: Amount) -> Result<Outcome, HarnessError> {
    let total = amount.sessions * amount.images_per_session;
    let progress = settings.progress(NAME, total as u64);
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new(Outcome::new(NAME, settings.seed));
    let work = || -> Result<(), HarnessError> {
        let mut explore = Explore::new(settings, &progress)?;
        loop {
            let session = next.fetch_add(1, Ordering::Relaxed);
            let found = &mut Outcome::new(NAME, settings.seed);
            let is_broken = || {
                let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                outcome.violations > 0
            };
            if session >= amount.sessions || (settings.until_violation && is_broken()) {
                return Ok(());
            }
            explore.session(settings.seed, session, &amount, found)?;
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.merge(found.clone());
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..settings.threads.max(1))
            .map(|_| scope.spawn(work))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(HarnessError::new(NAME, "a thread panicked")))
        })
    })?;
    Ok(outcome.into_inner().unwrap_or_else(PoisonError::into_inner))
}
