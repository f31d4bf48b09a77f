//! Cursors that can't be followed, and filters: the command says the same of a stopped store and of a
//! server's, and goes on nowhere by itself.

use std::fs;

use rustix::process::Signal;
use worker_runtime_core::{Cursor, Position, Stream, WorkerId};

use crate::{
    serving::Serving,
    support::{Place, Running, snapshot, until},
};

/// What the store keeps of one Worker: some packs, no more.
const KEPT: &str = "[retention]\nworker_bytes_max = 65536\nlog_bytes_max = 65536\n";

fn cursor_of(place: &Place, worker: &[&str], from: &str) -> Cursor {
    let mut args = vec!["event", "ls", "--from", from, "-o", "json"];
    args.extend(worker);
    let text = place.run(&args).json()["next"].as_str().unwrap().to_owned();
    text.parse().unwrap()
}

/// A cursor that can't be followed: what it is, the code, and the exit code.
type Cell = (&'static str, String, &'static str, i32);

/// A place with a Worker `long` of which the first events are trimmed, and another one; a cursor from before
/// that trim, and one of another Runtime.
fn prepared() -> (Place, Cursor, Cursor) {
    let place = Place::new();
    let config = place.project().with_file_name(".config/worker-runtime");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), KEPT).unwrap();
    let run = |args: &[&str]| {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
    };
    // Nothing that shrinks when it is packed.
    let noise = "grep -q begin && head -c 150000 /dev/urandom | base64 -w 300 || true";
    run(&[
        "worker", "create", "--name", "long", "--", "sh", "-c", noise,
    ]);
    run(&["run", "--name", "other", "--", "true"]);
    let first = cursor_of(&place, &["--worker", "long", "--limit", "1"], "beginning");
    run(&["worker", "send", "long", "begin"]);
    run(&["worker", "send", "long", "go on"]);
    let elsewhere = Place::new();
    let ran = elsewhere.run(&["run", "--name", "long", "--", "true"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let of_elsewhere = cursor_of(&elsewhere, &["--worker", "long"], "now");
    (place, first, of_elsewhere)
}

/// Every row of the contract, as it is now.
fn cells(place: &Place, first: Cursor, of_elsewhere: Cursor) -> Vec<Cell> {
    let tail = cursor_of(place, &["--worker", "long"], "now");
    let runtime = place
        .run(&["event", "ls", "--limit", "1", "-o", "json"])
        .json();
    let runtime_id = runtime["runtime_id"].as_str().unwrap().parse().unwrap();
    let worker_id: WorkerId = place.worker_id("long").parse().unwrap();
    let stream = Stream::Worker(worker_id);
    let at = |position, incarnation| {
        Cursor::new(runtime_id, stream, Position(position), incarnation).to_string()
    };
    vec![
        (
            "malformed",
            "yesterday".to_owned(),
            "WR-CURSOR-MALFORMED",
            2,
        ),
        ("trimmed", first.to_string(), "WR-CURSOR-EXPIRED", 1),
        (
            "beyond the log",
            at(tail.position().0 + 1_000, tail.incarnation_id()),
            "WR-CURSOR-AHEAD",
            1,
        ),
        (
            "another Worker's",
            cursor_of(place, &["--worker", "other"], "now").to_string(),
            "WR-CURSOR-FOREIGN",
            1,
        ),
        (
            "another Runtime's",
            of_elsewhere.to_string(),
            "WR-CURSOR-FOREIGN",
            1,
        ),
        (
            "of a history that is not this one's",
            at(tail.position().0, !tail.incarnation_id()),
            "WR-CURSOR-FORKED",
            1,
        ),
    ]
}

#[test]
fn a_cursor_that_can_not_be_followed_is_refused_by_what_is_wrong_with_it() {
    let (place, first, of_elsewhere) = prepared();
    let ask = |cursor: &str, verb: &str| {
        let ran = place.run(&["event", verb, "long", "--after", cursor]);
        // Who asks says so; apart from that it is the same.
        let said = |line: &&str| !line.starts_with("asking the server");
        let stderr: Vec<String> = ran.stderr.lines().filter(said).map(str::to_owned).collect();
        (ran.code, ran.stdout.clone(), stderr)
    };
    let mut offline = Vec::new();
    for (what, cursor, code, exit) in cells(&place, first, of_elsewhere) {
        for verb in ["ls", "tail"] {
            let told = ask(&cursor, verb);
            assert_eq!(told.0, Some(exit), "{what}: {told:?}");
            assert_eq!(
                told.1, "",
                "{what}: nothing is shown that may be the wrong place"
            );
            assert!(
                told.2[0].starts_with(&format!("error[{code}]")),
                "{what}: {told:?}"
            );
            let hint = told
                .2
                .iter()
                .find_map(|line| line.strip_prefix("hint: worker-runtime "));
            let hint = hint.unwrap_or_else(|| panic!("{what} has no hint: {told:?}"));
            let args: Vec<&str> = hint.split(' ').collect();
            assert_eq!(place.run(&args).code, Some(0), "{what}: {hint}");
            offline.push(told);
        }
    }
    let server = Serving::start(&place);
    // The opening of the server is an event too: the tail is another one.
    let shape = |(code, stdout, stderr): (Option<i32>, String, Vec<String>)| {
        let words = |line: String| -> Vec<String> {
            let is_cursor = |word: &str| word.parse::<Cursor>().is_ok();
            let words = line.split(' ').map(|word| match is_cursor(word) {
                true => "CURSOR".to_owned(),
                false => word.to_owned(),
            });
            words.collect()
        };
        let stderr: Vec<_> = stderr.into_iter().map(words).collect();
        (code, stdout, stderr)
    };
    let mut offline = offline.into_iter();
    for (what, cursor, ..) in cells(&place, first, of_elsewhere) {
        for verb in ["ls", "tail"] {
            let online = Some(shape(ask(&cursor, verb)));
            assert_eq!(online, offline.next().map(shape), "{what}, {verb}");
        }
    }
    server.end();
}

#[test]
fn a_filter_leaves_out_the_same_of_a_store_and_of_a_server() {
    let place = Place::new();
    for name in ["one", "two"] {
        let ran = place.run(&["run", "--name", name, "--", "echo", name]);
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    let types = |args: &[&str]| -> Vec<String> {
        let args = [&["event", "ls", "-o", "jsonl"], args].concat();
        let ran = place.run(&args);
        assert_eq!(ran.code, Some(0), "{ran}");
        let lines = ran.stdout.lines();
        let events = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        events
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let started = place.run(&["event", "ls", "two", "--type", "run.started", "-o", "jsonl"]);
    let started: serde_json::Value = serde_json::from_str(started.stdout.trim()).unwrap();
    let run_id = started["run_id"].as_str().unwrap().to_owned();
    let asked = || {
        [
            types(&["--type", "run.*"]),
            types(&["one", "--type", "run.finished", "--type", "worker.created"]),
            types(&["--run", &run_id, "--type", "run.*"]),
            types(&["--type", "nobody.tells.this"]),
        ]
    };
    let offline = asked();
    assert_eq!(
        offline[0],
        ["run.started", "run.finished", "run.started", "run.finished"]
    );
    assert_eq!(offline[1], ["worker.created", "run.finished"]);
    assert_eq!(offline[2], ["run.started", "run.finished"]);
    assert_eq!(offline[3], Vec::<String>::new());
    let server = Serving::start(&place);
    assert_eq!(asked(), offline);
    let mut tail = Running::start(&place, &["event", "tail", "--type", "run.finished"]);
    for _ in 0..2 {
        assert!(tail.line().contains("run.finished"));
    }
    let ran = place.run(&["run", "--name", "three", "--", "true"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(tail.line().contains("run.finished"));
    tail.signal(Signal::INT);
    let (code, rest, stderr) = tail.wait();
    assert_eq!((code, rest.len()), (Some(130), 0), "{stderr}");
    assert!(
        stderr.contains(" --type run.finished"),
        "what goes on leaves out the same: {stderr}"
    );
    server.end();
}

#[test]
fn what_is_no_filter_is_refused() {
    let place = Place::new();
    let ran = place.run(&["run", "--name", "one", "--", "true"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let many: Vec<&str> = std::iter::repeat_n(["--type", "run.*"], 33)
        .flatten()
        .collect();
    let calls = [
        place.run(&["event", "ls", "--type", "run finished"]),
        place.run(&["event", "tail", "--type", "*"]),
        place.run(&["event", "ls", "--run", "the first"]),
        place.run(&[&["event", "ls"], &*many].concat()),
        place.run(&[
            "event", "ls", "--type", "run.*", "--limit", "1", "-o", "name",
        ]),
    ];
    snapshot(&place, "filters", &calls);
}

/// A copy that was taken while a server ran is put back: what that server told after the copy is a history
/// that this store does not have.
#[test]
fn a_cursor_from_after_a_copy_that_was_put_back_is_forked_and_one_from_before_it_goes_on() {
    let place = Place::new();
    let ran = place.run(&["run", "--name", "long", "--", "sh", "-c", "cat; echo"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let send = |text: &str| {
        let ran = place.run(&["worker", "send", "long", text]);
        assert_eq!(ran.code, Some(0), "{ran}");
    };
    let copy = place.state().with_extension("copy");
    let server = Serving::start(&place);
    send("before");
    let before = cursor_of(&place, &["--worker", "long"], "now");
    // As a snapshot of a filesystem is: at one moment.
    server.signal(Signal::STOP);
    until("it has stopped", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    });
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(place.state()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    server.signal(Signal::CONT);
    send("after");
    let after = cursor_of(&place, &["--worker", "long"], "now");
    assert_eq!(after.incarnation_id(), before.incarnation_id());
    server.end();
    fs::remove_dir_all(place.state()).unwrap();
    fs::rename(&copy, place.state()).unwrap();
    send("instead");
    let told = |cursor: Cursor| {
        let ran = place.run(&[
            "event",
            "ls",
            "long",
            "--after",
            &cursor.to_string(),
            "-o",
            "jsonl",
        ]);
        let (code, stdout, stderr) = (ran.code, ran.stdout.clone(), ran.stderr.clone());
        (code, stdout, stderr)
    };
    let check = || {
        let (code, stdout, stderr) = told(after);
        assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
        let error: serde_json::Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!(error["code"], "WR-CURSOR-FORKED");
        let hint = error["hint"]
            .as_str()
            .unwrap()
            .strip_prefix("worker-runtime ");
        let args: Vec<&str> = hint.unwrap().split(' ').collect();
        let from_the_fork = place.run(&[&*args, &["-o", "jsonl"]].concat());
        assert_eq!(from_the_fork.code, Some(0), "{from_the_fork}");
        let (code, from_before, stderr) = told(before);
        assert_eq!(code, Some(0), "{stderr}");
        for stdout in [&from_before, &from_the_fork.stdout] {
            assert!(
                stdout.contains("instead") && !stdout.contains("\"after"),
                "{stdout}"
            );
        }
        from_before
    };
    let offline = check();
    let server = Serving::start(&place);
    assert!(check().starts_with(&offline));
    // An open stream tells the fork as a gap and goes on behind it: what was told before it is not told again.
    let path = format!("/v1/workers/{}/events?cursor=", place.worker_id("long"));
    let streamed = server.streamed(&place, &format!("{path}{after}"));
    assert!(streamed.contains("event: gap") && streamed.contains("WR-CURSOR-FORKED"));
    assert!(streamed.contains("instead"), "{streamed}");
    assert!(
        !streamed.contains("\"after") && !streamed.contains("\"before"),
        "{streamed}"
    );
    let streamed = server.streamed(&place, &format!("{path}{before}"));
    assert!(!streamed.contains("event: gap") && streamed.contains("instead"));
    server.end();
}
