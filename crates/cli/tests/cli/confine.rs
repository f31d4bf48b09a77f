//! `--confine`: what the kernel lets a command write, as somebody at a terminal meets it; and that two
//! Workers are not even started in one place.

use std::fs;

use crate::{
    serving::Serving,
    support::{Place, Ran, Running, snapshot},
};

fn confined<'a>(name: &'a str, scope: &'a str, script: &'a str) -> [&'a str; 10] {
    [
        "run",
        "--name",
        name,
        "--scope",
        scope,
        "--confine",
        "--",
        "sh",
        "-c",
        script,
    ]
}

#[test]
fn a_confined_command_writes_in_its_scope_and_is_kept_from_the_rest_by_the_kernel() {
    let place = Place::new();
    for made in ["gen", "other"] {
        fs::create_dir(place.project().join(made)).unwrap();
    }
    let inside = place.run(&confined(
        "in",
        "write:gen",
        "echo x > gen/made; cat gen/made",
    ));
    let outside = place.run(&confined("out", "write:other", "echo x > made"));
    let shown = place.run(&["worker", "show", "in"]);
    assert!(shown.stdout.contains("\nconfined   whole\n"), "{shown}");
    assert!(place.project().join("gen/made").exists());
    assert!(!place.project().join("made").exists());
    let told = place.run(&["worker", "show", "in", "-o", "json"]).json();
    assert_eq!(told["status"]["confinement"]["state"], "whole");
    snapshot(&place, "confine", &[inside, outside]);
}

#[test]
fn a_worker_that_nobody_confines_says_so_where_it_holds_something() {
    let place = Place::new();
    let ran = place.run(&["run", "--name", "w", "--scope", "write:gen", "--", "true"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let shown = place.run(&["worker", "show", "w"]);
    assert!(shown.stdout.contains("\nconfined   off\n"), "{shown}");
}

#[test]
fn what_a_killed_program_left_of_a_command_is_gone_with_the_next_opening() {
    let place = Place::new();
    let temporary = place.project().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let left = || fs::read_dir(&temporary).unwrap().count();
    let with_temporary = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("TMPDIR", &temporary);
        command
    };
    let script = "touch $TMPDIR/left; echo ready; sleep 600";
    let mut running = Running::of(with_temporary(&confined("w", "write:gen", script)));
    assert_eq!(running.line(), "ready");
    assert_eq!(left(), 1);
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    assert_eq!(left(), 1);
    let opens = with_temporary(&["worker", "pause", "w"]).output().unwrap();
    assert_eq!(opens.status.code(), Some(0));
    assert_eq!(left(), 0);
}

/// The second of two commands for one directory, refused before it starts.
fn expect_refused(ran: &Ran, place: &Place, first: &str) {
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("WR-SCOPE-CONFLICT"), "{ran}");
    assert!(ran.stderr.contains(first), "{ran}");
    assert!(!place.project().join("gen/second").exists());
}

#[test]
fn of_two_commands_for_one_directory_the_second_is_refused_before_it_starts() {
    let place = Place::new();
    fs::create_dir(place.project().join("gen")).unwrap();
    let first = [
        "worker",
        "create",
        "--name",
        "first",
        "--scope",
        "write:gen",
        "--",
        "cat",
    ];
    assert_eq!(place.run(&first).code, Some(0));
    let id = place.worker_id("first");
    let second = confined("second", "write:gen", "touch gen/second");
    let refused = place.run(&second);
    expect_refused(&refused, &place, &id);
    // The same while a server runs the store.
    let server = Serving::start(&place);
    expect_refused(&place.run(&second), &place, &id);
    server.end();
    snapshot(&place, "confine_second", &[refused]);
}
