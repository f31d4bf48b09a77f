//! A server that feeds Workers is killed again and again, in its opening too, and started anew at the
//! same address. Nothing that was acknowledged over HTTP is lost, nothing is run twice, and every
//! observer sees every event once and in order, over all of the servers.
//!
//! `WORKER_RUNTIME_TEST_SEED` replays the choices of a run.

use std::time::Duration;

use tokio::{sync::watch, task::JoinSet};
use worker_runtime_core::open_read_only;

use super::{
    audit::{Clients, Story},
    clients::Client,
    log,
    observers::observers,
    order::Dice,
    place::Place,
    processes::{kill_tagged, nothing_left, nothing_left_of, stop_monitors},
};

const WORKERS: u64 = 10;
/// Quick, slow, failing, stubborn and bulky.
const OBSERVED: [u64; 5] = [0, 5, 7, 8, 9];
const KILLS: u64 = 22;
/// Kills in the middle of an opening come within this time of its beginning.
const OPENING_MS_MAX: u64 = 60;
/// The others, within this time of its end.
const OPEN_MS: std::ops::Range<u64> = 50..1_000;

fn seed() -> u64 {
    let seed = match std::env::var("WORKER_RUNTIME_TEST_SEED") {
        Ok(text) => text.parse().expect("WORKER_RUNTIME_TEST_SEED is a number"),
        Err(_) => u64::from(std::process::id()),
    };
    println!("WORKER_RUNTIME_TEST_SEED={seed}");
    seed
}

#[test]
fn a_server_killed_over_and_over_loses_nothing_and_every_observer_goes_on() {
    let mut dice = Dice::new(seed());
    let mut place = Place::new(&mut dice);
    let first = place.serve();
    let threads = tokio::runtime::Runtime::new().unwrap();
    let client = place.client();
    let runtime_id = threads.block_on(client.runtime()).unwrap().runtime_id;
    let (finish_sending, sending) = watch::channel(false);
    let (finish_observing, observing) = watch::channel(false);
    let mut clients = JoinSet::new();
    let mut watching = JoinSet::new();
    for worker in 0..WORKERS {
        let dice = Dice::new(dice.next());
        let one = Client::new(client.clone(), &place.journals(), worker, dice);
        clients.spawn_on(one.run(sending.clone()), threads.handle());
    }
    for observer in observers(&client, runtime_id, &place.journals(), &OBSERVED) {
        watching.spawn_on(observer.run(observing.clone()), threads.handle());
    }
    std::thread::sleep(Duration::from_millis(OPEN_MS.end));
    first.kill();
    for _ in 1..KILLS {
        live_and_be_killed(&mut place, &mut dice);
    }
    let last = place.serve();
    finish_sending.send(true).unwrap();
    threads.block_on(ended(clients));
    let drained = threads.block_on(client.runtime()).unwrap().position;
    finish_observing.send(true).unwrap();
    threads.block_on(ended(watching));
    last.end();
    nothing_left(&place.tag);

    let store = place.read();
    let limits = worker_runtime_core::limits::Limits::default();
    let observation = open_read_only(store.load().unwrap(), store.reader(), Vec::new(), limits);
    let observation = observation.unwrap();
    let events = log::audit(&observation).events;
    let clients = Clients::read(&place.journals(), WORKERS);
    let story = Story::of(&observation, &events);
    story.holds_what_was_acknowledged(&clients);
    story.is_finished(&clients);
    story.ran_nothing_twice(&place, &clients);
    story.kept_the_output();
    let observers = 2 * (1 + OBSERVED.len());
    story.was_observed(&place.journals(), drained.0, observers);
    story.tells_enough(&clients, KILLS);
}

/// One life, ended at a moment that nobody chose.
fn live_and_be_killed(place: &mut Place, dice: &mut Dice) {
    if dice.once_in(4) {
        let mut server = place.begin();
        std::thread::sleep(Duration::from_millis(dice.below(OPENING_MS_MAX)));
        server.kill().unwrap();
        server.wait().unwrap();
        return;
    }
    let server = place.serve();
    nothing_left_of(&place.tag, place.round());
    let moment_ms = OPEN_MS.start + dice.below(OPEN_MS.end - OPEN_MS.start);
    std::thread::sleep(Duration::from_millis(moment_ms));
    let with_monitors = dice.once_in(3);
    if with_monitors {
        // Then nobody is left who would end what its command started but the next opening.
        stop_monitors(&place.tag);
    }
    server.kill();
    if with_monitors {
        kill_tagged(&place.tag, |process| process.is_shim);
    }
}

async fn ended(mut tasks: JoinSet<()>) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(90), all).await;
    ended.expect("everybody ends");
}
