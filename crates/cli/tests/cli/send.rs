//! `worker send`: in the foreground to its outcome, and nothing twice.

use crate::support::{Place, Running, snapshot};

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
fn a_paused_worker_keeps_its_input_and_its_user_is_told_how_it_runs() {
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
    let show = place.run(&["worker", "show", "w"]);
    let held = place.run(&["worker", "run", "w"]);
    assert_eq!(held.code, Some(3), "{held}");
    let resume = place.run(&["worker", "resume", "w"]);
    let busy_still = place.run(&["worker", "send", "w", "--id", "b", "second\n"]);
    let queued = place.run(&["worker", "send", "w", "--id", "c", "third\n", "--queue"]);
    assert_eq!(queued.code, Some(0), "{queued}");
    snapshot(
        &place,
        "send_paused",
        &[
            pause, kept, busy, status, show, held, resume, busy_still, queued,
        ],
    );
}

/// A Worker with inputs that were accepted while it was paused.
fn place_with_waiting_inputs(command: &[&str], inputs: &[&str]) -> Place {
    let place = Place::new();
    let create = [&["worker", "create", "--name", "w", "--"], command].concat();
    assert_eq!(place.run(&create).code, Some(0));
    assert_eq!(place.run(&["worker", "pause", "w"]).code, Some(0));
    for (at, input) in inputs.iter().enumerate() {
        let id = format!("input-{at}");
        let sent = place.run(&["worker", "send", "w", input, "--id", &id, "--queue"]);
        assert_eq!(sent.code, Some(3), "{sent}");
    }
    assert_eq!(place.run(&["worker", "resume", "w"]).code, Some(0));
    place
}

#[test]
fn what_waits_is_run_in_order() {
    let place = place_with_waiting_inputs(&["tee", "-a", "log"], &["a", "b", "c"]);
    let status = place.run(&["status"]);
    let run = place.run(&["worker", "run", "w"]);
    let log = std::fs::read_to_string(place.project().join("log")).unwrap();
    assert_eq!(log, "abc", "{run}");
    let again = place.run(&["worker", "run", "w"]);
    snapshot(&place, "worker_run", &[status, run, again]);
}

#[test]
fn the_first_outcome_that_is_no_success_is_the_exit_code() {
    let place = place_with_waiting_inputs(
        &["sh", "-c", "read -r code; exit $code"],
        &["0\n", "7\n", "0\n"],
    );
    let run = place.run(&["worker", "run", "w", "-o", "json"]);
    assert_eq!(run.code, Some(1), "{run}");
    let json = run.json();
    let states: Vec<_> = json["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| input["state"].clone())
        .collect();
    assert_eq!(states, ["completed", "failed", "completed"]);
    assert_eq!(json["exit_code"], 1);
}

#[test]
fn ctrl_c_cancels_one_run_and_leaves_the_others_waiting() {
    let script = "read -r word; echo ready; echo \"$word\" >>log; exec sleep 600";
    let place = place_with_waiting_inputs(&["sh", "-c", script], &["a\n", "b\n"]);
    let mut run = Running::start(&place, &["worker", "run", "w"]);
    assert_eq!(run.line(), "ready");
    run.signal(rustix::process::Signal::INT);
    let (code, _, stderr) = run.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("1 more wait"), "{stderr}");
    let log = std::fs::read_to_string(place.project().join("log")).unwrap();
    assert_eq!(log, "a\n");
    let view = place.run(&["worker", "show", "w", "-o", "json"]).json();
    assert_eq!(view["paused"], true);
    assert_eq!(view["activity"]["queued"], 1);
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
