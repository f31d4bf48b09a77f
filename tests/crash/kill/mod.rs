//! A host that feeds 50 Workers is killed 20 times at any moment, in its recovery too. Nothing that
//! was acknowledged is lost, nothing is run twice, and every observer goes on where it was.
//!
//! The clients' journals and the commands' own notes are the witnesses; the store is only asked what
//! a user can ask it. `WORKER_RUNTIME_TEST_SEED` replays the choices of a run.

mod audit;

use std::{sync::Arc, time::Duration};

use worker_runtime_core::{Dispatch, Mounts, Runtime, RuntimeOptions, open_read_only, view::Phase};
use worker_runtime_execution::exec::{ExecFactory, ExecOptions};
use worker_runtime_persist::{FileOptions, FileStore};

use super::{
    order::{Dice, MOUNT, Part, Said, worker_id},
    place::Place,
    processes::{kill_tagged, nothing_left, nothing_left_of, stop_monitors, tagged},
};
use audit::{Clients, Story};

const WORKERS: u64 = 50;
const KILLS: u64 = 20;
/// Two of the Runtime, and one of every fifth Worker.
const OBSERVERS: usize = 12;
/// Kills in the middle of an opening come within this time of its beginning.
const OPENING_MS_MAX: u64 = 60;
/// The others, within this time of its end.
const OPEN_MS: std::ops::Range<u64> = 100..1_300;

fn seed() -> u64 {
    let seed = match std::env::var("WORKER_RUNTIME_TEST_SEED") {
        Ok(text) => text.parse().expect("WORKER_RUNTIME_TEST_SEED is a number"),
        Err(_) => u64::from(std::process::id()),
    };
    println!("WORKER_RUNTIME_TEST_SEED={seed}");
    seed
}

#[test]
fn a_host_killed_twenty_times_loses_nothing_and_runs_nothing_twice() {
    let place = Place::new();
    let mut dice = Dice::new(seed());
    for _ in 0..KILLS {
        live_and_be_killed(&place, &mut dice);
    }
    // On a busy machine the last life may be too short for anything to wait.
    let shown = (0..KILLS).any(|_| {
        waiting_inputs_still_wait(&place) || {
            live_and_be_killed(&place, &mut dice);
            false
        }
    });
    assert!(shown, "nothing is shown without waiting inputs");
    let drained = drain(&place);
    nothing_left(&place.tag);

    let store = place.read();
    let limits = worker_runtime_core::limits::Limits::default();
    let observation = open_read_only(store.load().unwrap(), store.reader(), Vec::new(), limits);
    let observation = observation.unwrap();
    let events = crate::support::audit(&observation).events;
    let clients = Clients::read(&place.journals(), WORKERS);
    let story = Story::of(&observation, &events);
    story.holds_what_was_acknowledged(&clients);
    story.is_finished(&clients);
    story.ran_nothing_twice(&place, &clients);
    story.kept_the_output();
    story.was_observed(&place.journals(), drained, OBSERVERS);
    story.tells_enough(&clients, KILLS);
}

/// One life, ended at a moment that nobody chose.
fn live_and_be_killed(place: &Place, dice: &mut Dice) {
    let mut host = place.start(Part::Feed {
        journals: place.journals(),
        seed: dice.next(),
        workers: WORKERS,
    });
    if dice.once_in(4) {
        assert_eq!(host.said(), Said::Opening);
        std::thread::sleep(Duration::from_millis(dice.below(OPENING_MS_MAX)));
    } else {
        host.opened();
        nothing_left_of(&place.tag, place.round());
        let moment_ms = OPEN_MS.start + dice.below(OPEN_MS.end - OPEN_MS.start);
        std::thread::sleep(Duration::from_millis(moment_ms));
    }
    let with_monitors = dice.once_in(3);
    if with_monitors {
        // Then nobody is left who would end what its command started but the next opening.
        stop_monitors(&place.tag);
    }
    host.kill();
    if with_monitors {
        kill_tagged(&place.tag, |process| process.is_shim);
    }
}

/// Opens without dispatching anything: an input that was accepted and had not begun waits. Whether there was any.
fn waiting_inputs_still_wait(place: &Place) -> bool {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let waiting = threads.block_on(async {
        let store = FileStore::open(&place.state(), FileOptions::default()).unwrap();
        let mut mounts = Mounts::default();
        mounts.set(MOUNT, place.side()).unwrap();
        let options = RuntimeOptions {
            backends: vec![Arc::new(ExecFactory::new(ExecOptions::default()))],
            mounts,
            dispatch: Dispatch::None,
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::open(Box::new(store), options).await.unwrap();
        nothing_left(&place.tag);
        let observation = runtime.observation();
        let events = crate::support::audit(&observation).events;
        let story = Story::of(&observation, &events);
        story.holds_what_was_acknowledged(&Clients::read(&place.journals(), WORKERS));
        let mut waiting = Vec::new();
        for worker_id in (0..WORKERS).map(worker_id) {
            let view = observation.worker(worker_id).unwrap();
            let left = story.without_outcome(worker_id);
            assert_eq!(view.activity.queued, left.len(), "of {worker_id}");
            assert_eq!(view.activity.run_id, None, "nothing is dispatched");
            let phase = (!left.is_empty()).then_some(Phase::Queued);
            assert_eq!(view.activity.phase, phase);
            assert!(left.iter().all(|input| !story.has_run(worker_id, input)));
            waiting.extend(left);
        }
        println!("{} inputs still waited", waiting.len());
        runtime.close().await.unwrap();
        waiting.into_iter().cloned().collect::<Vec<_>>()
    });
    // A command of the life before may have noted late that it began; none of these may have.
    for input in &waiting {
        assert_eq!(place.executions(input), 0, "{input} began");
    }
    assert_eq!(tagged(&place.tag).len(), 0);
    !waiting.is_empty()
}

/// Lets everything end; the position at which nothing was left.
fn drain(place: &Place) -> u64 {
    let mut host = place.start(Part::Drain {
        journals: place.journals(),
        workers: WORKERS,
    });
    host.opened();
    nothing_left_of(&place.tag, place.round());
    let said = host.said();
    let Said::Drained(position) = said else {
        panic!("{said:?}");
    };
    let ended = host.ended();
    assert!(ended.success(), "{ended}");
    position.0
}
