//! How a command begins and ends, as the Runtime is told.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::Trial;
use tokio::io::AsyncWriteExt;
use worker_runtime_execution::exec::{
    Containment, Exit, Running, Shim, SpawnError, SpawnOptions, spawn::spawn,
};

use super::support::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio("exit_codes_and_signals_are_told_as_they_were", exits),
        within_tokio(
            "an_exit_code_127_of_the_command_is_not_a_failed_start",
            exit_127,
        ),
        within_tokio(
            "a_missing_program_is_named_with_its_reason",
            missing_program,
        ),
        within_tokio(
            "a_file_without_permission_is_named_with_its_reason",
            not_executable,
        ),
        within_tokio(
            "a_missing_directory_is_not_blamed_on_the_program",
            missing_directory,
        ),
        within_tokio("a_relative_directory_is_refused", relative_directory),
        within_tokio(
            "a_failed_start_leaves_no_process",
            failed_start_leaves_nothing,
        ),
        within_tokio("what_is_never_let_go_never_executes", withheld),
        within_tokio(
            "streams_carry_more_than_a_pipe_holds_both_ways",
            large_streams,
        ),
        within_tokio(
            "the_command_gets_its_environment_and_nothing_else",
            environment,
        ),
        within_tokio(
            "the_command_gets_three_descriptors_and_no_more",
            descriptors,
        ),
        within_tokio("the_command_gets_default_signals", default_signals),
        within_tokio("the_command_has_its_own_group_and_no_terminal", own_group),
        within_tokio("arguments_arrive_byte_for_byte", arguments),
        within_tokio("the_directory_is_the_one_that_was_asked_for", directory),
        within_tokio("a_program_that_is_no_shim_is_told_and_ended", not_a_shim),
        within_tokio("a_missing_shim_is_told_as_such", missing_shim),
        within_tokio("an_asked_outcome_stays_the_same", repeated),
        within_tokio(
            "a_shebang_with_a_missing_interpreter_is_a_failed_start",
            no_interpreter,
        ),
    ]
}

async fn outcome(options: SpawnOptions) -> Exit {
    let held = spawn(options).await.unwrap();
    let mut running = held.go().await.unwrap();
    running.process.quiet().await.unwrap()
}

async fn output(options: SpawnOptions) -> String {
    let Running {
        stdout,
        mut process,
        ..
    } = spawn(options).await.unwrap().go().await.unwrap();
    let text = read_all(stdout).await;
    process.quiet().await.unwrap();
    text
}

async fn start_failure(options: SpawnOptions) -> SpawnError {
    spawn(options).await.unwrap().go().await.unwrap_err()
}

async fn exits() {
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 3", Exit::Code(3)),
        ("exit 255", Exit::Code(255)),
        ("kill -KILL $$", Exit::Signal(9)),
        ("kill -SEGV $$", Exit::Signal(11)),
        ("kill -TERM $$", Exit::Signal(15)),
    ] {
        assert_eq!(outcome(shell(script)).await, exit, "{script}");
    }
}

async fn exit_127() {
    assert_eq!(outcome(shell("exit 127")).await, Exit::Code(127));
    assert_eq!(outcome(shell("exit 125")).await, Exit::Code(125));
}

async fn missing_program() {
    for program in ["no-such-program-anywhere", "/no/such/program"] {
        match start_failure(options(program, &[])).await {
            SpawnError::Execute {
                program: named,
                source,
            } => {
                assert_eq!(named, program);
                assert_eq!(source.kind(), io::ErrorKind::NotFound);
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn not_executable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plain");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    match start_failure(options(file.to_str().unwrap(), &[])).await {
        SpawnError::Execute { program, source } => {
            assert_eq!(program, file.to_str().unwrap());
            assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
        }
        other => panic!("{other:?}"),
    }
}

async fn no_interpreter() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("script");
    write_executable(&file, "#!/no/such/interpreter\n");
    let error = start_failure(options(file.to_str().unwrap(), &[])).await;
    assert!(matches!(error, SpawnError::Execute { .. }), "{error:?}");
}

async fn missing_directory() {
    let mut options = shell("exit 0");
    options.directory = PathBuf::from("/no/such/directory");
    match start_failure(options).await {
        SpawnError::WorkingDirectory { path, source } => {
            assert_eq!(path, PathBuf::from("/no/such/directory"));
            assert_eq!(source.kind(), io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
}

async fn relative_directory() {
    let mut options = shell("exit 0");
    options.directory = PathBuf::from("here");
    let error = spawn(options).await.unwrap_err();
    assert!(
        matches!(error, SpawnError::WorkingDirectory { .. }),
        "{error:?}"
    );
}

async fn failed_start_leaves_nothing() {
    let options = options("/no/such/program", &[]);
    let marker = options.run_marker.clone();
    start_failure(options).await;
    assert_eq!(marked(&marker), Vec::<i32>::new());
}

async fn withheld() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let mut options = shell("touch trace");
    options.directory = directory.path().to_owned();
    let held = spawn(options.clone()).await.unwrap();
    let monitor = held.identity().leader.unwrap().pid;
    assert!(is_alive(monitor));
    assert_eq!(marked(&options.run_marker), [monitor]);
    drop(held);
    eventually("the monitor has ended", || {
        marked(&options.run_marker).is_empty()
    });
    assert!(!trace.exists());

    // The same command leaves its trace when it is let go: the check above can fail.
    assert_eq!(outcome(options).await, Exit::Code(0));
    assert!(trace.exists());
}

async fn large_streams() {
    let bytes: usize = 8 << 20;
    let Running {
        mut stdin,
        mut stdout,
        mut process,
        ..
    } = spawn(options("cat", &[]))
        .await
        .unwrap()
        .go()
        .await
        .unwrap();
    let sent: Vec<u8> = (0..bytes).map(|index| (index / 7) as u8).collect();
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
    };
    let mut received = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut received);
    let ((), read) = tokio::join!(write, read);
    read.unwrap();
    assert!(received == sent, "{} of {bytes} bytes", received.len());
    assert_eq!(process.quiet().await.unwrap(), Exit::Code(0));
}

async fn environment() {
    let mut options = options("/usr/bin/env", &[]);
    options.environment = vec![("ALPHA".into(), "1 2".into())];
    options
        .environment
        .push(("WORKER_RUNTIME_RUN_ID".into(), "not-the-marker".into()));
    let marker = options.run_marker.clone();
    let text = output(options).await;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let marker = format!("WORKER_RUNTIME_RUN_ID={marker}");
    assert_eq!(lines, ["ALPHA=1 2", &marker]);
}

async fn descriptors() {
    // What this process was itself given by whoever started it goes on to every child of it.
    let listing = std::process::Command::new("ls")
        .arg("/proc/self/fd")
        .output()
        .unwrap();
    let given = String::from_utf8(listing.stdout).unwrap();
    let text = output(options("ls", &["/proc/self/fd"])).await;
    assert_eq!(text, given);
    let text = output(shell(
        "readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2",
    ))
    .await;
    assert_eq!(
        text.lines()
            .filter(|link| link.starts_with("pipe:"))
            .count(),
        3,
        "{text}"
    );
    let text = output(shell("ls -l /proc/$$/fd")).await;
    assert!(!text.contains("socket:"), "{text}");
}

async fn default_signals() {
    // What whoever started this process made it ignore goes on to every child of it.
    let status = std::process::Command::new("cat")
        .arg("/proc/self/status")
        .output()
        .unwrap();
    let given = String::from_utf8(status.stdout).unwrap();
    let text = output(options("cat", &["/proc/self/status"])).await;
    assert_eq!(signal_mask(&text, "SigBlk"), 0);
    assert_eq!(signal_mask(&text, "SigIgn"), signal_mask(&given, "SigIgn"));
    let pipe = 1 << (rustix::process::Signal::PIPE.as_raw() - 1);
    assert_eq!(signal_mask(&text, "SigIgn") & pipe, 0);
}

fn signal_mask(status: &str, field: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
}

async fn own_group() {
    let held = spawn(options("cat", &["/proc/self/stat"])).await.unwrap();
    let monitor = held.identity().leader.unwrap().pid;
    let mut running = held.go().await.unwrap();
    let command = running.process.command().unwrap().pid;
    let text = read_all(running.stdout).await;
    running.process.quiet().await.unwrap();
    let fields: Vec<i32> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .skip(1)
        .take(4)
        .map(|field| field.parse().unwrap())
        .collect();
    // Parent, group, session, terminal.
    assert_eq!(fields, [monitor, command, monitor, 0]);
}

async fn arguments() {
    use std::os::unix::ffi::OsStringExt as _;
    let mut options = options("printf", &["%s|"]);
    for argument in [&b"a b"[..], b"", b"--", b"-x", b"new\nline", b"\xff\xfe"] {
        options
            .arguments
            .push(std::ffi::OsString::from_vec(argument.to_vec()));
    }
    let Running {
        mut stdout,
        mut process,
        ..
    } = spawn(options).await.unwrap().go().await.unwrap();
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut bytes)
        .await
        .unwrap();
    process.quiet().await.unwrap();
    assert_eq!(bytes, b"a b||--|-x|new\nline|\xff\xfe|");
}

async fn directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let mut options = options("pwd", &["-P"]);
    options.directory.clone_from(&path);
    assert_eq!(output(options).await.trim_end(), path.to_str().unwrap());
}

async fn not_a_shim() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("no-shim");
    write_executable(&file, "#!/bin/sh\nexec sleep 1000\n");
    let mut options = shell("exit 0");
    options.shim = Shim::Program(file.clone());
    options.ready_within = Duration::from_millis(300);
    let marker = options.run_marker.clone();
    match spawn(options).await.unwrap_err() {
        SpawnError::NotAShim { path, .. } => assert_eq!(path, file),
        other => panic!("{other:?}"),
    }
    eventually("it was ended", || marked(&marker).is_empty());

    // One that ends is told at once, not by the deadline.
    let mut options = shell("exit 0");
    options.shim = Shim::Program(PathBuf::from("/bin/true"));
    options.ready_within = DEADLINE * 2;
    let error = spawn(options).await.unwrap_err();
    assert!(matches!(error, SpawnError::NotAShim { .. }), "{error:?}");
}

async fn missing_shim() {
    let mut options = shell("exit 0");
    options.shim = Shim::Program(PathBuf::from("/no/such/shim"));
    match spawn(options).await.unwrap_err() {
        SpawnError::Shim { path, source } => {
            assert_eq!(path, PathBuf::from("/no/such/shim"));
            assert_eq!(source.kind(), io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
}

async fn repeated() {
    let held = spawn(shell("exit 9")).await.unwrap();
    assert_eq!(held.identity().containment, Containment::Enforced);
    let mut process = held.go().await.unwrap().process;
    for _ in 0..2 {
        assert_eq!(process.exited().await.unwrap(), Exit::Code(9));
        assert_eq!(process.quiet().await.unwrap(), Exit::Code(9));
    }
    // Cancelling what is over is no error.
    process.canceller().cancel(Duration::ZERO).await.unwrap();
}
