//! `worker send`: in the foreground to its outcome, and nothing twice.

use crate::support::{Place, snapshot};

#[test]
fn a_worker_takes_one_input_after_another() {
    let place = Place::new();
    let create = place.run(&["worker", "create", "--name", "echo", "--", "cat"]);
    let first = place.run(&["worker", "send", "echo", "one\n"]);
    let second = place.run_with_input(&["worker", "send", "echo", "-"], "two\n");
    let transcript = place.run(&["transcript", "show", "echo"]);
    let last = place.run(&["transcript", "show", "echo", "--last", "1"]);
    snapshot(&place, "send", &[create, first, second, transcript, last]);
}

#[test]
fn the_same_input_id_runs_nothing_twice() {
    let place = Place::new();
    let command = [
        "worker", "create", "--name", "log", "--", "tee", "-a", "log",
    ];
    assert_eq!(place.run(&command).code, Some(0));
    let first = place.run(&["worker", "send", "log", "--id", "key", "once\n"]);
    let again = place.run(&["worker", "send", "log", "--id", "key", "once\n"]);
    let differs = place.run(&["worker", "send", "log", "--id", "key", "twice\n"]);
    let log = std::fs::read_to_string(place.project().join("log")).unwrap();
    assert_eq!(log, "once\n");
    snapshot(&place, "send_twice", &[first, again, differs]);
}

#[test]
fn a_worker_works_where_it_was_made() {
    let place = Place::new();
    assert_eq!(
        place
            .run(&["worker", "create", "--name", "where", "--", "pwd"])
            .code,
        Some(0)
    );
    let output = place
        .command(&["worker", "send", "where", "?"])
        .current_dir("/")
        .output()
        .unwrap();
    let expected = std::fs::canonicalize(place.project()).unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        expected.to_str().unwrap()
    );
}

#[test]
fn a_paused_worker_keeps_its_input_and_runs_it_once_when_it_may() {
    let place = Place::new();
    assert_eq!(
        place
            .run(&["worker", "create", "--name", "w", "--", "cat"])
            .code,
        Some(0)
    );
    let pause = place.run(&["worker", "pause", "w"]);
    let kept = place.run(&["worker", "send", "w", "--id", "a", "first\n"]);
    let busy = place.run(&["worker", "send", "w", "--id", "b", "second\n"]);
    let status = place.run(&["status"]);
    let resume = place.run(&["worker", "resume", "w"]);
    let again = place.run(&["worker", "send", "w", "--id", "a", "first\n"]);
    assert_eq!(again.stdout, "first\n", "{again}");
    snapshot(
        &place,
        "send_paused",
        &[pause, kept, busy, status, resume, again],
    );
}

#[test]
fn a_worker_without_a_command_takes_no_input() {
    let place = Place::new();
    let create = place.run(&["worker", "create", "--name", "mute", "--purpose", "to be"]);
    let refused = place.run(&["worker", "send", "mute", "hello"]);
    let empty = place.run(&["worker", "send", "mute", ""]);
    let show = place.run(&["worker", "show", "mute"]);
    snapshot(&place, "send_incapable", &[create, refused, empty, show]);
}
