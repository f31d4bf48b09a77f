//! `state check` as an operator meets it: what it says of whole and of damaged stores, what it ends with,
//! and that it leaves every byte and time as it was.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    serving::Serving,
    support::{PROGRAM, Place, Ran, Running, snapshot, until},
};

const DEPTHS: [&str; 3] = ["quick", "full", "deep"];

/// A Worker that holds a scope and said something, and one that has ended.
fn filled() -> Place {
    let place = Place::new();
    let create = ["worker", "create", "--name", "one"];
    let holds = ["--scope", "write:src", "--", "cat"];
    let created = place.run(&[&create[..], &holds].concat());
    assert_eq!(created.code, Some(0), "{created}");
    let sent = place.run(&["worker", "send", "one", "odd words"]);
    assert_eq!(sent.code, Some(0), "{sent}");
    assert_eq!(
        place.run(&["run", "--name", "two", "--", "true"]).code,
        Some(0)
    );
    assert_eq!(place.run(&["worker", "stop", "two"]).code, Some(0));
    place
}

fn store(place: &Place) -> std::path::PathBuf {
    place.state().join("runtime.redb")
}

fn check(place: &Place, depth: &str) -> Ran {
    place.run(&["state", "check", "--depth", depth])
}

/// Changes a text wherever it stands in the store.
fn flip(place: &Place, text: &str) {
    let mut bytes = fs::read(store(place)).unwrap();
    let places: Vec<usize> = (0..bytes.len() - text.len())
        .filter(|at| bytes[*at..].starts_with(text.as_bytes()))
        .collect();
    assert!(!places.is_empty(), "{text} is not in the store");
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(store(place), bytes).unwrap();
}

#[test]
fn a_whole_store_is_clean_to_every_depth_and_stays_as_it_was() {
    let place = filled();
    let before = place.files();
    let calls = DEPTHS.map(|depth| check(&place, depth));
    for ran in &calls {
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran}");
    }
    let json = place
        .run(&["state", "check", "--depth", "deep", "-o", "json"])
        .json();
    assert_eq!(json["source"], "store");
    assert_eq!(json["depth"], "deep");
    assert_eq!(json["findings"].as_array().unwrap().len(), 0);
    assert_eq!(json["checked"]["workers"], 2);
    assert_eq!(json["checked"]["pages"], "whole");
    assert!(place.files() == before);
    snapshot(&place, "check_clean", &calls);
}

#[test]
fn damage_is_told_with_its_worker_its_cost_and_what_to_type() {
    let place = filled();
    flip(&place, "odd words");
    let before = place.files();
    let calls = [check(&place, "full"), check(&place, "deep")];
    assert!(calls.iter().all(|ran| ran.code == Some(21)));
    let lines = place.run(&["state", "check", "-o", "jsonl"]);
    assert_eq!(
        (lines.code, lines.stderr.as_str()),
        (Some(21), ""),
        "{lines}"
    );
    let lines: Vec<serde_json::Value> = lines
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let finding = &lines[0]["finding"];
    assert_eq!(finding["code"], "WR-EVENT-DAMAGED");
    assert_eq!(finding["severity"], "costs_data");
    assert_eq!(finding["worker_id"], place.worker_id("one").as_str());
    let next = finding["next"].as_str().unwrap();
    assert!(next.starts_with("worker-runtime event ls "), "{next}");
    assert_eq!(lines.last().unwrap()["findings"], lines.len() - 1);
    assert!(place.files() == before);
    snapshot(&place, "check_damaged", &calls);
}

#[test]
fn what_can_be_mended_without_loss_ends_with_20_and_what_went_back_with_24() {
    let place = filled();
    let head = fs::read(place.state().join("head")).unwrap();
    fs::write(place.state().join("head"), [7; 512]).unwrap();
    let mended = check(&place, "quick");
    assert_eq!(mended.code, Some(20), "{mended}");
    fs::write(place.state().join("head"), head).unwrap();
    let older = fs::read(store(&place)).unwrap();
    assert_eq!(place.run(&["run", "--", "true"]).code, Some(0));
    fs::write(store(&place), older).unwrap();
    let went_back = check(&place, "quick");
    assert_eq!(went_back.code, Some(24), "{went_back}");
    snapshot(&place, "check_mended", &[mended, went_back]);
}

#[test]
fn whichever_page_is_damaged_it_is_found_or_nothing_is_missing() {
    const PAGE: usize = 4096;
    let place = filled();
    let whole = fs::read(store(&place)).unwrap();
    let read = |place: &Place| {
        let calls: [&[&str]; 3] = [
            &["worker", "ls", "--all", "-o", "json"],
            &["event", "ls", "--limit", "1000", "-o", "json"],
            &["transcript", "show", "one", "-o", "json"],
        ];
        calls.map(|args| place.run(args).stdout)
    };
    let truth = read(&place);
    let (mut found, mut harmless) = (0, 0);
    for page in (0..whole.len()).step_by(PAGE) {
        if whole[page..page + 64].iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut damaged = whole.clone();
        damaged[page + 40] ^= 0x20;
        fs::write(store(&place), &damaged).unwrap();
        let before = place.files();
        let ran = check(&place, "deep");
        assert!(place.files() == before, "page at {page}: {ran}");
        assert!(!ran.stderr.contains("panicked"), "page at {page}: {ran}");
        match ran.code {
            Some(0) => {
                assert_eq!(read(&place), truth, "page at {page}: {ran}");
                harmless += 1;
            }
            Some(20 | 21 | 24) => found += 1,
            _ => panic!("page at {page}: {ran}"),
        }
    }
    assert!(found > 5, "{found} found, {harmless} harmless");
}

#[test]
fn what_is_no_stopped_store_is_not_checked() {
    let place = Place::new();
    let nothing = check(&place, "full");
    assert_eq!(nothing.code, Some(10), "{nothing}");
    fs::create_dir(place.state()).unwrap();
    fs::write(place.state().join("notes.txt"), "mine").unwrap();
    let foreign = check(&place, "full");
    assert_eq!(foreign.code, Some(10), "{foreign}");
    fs::remove_file(place.state().join("notes.txt")).unwrap();
    let server = Serving::start(&place);
    let live = check(&place, "full");
    assert_eq!(live.code, Some(11), "{live}");
    let url = server.url.clone();
    let named = place.run(&["--server", &url, "state", "check"]);
    assert_eq!(named.code, Some(2), "{named}");
    server.end();
    let stopped = check(&place, "full");
    assert_eq!(stopped.code, Some(0), "{stopped}");
    let whole = fs::read(store(&place)).unwrap();
    fs::write(store(&place), &whole[..whole.len() / 2]).unwrap();
    let cut = check(&place, "deep");
    assert_eq!(cut.code, Some(21), "{cut}");
    fs::write(store(&place), "").unwrap();
    let empty = check(&place, "deep");
    assert_eq!(empty.code, Some(21), "{empty}");
    // What the engine said of the cut file is on stderr with its time.
    assert!(cut.stdout.contains("is truncated or damaged"), "{cut}");
    let calls = [nothing, foreign, live, named, empty];
    let calls = calls.map(|ran| ran.hide_typed(&url, "[SERVER]"));
    snapshot(&place, "check_refused", &calls);
}

#[test]
fn what_a_killed_process_left_is_checked_beside_other_readers() {
    let place = Place::new();
    let endless = [
        "run",
        "--name",
        "w",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 600",
    ];
    let mut running = Running::start(&place, &endless);
    while running.line() != "ready" {}
    let live = check(&place, "full");
    assert_eq!(live.code, Some(11), "{live}");
    running.signal(Signal::KILL);
    let (code, ..) = running.wait();
    assert_eq!(code, None, "it was killed");
    let before = place.files();
    let both = [check(&place, "deep"), check(&place, "full")];
    for ran in &both {
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    assert!(place.files() == before);
}

/// While it waits for the store: a check of one as small is over before anybody could.
#[test]
fn ctrl_c_ends_a_check_that_waits() {
    let place = Place::new();
    let endless = [
        "run",
        "--name",
        "w",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 600",
    ];
    let mut holder = Running::start(&place, &endless);
    while holder.line() != "ready" {}
    let waits = place.interruptible(&["--wait", "600s", "state", "check"]);
    let waiting = Running::of(waits);
    until("Ctrl-C is heard", || !waiting.ignores_ctrl_c());
    waiting.signal(Signal::INT);
    let (code, printed, _) = waiting.wait();
    assert_eq!((code, printed.len()), (None, 0), "the signal ended it");
    holder.signal(Signal::KILL);
    holder.wait();
    let after = check(&place, "full");
    assert_eq!(after.code, Some(0), "{after}");
}

#[test]
fn who_may_not_read_the_directory_is_told_so() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root can become another user");
        return;
    }
    let place = filled();
    let home = place.project().parent().unwrap().to_owned();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let program = home.join("worker-runtime");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = as_nobody(&program, &place.state());
    assert_eq!(ran.code, Some(12), "{ran}");
    assert!(ran.stderr.starts_with("error[WR-STATE-DENIED]"), "{ran}");
}

fn as_nobody(program: &Path, state: &Path) -> Ran {
    let args = ["state", "check", "--depth", "deep"];
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(program)
        .args(args)
        .current_dir("/")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("WORKER_RUNTIME_STATE", state)
        .stdin(Stdio::null());
    Ran::new(&args, &command.output().unwrap())
}
