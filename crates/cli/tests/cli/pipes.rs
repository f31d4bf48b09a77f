//! Readers that go away.

use std::{fs, io::pipe};

use crate::support::Place;

/// Starts the program with a stdout that nobody reads, and gives exit code and stderr.
fn run_unread(place: &Place, args: &[&str]) -> (Option<i32>, String) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let child = place
        .command(args)
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_read_whose_reader_has_gone_ends_quietly() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--", "echo", "hello"]).code, Some(0));
    for args in [
        &["event", "ls"][..],
        &["worker", "ls"],
        &["status"],
        &["transcript", "show", "echo"],
        &["--help"],
        &["errors", "explain", "WR-BUG"],
    ] {
        assert_eq!(
            run_unread(&place, args),
            (Some(0), String::new()),
            "{args:?}"
        );
    }
}

#[test]
fn a_run_whose_reader_has_gone_is_cancelled_and_leaves_nothing_running() {
    let place = Place::new();
    let args = [
        "run",
        "--name",
        "endless",
        "--",
        "sh",
        "-c",
        "echo $$ >pid; exec yes",
    ];
    let (code, stderr) = run_unread(&place, &args);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(place.last_outcome("endless"), "cancelled");
    let pid = fs::read_to_string(place.project().join("pid")).unwrap();
    assert!(!crate::support::is_alive(&pid));
}

#[test]
fn output_that_can_not_be_written_is_an_error() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--", "echo", "hello"]).code, Some(0));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = place
        .command(&["event", "ls"])
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error[WR-OUTPUT-IO]"), "{stderr}");
}
