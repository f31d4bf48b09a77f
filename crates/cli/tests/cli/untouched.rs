//! A store whose host was killed in the middle of a run is read by every verb that reads, in every
//! format, and not a byte and not a time of any file or directory changes (I12). What is read is what
//! the next opening for writing finds.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Place, Running};

/// Writes more than a pipe and all buffers hold, says so, and stays.
const TALKS: &str = "n=0; while [ $n -lt 2400 ]; do n=$((n+1)); \
    echo \"$n --------------------------------------------------------------------------------\"; \
    done; echo ready; exec sleep 600";

const READS: &[&[&str]] = &[
    &["worker", "ls"],
    &["worker", "show", "killed"],
    &["worker", "show", "done"],
    &["transcript", "show", "killed"],
    &["transcript", "show", "done"],
    &["event", "ls"],
    &["event", "ls", "killed"],
    &["lock", "ls"],
    &["lock", "show", "killed"],
    &["lock", "who", "."],
    &["op", "log"],
    &["op", "show", "1"],
    &["state", "info"],
    &["state", "check", "--depth", "deep"],
    &["status"],
];

/// A Worker that is done, and one whose host was killed while it ran.
fn killed_in_the_middle() -> Place {
    let place = Place::new();
    let done = place.run(&["run", "--name", "done", "--", "echo", "hello"]);
    assert_eq!(done.code, Some(0), "{done}");
    let talks = [
        "run", "--name", "killed", "--scope", "write:.", "--", "sh", "-c", TALKS,
    ];
    let mut running = Running::start(&place, &talks);
    while running.line() != "ready" {}
    running.signal(Signal::KILL);
    let (code, ..) = running.wait();
    assert_eq!(code, None, "it was killed");
    place
}

fn lines(place: &Place, args: &[&str]) -> Vec<String> {
    let ran = place.run(args);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn no_read_of_a_killed_store_changes_a_byte_or_a_time() {
    let place = killed_in_the_middle();
    let before = place.files();
    assert!(before.len() > 4, "there is something to compare");
    for read in READS {
        for format in ["table", "json", "jsonl"] {
            let args = [read, &["-o", format][..]].concat();
            let ran = place.run(&args);
            assert_eq!(ran.code, Some(0), "{ran}");
            assert!(!ran.stdout.is_empty(), "{ran}");
            assert!(place.files() == before, "changed by {args:?}");
        }
    }
}

#[test]
fn what_is_read_of_a_killed_store_is_what_the_next_opening_finds() {
    let place = killed_in_the_middle();
    let all = ["event", "ls", "-o", "jsonl", "--limit", "1000"];
    let events = lines(&place, &all);
    let transcript = ["transcript", "show", "killed", "-o", "json"];
    let read = place.run(&transcript).json();
    let unfinished = &read["unfinished"][0]["text"];
    let partial = unfinished.as_str().unwrap().to_owned();
    // Of 200 KiB, all but what can be in pipes and buffers.
    assert!(partial.len() > 80 << 10, "{} bytes", partial.len());
    let view = place
        .run(&["worker", "show", "killed", "-o", "json"])
        .json();
    assert_eq!(view["activity"]["phase"], "lost");

    let opened = place.run(&["worker", "pause", "done"]);
    assert_eq!(opened.code, Some(0), "{opened}");
    let after = lines(&place, &all);
    assert_eq!(
        after[..events.len()],
        events,
        "nothing that was read is gone"
    );
    let news: Vec<Value> = after[events.len()..]
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let about = |kind: &str| news.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((about("run.finished"), about("worker.paused")), (1, 1));
    let read = place.run(&transcript).json();
    assert_eq!(read["unfinished"].as_array().unwrap().len(), 0);
    let items = read["items"].as_array().unwrap();
    let kept = items.iter().find(|item| item["kind"] == "text").unwrap();
    assert_eq!(kept["text"], partial.as_str());
    assert_eq!(kept["marks"][0], "interrupted");
    let view = place
        .run(&["worker", "show", "killed", "-o", "json"])
        .json();
    assert_eq!(view["last_run"]["outcome"]["kind"], "interrupted");
    assert_eq!(view["activity"]["phase"], Value::Null);
}
