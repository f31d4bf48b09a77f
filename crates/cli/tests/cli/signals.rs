//! Ctrl-C once, Ctrl-C twice, SIGTERM.

use rustix::process::Signal;

use crate::support::{Place, Running, is_alive, until};

/// A command that tells its process id and does not end by itself.
const ENDLESS: &str = "echo $$; while :; do sleep 600; done";
/// The same, and it does not end when asked, but says that it was.
///
/// `wait` is what a signal interrupts in a shell; a command in the foreground would delay the trap.
const STUBBORN: &str = "trap 'echo asked' TERM; echo $$; while :; do sleep 600 & wait; done";

#[test]
fn ctrl_c_cancels_the_run_and_waits_until_it_is_quiet() {
    let place = Place::new();
    let mut run = Running::start(&place, &["run", "--name", "w", "--", "sh", "-c", ENDLESS]);
    let pid = run.line();
    run.signal(Signal::INT);
    let (code, _, stderr) = run.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("cancelled: "), "{stderr}");
    assert!(!is_alive(&pid));
    assert_eq!(place.last_outcome("w"), "cancelled");
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_the_next_call_tells_the_outcome() {
    let place = Place::new();
    let mut run = Running::start(&place, &["run", "--name", "w", "--", "sh", "-c", STUBBORN]);
    let pid = run.line();
    run.signal(Signal::INT);
    // The request is durable before the command is asked, so its outcome is known.
    assert_eq!(run.line(), "asked");
    run.signal(Signal::INT);
    let (code, _, stderr) = run.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("left: "), "{stderr}");
    // Any call that writes gives the run its outcome, and proves its processes dead first.
    let next = place.run(&["run", "--name", "next", "--", "true"]);
    assert_eq!(next.code, Some(0), "{next}");
    assert!(!is_alive(&pid));
    assert_eq!(place.last_outcome("w"), "cancelled");
}

#[test]
fn sigterm_closes_the_runtime_and_nothing_is_left_running() {
    let place = Place::new();
    for signal in [Signal::TERM, Signal::HUP] {
        let name = format!("{signal:?}");
        let args = ["run", "--name", &name, "--", "sh", "-c", ENDLESS];
        let mut run = Running::start(&place, &args);
        let pid = run.line();
        run.signal(signal);
        let (code, _, stderr) = run.wait();
        assert_eq!(code, Some(130), "{stderr}");
        assert!(stderr.contains("interrupted: "), "{stderr}");
        assert!(!is_alive(&pid));
        assert_eq!(place.last_outcome(&name), "interrupted");
    }
}

#[test]
fn sigterm_during_send_interrupts_that_input_alone() {
    let place = Place::new();
    let args = ["worker", "create", "--name", "w", "--", "sh", "-c", ENDLESS];
    assert_eq!(place.run(&args).code, Some(0));
    let mut send = Running::start(&place, &["worker", "send", "w", "--id", "key", "hello"]);
    let pid = send.line();
    send.signal(Signal::TERM);
    let (code, _, stderr) = send.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(!is_alive(&pid));
    // The same id again tells the outcome that there is, and runs nothing.
    let again = place.run(&["worker", "send", "w", "--id", "key", "hello"]);
    assert_eq!(again.code, Some(130), "{again}");
    assert!(
        again
            .stderr
            .contains("it had ended before, and was not run again"),
        "{again}"
    );
}

#[test]
fn ctrl_c_is_heard_while_whoever_reads_the_output_pauses() {
    let place = Place::new();
    let script = "echo $$ >pid; mv pid started; exec yes";
    let run = Running::start(&place, &["run", "--name", "w", "--", "sh", "-c", script]);
    let started = place.project().join("started");
    until("the command started", || started.exists());
    // Nobody reads: the pipe fills, and what goes to stdout waits.
    run.signal(Signal::INT);
    let pid = std::fs::read_to_string(started).unwrap();
    until("the command ended", || !is_alive(&pid));
    let (code, _, stderr) = run.wait();
    assert_eq!(code, Some(130), "{stderr}");
    assert_eq!(place.last_outcome("w"), "cancelled");
}
