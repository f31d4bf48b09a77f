//! Every read prints the same of a live store as of a stopped one in the same state.
//!
//! What truthfully differs, and is taken out before the comparison: `source` says which way was asked;
//! `live` and `incarnation` of the Runtime say whether a process runs it, and as which opening.

use serde_json::Value;

use crate::{
    serving::Serving,
    support::{Place, Ran, snapshot},
};

const READS: &[&[&str]] = &[
    &["status"],
    &["worker", "ls"],
    &["worker", "ls", "--all", "--sort", "name"],
    &["worker", "ls", "--label", "team=a", "--limit", "1"],
    &["worker", "ls", "--offset", "1", "--limit", "0"],
    &["worker", "ls", "--lifecycle", "stopped"],
    &["worker", "ls", "--busy"],
    &["worker", "ls", "--name", "nobody has this"],
    &["worker", "tree", "--all"],
    &["worker", "show", "one"],
    &["worker", "show", "paused"],
    &["worker", "show", "gone"],
    &["transcript", "show", "one"],
    &["transcript", "show", "one", "--last", "1"],
    &["transcript", "show", "one", "--before", "1"],
    &["event", "ls"],
    &["event", "ls", "--limit", "3"],
    &["event", "ls", "one"],
    &["event", "ls", "--worker", "paused", "--from", "now"],
    // Refused, and the same way.
    &["worker", "show", "nobody"],
    &["worker", "show", "01890a5d-ac96-774b-bcce-b302099a8057"],
    &["transcript", "show", "01890a5d-ac96-774b-bcce-b302099a8057"],
    &["worker", "show", "twin"],
    &["event", "ls", "--after", "yesterday"],
];

const FORMATS: &[&str] = &["table", "wide", "json", "jsonl", "name"];

/// Workers of every kind that a stopped store can have.
fn fill(place: &Place) {
    let fill: &[(&[&str], i32)] = &[
        (
            &[
                "run", "--name", "one", "--label", "team=a", "--", "echo", "hello",
            ],
            0,
        ),
        (
            &[
                "run", "--name", "gone", "--label", "team=a", "--once", "--", "false",
            ],
            1,
        ),
        (&["worker", "create", "--name", "paused", "--", "cat"], 0),
        (&["worker", "pause", "paused"], 0),
        (&["worker", "send", "paused", "later", "--id", "later"], 3),
        (
            &["worker", "create", "--name", "twin", "--role", "reviewer"],
            0,
        ),
        (
            &[
                "worker",
                "create",
                "--name",
                "twin",
                "--scope",
                "write:src",
                "--",
                "cat",
            ],
            0,
        ),
        (&["worker", "create", "--name", "put away", "--", "cat"], 0),
        (&["worker", "stop", "put away", "--reason", "not needed"], 0),
        (&["worker", "archive", "put away"], 0),
    ];
    for (args, code) in fill {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(*code), "{ran}");
    }
    let parent = place.worker_id("one");
    let child = [
        "worker", "create", "--name", "child", "--parent", &parent, "--", "cat",
    ];
    assert_eq!(place.run(&child).code, Some(0));
}

/// Every read in every format, also of the cursors and of the Workers that were asked for.
fn reads(place: &Place) -> Vec<Vec<String>> {
    let mut reads: Vec<Vec<String>> = Vec::new();
    let mut put = |args: &[&str]| reads.push(args.iter().map(|arg| (*arg).to_owned()).collect());
    READS.iter().for_each(|args| put(args));
    let of_one = place.run(&["event", "ls", "one", "-o", "name"]).stdout;
    let first = of_one.lines().next().unwrap();
    put(&["event", "ls", "one", "--after", first]);
    put(&["event", "ls", "--after", first]);
    put(&["cursor", "show", first]);
    put(&["cursor", "show", of_one.lines().last().unwrap()]);
    let all = place.run(&["event", "ls", "-o", "name"]).stdout;
    put(&["cursor", "show", all.lines().last().unwrap()]);
    // Of no stream that there is.
    put(&["cursor", "show", FOREIGN]);
    put(&["worker", "show", &place.worker_id("one")[..23]]);
    let formats = FORMATS.iter();
    let each = |read: &Vec<String>| {
        let read = read.clone();
        formats.clone().map(move |format| {
            let mut args = read.clone();
            args.extend(["-o".to_owned(), (*format).to_owned()]);
            args
        })
    };
    reads.iter().flat_map(each).collect()
}

/// A well-formed cursor of another Runtime.
const FOREIGN: &str = "c166612b0fe97346fa00000000000000133f948ccf4d9bb8b9";

/// The document without what truthfully differs.
fn without_the_way(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    if let Some(document) = value.as_object_mut() {
        document.remove("source");
        if let Some(runtime) = document.get_mut("runtime").and_then(Value::as_object_mut) {
            assert!(runtime.remove("live").is_some());
            assert!(runtime.remove("incarnation").is_some());
        }
    }
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn a_read_prints_the_same_of_a_live_store_as_of_a_stopped_one() {
    let place = Place::new();
    let server = Serving::start(&place);
    fill(&place);
    let reads = reads(&place);
    let ask = |args: &Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        place.run(&args)
    };
    let online: Vec<_> = reads.iter().map(ask).collect();
    server.end();
    let offline: Vec<_> = reads.iter().map(ask).collect();
    assert!(
        online
            .iter()
            .any(|ran| ran.stderr.starts_with("asking the server at "))
    );
    for (online, offline) in online.iter().zip(&offline) {
        assert!(!offline.stderr.contains("asking the server"), "{offline}");
        let [a, b] =
            [online, offline].map(|ran| (ran.code, without_the_way(&ran.stdout), words(ran)));
        assert_eq!(a, b, "online:\n{online}\noffline:\n{offline}");
        // Byte by byte where there is nothing to take out.
        if serde_json::from_str::<Value>(&online.stdout).is_err() {
            assert_eq!(online.stdout, offline.stdout);
        }
    }
}

#[test]
fn a_document_says_where_it_was_read() {
    let place = Place::new();
    let server = Serving::start(&place);
    fill(&place);
    let documents: &[&[&str]] = &[
        &["status", "-o", "json"],
        &["worker", "ls", "-o", "json"],
        &["worker", "tree", "-o", "json"],
        &["worker", "show", "one", "-o", "json"],
        &["transcript", "show", "one", "-o", "json"],
        &["event", "ls", "-o", "json"],
        &["state", "info", "-o", "json"],
    ];
    let source = |args: &&[&str]| place.run(args).json()["source"].clone();
    assert!(
        documents
            .iter()
            .map(source)
            .all(|source| source == "server")
    );
    server.end();
    assert!(documents.iter().map(source).all(|source| source == "store"));
}

#[test]
fn what_a_live_store_tells_of_itself() {
    let place = Place::new();
    let server = Serving::start(&place);
    fill(&place);
    let mut calls = vec![place.run(&["status"]), place.run(&["state", "info"])];
    let named = [
        "--server",
        &server.url,
        "--token-file",
        "../state/access-token",
    ];
    let with = |rest: &[&str]| {
        let mut args = named.to_vec();
        args.extend(rest);
        place.run(&args)
    };
    calls.push(with(&["status"]));
    calls.push(with(&["state", "info"]));
    calls.push(with(&["worker", "show", "child"]));
    server.end();
    snapshot(&place, "live_status", &calls);
}

/// What was told on stderr but for who was asked, which is the one line that differs by design.
fn words(ran: &Ran) -> String {
    let lines = ran.stderr.lines();
    let lines = lines.filter(|line| {
        !line.starts_with("asking the server at ") && !line.starts_with("nobody runs it: ")
    });
    lines.map(|line| format!("{line}\n")).collect()
}
