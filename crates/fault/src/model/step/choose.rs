//! Which step comes next: chosen from the seed and from what the model knows, so that most steps have
//! something to do and some, on purpose, have not.

use fastrand::Rng;

use super::{AnswerStep, Ask, BadInput, Begin, Ending, LifeStep, ReplyStep, Say, Step};
use crate::model::{plain::Life, play::Game, world::EndsBy};

/// Workers of one history.
const WORKERS_MAX: usize = 14;

/// Chooses the next step.
pub(in crate::model) fn choose(rng: &mut Rng, game: &Game, index: usize) -> Step {
    let workers = game.plain.workers.len();
    if workers < 2 {
        return create(rng, game, index);
    }
    let worker = pick_worker(rng, game);
    // What takes long to come about by chance alone is helped along.
    if game.world.has_place() && game.has_kept_output() && rng.bool() {
        let by = if rng.bool() {
            EndsBy::Kill
        } else {
            EndsBy::Abandon
        };
        return Step::Restart {
            by,
            unproven: rng.bool(),
        };
    }
    if let Some(worker) = unproven(rng, game)
        && rng.u8(0..10) == 0
    {
        let assume_dead = true;
        let op = if rng.bool() {
            LifeStep::Stop { assume_dead }
        } else {
            LifeStep::Cancel { assume_dead }
        };
        return Step::Life { worker, op };
    }
    if game.has_deadline() && game.may_wait() && rng.u8(0..12) == 0 {
        return Step::Advance { ms: 60 };
    }
    if game.plain.stopped && rng.u8(0..8) == 0 {
        return Step::StartRuntime;
    }
    match rng.u32(0..100) {
        0..=4 => create(rng, game, index),
        5..=6 => Step::CreateAgain {
            worker: rng.usize(0..workers),
            differs: rng.u8(0..3) == 0,
        },
        7..=18 => send(rng, worker, index),
        19..=22 => Step::SendAgain {
            worker,
            nth: rng.usize(0..64),
            differs: rng.u8(0..3) == 0,
        },
        23 => Step::SendBad {
            worker,
            bad: if rng.bool() {
                BadInput::Empty
            } else {
                BadInput::NoType
            },
        },
        24 if rng.u8(0..4) == 0 => Step::SendToNobody,
        24..=32 => {
            let ended = if rng.u8(0..3) == 0 {
                ended(rng, game)
            } else {
                None
            };
            let worker = ended.unwrap_or(worker);
            let op = life(rng, game, worker);
            Step::Life { worker, op }
        }
        33..=34 => Step::CancelRun {
            worker: running(rng, game).unwrap_or(worker),
            other: rng.u8(0..5) == 0,
        },
        35..=37 => answer(rng, game, worker),
        38 => match game.plain.stopped {
            true => Step::StartRuntime,
            false => Step::StopRuntime { drain: rng.bool() },
        },
        39 => Step::StartRuntime,
        40..=53 => pending(rng, game).unwrap_or_else(|| send(rng, worker, index)),
        54..=79 => match talking(rng, game) {
            Some(worker) => {
                let say = match say(rng) {
                    // Nothing is said into a block that is not there, but now and then.
                    Say::Append { .. } | Say::Replace { .. } | Say::FinishBlock
                        if !game.has_block(worker) && rng.u8(0..8) > 0 =>
                    {
                        Say::OpenBlock
                    }
                    say => say,
                };
                Step::Backend { worker, say }
            }
            None => pending(rng, game).unwrap_or_else(|| send(rng, worker, index)),
        },
        80..=81 => Step::Late {
            nth: rng.usize(0..8),
            finish: rng.bool(),
        },
        82..=86 if game.may_wait() => {
            let choices = [3, 20, 60, 400, 1_200, 3_000];
            Step::Advance {
                ms: rng.choice(choices).unwrap_or(20),
            }
        }
        87 => Step::Jump {
            forward: rng.bool(),
        },
        88..=89 => observe(rng, workers),
        90..=93 => Step::Drain {
            nth: rng.usize(0..8),
        },
        94 if rng.bool() => Step::LetGo {
            nth: rng.usize(0..8),
        },
        95..=97 if game.world.has_place() => restart(rng, game),
        98 => Step::CheckAll,
        _ => send(rng, worker, index),
    }
}

/// Mostly one that lives.
fn pick_worker(rng: &mut Rng, game: &Game) -> usize {
    let workers = &game.plain.workers;
    let alive: Vec<usize> = (0..workers.len())
        .filter(|index| {
            workers
                .get(*index)
                .is_some_and(|worker| worker.life == Life::Active)
        })
        .collect();
    match rng.choice(&alive) {
        Some(index) if rng.u8(0..6) > 0 => *index,
        _ => rng.usize(0..workers.len()),
    }
}

/// One that was stopped or cancelled, and is still there.
fn ended(rng: &mut Rng, game: &Game) -> Option<usize> {
    let workers = game.plain.workers.iter().enumerate();
    let ended: Vec<usize> = workers
        .filter(|(_, worker)| matches!(worker.life, Life::Stopped | Life::Cancelled))
        .map(|(index, _)| index)
        .collect();
    rng.choice(ended)
}

/// One whose processes can't be shown to be dead.
fn unproven(rng: &mut Rng, game: &Game) -> Option<usize> {
    let workers = game.plain.workers.iter().enumerate();
    let unproven: Vec<usize> = workers
        .filter(|(_, worker)| worker.unproven && worker.life == Life::Active)
        .map(|(index, _)| index)
        .collect();
    rng.choice(unproven)
}

fn running(rng: &mut Rng, game: &Game) -> Option<usize> {
    let workers = game.plain.workers.iter().enumerate();
    let running: Vec<usize> = workers
        .filter(|(_, worker)| worker.run.is_some())
        .map(|(index, _)| index)
        .collect();
    rng.choice(running)
}

/// A Worker whose backend has taken its run.
fn talking(rng: &mut Rng, game: &Game) -> Option<usize> {
    let talking: Vec<usize> = (0..game.plain.workers.len())
        .filter(|index| game.is_talking(*index))
        .collect();
    rng.choice(talking)
}

fn pending(rng: &mut Rng, game: &Game) -> Option<Step> {
    let waiting: Vec<usize> = (0..game.plain.workers.len())
        .filter(|index| game.is_asked(*index))
        .collect();
    let worker = rng.choice(waiting)?;
    // A stop is asked for seldom.
    let rarely = if game.is_stopping(worker) { 4 } else { 14 };
    let how = match rng.u8(0..rarely) {
        0 => ReplyStep::Bad,
        1 => ReplyStep::Worse,
        _ => ReplyStep::Good,
    };
    Some(Step::Reply { worker, how })
}

fn create(rng: &mut Rng, game: &Game, index: usize) -> Step {
    let workers = game.plain.workers.len();
    let good = workers < WORKERS_MAX;
    let ask = match rng.u8(if good { 0 } else { 14 }..26) {
        0..=4 => Ask::Plain,
        5 => Ask::NoBackend,
        6..=10 | 20.. => Ask::Scope(rng.u8(0..16)),
        11..=12 => Ask::WithInput,
        13 if workers > 0 => Ask::Child(rng.usize(0..workers)),
        13 | 14 => Ask::BadParent,
        15 => Ask::BadProfile,
        16 => Ask::BadBackend,
        17 => {
            if rng.bool() {
                Ask::BadBundle
            } else {
                Ask::BadScope
            }
        }
        18 => Ask::EmptyObjective,
        _ => Ask::InputWithoutBackend,
    };
    Step::Create {
        serial: u32::try_from(index).unwrap_or(u32::MAX),
        minted: rng.bool(),
        ask,
    }
}

fn send(rng: &mut Rng, worker: usize, index: usize) -> Step {
    let time_ms = match rng.u8(0..5) {
        0 | 1 => rng.choice([20, 60, 1_000]),
        _ => None,
    };
    Step::Send {
        worker,
        input: u32::try_from(index).unwrap_or(u32::MAX),
        queue: rng.u8(0..3) > 0,
        time_ms,
        bytes: rng.choice([10, 1_500, 1_900, 3_000]).unwrap_or(10),
    }
}

fn life(rng: &mut Rng, game: &Game, worker: usize) -> LifeStep {
    let found = game.plain.workers.get(worker);
    let is_active = found.is_some_and(|found| found.life == Life::Active);
    let assume_dead =
        found.is_some_and(|found| found.unproven) && rng.u8(0..3) > 0 || rng.u8(0..12) == 0;
    match (is_active, rng.u8(0..16)) {
        (true, 0..=2) => LifeStep::Pause,
        (true, 3..=6) => LifeStep::Resume,
        (true, 7..=9) | (false, 0) => LifeStep::Stop { assume_dead },
        (true, 10) | (false, 1) => LifeStep::Cancel { assume_dead },
        (true, 11..=13) | (false, 2) => LifeStep::Rename,
        (false, 3) => LifeStep::Pause,
        (false, 4..=5) => LifeStep::Archive,
        (false, 6..=10) => LifeStep::Restore,
        (true, 14) => LifeStep::Restore,
        (_, 15) => LifeStep::Delete { purge: rng.bool() },
        (true, _) => LifeStep::Archive,
        (false, _) => LifeStep::Delete { purge: rng.bool() },
    }
}

fn answer(rng: &mut Rng, game: &Game, worker: usize) -> Step {
    let asked = game.plain.workers.iter().enumerate().filter(|(_, worker)| {
        worker
            .run
            .as_ref()
            .is_some_and(|run| !run.actions.is_empty())
    });
    let asked: Vec<usize> = asked.map(|(index, _)| index).collect();
    let worker = rng.choice(asked).unwrap_or(worker);
    let how = match rng.u8(0..7) {
        0 => AnswerStep::WrongOption,
        1 => AnswerStep::NoSuchAction,
        2 => AnswerStep::NoSuchRun,
        _ => AnswerStep::Right,
    };
    Step::Answer { worker, how }
}

fn say(rng: &mut Rng) -> Say {
    match rng.u8(0..40) {
        0..=5 => Say::Event {
            bytes: rng.choice([20, 1_900, 1_900, 5_000]).unwrap_or(20),
        },
        6 => Say::ToolCall,
        7..=8 => Say::Events,
        9 => Say::ReservedEvent,
        10 => Say::Usage,
        11 => Say::Status,
        12..=17 => Say::OpenBlock,
        18..=22 => Say::Append {
            bytes: rng.choice([5, 300, 20_000, 20_000]).unwrap_or(5),
        },
        23 => Say::Replace {
            bytes: rng.choice([5, 700]).unwrap_or(5),
        },
        24..=26 => Say::FinishBlock,
        27..=29 => Say::AskAction {
            time_ms: rng.choice([None, Some(20), Some(500)]).flatten(),
        },
        30 => Say::AskAgain,
        31..=32 => Say::Process,
        33 => Say::LetGo,
        _ => Say::Finish(
            rng.choice([
                Ending::EndTurn,
                Ending::EndTurn,
                Ending::MaxTokens,
                Ending::Exit(0),
                Ending::Exit(3),
                Ending::Error,
                Ending::NoTerminator,
                Ending::Cancelled,
            ])
            .unwrap_or(Ending::EndTurn),
        ),
    }
}

fn observe(rng: &mut Rng, workers: usize) -> Step {
    let worker = match rng.u8(0..3) {
        0 => None,
        _ => Some(rng.usize(0..workers)),
    };
    let begin = match rng.u8(0..4) {
        0 => Begin::Beginning,
        1 => Begin::Now,
        _ => Begin::Cursor(rng.usize(0..256)),
    };
    Step::Observe {
        worker,
        begin,
        deltas: rng.bool(),
    }
}

fn restart(rng: &mut Rng, game: &Game) -> Step {
    let by = match rng.u8(0..3) {
        0 if game.may_close() => EndsBy::Close,
        1 => EndsBy::Abandon,
        _ => EndsBy::Kill,
    };
    Step::Restart {
        by,
        unproven: rng.bool(),
    }
}
