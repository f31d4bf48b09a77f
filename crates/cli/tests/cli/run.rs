//! `run -- COMMAND`.

use crate::support::{Place, snapshot};

#[test]
fn a_command_is_run_and_its_output_and_an_account_are_printed() {
    let place = Place::new();
    let first = place.run(&["run", "--", "sh", "-c", "echo hello; echo a word >&2"]);
    let transcript = place.run(&["transcript", "show", "sh"]);
    let events = place.run(&["event", "ls", "sh"]);
    snapshot(&place, "run", &[first, transcript, events]);
}

#[test]
fn a_command_that_fails_fails_the_call_and_its_own_exit_code_is_told() {
    let place = Place::new();
    let failed = place.run(&[
        "run",
        "--name",
        "f",
        "--",
        "sh",
        "-c",
        "echo partly; exit 3",
    ]);
    let killed = place.run(&["run", "--name", "k", "--", "sh", "-c", "kill -9 $$"]);
    let missing = place.run(&["run", "--name", "m", "--", "no-such-program"]);
    let late = place.run(&[
        "run",
        "--name",
        "t",
        "--timeout",
        "50ms",
        "--",
        "sleep",
        "600",
    ]);
    snapshot(&place, "run_fails", &[failed, killed, missing, late]);
}

#[test]
fn an_input_comes_from_the_command_line_or_from_standard_input() {
    let place = Place::new();
    let text = place.run(&["run", "--name", "a", "--input", "from here\n", "--", "cat"]);
    assert_eq!(
        (text.stdout.as_str(), text.code),
        ("from here\n", Some(0)),
        "{text}"
    );
    let stdin = place.run_with_input(
        &["run", "--name", "b", "--input", "-", "--", "cat"],
        "from there\n",
    );
    assert_eq!(
        (stdin.stdout.as_str(), stdin.code),
        ("from there\n", Some(0)),
        "{stdin}"
    );
    let argument = place.run(&[
        "run",
        "--name",
        "c",
        "--input",
        "last",
        "--input-as",
        "argument",
        "--",
        "echo",
        "first",
    ]);
    assert_eq!(argument.stdout, "first last\n", "{argument}");
}

#[test]
fn a_command_gets_only_what_it_is_given_of_the_environment() {
    let place = Place::new();
    let run = |args: &[&str]| {
        let mut all = vec!["run"];
        all.extend(args);
        all.extend(["--", "sh", "-c", "echo ${SECRET:-none}"]);
        let output = place.command(&all).env("SECRET", "key").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&[]), "none\n");
    assert_eq!(run(&["--env", "SECRET"]), "key\n");
}

#[test]
fn the_same_call_with_the_same_worker_id_runs_nothing_twice() {
    let place = Place::new();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let args = [
        "run",
        "--worker-id",
        id,
        "--",
        "sh",
        "-c",
        "echo once >>log; echo done",
    ];
    let first = place.run(&args);
    let again = place.run(&args);
    let other = place.run(&["run", "--worker-id", id, "--", "true"]);
    let log = std::fs::read_to_string(place.project().join("log")).unwrap();
    assert_eq!(log, "once\n");
    assert_eq!(again.stdout, "done\n", "{again}");
    snapshot(&place, "run_twice", &[first, again, other]);
}

#[test]
fn a_program_reads_json() {
    let place = Place::new();
    let json = place.run(&["run", "-o", "json", "--", "echo", "hello"]);
    assert_eq!(json.json().pointer("/state").unwrap(), "completed");
    let failed = place.run(&["run", "-o", "jsonl", "--", "sh", "-c", "echo hello; exit 4"]);
    let lines: Vec<serde_json::Value> = failed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let types: Vec<&str> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert!(types.contains(&"block.finished"), "{types:?}");
    assert_eq!(types.last(), Some(&"summary"));
    let summary = lines.last().unwrap();
    assert_eq!(summary["outcome"]["stop"]["code"], 4);
    assert_eq!(summary["exit_code"], 1);
    // The last event's cursor is the summary's: what comes later comes after it.
    assert_eq!(summary["cursor"], lines[lines.len() - 2]["cursor"]);
    assert_eq!((json.stderr.as_str(), failed.stderr.as_str()), ("", ""));
    snapshot(&place, "run_json", &[json]);
}

#[test]
fn a_scope_is_held_after_the_run_and_another_worker_does_not_get_it() {
    let place = Place::new();
    let holds = place.run(&[
        "run",
        "--name",
        "holder",
        "--scope",
        "write:src",
        "--",
        "true",
    ]);
    let meets = place.run(&["run", "--name", "late", "--scope", "write:.", "--", "true"]);
    let reads = place.run(&[
        "run", "--name", "reader", "--scope", "read:src", "--", "true",
    ]);
    assert_eq!(reads.code, Some(0), "{reads}");
    let stop = place.run(&["worker", "stop", "holder", "--reason", "done"]);
    let free = place.run(&[
        "run", "--name", "next", "--once", "--scope", "write:.", "--", "true",
    ]);
    let again = place.run(&[
        "run",
        "--name",
        "last",
        "--scope",
        "write:src",
        "--deny",
        "write:src/a",
        "--",
        "true",
    ]);
    assert_eq!((free.code, again.code), (Some(0), Some(0)), "{free}{again}");
    let outside = place.run(&["run", "--scope", "write:../other", "--", "true"]);
    snapshot(&place, "run_scope", &[holds, meets, stop, outside]);
}

#[test]
fn a_directory_that_was_named_is_in_what_is_suggested() {
    let place = Place::new();
    let ran = place.run(&["--state", "../elsewhere", "run", "--", "true"]);
    assert!(
        ran.stderr
            .contains("worker-runtime --state ../elsewhere transcript show"),
        "{ran}"
    );
    assert!(!place.state().exists());
}

#[test]
fn a_command_that_can_not_be_started_is_named_as_it_was_typed() {
    let place = Place::new();
    let gone = place.project().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let absolute = gone.join("no-such-program");
    let absolute = absolute.to_str().unwrap();
    let create = place
        .command(&["worker", "create", "--name", "w", "--", "true"])
        .current_dir(&gone)
        .output()
        .unwrap();
    assert!(create.status.success());
    std::fs::remove_dir(&gone).unwrap();
    let calls = [
        place.run(&["run", "--", "./no-such-program"]),
        place.run(&["run", "--", absolute]),
        place.run(&["run", "-o", "json", "--", "no-such-program"]),
        place.run(&["worker", "send", "w", "hello"]),
    ];
    assert!(calls.iter().all(|ran| ran.code == Some(1)));
    assert_eq!(
        calls[2].json()["outcome"]["stop"]["code"],
        "WR-RUN-START-FAILED"
    );
    snapshot(&place, "start_failed", &calls);
}
