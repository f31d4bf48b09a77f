//! The server of what is followed ends: another one is followed, or the store tells what became of it. A
//! follower waited for ever for a server at the old address, and said that the run went on there.

use std::fs;

use rustix::process::Signal;

use crate::{
    serving::{Serving, token_file},
    support::{Place, Running, until},
};

/// A command that says that it has begun, and ends when it may.
const GATED: &str = "echo begun; until [ -e gate ]; do sleep 0.02; done; echo through";

fn begin(place: &Place, name: &str) -> Running {
    let running = Running::start(place, &["run", "--name", name, "--", "sh", "-c", GATED]);
    until("it runs", || phase(place, name) == "running");
    running
}

fn phase(place: &Place, name: &str) -> serde_json::Value {
    let ran = place.run(&["worker", "show", name, "-o", "json"]);
    match ran.code {
        Some(0) => ran.json()["activity"]["phase"].clone(),
        _ => serde_json::Value::Null,
    }
}

#[test]
fn a_run_is_followed_to_a_server_at_another_address() {
    let place = Place::new();
    let first = Serving::start(&place);
    let old = first.address().to_owned();
    let running = begin(&place, "w");
    let tail = Running::start(&place, &["event", "tail", "w", "-o", "jsonl"]);
    until("both follow", || first.waiting(&place) == 2);
    first.kill();
    let second = Serving::start(&place);
    assert_ne!(second.address(), old);
    let (code, _, stderr) = running.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(
        stderr.contains("interrupted: its Runtime ended while it ran"),
        "{stderr}"
    );
    let told = format!("another server has the store, at {}", second.url);
    assert!(stderr.contains(&told), "{stderr}");
    let all = place.run(&["event", "ls", "w", "-o", "jsonl"]);
    let all: Vec<&str> = all.stdout.lines().collect();
    let mut tail = tail;
    let tailed: Vec<String> = all.iter().map(|_| tail.line()).collect();
    assert_eq!(tailed, all);
    tail.signal(Signal::INT);
    let (code, rest, stderr) = tail.wait();
    assert_eq!((code, rest.len()), (Some(130), 0), "{stderr}");
    second.end();
}

#[test]
fn what_became_of_a_run_is_told_from_the_store_of_a_server_that_has_ended() {
    let place = Place::new();
    let server = Serving::start(&place);
    let running = begin(&place, "w");
    until("it follows", || server.waiting(&place) == 1);
    // While it sees nothing, the run comes to its end and the server too.
    running.signal(Signal::STOP);
    fs::write(place.project().join("gate"), "").unwrap();
    until("the run is over", || phase(&place, "w").is_null());
    server.end();
    running.signal(Signal::CONT);
    let (code, stdout, stderr) = running.wait();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, ["begun", "through"], "{stderr}");
    assert!(
        stderr.contains("the server has ended; waiting 5 s for another"),
        "{stderr}"
    );
    assert!(stderr.contains("completed: "), "{stderr}");
}

#[test]
fn a_run_whose_server_was_killed_is_undecided_until_the_store_is_opened() {
    let place = Place::new();
    let server = Serving::start(&place);
    let mut running = begin(&place, "w");
    let mut looking = Running::start(&place, &["worker", "attach", "w", "-o", "json"]);
    until("both follow", || server.waiting(&place) == 2);
    server.kill();
    running.until_said("the server has ended; waiting 5 s for another");
    let (code, _, stderr) = running.wait();
    assert_eq!(code, Some(75), "{stderr}");
    assert!(stderr.contains("\nlost: the server ended"), "{stderr}");
    assert!(!stderr.contains("goes on at the server"), "{stderr}");
    let mut rest = Vec::new();
    while rest.last().is_none_or(|line| line != "}") {
        rest.push(looking.line());
    }
    let summary: serde_json::Value = serde_json::from_str(&rest.concat()).unwrap();
    assert_eq!(
        (&summary["state"], &summary["exit_code"]),
        (&"lost".into(), &75.into())
    );
    assert_eq!(looking.wait().0, Some(75));
    // The command that it names decides it.
    let worker_id = place.worker_id("w");
    assert!(
        stderr.contains(&format!("worker run {worker_id}")),
        "{stderr}"
    );
    let decided = place.run(&["worker", "run", "w"]);
    assert_eq!(decided.code, Some(0), "{decided}");
    assert_eq!(place.last_outcome("w"), "interrupted");
}

#[test]
fn an_input_that_waits_is_told_to_wait_when_its_server_has_ended() {
    let place = Place::new();
    let server = Serving::start(&place);
    let running = begin(&place, "w");
    let sending = Running::start(&place, &["worker", "send", "w", "--queue", "next"]);
    until("it waits", || {
        let shown = place.run(&["worker", "show", "w", "-o", "json"]);
        shown.json()["activity"]["queued"] == 1
    });
    until("both follow", || server.waiting(&place) == 2);
    server.kill();
    let (code, _, stderr) = sending.wait();
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("the input is kept and was not run"),
        "{stderr}"
    );
    assert!(stderr.contains("worker run "), "{stderr}");
    assert!(!stderr.contains("worker attach"), "{stderr}");
    assert_eq!(running.wait().0, Some(75));
}

#[test]
fn tails_end_with_what_a_server_that_has_ended_left() {
    let place = Place::new();
    let server = Serving::start(&place);
    assert_eq!(
        place
            .run(&["run", "--name", "w", "--", "sh", "-c", "echo said; cat"])
            .code,
        Some(0)
    );
    let events = Running::start(&place, &["event", "tail", "-o", "jsonl"]);
    let said = Running::start(&place, &["transcript", "tail", "w"]);
    until("both tail", || server.waiting(&place) == 2);
    // While they see nothing, more is said and the server ends.
    for tail in [&events, &said] {
        tail.signal(Signal::STOP);
    }
    let sent = place.run(&["worker", "send", "w", "more"]);
    assert_eq!(sent.code, Some(0), "{sent}");
    server.end();
    for tail in [&events, &said] {
        tail.signal(Signal::CONT);
    }
    let (code, lines, stderr) = events.wait();
    assert_eq!(code, Some(0), "{stderr}");
    let all = place.run(&["event", "ls", "--limit", "1000", "-o", "jsonl"]);
    assert_eq!(lines, all.stdout.lines().collect::<Vec<_>>(), "{stderr}");
    let (code, lines, words) = said.wait();
    assert_eq!(code, Some(0), "{words}");
    assert!(lines.iter().any(|line| line.contains("more")), "{lines:?}");
    assert!(words.contains("nobody runs this store"), "{words}");
}

#[test]
fn nothing_is_said_of_a_run_while_its_server_can_not_be_reached() {
    let place = Place::new();
    let server = Serving::start(&place);
    let token = token_file(&place);
    let way = [
        "--server",
        &server.url,
        "--token-file",
        token.to_str().unwrap(),
    ];
    let run = |name: &str| {
        let run = ["run", "--name", name, "--", "sh", "-c", GATED];
        let running = Running::start(&place, &[&way[..], &run].concat());
        until("it runs", || phase(&place, name) == "running");
        running
    };
    let (mut cancelled, mut ended) = (run("v"), run("w"));
    let mut looking = Running::start(&place, &[&way[..], &["worker", "attach", "w"]].concat());
    until("all follow", || server.waiting(&place) == 3);
    server.kill();
    for (running, signal) in [
        (&mut cancelled, Signal::INT),
        (&mut ended, Signal::TERM),
        (&mut looking, Signal::INT),
    ] {
        running.until_said("it is asked again");
        running.signal(signal);
    }
    for running in [cancelled, ended, looking] {
        let (code, _, stderr) = running.wait();
        assert_eq!(code, Some(130), "{stderr}");
        assert!(!stderr.contains("goes on"), "{stderr}");
        assert!(!stderr.contains("cancelling"), "{stderr}");
        assert!(
            stderr
                .contains("left: the server can't be reached, and what the run does is not known"),
            "{stderr}"
        );
    }
}

#[test]
fn a_server_that_is_ending_is_waited_for_and_not_asked() {
    let place = Place::new();
    let server = Serving::start(&place);
    let script = "trap '' TERM; echo begun; while :; do sleep 600 & wait; done";
    let mut running = Running::start(&place, &["run", "--name", "w", "--", "sh", "-c", script]);
    assert_eq!(running.line(), "begun");
    until("it follows", || server.waiting(&place) == 1);
    server.signal(Signal::TERM);
    running.until_said("the server is ending; its end is waited for");
    running.signal(Signal::INT);
    let (code, _, stderr) = running.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(
        stderr.contains("nobody was asked to cancel the run"),
        "{stderr}"
    );
    server.signal(Signal::INT);
    assert_eq!(server.wait().0, Some(130));
}
