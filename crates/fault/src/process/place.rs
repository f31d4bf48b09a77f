//! A directory for one case: the state directory, the notes of executed commands, and who of them is
//! alive, asked of `/proc` by a variable of their environment, which shares nothing with how the
//! Runtime finds them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use tempfile::TempDir;

use crate::{
    process::{
        order,
        ran::{Ran, run_to_end},
    },
    report::{Doing, HarnessError, Violation},
    settings::command_program,
};

/// The variable by which the processes of a case are found, whoever their parent is.
pub(super) const TAG_VARIABLE: &str = "FAULT_TAG";
/// Where executed commands note that they began.
pub(super) const SIDE_VARIABLE: &str = "FAULT_SIDE";
/// A monitor that has nothing left to do is gone by then, also on a busy machine.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// What the execution backend calls the process that it puts above a command.
const SHIM_NAME: &str = "worker-runtime-shim";

/// A directory for one case.
#[derive(Debug)]
pub(super) struct Place {
    directory: TempDir,
    /// The uppermost directory that the command makes for its state.
    top: PathBuf,
    state: PathBuf,
    program: PathBuf,
    tag: String,
}

impl Place {
    /// An empty one in this directory. The state directory is some levels deeper, and none of them is
    /// there, as where the command is called for the first time.
    pub(super) fn new(directory: TempDir) -> Result<Self, HarnessError> {
        let top = directory.path().join("var");
        let state = top.join("lib").join("state");
        Self::with(directory, top, state)
    }

    /// The same, with the state directory elsewhere.
    pub(super) fn with_state(directory: TempDir, state: PathBuf) -> Result<Self, HarnessError> {
        Self::with(directory, state.clone(), state)
    }

    fn with(directory: TempDir, top: PathBuf, state: PathBuf) -> Result<Self, HarnessError> {
        for name in ["side", "work", "said"] {
            fs::create_dir(directory.path().join(name)).doing("make a directory")?;
        }
        let name = directory.path().file_name().unwrap_or_default();
        Ok(Self {
            tag: name.to_string_lossy().into_owned(),
            program: command_program()?,
            directory,
            top,
            state,
        })
    }

    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// The uppermost directory that the command makes for its state.
    pub(super) fn top(&self) -> PathBuf {
        self.top.clone()
    }

    pub(super) fn side(&self) -> PathBuf {
        self.path().join("side")
    }

    /// Where what a program says is kept while it runs.
    pub(super) fn said(&self) -> PathBuf {
        self.path().join("said")
    }

    /// The command with these arguments, not started yet.
    pub(super) fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        self.surround(&mut command);
        command
    }

    /// Gives a program the surroundings of this case.
    pub(super) fn surround(&self, command: &mut Command) {
        command
            .current_dir(self.path().join("work"))
            .env("WORKER_RUNTIME_STATE", self.state())
            .env(TAG_VARIABLE, &self.tag)
            .env(SIDE_VARIABLE, self.side())
            .env_remove("WORKER_RUNTIME_LOG");
    }

    /// Calls the command and waits for its end.
    pub(super) fn call<A: AsRef<str>>(&self, arguments: &[A]) -> Result<Ran, HarnessError> {
        let arguments: Vec<String> = arguments.iter().map(|a| a.as_ref().to_owned()).collect();
        run_to_end(&mut self.command(&arguments), &self.said())
    }

    /// How often the command of this input began.
    pub(super) fn executions(&self, input_id: &str) -> usize {
        let text = fs::read_to_string(self.side().join(input_id)).unwrap_or_default();
        text.lines().filter(|line| *line == input_id).count()
    }

    /// Keeps a copy of the state and the notes as they are. The ballast is left out: the next opening
    /// makes it anew.
    pub(super) fn keep(&self, name: &str) -> Result<(), HarnessError> {
        let kept = self.path().join("kept").join(name);
        if kept.exists() {
            fs::remove_dir_all(&kept).doing("empty a directory")?;
        }
        fs::create_dir_all(&kept).doing("make a directory")?;
        copy_tree(&self.top, &kept.join("top"), "ballast")?;
        copy_tree(&self.side(), &kept.join("side"), "")
    }

    /// Brings back what was kept.
    pub(super) fn bring_back(&self, name: &str) -> Result<(), HarnessError> {
        for directory in [self.top(), self.side()] {
            if directory.exists() {
                fs::remove_dir_all(&directory).doing("empty a place")?;
            }
        }
        let kept = self.path().join("kept").join(name);
        copy_tree(&kept.join("top"), &self.top, "")?;
        copy_tree(&kept.join("side"), &self.side(), "")
    }

    /// All living processes of this case.
    pub(super) fn living(&self) -> Vec<Living> {
        living(&self.tag)
    }

    /// Nothing that was started for an input lives: a command that does is a broken promise at once; a
    /// monitor whose command has ended may be on its way out.
    pub(super) fn nothing_left(&self) -> Result<(), Violation> {
        self.nothing_left_of(u64::MAX)
    }

    /// The same of those that were started before this life of a host.
    pub(super) fn nothing_left_of(&self, round: u64) -> Result<(), Violation> {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let mut left = self.living();
            left.retain(|process| process.round < round);
            let has_command = left.iter().any(|process| !process.is_shim);
            if has_command || (!left.is_empty() && Instant::now() > deadline) {
                return Err(Violation::new(
                    "I4 nothing of a command is left",
                    format!("still living: {left:?}"),
                ));
            }
            if left.is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends all of them.
    pub(super) fn end_all(&self) {
        for process in self.living() {
            kill(process.pid);
        }
    }

    /// The inputs whose commands began.
    pub(super) fn executed(&self) -> Result<Vec<String>, HarnessError> {
        let entries = fs::read_dir(self.side()).doing("read the commands' notes")?;
        let names = entries.filter_map(Result::ok);
        Ok(names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A case that went wrong may have left some.
        self.end_all();
    }
}

/// SIGKILL; it may have ended meanwhile.
pub(super) fn kill(pid: i32) {
    signal(pid, Signal::SIGKILL);
}

/// A signal; it may have ended meanwhile.
pub(super) fn signal(pid: i32, signal: Signal) {
    let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
}

/// A living process of a case.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) pid: i32,
    /// Not a command: what the execution backend puts above one.
    pub(super) is_shim: bool,
    /// The life of the host that started it; 0 where the command itself did.
    pub(super) round: u64,
    #[allow(dead_code, reason = "shown with a violation")]
    command: String,
}

/// All living processes with this tag.
fn living(tag: &str) -> Vec<Living> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| look_at(pid, tag)).collect()
}

fn look_at(pid: i32, tag: &str) -> Option<Living> {
    // The dead have none.
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variable = |name: &str| {
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    };
    let tagged = variable(TAG_VARIABLE).or_else(|| variable(order::TAG_VARIABLE));
    if tagged? != tag {
        return None;
    }
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    let round = variable(order::ROUND_VARIABLE).and_then(|round| round.parse().ok());
    Some(Living {
        pid,
        is_shim: command.starts_with(SHIM_NAME),
        round: round.unwrap_or(0),
        command,
    })
}

fn copy_tree(from: &Path, to: &Path, but: &str) -> Result<(), HarnessError> {
    if !from.exists() {
        return Ok(());
    }
    if !to.exists() {
        fs::create_dir(to).doing("make a directory")?;
        let mode = fs::metadata(from).doing("read a directory's mode")?;
        fs::set_permissions(to, mode.permissions()).doing("set a directory's mode")?;
    }
    for entry in fs::read_dir(from).doing("read a directory")? {
        let entry = entry.doing("read a directory")?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target, but)?;
        } else if entry.file_name() != but {
            fs::copy(entry.path(), &target).doing("copy a file")?;
        }
    }
    Ok(())
}
