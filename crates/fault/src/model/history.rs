//! One history from its seed: played, played again in part, and cut to the shortest prefix that shows
//! what it broke.

use std::{fmt::Write, time::Duration};

use super::{
    play::Game,
    step::{Step, choose},
    stop::{Played, Stop},
};
use crate::{
    report::{Doing, HarnessError, Outcome, Violation},
    settings::Settings,
};

/// Steps of one history.
pub(super) const STEPS: u64 = 200;

/// Steps that are played twice: the same seed gives the same log.
const STEPS_TWICE: usize = 100;

/// How often everything that can be read is compared.
const CHECKED_EVERY: usize = 20;

/// Steps that a violation prints.
const STEPS_TOLD: usize = 250;

/// How histories are counted whose end is [`Stop::Unseen`].
pub(super) const CUT_SHORT: &str = "histories cut short by what an opening trimmed";

/// What a history came to.
struct Ended {
    outcome: Outcome,
    steps: Vec<Step>,
    /// The log after so many steps of it.
    log: Vec<u8>,
    broken: Option<Violation>,
}

/// Plays the history of a seed.
pub(super) fn play_history(settings: &Settings, seed: u64) -> Result<Outcome, HarnessError> {
    let length = usize::try_from(STEPS).unwrap_or(usize::MAX);
    let first = play(settings, seed, length, CHECKED_EVERY)?;
    let mut outcome = first.outcome;
    outcome.count("histories", 1);
    outcome.count("steps", first.steps.len() as u64);
    if let Some(violation) = first.broken {
        outcome.count("histories that broke a promise", 1);
        let (violation, steps) = shortest(settings, seed, first.steps, violation)?;
        outcome.violated(
            format!("--seed {seed}, {} steps", steps.len()),
            told(violation, &steps),
        );
        return Ok(outcome);
    }
    let again = play(settings, seed, STEPS_TWICE, CHECKED_EVERY)?;
    outcome.count("steps played twice", again.steps.len() as u64);
    outcome.count("bytes of log compared", again.log.len() as u64);
    let at = format!("--seed {seed}, {} steps", again.steps.len());
    if let Some(violation) = again.broken {
        outcome.violated(at, violation);
    } else if !is_same(&outcome, &again.outcome, &first.log, &again.log) {
        outcome.violated(at, difference(&first.log, &again.log));
    }
    Ok(outcome)
}

/// Whether two logs of one seed are the same, as far as both go: what an opening trims may have been
/// read in one of them.
fn is_same(first: &Outcome, again: &Outcome, first_log: &[u8], again_log: &[u8]) -> bool {
    let is_cut = |outcome: &Outcome| outcome.figures.contains_key(CUT_SHORT);
    match is_cut(first) || is_cut(again) {
        true => first_log.starts_with(again_log) || again_log.starts_with(first_log),
        false => first_log == again_log,
    }
}

/// The first place where two logs of one seed differ.
fn difference(first: &[u8], again: &[u8]) -> Violation {
    let (first, again) = (
        String::from_utf8_lossy(first),
        String::from_utf8_lossy(again),
    );
    let mut lines = first.lines().zip(again.lines());
    let differs = lines.find(|(first, again)| first != again);
    let detail = match differs {
        Some((first, again)) => format!("{first} became {again}"),
        None => format!("{} and {} bytes", first.len(), again.len()),
    };
    Violation::new("the same seed gives the same log", detail)
}

/// The shortest prefix that shows it: everything is compared after each of its steps.
fn shortest(
    settings: &Settings,
    seed: u64,
    steps: Vec<Step>,
    violation: Violation,
) -> Result<(Violation, Vec<Step>), HarnessError> {
    let again = play(settings, seed, steps.len(), 1)?;
    Ok(match again.broken {
        Some(earlier) => (earlier, again.steps),
        None => (violation, steps),
    })
}

/// A violation with the last steps before it.
fn told(mut violation: Violation, steps: &[Step]) -> Violation {
    let skipped = steps.len().saturating_sub(STEPS_TOLD);
    for (index, step) in steps.iter().enumerate().skip(skipped) {
        let _ = write!(violation.detail, "\n    {index}: {step:?}");
    }
    violation
}

fn play(
    settings: &Settings,
    seed: u64,
    length: usize,
    every: usize,
) -> Result<Ended, HarnessError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .doing("make a runtime of tasks")?;
    let ended = runtime.block_on(async {
        // Time moves when a step moves it: tokio does not move it while a blocking task is there.
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let blocked = tokio::task::spawn_blocking(move || {
            let _ = held.recv();
        });
        let ended = steps(settings, seed, length, every).await;
        drop(hold);
        let _ = blocked.await;
        ended
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    ended
}

async fn steps(
    settings: &Settings,
    seed: u64,
    length: usize,
    every: usize,
) -> Result<Ended, HarnessError> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut ended = Ended {
        outcome: Outcome::new("model", seed),
        steps: Vec::new(),
        log: Vec::new(),
        broken: None,
    };
    let mut game = match Game::begin(settings, seed).await {
        Ok(game) => game,
        Err(Stop::Harness(error)) => return Err(error),
        Err(Stop::Unseen) => return Ok(ended),
        Err(Stop::Broken(violation)) => {
            ended.broken = Some(violation);
            return Ok(ended);
        }
    };
    for index in 0..length {
        let step = choose(&mut rng, &game, index);
        ended.steps.push(step);
        let is_last = index.saturating_add(1) == length;
        let whole = index % every == every - 1 || is_last;
        match one(&mut game, step, whole).await {
            Ok(()) => {}
            Err(Stop::Broken(violation)) => {
                ended.broken = Some(violation);
                break;
            }
            Err(Stop::Harness(error)) => return Err(error),
            Err(Stop::Unseen) => {
                game.outcome.count(CUT_SHORT, 1);
                ended.log = game.log();
                break;
            }
        }
        if index.saturating_add(1) == STEPS_TWICE {
            ended.log = game.log();
        }
    }
    game.observers.figures(&mut game.outcome);
    ended.outcome = std::mem::replace(&mut game.outcome, Outcome::new("model", seed));
    game.world
        .end(super::world::EndsBy::Abandon)
        .await
        .or_else(|stop| match stop {
            Stop::Broken(violation) => {
                ended.broken.get_or_insert(violation);
                Ok(())
            }
            Stop::Harness(error) => Err(error),
            Stop::Unseen => Ok(()),
        })?;
    Ok(ended)
}

async fn one(game: &mut Game, step: Step, whole: bool) -> Played<()> {
    game.play(step).await?;
    match whole {
        true => game.check_all(),
        // Whether a trim was right can be told best right after it.
        false => game.look_at_trims(),
    }
}

impl Game {
    /// The whole log as text.
    fn log(&self) -> Vec<u8> {
        let lines = self.plain.log.iter().map(|event| format!("{event:?}\n"));
        lines.collect::<String>().into_bytes()
    }
}
