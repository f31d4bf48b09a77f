//! What comes next, as it comes: over the death of the server, with nothing missing.

use rustix::process::Signal;

use crate::{
    serving::Serving,
    support::{Place, Running, snapshot},
};

fn run(place: &Place, name: &str) {
    let ran = place.run(&["run", "--name", name, "--", "echo", name]);
    assert_eq!(ran.code, Some(0), "{ran}");
}

/// Reads lines until one has this text in it.
fn read_to(running: &mut Running, text: &str, lines: &mut Vec<String>) {
    loop {
        let line = running.line();
        lines.push(line.clone());
        if line.contains(text) {
            return;
        }
    }
}

#[test]
fn nothing_is_missing_of_a_tail_whose_server_was_killed_and_came_back() {
    let place = Place::new();
    let server = Serving::start(&place);
    let address = server.address().to_owned();
    run(&place, "before");
    let mut tail = Running::start(&place, &["event", "tail", "-o", "jsonl"]);
    let mut lines = Vec::new();
    read_to(&mut tail, "run.finished", &mut lines);
    server.kill();
    // Written while no server is there to tell of it.
    run(&place, "between");
    let server = Serving::at(&place, &address);
    run(&place, "after");
    for _ in ["between", "after"] {
        read_to(&mut tail, "run.finished", &mut lines);
    }
    tail.signal(Signal::INT);
    let (code, rest, stderr) = tail.wait();
    assert_eq!(code, Some(130), "{stderr}");
    lines.extend(rest);
    let all = place.run(&["event", "ls", "--limit", "1000", "-o", "jsonl"]);
    let all: Vec<&str> = all.stdout.lines().collect();
    assert_eq!(lines, all[..lines.len()], "{stderr}");
    assert!(
        all.len() - lines.len() < 4,
        "{} of {}",
        lines.len(),
        all.len()
    );
    assert!(stderr.contains("warning: the server"), "{stderr}");
    server.end();
}

#[test]
fn a_tail_ends_with_the_cursor_to_go_on_from() {
    let place = Place::new();
    let server = Serving::start(&place);
    run(&place, "w");
    let mut tail = Running::start(&place, &["event", "tail", "w", "--time", "iso"]);
    let mut lines = Vec::new();
    read_to(&mut tail, "run.finished", &mut lines);
    tail.signal(Signal::INT);
    let (code, rest, stderr) = tail.wait();
    assert_eq!((code, rest.len()), (Some(130), 0), "{stderr}");
    let cursor = stderr
        .lines()
        .find_map(|line| line.strip_prefix("next cursor: "))
        .unwrap()
        .to_owned();
    let sent = place.run(&["worker", "send", "w", "more"]);
    assert_eq!(sent.code, Some(0), "{sent}");
    let next = place.run(&["event", "ls", "w", "--after", &cursor, "-o", "jsonl"]);
    assert!(
        next.stdout
            .lines()
            .next()
            .unwrap()
            .contains("input.accepted"),
        "{next}"
    );
    server.end();
    // The same of a stopped store, which says that nobody writes.
    let stopped = place.run(&["event", "tail", "w"]);
    assert_eq!(
        stopped.stdout.lines().take(lines.len()).collect::<Vec<_>>(),
        lines
    );
    assert!(
        stopped.stderr.contains("nobody runs this store"),
        "{stopped}"
    );
}

#[test]
fn a_transcript_is_printed_as_it_grows() {
    let place = Place::new();
    let server = Serving::start(&place);
    run(&place, "w");
    let mut tail = Running::start(&place, &["transcript", "tail", "w"]);
    let mut lines = Vec::new();
    read_to(&mut tail, "w", &mut lines);
    let sent = place.run(&["worker", "send", "w", "and more"]);
    assert_eq!(sent.code, Some(0), "{sent}");
    read_to(&mut tail, "and more", &mut lines);
    tail.signal(Signal::INT);
    let (code, rest, stderr) = tail.wait();
    assert_eq!(code, Some(130), "{stderr}");
    lines.extend(rest);
    server.end();
    let shown = place
        .run(&["transcript", "show", "w", "--time", "iso"])
        .stdout;
    assert!(shown.starts_with(&lines.join("\n")), "{lines:?}\n{shown}");
    let stopped = place.run(&["transcript", "tail", "w", "--last", "1"]);
    snapshot(
        &place,
        "tail_stopped",
        &[stopped, place.run(&["event", "tail", "-o", "json"])],
    );
}
