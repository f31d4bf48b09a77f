//! What the tests share: starting, reading, and knowing what is alive.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use worker_runtime_execution::exec::{RunMarker, SpawnOptions};

/// Far above what anything here takes, also on a busy machine: only a failing test waits for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn deadline() -> Instant {
    Instant::now() + DEADLINE
}

/// A trial that needs no tokio.
pub(crate) fn plain(name: &str, body: fn()) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}

/// A trial inside tokio, ended by the deadline if it hangs.
pub(crate) fn within_tokio<F: Future<Output = ()>>(
    name: &str,
    body: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        runtime().block_on(async {
            tokio::time::timeout(DEADLINE, body())
                .await
                .map_err(|_| "the deadline passed".into())
        })
    })
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn random_marker() -> RunMarker {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    RunMarker::new(uuid.trim()).unwrap()
}

pub(crate) fn options(program: &str, arguments: &[&str]) -> SpawnOptions {
    let mut options = SpawnOptions::new(program, "/", random_marker());
    options.arguments = arguments.iter().map(Into::into).collect();
    options.environment = vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
    options
}

pub(crate) fn shell(script: &str) -> SpawnOptions {
    options("sh", &["-c", script])
}

/// A command of the worst kind: ignores TERM, and leaves a grandchild in a session of its own that
/// ignores it too, has lost its parent, and holds the streams. Prints both ids when all that is so.
pub(crate) const STUBBORN: &str = r#"
    trap "" TERM
    ( setsid sh -c 'trap "" TERM; echo grandchild $$; while :; do sleep 1000; done' & )
    echo command $$
    while :; do sleep 1000; done
"#;

/// A command whose descendants each start the next one in a session of its own, and end. It ends by
/// itself with the directory, so that a failing test leaves nothing behind.
pub(crate) fn fork_chain(directory: &Path) -> String {
    format!(
        r#"
        export NEXT='trap "" TERM; [ -d {} ] && setsid sh -c "$NEXT" & exit'
        setsid sh -c "$NEXT" &
        echo ready
        read line
        "#,
        directory.display()
    )
}

/// Reads the two lines of [`STUBBORN`]; the ids of command and grandchild.
pub(crate) async fn stubborn_pids(stdout: &mut Lines) -> [i32; 2] {
    let (mut command, mut grandchild) = (None, None);
    while command.is_none() || grandchild.is_none() {
        let line = stdout.next().await.expect("both lines");
        let (who, pid) = line.split_once(' ').unwrap();
        match who {
            "command" => command = pid.parse().ok(),
            "grandchild" => grandchild = pid.parse().ok(),
            _ => panic!("{line}"),
        }
    }
    [command.unwrap(), grandchild.unwrap()]
}

/// The command's output, by lines.
pub(crate) struct Lines(BufReader<Receiver>);

impl Lines {
    pub(crate) fn of(stdout: Receiver) -> Self {
        Self(BufReader::new(stdout))
    }

    pub(crate) async fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }
}

pub(crate) async fn read_all(mut pipe: Receiver) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).await.unwrap();
    text
}

/// Whether a process executes: zombies don't.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit(')').next().unwrap().trim().chars().next();
        !matches!(state, Some('Z' | 'X'))
    })
}

/// Every living process that has the marker in its environment: found here without the code under
/// test.
pub(crate) fn marked(marker: &RunMarker) -> Vec<i32> {
    let entry = format!("WORKER_RUNTIME_RUN_ID={marker}");
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|bytes| {
                bytes
                    .split(|byte| *byte == 0)
                    .any(|e| e == entry.as_bytes())
            })
        })
        .filter(|pid| is_alive(*pid))
        .collect()
}

/// Waits for a condition that nothing announces.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = deadline();
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn parent_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

pub(crate) fn kill_9(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub(crate) fn stop(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
}

pub(crate) fn write_executable(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
