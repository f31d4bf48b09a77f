//! Every read prints the same bytes of a live store as of a stopped one in the same state.
//!
//! What truthfully differs is put in one form before the comparison, as text, and nothing else is:
//! - `source`, which says which way was asked;
//! - `live` and `incarnation` in `status`, which say whether a process runs it, and as which opening;
//! - `state info`, which tells of the directory: who holds it, how large its files are just now, and of
//!   a stopped one also what its file says. What it tells of the Runtime is compared by value.

use crate::{
    each_verb,
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
    &["lock", "ls"],
    &["lock", "ls", "--limit", "1"],
    &["lock", "show", "lends"],
    &["lock", "show", "lent"],
    &["lock", "who", "src"],
    &["lock", "who", "src/a/../new/x"],
    &["lock", "who", "docs/x"],
    &["lock", "who", "."],
    &["lock", "who", ".."],
    &["lock", "who", "/"],
    &["lock", "who", "/etc"],
    &["lock", "conflicts", "--scope", "write:src/x"],
    &["lock", "conflicts", "--scope", "read:src/x"],
    &["lock", "conflicts", "--delegate", "write:."],
    &[
        "lock",
        "conflicts",
        "--scope",
        "write:docs/b",
        "--parent",
        "lends",
    ],
    &[
        "lock",
        "conflicts",
        "--scope",
        "write:src",
        "--parent",
        "lends",
    ],
    &[
        "lock", "verify", "docs/x", "--worker", "lent", "--fence", "1",
    ],
    &[
        "lock", "verify", "/etc", "--worker", "lent", "--fence", "1", "--read",
    ],
    &["event", "ls"],
    &["event", "ls", "--limit", "3"],
    &["event", "ls", "one"],
    &["event", "ls", "--type", "run.*", "--limit", "2"],
    &["event", "ls", "one", "--type", "input.*", "--from", "now"],
    &["event", "ls", "--worker", "paused", "--from", "now"],
    &["op", "log"],
    &["op", "log", "--worker", "one"],
    &["op", "log", "--oldest", "--limit", "2"],
    &[
        "op",
        "log",
        "--after",
        "3",
        "--since",
        "2020-01-01T00:00:00Z",
    ],
    &["op", "log", "--limit", "0"],
    &["op", "show", "1"],
    &["token", "ls"],
    &["config", "show"],
    // Refused, and the same way.
    &["op", "log", "--worker", "nobody"],
    &["op", "show", "999"],
    &["op", "show", "0"],
    &["lock", "show", "nobody"],
    &["lock", "show", "one"],
    &["lock", "who", "nowhere:"],
    &["lock", "who", "a/b:c"],
    &["lock", "conflicts", "--scope", "write:../x"],
    &[
        "lock", "verify", "docs/x", "--worker", "one", "--fence", "1",
    ],
    &["worker", "show", "nobody"],
    &["worker", "show", "01890a5d-ac96-774b-bcce-b302099a8057"],
    &["transcript", "show", "01890a5d-ac96-774b-bcce-b302099a8057"],
    &["worker", "show", "twin"],
    &["event", "ls", "--after", "yesterday"],
];

/// The commands that change something, follow what comes, or ask nobody: there is nothing to compare.
const NO_READS: &[&str] = &[
    "completions",
    "errors explain",
    "event tail",
    "lock acquire",
    "lock change",
    "lock reclaim",
    "lock release",
    "lock renew",
    "man",
    "run",
    "serve",
    "state accept-older",
    "state check",
    "token create",
    "token revoke",
    "transcript tail",
    "version",
    "worker answer",
    "worker archive",
    "worker attach",
    "worker cancel",
    "worker create",
    "worker pause",
    "worker restore",
    "worker resume",
    "worker rm",
    "worker run",
    "worker send",
    "worker stop",
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
    let lends = [
        "worker",
        "create",
        "--name",
        "lends",
        "--delegate",
        "write:docs",
        "--scope",
        "read:.",
        "--",
        "cat",
    ];
    assert_eq!(place.run(&lends).code, Some(0));
    let parent = place.worker_id("lends");
    let lent = [
        "worker",
        "create",
        "--name",
        "lent",
        "--parent",
        &parent,
        "--scope",
        "write:docs/a",
        "--",
        "cat",
    ];
    assert_eq!(place.run(&lent).code, Some(0));
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

/// The text with what truthfully differs in one form.
fn in_one_form(args: &[String], text: &str) -> String {
    let text = text
        .replace("\"source\": \"server\"", "\"source\": \"store\"")
        .replace("\"source\":\"server\"", "\"source\":\"store\"");
    match args.first().is_some_and(|verb| verb == "status") {
        true => without_value(&without_value(&text, "live"), "incarnation"),
        false => text,
    }
}

/// The text without the value of every field of this name, none of which has a comma in it.
fn without_value(text: &str, key: &str) -> String {
    let name = format!("\"{key}\":");
    let mut parts = text.split(&name);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([',', '}', '\n']).unwrap_or(part.len());
        whole.push_str(&name);
        whole.push_str(&part[end..]);
    }
    whole
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
    for ((args, online), offline) in reads.iter().zip(&online).zip(&offline) {
        assert!(!offline.stderr.contains("asking the server"), "{offline}");
        let [a, b] =
            [online, offline].map(|ran| (ran.code, in_one_form(args, &ran.stdout), words(ran)));
        assert_eq!(a, b, "online:\n{online}\noffline:\n{offline}");
    }
}

#[test]
fn every_command_is_compared_or_said_to_be_no_read() {
    let place = Place::new();
    let is_read = |leaf: &str| {
        let words: Vec<&str> = leaf.split(' ').collect();
        leaf == "cursor show"
            || leaf == "state info"
            || READS.iter().any(|args| args.starts_with(&words))
    };
    for leaf in each_verb::leaves(&place) {
        let is_none = NO_READS.contains(&leaf.as_str());
        assert!(
            is_read(&leaf) != is_none,
            "`{leaf}` is compared, or no read"
        );
    }
}

#[test]
fn what_is_told_of_a_live_directory_is_so_of_the_stopped_one() {
    let place = Place::new();
    let server = Serving::start(&place);
    fill(&place);
    let told = || place.run(&["state", "info", "-o", "json"]).json()["info"].clone();
    let live = told();
    server.end();
    let stopped = told();
    let live = live.as_object().unwrap();
    assert!(live["held_by"].is_string() && stopped["held_by"].is_null());
    for (key, value) in live.iter().filter(|(key, _)| *key != "held_by") {
        assert_eq!(stopped[key], *value, "{key}");
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
        &["op", "log", "-o", "json"],
        &["op", "show", "1", "-o", "json"],
        &["lock", "ls", "-o", "json"],
        &["lock", "who", "src", "-o", "json"],
        &["lock", "conflicts", "--scope", "write:src", "-o", "json"],
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
