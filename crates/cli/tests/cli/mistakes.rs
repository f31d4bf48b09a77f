//! What users get wrong, and what they are told.

use std::{fs, process::Stdio};

use crate::support::{Place, Running, snapshot};

fn place_with_two_of_a_name() -> Place {
    let place = Place::new();
    for _ in 0..2 {
        let ran = place.run(&["worker", "create", "--name", "twin", "--", "cat"]);
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    place
}

#[test]
fn a_worker_that_is_not_there_or_not_the_only_one_is_not_guessed() {
    let place = place_with_two_of_a_name();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let calls = [
        place.run(&["worker", "show", "nobody"]),
        place.run(&["worker", "show", id]),
        place.run(&["worker", "stop", "twin"]),
        place.run(&["transcript", "show", "twin", "-o", "json"]),
    ];
    snapshot(&place, "unknown_worker", &calls);
}

#[test]
fn a_cursor_that_can_not_be_followed_is_told_apart() {
    let place = place_with_two_of_a_name();
    let id = place
        .run(&["worker", "ls", "-o", "name"])
        .stdout
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let page = place.run(&["event", "ls", &id, "-o", "json"]).json();
    let of_worker = page["next"].as_str().unwrap();
    let mistyped = of_worker.replace("c1", "c2");
    let calls = [
        place.run(&["event", "ls", "--after", "yesterday"]),
        place.run(&["event", "ls", "--after", &mistyped]),
        place.run(&["event", "ls", "--after", of_worker]),
    ];
    // The mistyped one is no cursor any more, so that no filter hides it.
    let calls = calls.map(|ran| {
        let mut ran = ran;
        ran.stderr = ran.stderr.replace(&mistyped, "[MISTYPED]");
        ran.hide_typed(&mistyped, "[MISTYPED]")
    });
    snapshot(&place, "bad_cursor", &calls);
}

#[test]
fn a_worker_that_can_not_be_made_is_not_made() {
    let place = Place::new();
    let calls = [
        place.run(&["worker", "create", "--objective", ""]),
        place.run(&["worker", "create", "--role", " "]),
        place.run(&["worker", "create", "--profile", "poet"]),
        place.run(&["worker", "create", "--worker-id", "seven"]),
        place.run(&["worker", "create", "--label", "novalue"]),
        place.run(&["worker", "create", "--scope", "src"]),
        place.run(&["run", "--scope", "write:/etc", "--", "true"]),
        place.run(&["run", "--input", "", "--", "cat"]),
        place.run(&["run", "--timeout", "soon", "--", "true"]),
    ];
    snapshot(&place, "bad_worker", &calls);
    assert!(!place.state().exists(), "a mistake made a store");
}

#[test]
fn a_directory_that_is_something_else_is_left_alone() {
    let place = Place::new();
    fs::write(place.project().join("notes.txt"), "mine").unwrap();
    let calls = [
        place.run(&["--state", "notes.txt", "worker", "ls"]),
        place.run(&["--state", ".", "worker", "ls"]),
        place.run(&["--state", ".", "run", "--", "true"]),
        place.run(&["--state", "notes.txt/below", "run", "--", "true"]),
        place.run(&["--state", "", "worker", "ls"]),
    ];
    assert_eq!(fs::read_dir(place.project()).unwrap().count(), 1);
    snapshot(&place, "foreign_directory", &calls);
}

#[test]
fn a_second_process_is_told_who_holds_the_store() {
    let place = Place::new();
    let mut first = Running::start(
        &place,
        &["run", "--", "sh", "-c", "echo ready; exec sleep 600"],
    );
    assert_eq!(first.line(), "ready");
    let calls = [
        place.run(&["worker", "ls"]),
        place.run(&["run", "--", "true"]),
        place.run(&["worker", "ls", "-o", "json"]),
        place.run(&["state", "info"]),
    ];
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.wait().0, Some(130));
    assert!(calls.iter().all(|ran| ran.code == Some(11)));
    snapshot(&place, "locked", &calls);
    assert_eq!(place.run(&["worker", "ls"]).code, Some(0));
}

#[test]
fn a_command_line_that_is_not_understood_ends_with_2() {
    let place = Place::new();
    let calls = [
        place.run(&["worker", "explode"]),
        place.run(&["run"]),
        place.run(&["errors", "explain", "STATE"]),
        place.run(&["errors", "explain", "wr-usage"]),
        place.run(&["worker", "ls", "--log", "a=b=c"]),
        place.run(&["worker", "explode", "-o", "json"]),
        place.run(&["run", "--output=jsonl", "--timeout", "soon", "--", "true"]),
        place.run(&["status", "-o", "name"]),
        place.run(&["run", "-o", "name", "--", "true"]),
    ];
    snapshot(&place, "usage", &calls);
}

#[test]
fn six_commands_at_once_take_turns_when_they_may_wait() {
    let place = Place::new();
    let create = ["worker", "create", "--name", "w", "--", "cat"];
    assert_eq!(place.run(&create).code, Some(0));
    let children: Vec<_> = (0..6)
        .map(|number| {
            let text = number.to_string();
            let mut command = place.command(&["worker", "send", "w", &text, "--wait", "60s"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
    }
    let view = place.run(&["worker", "show", "w", "-o", "json"]).json();
    assert_eq!(view["input_count"], 6);
}

#[test]
fn a_wait_for_the_store_ends() {
    let place = Place::new();
    let command = ["run", "--", "sh", "-c", "echo ready; exec sleep 600"];
    let mut first = Running::start(&place, &command);
    assert_eq!(first.line(), "ready");
    let read = place.run(&["worker", "ls", "--wait", "50ms"]);
    let change = place.run(&["run", "--wait", "50ms", "--", "true"]);
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.wait().0, Some(130));
    assert_eq!((read.code, change.code), (Some(11), Some(11)));
}

#[test]
fn a_second_run_in_the_same_scope_is_told_what_frees_it() {
    let place = Place::new();
    let run = ["run", "--scope", "write:.", "--", "true"];
    assert_eq!(place.run(&run).code, Some(0));
    snapshot(&place, "scope_conflict", &[place.run(&run)]);
}

#[test]
fn usage_names_the_program_and_not_the_file_that_was_started() {
    let place = Place::new();
    let link = place.project().join("another-name");
    std::os::unix::fs::symlink(crate::support::PROGRAM, &link).unwrap();
    for args in [&["worker", "show"][..], &["worker", "ls", "--help"]] {
        let output = std::process::Command::new(&link)
            .args(args)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("Usage: worker-runtime worker "), "{said}");
        assert!(!said.contains("another-name"), "{said}");
    }
}

#[test]
fn the_uuid_that_names_nothing_is_no_worker() {
    let nil = "00000000-0000-0000-0000-000000000000";
    let place = Place::new();
    assert_eq!(place.run(&["run", "--", "true"]).code, Some(0));
    for args in [
        &["worker", "show", nil][..],
        &["worker", "create", "--worker-id", nil],
        &["worker", "create", "--parent", nil],
        &["worker", "show", "00000000000000000000000000000000"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains("names nothing"), "{ran}");
    }
}
