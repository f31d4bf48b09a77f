//! Runs at a server, followed: signals, questions, and looking on.

use std::fs;

use rustix::process::Signal;

use crate::{
    serving::Serving,
    support::{Place, Running, snapshot, until},
};

/// Asks once whether it may write, and says what it was told.
pub(crate) const ASKS: &str = r#"
printf '{"type":"hello","protocol":1}\n'
read -r line
read -r line
run=${line#*'"run_id":"'}; run=${run%%'"'*}
printf '{"type":"action","run_id":"%s","action_id":"write","options":["allow","deny"],"detail":{"path":"src"}}\n' "$run"
read -r line
answer=${line#*'"option":"'}; answer=${answer%%'"'*}
printf '{"type":"block_start","run_id":"%s","block":"1","kind":"text"}\n' "$run"
printf '{"type":"delta","run_id":"%s","block":"1","text":"told to %s\\n"}\n' "$run" "$answer"
printf '{"type":"block_end","run_id":"%s","block":"1"}\n' "$run"
printf '{"type":"end","run_id":"%s","reason":"end_turn"}\n' "$run"
read -r line
"#;

fn phase(place: &Place, name: &str) -> serde_json::Value {
    let ran = place.run(&["worker", "show", name, "-o", "json"]);
    match ran.code {
        Some(0) => ran.json()["activity"]["phase"].clone(),
        _ => serde_json::Value::Null,
    }
}

#[test]
fn ctrl_c_cancels_the_run_at_the_server() {
    let place = Place::new();
    let server = Serving::start(&place);
    let run = ["run", "--name", "w", "--", "sh", "-c", "exec sleep 600"];
    let running = Running::start(&place, &run);
    until("it runs", || phase(&place, "w") == "running");
    running.signal(Signal::INT);
    let (code, stdout, stderr) = running.wait();
    assert_eq!((code, stdout.len()), (Some(130), 0), "{stderr}");
    assert!(stderr.contains("cancelling the run"), "{stderr}");
    assert!(stderr.contains("\ncancelled: "), "{stderr}");
    assert_eq!(place.last_outcome("w"), "cancelled");
    server.end();
}

/// It said that the run goes on at the server, which was ending it.
#[test]
fn a_second_ctrl_c_tells_whether_the_server_heard_the_first() {
    let place = Place::new();
    let server = Serving::start(&place);
    let stubborn = "trap 'echo asked' TERM; echo begun; while :; do sleep 600 & wait; done";
    let run = |name: &str| {
        let run = ["run", "--name", name, "--", "sh", "-c", stubborn];
        let mut running = Running::start(&place, &run);
        assert_eq!(running.line(), "begun");
        running
    };
    let (mut heard, mut unheard) = (run("heard"), run("unheard"));
    let unheard_id = place.worker_id("unheard");
    heard.signal(Signal::INT);
    assert_eq!(heard.line(), "asked");
    heard.signal(Signal::INT);
    let (code, _, stderr) = heard.wait();
    assert_eq!(code, Some(130), "{stderr}");
    let told = "left: the server was asked to cancel the run, and does so";
    assert!(stderr.contains(told), "{stderr}");
    assert!(stderr.contains("worker show "), "{stderr}");
    assert!(!stderr.contains("goes on"), "{stderr}");

    server.signal(Signal::STOP);
    unheard.signal(Signal::INT);
    unheard.until_said("cancelling the run");
    unheard.signal(Signal::INT);
    let (code, _, stderr) = unheard.wait();
    server.signal(Signal::CONT);
    assert_eq!(code, Some(130), "{stderr}");
    let told = "left: the server was asked to cancel the run, and nobody knows whether it heard";
    assert!(stderr.contains(told), "{stderr}");
    let show = format!("worker show {unheard_id}");
    assert!(stderr.contains(&show), "{stderr}");
    server.signal(Signal::INT);
    server.signal(Signal::INT);
    server.wait();
}

#[test]
fn a_run_goes_on_when_who_follows_it_is_ended_or_looks_away() {
    let place = Place::new();
    let server = Serving::start(&place);
    let gate = place.project().join("gate");
    let script = "echo begun; until [ -e gate ]; do sleep 0.02; done; echo through";
    let running = Running::start(&place, &["run", "--name", "w", "--", "sh", "-c", script]);
    until("it runs", || phase(&place, "w") == "running");
    running.signal(Signal::TERM);
    let (code, _, stderr) = running.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("the run goes on at the server"), "{stderr}");
    assert!(stderr.contains("worker attach"), "{stderr}");

    let looking = Running::start(&place, &["worker", "attach", "w", "-o", "jsonl"]);
    let other = Running::start(&place, &["worker", "attach", "w"]);
    // They hear signals once they know what runs.
    until("both look on", || {
        looking.hears_signals() && other.hears_signals()
    });
    looking.signal(Signal::INT);
    let (code, _, stderr) = looking.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert_eq!(phase(&place, "w"), "running");
    fs::write(gate, "").unwrap();
    let (code, stdout, stderr) = other.wait();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, ["begun", "through"], "{stderr}");
    assert_eq!(place.last_outcome("w"), "completed");
    server.end();
}

#[test]
fn a_question_is_answered_from_another_terminal() {
    let place = Place::new();
    let server = Serving::start(&place);
    fs::write(place.project().join("asks.sh"), ASKS).unwrap();
    let run = [
        "run", "--name", "w", "--mode", "lines", "--input", "go", "--", "sh", "asks.sh",
    ];
    let running = Running::start(&place, &run);
    until("it asks", || phase(&place, "w") == "requires_action");
    let calls = [
        place.run(&["worker", "show", "w"]),
        place.run(&["worker", "answer", "w", "read", "allow"]),
        place.run(&["worker", "answer", "w", "write", "perhaps"]),
        place.run(&["worker", "answer", "w", "write", "deny"]),
    ];
    let (code, stdout, stderr) = running.wait();
    assert_eq!(
        (code, stdout),
        (Some(0), vec!["told to deny".to_owned()]),
        "{stderr}"
    );
    let after = place.run(&["worker", "answer", "w", "write", "deny"]);
    server.end();
    let stopped = place.run(&["worker", "answer", "w", "write", "deny"]);
    let calls: Vec<_> = calls.into_iter().chain([after, stopped]).collect();
    snapshot(&place, "live_answer", &calls);
}

#[test]
fn a_run_is_followed_over_the_death_of_its_server() {
    let place = Place::new();
    let server = Serving::start(&place);
    let address = server.address().to_owned();
    let run = ["run", "--name", "w", "--", "sh", "-c", "exec sleep 600"];
    let running = Running::start(&place, &run);
    until("it runs", || phase(&place, "w") == "running");
    server.kill();
    let server = Serving::at(&place, &address);
    let (code, _, stderr) = running.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(
        stderr.contains("another server has the store, at "),
        "{stderr}"
    );
    assert!(
        stderr.contains("interrupted: its Runtime ended while it ran"),
        "{stderr}"
    );
    server.end();
}
