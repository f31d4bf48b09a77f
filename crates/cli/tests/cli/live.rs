//! What changes a Worker, through a server: the same words, the same codes, and nobody else's store.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    serving::Serving,
    support::{Place, Running, snapshot, until},
};

#[test]
fn a_life_through_a_server() {
    let place = Place::new();
    let server = Serving::start(&place);
    let calls = [
        place.run(&[
            "worker",
            "create",
            "--name",
            "w",
            "--scope",
            "write:src",
            "--",
            "cat",
        ]),
        place.run(&["worker", "send", "w", "hello\n", "--id", "first"]),
        place.run(&["worker", "send", "w", "hello\n", "--id", "first"]),
        place.run(&["worker", "send", "w", "other\n", "--id", "first"]),
        place.run(&["worker", "pause", "w"]),
        place.run(&["worker", "pause", "w"]),
        place.run(&["worker", "send", "w", "later\n", "--id", "later"]),
        place.run(&["worker", "run", "w"]),
        place.run(&["worker", "rm", "w", "--yes"]),
        place.run(&["worker", "restore", "w"]),
        place.run(&["worker", "stop", "w", "--dry-run"]),
        place.run(&["worker", "resume", "w", "-o", "json"]),
        place.run(&["worker", "run", "w"]),
        place.run(&["worker", "attach", "w"]),
        place.run(&["worker", "stop", "w", "--reason", "done with it"]),
    ];
    until("the Worker is stopped", || {
        place.run(&["worker", "show", "w", "-o", "json"]).json()["lifecycle"] == "stopped"
    });
    let more = [
        place.run(&["worker", "send", "w", "too late"]),
        place.run(&["worker", "pause", "w"]),
        place.run(&["worker", "archive", "w"]),
        place.run(&["worker", "restore", "w"]),
        place.run(&["worker", "cancel", "w", "-o", "name"]),
    ];
    until("the Worker is cancelled", || {
        place.run(&["worker", "show", "w", "-o", "json"]).json()["lifecycle"] == "cancelled"
    });
    let last = [
        place.run(&["worker", "rm", "w"]),
        place.run(&["worker", "rm", "w", "--yes"]),
        place.run(&["worker", "show", "w"]),
    ];
    server.end();
    let mut calls: Vec<_> = calls.into_iter().chain(more).chain(last).collect();
    // What waited may run before or after it is asked for.
    let followed = calls.remove(12);
    assert_eq!(followed.code, Some(0), "{followed}");
    snapshot(&place, "live_life", &calls);
}

#[test]
fn a_server_makes_what_was_asked_for_or_nothing() {
    let place = Place::new();
    let server = Serving::start(&place);
    let elsewhere = place.project().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mut unknown_place = place.command(&["worker", "create", "--", "cat"]);
    let unknown_place = unknown_place.current_dir(&elsewhere).output().unwrap();
    assert_eq!(unknown_place.status.code(), Some(2));
    let stderr = String::from_utf8(unknown_place.stderr).unwrap();
    assert!(
        stderr.contains("a server knows the directory it was started in"),
        "{stderr}"
    );
    let calls = [
        place.run(&["worker", "create", "--objective", ""]),
        place.run(&["worker", "create", "--profile", "poet"]),
        place.run(&["worker", "create", "--parent", "seven"]),
        place.run(&[
            "worker",
            "create",
            "--parent",
            "01890a5d-ac96-774b-bcce-b302099a8057",
        ]),
        place.run(&["worker", "create", "--dry-run", "--", "cat"]),
        place.run(&["run", "--input", "", "--", "cat"]),
        place.run(&["run", "--scope", "write:.", "--", "true"]),
        place.run(&["run", "--scope", "write:.", "--", "true"]),
        place.run(&["worker", "create", "--", "no-such-program"]),
        place.run(&["worker", "ls", "-o", "wide"]),
    ];
    server.end();
    snapshot(&place, "live_create", &calls);
}

#[test]
fn a_place_that_the_configuration_names_is_known_to_server_and_command() {
    let place = Place::new();
    let top = place.project().join("src");
    fs::create_dir_all(top.join("below")).unwrap();
    let config = place.project().join("config.toml");
    let text = format!("[mounts]\ncode = {:?}\n", top.canonicalize().unwrap());
    fs::write(&config, text).unwrap();
    let server = Serving::with(
        &place,
        &[
            "--bind",
            "127.0.0.1:0",
            "--config",
            config.to_str().unwrap(),
        ],
    );
    let ask = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("WORKER_RUNTIME_CONFIG", &config);
        command.current_dir(top.join("below")).output().unwrap()
    };
    let ran = ask(&["run", "--name", "w", "--scope", "write:gen", "--", "pwd"]);
    assert_eq!(
        ran.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let printed = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(
        printed.trim(),
        top.join("below").canonicalize().unwrap().to_str().unwrap()
    );
    let shown = place.run(&["worker", "show", "w"]);
    assert!(
        shown.stdout.contains("write:code:below/gen (fence"),
        "{shown}"
    );
    server.end();
}

#[test]
fn what_was_sent_through_a_server_is_there_when_it_is_killed() {
    let place = Place::new();
    let server = Serving::start(&place);
    let run = ["run", "--name", "w", "--input", "keep me", "--", "cat"];
    let ran = place.run(&run);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "keep me"),
        "{ran}"
    );
    server.kill();
    // The lock went with the process, and so did its address.
    let shown = place.run(&["transcript", "show", "w", "--time", "ms"]);
    assert_eq!(shown.code, Some(0), "{shown}");
    assert!(
        shown.stdout.contains("keep me") && !shown.stderr.contains("asking"),
        "{shown}"
    );
    assert_eq!(place.run(&["worker", "send", "w", "again"]).stdout, "again");
}

#[test]
fn two_clients_at_once_are_both_served() {
    let place = Place::new();
    let server = Serving::start(&place);
    let children: Vec<_> = (0..4)
        .map(|number| {
            let name = format!("w{number}");
            let mut command = place.command(&["run", "--name", &name, "--", "echo", &name]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert_eq!(output.stdout, format!("w{number}\n").as_bytes());
    }
    server.end();
}

/// A server holds the store for as long as it lives: waiting for its end would be waiting in vain.
#[test]
fn who_would_wait_for_the_store_asks_its_server_at_once() {
    let place = Place::new();
    let server = Serving::start(&place);
    let begun = Instant::now();
    for args in [
        &["worker", "ls", "--wait", "20s"][..],
        &["run", "--wait", "20s", "--", "true"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
        assert!(ran.stderr.contains("asking the server"), "{ran}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "it waited");
    server.end();
}

#[test]
fn a_foreground_run_is_no_server() {
    let place = Place::new();
    let mut first = Running::start(
        &place,
        &["run", "--", "sh", "-c", "echo ready; exec sleep 600"],
    );
    assert_eq!(first.line(), "ready");
    let refused = [
        place.run(&["status"]),
        place.run(&["worker", "attach", "sh"]),
        place.run(&["event", "tail"]),
    ];
    first.signal(Signal::TERM);
    assert_eq!(first.wait().0, Some(130));
    assert!(
        refused.iter().all(|ran| ran.code == Some(11)),
        "{}",
        refused[0]
    );
}
