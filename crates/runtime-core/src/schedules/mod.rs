//! Schedules of the hand-over between the writer, its readers and subscribers, explored with
//! `--cfg shuttle` over the real code (I1, I9, I10). In no other build is there anything of this.
//!
//! - here: how a scenario is run under many schedules, and one of them again
//! - [`scenarios`]: what clients do at a whole Runtime, and what must hold
//! - [`client`]: who observes and checks each item as it comes
//! - [`spied`]: a store that tells what is committed, and fails when told to
//! - `tests`: the scenarios over a plain store, and previews; persist runs them over its own store
//!
//! `crates/fault/README.md` has the command.

#![allow(
    clippy::unwrap_used,
    reason = "a broken promise ends a schedule by a panic, and this is in builds of tests alone"
)]

pub mod client;
pub mod scenarios;
pub mod spied;

#[cfg(test)]
mod tests;

use std::{io::Write, sync::Arc, time::Instant};

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
};

/// How many times a schedule may be preempted where it hurts most, by the PCT scheduler.
const PREEMPTIONS: usize = 3;

/// The engine of the store needs more than a scheduler's thread has by default.
const STACK_BYTES: usize = 1 << 20;

/// Runs a scenario under this many schedules: half of them wholly random, half with few preemptions
/// at the worst moments (PCT). A failing schedule is printed by the scheduler, with what replays it.
///
/// Variables: `WORKER_RUNTIME_TEST_SEED` (1), `WORKER_RUNTIME_SCHEDULES_TIMES` (1: how many times as
/// many schedules), and `WORKER_RUNTIME_SCHEDULE`, a printed schedule that is run instead.
///
/// # Panics
/// When the scenario does, or when everyone waits: a wake-up was missed.
pub fn explore(name: &str, schedules: usize, scenario: impl Fn() + Send + Sync + 'static) {
    // The Runtime asks for tokio's; nothing runs on it.
    let tokio = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _entered = tokio.enter();
    let scenario = Arc::new(scenario);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.stack_size = STACK_BYTES;
        config.silence_warnings = true;
        config
            .ungraceful_shutdown_config
            .immediately_return_on_panic = true;
        let scenario = scenario.clone();
        Runner::new(scheduler, config).run(move || scenario())
    };
    if let Ok(schedule) = std::env::var("WORKER_RUNTIME_SCHEDULE") {
        run(Box::new(ReplayScheduler::new_from_encoded(&schedule)));
        return tell(&format!("{name}: the given schedule holds"));
    }
    let seed = number("WORKER_RUNTIME_TEST_SEED", 1);
    let times = usize::try_from(number("WORKER_RUNTIME_SCHEDULES_TIMES", 1)).unwrap();
    let half = (schedules * times).div_ceil(2);
    tell(&format!("{name}: {} schedules, seed {seed}", half * 2));
    let started = Instant::now();
    let random = run(Box::new(RandomScheduler::new_from_seed(seed, half)));
    let pct = PctScheduler::new_from_seed(seed, PREEMPTIONS, half);
    let pct = run(Box::new(pct));
    let took = started.elapsed();
    tell(&format!(
        "{name}: {} schedules held in {took:.1?}",
        random + pct
    ));
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

/// Past the capture of the test runner: the figures are what one wants to see.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
