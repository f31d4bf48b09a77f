//! Stores of which something is damaged or gone: it is said, with its code, and ends with its exit
//! code; nothing is served in its place (I7, I10).

use std::{fs, path::Path};

use crate::{
    serving::Serving,
    support::{Place, Ran, snapshot},
};

/// Changes one byte of a text wherever it stands in the store and the byte before says so.
pub(crate) fn flip(place: &Place, text: &str, chosen: impl Fn(u8) -> bool) {
    let path = place.state().join("runtime.redb");
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<usize> = (1..bytes.len() - text.len())
        .filter(|at| bytes[*at..].starts_with(text.as_bytes()))
        .filter(|at| chosen(bytes[at - 1]))
        .collect();
    assert!(!places.is_empty(), "{text} is not in the store");
    for at in places {
        bytes[at + text.len() / 2] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
}

/// A Worker that said three things, each in a run of its own, each this long or more.
fn place_with_three_turns(bytes: usize) -> Place {
    let place = Place::new();
    let create = ["worker", "create", "--name", "w", "--", "cat"];
    assert_eq!(place.run(&create).code, Some(0));
    for text in [
        "unlikely text to find",
        "another odd text",
        "the newest of all",
    ] {
        let said = format!("{text} {}", "x".repeat(bytes));
        let sent = place.run_with_input(&["worker", "send", "w", "-"], &said);
        assert_eq!(sent.code, Some(0), "{sent}");
    }
    place
}

fn all_damaged(calls: &[Ran]) {
    for ran in calls {
        assert_eq!(ran.code, Some(21), "{ran}");
    }
}

#[test]
fn damaged_events_are_a_told_gap_and_no_success() {
    // Too much for one pack: what is around the damage stays.
    let place = place_with_three_turns(200_000);
    flip(&place, "another odd text", |_| true);
    let calls = [
        place.run(&["event", "ls", "w"]),
        place.run(&["event", "ls", "w", "-o", "name"]),
    ];
    all_damaged(&calls);
    let shown = place.run(&["transcript", "show", "w"]);
    assert_eq!(shown.code, Some(21), "{}", shown.stderr);
    assert!(shown.stdout.contains("the newest of all"));
    assert!(
        shown.stderr.starts_with("warning[WR-EVENT-DAMAGED]"),
        "{}",
        shown.stderr
    );
    let json = place.run(&["event", "ls", "w", "-o", "json"]);
    assert_eq!(json.code, Some(21), "{json}");
    assert_eq!(json.json()["gaps"][0]["code"], "WR-EVENT-DAMAGED");
    let lines = place.run(&["event", "ls", "w", "-o", "jsonl"]);
    let is_gap = |line: &&str| line.contains(r#""code":"WR-EVENT-DAMAGED""#);
    assert!(lines.stdout.lines().any(|line| is_gap(&line)));
    assert_eq!(lines.code, Some(21));
    let transcript = place.run(&["transcript", "show", "w", "-o", "json"]);
    assert_eq!(transcript.code, Some(21), "{transcript}");
    assert_eq!(transcript.json()["gap"]["code"], "WR-EVENT-DAMAGED");
    snapshot(&place, "damaged_events", &calls);
}

#[test]
fn what_was_said_last_is_missed_when_it_is_damaged() {
    let place = place_with_three_turns(0);
    flip(&place, "the newest of all", |_| true);
    let calls = [
        place.run(&["transcript", "show", "w"]),
        place.run(&["transcript", "show", "w", "-o", "json"]),
        place.run(&["event", "ls", "w"]),
        place.run(&["worker", "send", "w", "more"]),
    ];
    all_damaged(&calls);
    snapshot(&place, "damaged_newest", &calls);
}

#[test]
fn a_worker_whose_record_is_damaged_is_listed_and_named() {
    let place = Place::new();
    let create = ["worker", "create", "--name", "unlikely-name", "--", "cat"];
    assert_eq!(place.run(&create).code, Some(0));
    let id = place.worker_id("unlikely-name");
    // In events a name is text between quotes; in the record its length stands before it.
    flip(&place, "unlikely-name", |before| before != b'"');
    let calls = [
        place.run(&["worker", "ls"]),
        place.run(&["worker", "ls", "-o", "json"]),
        place.run(&["worker", "show", &id]),
        place.run(&["worker", "stop", &id[..13]]),
        place.run(&["worker", "send", &id[..13], "hello"]),
        place.run(&["status"]),
        place.run(&["state", "info"]),
    ];
    all_damaged(&calls);
    let names = place.run(&["worker", "ls", "-o", "name"]);
    assert_eq!(names.stdout.trim(), id, "{names}");
    let events = place.run(&["event", "ls", &id[..13]]);
    assert!(events.stdout.contains("worker.created"), "{events}");
    assert_eq!(events.code, Some(0), "{events}");
    let calls = calls.map(|ran| {
        ran.hide_typed(&id, "[ID]")
            .hide_typed(&id[..13], "[PREFIX]")
    });
    snapshot(&place, "damaged_worker", &calls);
}

#[test]
fn a_lease_whose_record_is_damaged_is_told_beside_every_answer_of_who_holds_what() {
    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
    let place = Place::new();
    let server = Serving::start(&place);
    let holder = ["--ttl", "1h", "--holder", "unlikely-holder"];
    let acquire = ["lock", "acquire", "src", "--lease-id", ID];
    let held = place.run(&[&acquire[..], &holder].concat());
    assert_eq!(held.code, Some(0), "{held}");
    // In order: after a crash the engine looks at its newest commit, and takes the one before.
    server.end();
    // In events it is text between quotes; in the record its length stands before it.
    flip(&place, "unlikely-holder", |before| before != b'"');
    let look = |place: &Place| {
        let calls: [&[&str]; 5] = [
            &["lock", "ls"],
            &["lock", "ls", "-o", "json"],
            &["lock", "ls", "-o", "jsonl"],
            &["lock", "who", "src"],
            &["lock", "conflicts", "--scope", "write:src"],
        ];
        calls.map(|args| place.run(args))
    };
    let calls = look(&place);
    let codes = |calls: &[Ran]| -> Vec<Option<i32>> { calls.iter().map(|ran| ran.code).collect() };
    let expected = [Some(21), Some(21), Some(21), Some(4), Some(0)];
    assert_eq!(codes(&calls), expected);
    let json = calls[1].json();
    assert_eq!(json["damaged"][0]["lease_id"], ID, "{json}");
    snapshot(&place, "damaged_lease", &calls);
    let server = Serving::start(&place);
    let calls = look(&place);
    assert_eq!(codes(&calls), expected);
    for ran in &calls {
        assert!(ran.stderr.contains("warning[WR-RECORD-DAMAGED]"), "{ran}");
    }
    let clear = ["lock", "release", ID, "--force", "--reason", "damaged"];
    let cleared = place.run(&clear);
    assert_eq!(cleared.code, Some(0), "{cleared}");
    let listed = place.run(&["lock", "ls"]);
    assert_eq!(listed.code, Some(0), "{listed}");
    server.end();
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

#[test]
fn a_store_that_went_back_says_so_at_every_change() {
    let place = Place::new();
    let run = ["run", "--name", "one", "--", "echo", "first"];
    assert_eq!(place.run(&run).code, Some(0));
    let (store, old) = (
        place.state().join("runtime.redb"),
        place.project().join("old"),
    );
    copy(&store, &old);
    let run = ["run", "--name", "two", "--", "echo", "second"];
    assert_eq!(place.run(&run).code, Some(0));
    copy(&old, &store);
    let status = place.run(&["status"]);
    assert_eq!(status.code, Some(24), "{status}");
    let info = place.run(&["state", "info"]);
    assert_eq!(info.code, Some(24), "{info}");
    let change = place.run(&["worker", "stop", "one"]);
    assert_eq!(change.code, Some(0), "{change}");
    assert!(
        change.stderr.contains("warning[WR-STATE-WENT-BACK]"),
        "{change}"
    );
    let still = place.run(&["status"]);
    assert_eq!(still.code, Some(24), "{still}");
    let unsure = place.run(&["state", "accept-older"]);
    assert_eq!(unsure.code, Some(2), "{unsure}");
    let rehearsed = place.run(&["state", "accept-older", "--dry-run"]);
    assert_eq!(rehearsed.code, Some(23), "{rehearsed}");
    let accepted = place.run(&["state", "accept-older", "--yes"]);
    assert_eq!(accepted.code, Some(0), "{accepted}");
    let after = place.run(&["status"]);
    assert_eq!(after.code, Some(0), "{after}");
    let again = place.run(&["state", "accept-older", "--yes"]);
    snapshot(
        &place,
        "went_back",
        &[status, info, change, unsure, rehearsed, accepted, again],
    );
}

/// The engine's own panics at what it reads are held: one error with its code is what is seen of them.
#[test]
fn no_panic_reaches_the_terminal_whichever_page_is_damaged() {
    const PAGE: usize = 4096;
    let place = place_with_three_turns(0);
    let path = place.state().join("runtime.redb");
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for page in (PAGE..whole.len()).step_by(PAGE) {
        let mut damaged = whole.clone();
        // Lengths and offsets stand at the beginning of a page.
        let Some(head) = damaged.get_mut(page..page + 16) else {
            break;
        };
        if head.iter().all(|byte| *byte == 0) {
            continue;
        }
        head.iter_mut()
            .for_each(|byte| *byte = byte.wrapping_add(7));
        fs::write(&path, damaged).unwrap();
        let ran = place.run(&["worker", "ls"]);
        assert!(!ran.stderr.contains("panicked"), "page at {page}: {ran}");
        assert!(matches!(ran.code, Some(0 | 21)), "page at {page}: {ran}");
        refused += usize::from(ran.code == Some(21));
    }
    assert!(refused > 0, "no page was missed");
}
