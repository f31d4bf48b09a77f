//! Which step comes next: chosen from the seed and from what the model knows, so that most steps have
//! something to do and some, on purpose, have not. What is done with leases is chosen in `leases`.

mod leases;

use fastrand::Rng;
use worker_runtime_core::Scope;

use super::{
    AnswerStep, Ask, Asks, BadInput, Begin, Ending, HoldStep, LifeStep, ReplyStep, Say, Step,
};
use crate::model::{held::TARGETS, plain::Life, play::Game, world::EndsBy};

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
    if game.world.has_place() && game.has_waiting_output() && game.may_wait() && rng.u8(0..6) == 0 {
        return Step::Advance { ms: 1_200 };
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
    if rng.u8(0..12) == 0 {
        let worker = holder(rng, game).unwrap_or(worker);
        let op = hold(rng, game, worker);
        return Step::Hold { worker, op };
    }
    if rng.u8(0..13) == 0 {
        let op = leases::choose(rng, game);
        return Step::Lease { op };
    }
    if let Some(parent) = childless(rng, game)
        && rng.u8(0..10) == 0
    {
        let ask = Ask::Below(parent, asks(rng, lends(game, parent)));
        return Step::Create {
            serial: u32::try_from(index).unwrap_or(u32::MAX),
            minted: rng.bool(),
            ask,
        };
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

/// One that holds something, mostly one that may hand it on.
fn holder(rng: &mut Rng, game: &Game) -> Option<usize> {
    let workers = game.plain.workers.iter().enumerate();
    let may_hand_on = rng.u8(0..4) > 0;
    let holders = workers.filter(|(_, worker)| {
        worker.holds.is_some() && (!may_hand_on || !worker.keeps.delegation.allow.is_empty())
    });
    let holders: Vec<usize> = holders.map(|(index, _)| index).collect();
    rng.choice(holders)
}

/// One that may hand something on, and has not: as long as there may be more.
fn childless(rng: &mut Rng, game: &Game) -> Option<usize> {
    let workers = game.plain.workers.iter().enumerate();
    let childless = workers.filter(|(_, worker)| {
        let has_below = game.plain.family.below(worker.id).next().is_some();
        worker.holds.is_some() && !worker.keeps.delegation.allow.is_empty() && !has_below
    });
    let childless: Vec<usize> = childless.map(|(index, _)| index).collect();
    let is_full = game.plain.workers.len() >= WORKERS_MAX;
    rng.choice(childless).filter(|_| !is_full)
}

/// Rules, of which one may lie in what may be handed on.
fn asks(rng: &mut Rng, within: Option<&Scope>) -> Asks {
    let rules = usize::from(leases::rules());
    let first = within.and_then(|scope| scope.allow.first());
    let target = first.and_then(|rule| TARGETS.iter().position(|target| *target == rule.path));
    let rule = |rng: &mut Rng| {
        let any = rng.usize(0..rules);
        // The same target, or the one below it, which comes next.
        let near = target.filter(|_| rng.u8(0..4) > 0);
        let near = near.map(|target| 4 * (target + rng.usize(0..2)) + any % 4);
        u8::try_from(near.unwrap_or(any)).unwrap_or_default()
    };
    Asks {
        scope: (rng.u8(0..4) > 0).then(|| rule(rng)),
        delegation: (rng.u8(0..3) > 0).then(|| rule(rng)),
        deny: (rng.u8(0..5) == 0).then(|| rule(rng)),
    }
}

/// What a Worker may hand on.
fn lends(game: &Game, worker: usize) -> Option<&Scope> {
    let found = game.plain.workers.get(worker);
    found.map(|found| &found.keeps.delegation)
}

fn hold(rng: &mut Rng, game: &Game, worker: usize) -> HoldStep {
    let by_force = rng.bool();
    let found = game.plain.workers.get(worker);
    let below = found.and_then(|found| game.plain.family.below(found.id).next());
    match rng.u8(0..10) {
        0..=3 => {
            let held = found.map(|found| &found.keeps.scope);
            HoldStep::Change(asks(rng, held))
        }
        4..=5 => HoldStep::Release { by_force },
        6.. if below.is_some() => HoldStep::Reclaim { by_force },
        6 => HoldStep::Reclaim { by_force },
        _ => HoldStep::Change(asks(rng, None)),
    }
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
        6..=8 | 20.. => match holder(rng, game) {
            Some(parent) if rng.u8(0..4) > 0 => {
                let asks = asks(rng, lends(game, parent));
                Ask::Below(parent, asks)
            }
            _ => Ask::Hold(asks(rng, None)),
        },
        9..=10 => Ask::Hold(asks(rng, None)),
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
    match rng.u8(0..42) {
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
