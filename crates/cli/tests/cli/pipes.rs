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
fn a_run_whose_reader_has_gone_goes_on_to_its_outcome() {
    let place = Place::new();
    let script = "echo one; echo two; sleep 0.1; echo three; exit 3";
    let args = ["run", "--name", "w", "--", "sh", "-c", script];
    let (code, stderr) = run_unread(&place, &args);
    assert_eq!(code, Some(1), "{stderr}");
    let lines: Vec<&str> = stderr.lines().skip(1).collect();
    let goes_on = "nothing more can be printed; the run goes on, and Ctrl-C cancels it";
    assert_eq!((lines.len(), lines[0]), (2, goes_on), "{stderr}");
    assert!(
        lines[1].starts_with("failed: the command exited with 3"),
        "{stderr}"
    );
    let kept = place.run(&["transcript", "show", "w"]);
    assert!(kept.stdout.contains("three"), "{kept}");
}

#[test]
fn the_exit_code_of_a_run_does_not_hang_on_its_reader() {
    let place = Place::new();
    for format in ["json", "jsonl"] {
        let args = ["run", "-o", format, "--", "sh", "-c", "exit 3"];
        let (code, stderr) = run_unread(&place, &args);
        assert_eq!((code, stderr.as_str()), (Some(1), ""), "{format}");
    }
}

#[test]
fn a_run_whose_output_can_not_be_written_says_what_became_of_it() {
    let place = Place::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = place
        .command(&["run", "--name", "w", "--", "echo", "hello"])
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error[WR-OUTPUT-IO]"), "{stderr}");
    let id = place.worker_id("w");
    assert!(
        stderr.contains(&format!("input run of Worker {id} is completed")),
        "{stderr}"
    );
    assert_eq!(place.last_outcome("w"), "completed");
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
