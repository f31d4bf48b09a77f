//! The operation log at the terminal: who changed what, why, and what `op` prints of it; of a stopped store
//! and of a live one.

use std::{process::Stdio, time::Duration};

use serde_json::Value;

use crate::{
    damage::flip,
    each_verb,
    serving::Serving,
    support::{Place, Ran, snapshot},
};

/// Every command that changes something, in an order in which each does; `W` is the Worker, `L` the lease.
/// With the kinds of operations that it leaves.
const CHANGES: &[(&[&str], &[&str])] = &[
    (
        &["worker", "create", "--name", "w", "--", "true"],
        &["worker.create"],
    ),
    (&["worker", "pause", "w"], &["worker.pause"]),
    (&["worker", "resume", "w"], &["worker.resume"]),
    (
        &["lock", "change", "w", "--scope", "write:src"],
        &["scope.change"],
    ),
    (&["lock", "reclaim", "w"], &["scope.reclaim"]),
    (&["lock", "release", "w"], &["scope.release"]),
    (&["worker", "stop", "w"], &["worker.stop"]),
    (&["worker", "archive", "w"], &["worker.archive"]),
    (&["worker", "restore", "w"], &["worker.restore"]),
    (&["worker", "cancel", "w"], &["worker.cancel"]),
    (&["worker", "rm", "w", "--yes"], &["worker.delete"]),
    (
        &["run", "--once", "--", "true"],
        &["worker.create", "worker.stop"],
    ),
];

/// The same for what takes a server.
const AT_A_SERVER: &[(&[&str], &[&str])] = &[
    (
        &[
            "lock",
            "acquire",
            "src",
            "--ttl",
            "1h",
            "--holder",
            "me",
            "--lease-id",
            LEASE,
        ],
        &["lease.acquire"],
    ),
    (&["lock", "release", LEASE, "--force"], &["lease.release"]),
];

const LEASE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// The commands that change something and leave no operation, or one that is shown elsewhere.
const NONE: &[&str] = &[
    "lock renew",
    "serve",
    // What is asked for is that something was lost, which takes damage.
    "state accept-older",
    // Access tokens are no part of the state.
    "token create",
    "token revoke",
    "worker answer",
    "worker run",
    "worker send",
];

fn operations(place: &Place) -> Vec<Value> {
    let ran = place.run(&["op", "log", "--oldest", "-o", "jsonl", "--limit", "10000"]);
    // Where there is no store yet, nobody has changed anything.
    assert!([Some(0), Some(10)].contains(&ran.code), "{ran}");
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn done(place: &Place, args: &[&str]) -> Ran {
    let ran = place.run(args);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran
}

/// Carries out each, first tried where it can be, and looks at what it has left.
fn each_leaves_its_own(place: &Place, changes: &[(&[&str], &[&str])]) -> Vec<Value> {
    let mut told = Vec::new();
    for (number, (args, kinds)) in changes.iter().enumerate() {
        let command = args
            .iter()
            .position(|arg| *arg == "--")
            .unwrap_or(args.len());
        let (own, rest) = args.split_at(command);
        let reason = format!("reason {number}");
        let before = operations(place);
        let try_out = [own, &["--reason", &reason, "--dry-run"], rest].concat();
        let tried = place.run(&try_out);
        assert!([Some(0), Some(23)].contains(&tried.code), "{tried}");
        assert_eq!(operations(place), before, "{tried}");
        done(place, &[own, &["--reason", &reason], rest].concat());
        let after = operations(place);
        let new = &after[before.len()..];
        let found: Vec<_> = new
            .iter()
            .map(|one| one["kind"].as_str().unwrap())
            .collect();
        assert_eq!(found, *kinds, "{args:?}");
        // The stop that ends a run belongs to the run, and was not said a reason.
        assert_eq!(new[0]["reason"], reason.as_str(), "{args:?}");
        told.extend(new.to_vec());
    }
    told
}

#[test]
fn each_change_of_a_stopped_store_is_the_users_and_of_a_live_one_the_tokens() {
    let stopped = Place::new();
    let told = each_leaves_its_own(&stopped, CHANGES);
    let by = told[0]["by"]["name"].clone();
    for one in &told {
        assert_eq!(one["by"]["kind"], "user", "{one}");
        assert_eq!(one["by"]["name"], by, "{one}");
        assert!(one["by"]["pid"].as_u64().unwrap() > 1, "{one}");
    }
    let live = Place::new();
    let server = Serving::start(&live);
    let mut at_it = each_leaves_its_own(&live, CHANGES);
    at_it.extend(each_leaves_its_own(&live, AT_A_SERVER));
    for one in &at_it {
        assert_eq!(one["by"]["kind"], "token", "{one}");
        assert_eq!(one["by"]["scope"], "admin", "{one}");
    }
    server.end();
    // Apart from who it was, when, and of which Worker, it is the same both ways.
    let essence = |place: &Place, one: &Value| {
        // The command's mount is named after its directory.
        let list = done(
            place,
            &["event", "ls", "--type", "worker.created", "-o", "jsonl"],
        )
        .stdout;
        let event: Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
        let mount = event["data"]["spec"]["workspace"]["mount"]
            .as_str()
            .unwrap()
            .to_owned();
        let fields = ["kind", "reason", "before", "after"];
        fields.map(|field| one[field].to_string().replace(&mount, "[MOUNT]"))
    };
    for (offline, online) in told.iter().zip(&at_it) {
        assert_eq!(essence(&stopped, offline), essence(&live, online));
    }
    assert_eq!(operations(&live), at_it, "they are kept");
}

#[test]
fn every_command_that_changes_something_takes_a_reason_or_is_said_to_need_none() {
    let place = Place::new();
    let is_tried = |leaf: &str| {
        let words: Vec<&str> = leaf.split(' ').collect();
        let mut all = CHANGES.iter().chain(AT_A_SERVER);
        all.any(|(args, _)| args.starts_with(&words))
    };
    for leaf in each_verb::leaves(&place) {
        let words: Vec<&str> = leaf.split(' ').collect();
        let help = done(&place, &[&words[..], &["--help"]].concat());
        let takes = help.stdout.contains("--reason <TEXT>");
        let is_shown = is_tried(&leaf);
        assert!(!is_shown || takes, "{leaf}");
        let is_known = is_shown || NONE.contains(&leaf.as_str());
        assert!(!takes || is_known, "say here what `{leaf}` leaves");
    }
}

#[test]
fn a_record_is_there_exactly_when_its_change_is_wherever_the_command_is_killed() {
    let place = Place::new();
    done(&place, &["worker", "create", "--name", "w", "--", "cat"]);
    let begun = std::time::Instant::now();
    done(&place, &["worker", "pause", "w"]);
    let whole = begun.elapsed();
    let mut is_killed = 0;
    for step in 0..24_u32 {
        let verb = ["resume", "pause"][step as usize % 2];
        let mut command = place.command(&["worker", verb, "w", "--reason", "killed"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From its start to its end, in even steps.
        std::thread::sleep(Duration::from_micros(50) + whole * step / 20);
        let _ = child.kill();
        is_killed += u32::from(child.wait().unwrap().code().is_none());
        let types = [
            "event",
            "ls",
            "w",
            "--type",
            "worker.paused",
            "--type",
            "worker.resumed",
        ];
        let events = done(
            &place,
            &[&types[..], &["-o", "jsonl", "--limit", "1000"]].concat(),
        );
        let positions = events.stdout.lines().map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["position"].clone()
        });
        let kept = operations(&place);
        let kept = kept.iter().skip(1).map(|one| one["position"].clone());
        assert_eq!(kept.collect::<Vec<_>>(), positions.collect::<Vec<_>>());
    }
    assert!(is_killed > 3, "{is_killed} of 24 were killed");
}

#[test]
fn the_log_is_read_from_either_end_by_worker_and_by_time() {
    let place = Place::new();
    for name in ["one", "two"] {
        done(&place, &["worker", "create", "--name", name, "--", "cat"]);
    }
    let two = place.worker_id("two");
    let steps: [&[&str]; 4] = [
        &[
            "worker",
            "pause",
            "two",
            "--reason",
            "it loops\n and \u{1b}[31mburns",
        ],
        &["worker", "resume", "two"],
        &["worker", "stop", "two", "--reason", "enough"],
        &["worker", "rm", "two", "--yes", "--purge"],
    ];
    for args in steps {
        done(&place, args);
    }
    let numbers = |args: &[&str]| {
        let ran = done(&place, &[&["op", "log", "-o", "name"], args].concat());
        let lines = ran.stdout.lines().map(|line| line.parse::<u64>().unwrap());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(numbers(&[]), [6, 5, 4, 3, 2, 1]);
    assert_eq!(numbers(&["--oldest", "--limit", "2"]), [1, 2]);
    assert_eq!(numbers(&["--after", "5", "--limit", "2"]), [4, 3]);
    assert_eq!(
        numbers(&["--worker", &two]),
        [6, 5, 4, 3, 2],
        "it is deleted"
    );
    assert_eq!(numbers(&["--since", "1h"]), [6, 5, 4, 3, 2, 1]);
    assert_eq!(numbers(&["--since", "2999-01-01T00:00:00Z"]), [0; 0]);
    let who = done(&place, &["op", "show", "1", "-o", "json"]).json();
    let who = who["by"]["name"].as_str().unwrap().to_owned();
    let calls: &[&[&str]] = &[
        &["op", "log"],
        &["op", "log", "-o", "wide", "--limit", "2"],
        &["op", "log", "--since", "2999-01-01T00:00:00Z"],
        &["op", "log", "--since", "yesterday"],
        &["op", "log", "--worker", "two"],
        &["op", "show", "3"],
        &["op", "show", "6"],
        &["op", "show", "7"],
        &["op", "show", "latest"],
    ];
    // Names and ids are as long as they are, and so are the columns.
    let one = place.worker_id("one");
    let hide = |mut ran: Ran| {
        let lines = ran.stdout.lines().map(|line| {
            let cells = line
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty());
            let cells = cells.map(|cell| match cell.len() > 12 {
                true if one.starts_with(cell) || two.starts_with(cell) => "[WORKER]",
                _ => cell,
            });
            cells.collect::<Vec<_>>().join("  ")
        });
        let shown = lines.collect::<Vec<_>>().join("\n");
        ran.stdout = shown.replace(&format!("user {who}"), "user [NAME]");
        ran
    };
    let ran: Vec<Ran> = calls.iter().map(|args| hide(place.run(args))).collect();
    snapshot(&place, "operations", &ran);
}

#[test]
fn a_damaged_record_is_told_beside_the_others() {
    let place = Place::new();
    done(&place, &["worker", "create", "--name", "w", "--", "cat"]);
    for reason in ["first reason", "unlikely reason", "last reason"] {
        for verb in ["pause", "resume"] {
            done(&place, &["worker", verb, "w", "--reason", reason]);
        }
    }
    flip(&place, "unlikely reason", |_| true);
    let log = place.run(&["op", "log", "-o", "json"]);
    assert_eq!(log.code, Some(21), "{log}");
    let (log, words) = (log.json(), log.stderr);
    let damaged = log["damaged"].as_array().unwrap();
    assert_eq!(
        log["operations"].as_array().unwrap().len() + damaged.len(),
        7
    );
    let number = damaged[0].to_string();
    assert!(
        words.contains(&format!("operation {number} is damaged")),
        "{words}"
    );
    let shown = place.run(&["op", "show", &number]);
    assert_eq!(shown.code, Some(21), "{shown}");
    assert!(
        shown.stderr.starts_with("error[WR-RECORD-DAMAGED]"),
        "{shown}"
    );
    assert_eq!(place.run(&["op", "show", "1"]).code, Some(0));
    let status = place.run(&["status"]);
    assert!(status.to_string().contains("table operation"), "{status}");
    // It is in nobody's way.
    done(&place, &["worker", "pause", "w"]);
    let log = place.run(&["op", "log", "-o", "json"]).json();
    assert_eq!(log["operations"][0]["operation_id"], 8);
}
