//! The model test of the whole Runtime: random commands, backends that are driven step by step,
//! restarts, deadlines, trims and purges, against a plain model that was written from the contract.
//!
//! # Layout
//! - `step`: what a step is, and which one comes next
//! - `plain`: the model; `held`: of it, who holds what; `lease`: how long others than Workers do;
//!   `expect`: events that must come
//! - `play`: a step on both sides; `check`: what a user can read
//! - `observers`: streams that live across steps and restarts
//! - `world`: the real side; `backend`: the backend that is driven; `watchdog`: what hangs
//! - `history`: one history from its seed, and the shortest prefix that shows what it broke
//!
//! Looks at I1 to I10 through what a user can call, and shares no code with the Runtime's own state.
//! A history is determined by its seed alone: the same one twice must give the same log, byte for
//! byte. Called by the harness as part `model`.

mod backend;
mod check;
mod expect;
mod held;
mod history;
mod lease;
mod observers;
mod plain;
mod play;
mod step;
mod stop;
mod watchdog;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use worker_runtime_core::input::{KnownSegment, Segment, SubmitInput};

use crate::{
    report::{HarnessError, Outcome, Violation},
    settings::{Settings, Size},
};
use history::{CUT_SHORT, STEPS, play_history};

/// What every run must have reached, with how often at least for each thousand steps: a run that
/// shows nothing is a violation.
const REACHED: &[(&str, u64)] = &[
    ("inputs accepted", 60),
    ("inputs run", 50),
    ("repeated receipts", 8),
    ("repeated creations", 3),
    ("repeated receipts of a life", 3),
    ("outcomes completed", 6),
    ("outcomes failed", 8),
    ("outcomes cancelled", 10),
    ("outcomes interrupted", 5),
    ("restarts by", 8),
    ("trims", 4),
    ("runs that took too long", 2),
    ("cancels of runs", 4),
    ("workers ended", 5),
    ("events told to observers", 100),
    ("observers that went on after a restart", 5),
    ("cursors followed", 30),
    ("late messages refused", 1),
    ("refused WR-SCOPE-CONFLICT", 2),
    ("refused WR-SCOPE-UNDELEGATED", 5),
    ("refused WR-SCOPE-IN-USE", 4),
    ("scopes changed", 8),
    ("scopes released", 1),
    ("scopes reclaimed", 1),
    ("scopes taken by force", 3),
    ("allocations read of a stopped store", 5),
    ("leases granted", 8),
    ("leases over", 4),
    ("leases renewed", 4),
    ("leases given back", 2),
    ("leases taken by force", 1),
    ("leases acquired again", 2),
    ("stops that a lease outlasted", 1),
    ("fences of leases given anew", 1),
    ("leases kept by an opening", 1),
    ("refused WR-LEASE-", 4),
    ("refused WR-INPUT-BUSY", 5),
    ("refused WR-CURSOR-FOREIGN", 10),
    ("refused WR-CURSOR-AHEAD", 5),
    ("refused WR-CURSOR-FORKED", 5),
];

/// What only a longer run must have reached, for each ten thousand steps.
const REACHED_BY_MORE: &[(&str, u64)] = &[
    ("actions answered", 5),
    ("actions lapsed", 3),
    ("workers restored", 10),
    ("deletes", 2),
    ("purges", 2),
    ("cancels that failed", 5),
    ("stops that failed", 2),
    ("blocks kept in part", 3),
    ("runs that could not be shown to be dead", 1),
    ("freed by an operator", 1),
    ("gaps told to observers", 2),
    ("refused WR-CURSOR-EXPIRED", 5),
    ("refused WR-INPUT-QUEUE-FULL", 5),
    ("refused WR-RUNTIME-STOPPED", 10),
    ("refused WR-SCOPE-LENT", 10),
    ("refused WR-INPUT-INCAPABLE", 5),
];

/// Plays histories against the model.
///
/// # Errors
/// [`HarnessError`] when the harness itself could not do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let histories: u64 = settings.size.pick(24, 56, 5_600);
    let progress = settings.progress("model", histories.saturating_mul(STEPS));
    let (next, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || -> Result<Outcome, HarnessError> {
        let mut outcome = Outcome::new("model", settings.seed);
        while !ended.load(Ordering::SeqCst) {
            let index = next.fetch_add(1, Ordering::SeqCst);
            if index >= histories {
                break;
            }
            let seed = settings.seed.wrapping_add(index);
            let played = play_history(settings, seed)?;
            progress.add(STEPS);
            outcome.merge(played);
            if outcome.violations > 0 && settings.until_violation {
                ended.store(true, Ordering::SeqCst);
            }
        }
        Ok(outcome)
    };
    let mut outcome = Outcome::new("model", settings.seed);
    let parts = std::thread::scope(|scope| {
        let threads = (0..settings.threads.max(1)).map(|_| scope.spawn(work));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join())
            .collect::<Vec<_>>()
    });
    for part in parts {
        let part = part.map_err(|_| HarnessError::new("play a history", "its thread panicked"))?;
        outcome.merge(part?);
    }
    if outcome.violations == 0 && settings.size > Size::Catch {
        check_reached(&mut outcome);
    }
    Ok(outcome)
}

/// A run that reached too little shows nothing.
fn check_reached(outcome: &mut Outcome) {
    let steps = outcome.figures.get("steps").copied().unwrap_or_default();
    let floors = REACHED
        .iter()
        .map(|(name, each)| (*name, each.saturating_mul(steps) / 1_000))
        .chain(
            REACHED_BY_MORE
                .iter()
                .map(|(name, each)| (*name, each.saturating_mul(steps) / 10_000)),
        );
    let floors: Vec<_> = floors.collect();
    let count = |name: &str| outcome.figures.get(name).copied().unwrap_or_default();
    let (cut, histories) = (count(CUT_SHORT), count("histories"));
    if cut > histories / 10 {
        let detail = format!("{cut} of {histories} histories were cut short");
        let at = format!("--seed {}", outcome.seed);
        outcome.violated(at, Violation::new("a run shows something", detail));
    }
    for (name, floor) in floors {
        let reached = outcome
            .figures
            .iter()
            .filter(|(known, _)| known.starts_with(name));
        let reached: u64 = reached.map(|(_, count)| *count).sum();
        if reached < floor {
            let detail = format!("{reached} {name} in {steps} steps, at least {floor} were wanted");
            let at = format!("--seed {}", outcome.seed);
            outcome.violated(at, Violation::new("a run shows something", detail));
        }
    }
}

/// An input's text, as its backend reads it.
fn text_of(input: &SubmitInput) -> String {
    let texts = input.segments.iter().filter_map(|segment| match segment {
        Segment::Known(KnownSegment::Text { text }) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
