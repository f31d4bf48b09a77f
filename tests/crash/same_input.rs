//! The same input id gives the first receipt and runs nothing twice: before a kill, in its moment,
//! and after it (I5).

use std::time::{Duration, Instant};

use serde_json::Value;
use worker_runtime_core::{InputId, input::SubmitInput};

use super::{
    order::{Dice, Request},
    place::{Place, shell, wait_until},
    processes::nothing_left,
};

/// Notes its input, and stays.
const STAYS: &str = r#"read -r id; echo "$id" >> "$SIDE/$id"; echo began; sleep 1000; :"#;
/// Notes its input, and ends.
const ENDS: &str = r#"read -r id; echo "$id" >> "$SIDE/$id"; echo done"#;
/// How many kills come in the moment of a call.
const KILLS: u64 = 12;
const MOMENT_US_MAX: u64 = 8_000;

fn input(id: &str) -> SubmitInput {
    SubmitInput::text(id)
        .with_id(InputId::new(id).unwrap())
        .queued()
}

/// What of a receipt never changes.
fn place_of(receipt: &Value) -> [Value; 4] {
    ["input_id", "seq", "position", "at"].map(|name| receipt[name].clone())
}

#[test]
fn an_input_that_is_sent_again_after_a_kill_has_its_first_receipt_and_runs_once() {
    let place = Place::new();
    let mut host = place.serve();
    let worker_id = host.create(shell(STAYS, 100));
    let first = host.send(worker_id, input("one"));
    assert_eq!(first["repeated"], false);
    wait_until("the command to begin", || place.executions("one") == 1);
    let waiting = host.send(worker_id, input("two"));
    assert_eq!(waiting["repeated"], false);

    let again = host.send(worker_id, input("one"));
    assert_eq!(place_of(&again), place_of(&first));
    assert_eq!(
        (&again["repeated"], &again["content_differs"]),
        (&true.into(), &false.into())
    );
    let other = SubmitInput::text("other").with_id(InputId::new("one").unwrap());
    let other = host.send(worker_id, other);
    assert_eq!(place_of(&other), place_of(&first));
    assert_eq!(other["content_differs"], true);

    for _ in 0..2 {
        host.kill();
        host = place.serve();
        for (id, receipt) in [("one", &first), ("two", &waiting)] {
            let again = host.send(worker_id, input(id));
            assert_eq!(place_of(&again), place_of(receipt), "of {id}");
            assert_eq!(again["repeated"], true);
        }
        let finished = host.until(worker_id, "run.finished", Some("one"));
        assert_eq!(finished["outcome"]["kind"], "interrupted");
        assert_eq!(place.executions("one"), 1);
        // In the first of these lives it is its turn; in the second it was interrupted.
        wait_until("the next command to begin", || place.executions("two") == 1);
    }
    let finished = host.until(worker_id, "run.finished", Some("two"));
    assert_eq!(finished["outcome"]["kind"], "interrupted");
    assert!(host.terminate().success());
    nothing_left(&place.tag);
    assert_eq!((place.executions("one"), place.executions("two")), (1, 1));
}

#[test]
fn an_input_that_is_sent_in_the_moment_of_a_kill_runs_once_at_most() {
    let place = Place::new();
    let mut dice = Dice::new(u64::from(std::process::id()));
    let mut host = place.serve();
    let worker_id = host.create(shell(ENDS, 100));
    let mut kept = 0;
    for number in 0..KILLS {
        let id = format!("moment-{number}");
        host.tell(&Request::Send(worker_id, input(&id)));
        let moment = Duration::from_micros(dice.below(MOMENT_US_MAX));
        let sent = Instant::now();
        while sent.elapsed() < moment {
            std::hint::spin_loop();
        }
        host.kill();

        host = place.serve();
        let first = host.send(worker_id, input(&id));
        kept += u64::from(first["repeated"] == true);
        let again = host.send(worker_id, input(&id));
        assert_eq!(place_of(&again), place_of(&first));
        assert_eq!(again["repeated"], true);
        let finished = host.until(worker_id, "run.finished", Some(&id));
        match finished["outcome"]["kind"].as_str().unwrap() {
            "completed" => assert_eq!(place.executions(&id), 1),
            "interrupted" => assert!(place.executions(&id) <= 1),
            other => panic!("{id}: {other}"),
        }
    }
    println!("{kept} of {KILLS} were accepted before the kill");
}
