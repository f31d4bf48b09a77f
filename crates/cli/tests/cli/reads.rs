//! Reads of a stopped store, which write nothing.

use crate::support::{Place, Running, is_alive, snapshot};

const READS: &[&[&str]] = &[
    &["status"],
    &["status", "-o", "json"],
    &["state", "info"],
    &["worker", "ls"],
    &["worker", "ls", "-o", "wide"],
    &["worker", "ls", "-o", "name", "--sort", "name"],
    &["worker", "ls", "--lifecycle", "stopped"],
    &["worker", "ls", "--label", "team=a", "--limit", "1"],
    &["worker", "show", "one"],
    &["worker", "show", "one", "-o", "json"],
    &["transcript", "show", "one", "-o", "jsonl"],
    &["event", "ls", "--limit", "2"],
    &["event", "ls", "one", "-o", "jsonl"],
    &[
        "event", "ls", "--worker", "one", "-o", "wide", "--time", "ms", "--limit", "1",
    ],
    &["event", "ls", "--from", "now"],
];

fn place_with_two_workers() -> Place {
    let place = Place::new();
    let one = [
        "run", "--name", "one", "--label", "team=a", "--", "echo", "hello",
    ];
    assert_eq!(place.run(&one).code, Some(0));
    let two = [
        "worker", "create", "--name", "two", "--label", "team=a", "--", "cat",
    ];
    assert_eq!(place.run(&two).code, Some(0));
    place
}

#[test]
fn nothing_is_written_by_reading() {
    let place = place_with_two_workers();
    let before = place.files();
    for args in READS {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    assert_eq!(place.files(), before);
}

#[test]
fn nothing_is_made_where_there_is_no_store() {
    let place = Place::new();
    let calls: Vec<_> = READS.iter().map(|args| place.run(args)).collect();
    assert!(calls.iter().all(|ran| ran.code == Some(10)));
    assert!(!place.state().exists());
    let stop = place.run(&["worker", "stop", "one"]);
    let send = place.run(&["worker", "send", "one", "hello"]);
    assert_eq!((stop.code, send.code), (Some(10), Some(10)));
    assert!(!place.state().exists());
    let first_two = calls.into_iter().take(2).chain([stop]).collect::<Vec<_>>();
    snapshot(&place, "no_state", &first_two);
}

#[test]
fn what_there_is_is_printed_for_people() {
    let place = place_with_two_workers();
    let people: Vec<_> = [0, 2, 3, 4, 5, 6, 7, 8, 11, 14]
        .iter()
        .map(|at| place.run(READS[*at]))
        .collect();
    snapshot(&place, "reads", &people);
}

#[test]
fn events_can_be_read_page_by_page_and_none_is_missing() {
    let place = place_with_two_workers();
    let all = place.run(&["event", "ls", "-o", "json"]).json();
    let all = all["events"].as_array().unwrap().clone();
    let mut paged = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut args = vec!["event", "ls", "-o", "json", "--limit", "2"];
        if let Some(cursor) = &after {
            args.extend(["--after", cursor]);
        }
        let page = place.run(&args).json();
        paged.extend(page["events"].as_array().unwrap().clone());
        after = Some(page["next"].as_str().unwrap().to_owned());
        if page["up_to_date"] == true {
            break;
        }
    }
    assert!(all.len() > 8);
    assert_eq!(paged, all);
}

#[test]
fn the_lines_of_jsonl_are_the_events_of_json() {
    let place = place_with_two_workers();
    let json = place.run(&["event", "ls", "one", "-o", "json"]).json();
    let lines = place.run(&["event", "ls", "one", "-o", "jsonl"]).stdout;
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(json["events"].as_array().unwrap(), &lines);
}

#[test]
fn a_worker_is_found_by_the_beginning_of_its_id() {
    let place = place_with_two_workers();
    let id = place.worker_id("one");
    let found = place.run(&["worker", "show", &id[..23], "-o", "name"]);
    assert_eq!(found.stdout.trim(), id, "{found}");
}

#[test]
fn the_version_is_told() {
    let place = Place::new();
    let ran = place.run(&["version", "-o", "json"]);
    assert_eq!(ran.json()["name"], "worker-runtime");
    assert_eq!(
        place.run(&["--version"]).stdout,
        place.run(&["version"]).stdout
    );
}

#[test]
fn a_run_that_was_lost_is_what_status_tells_first() {
    let place = Place::new();
    let script = "echo $$; exec sleep 600";
    let run = [
        "run", "--name", "w", "--scope", "write:.", "--", "sh", "-c", script,
    ];
    let mut running = Running::start(&place, &run);
    let pid = running.line();
    running.signal(rustix::process::Signal::KILL);
    assert_eq!(running.wait().0, None);
    let status = place.run(&["status"]);
    let show = place.run(&["worker", "show", "w"]);
    let settled = place.run(&["worker", "run", "w"]);
    assert!(!is_alive(&pid));
    assert_eq!(place.last_outcome("w"), "interrupted");
    let after = place.run(&["status"]);
    snapshot(&place, "lost", &[status, show, settled, after]);
}
