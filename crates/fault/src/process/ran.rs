//! How one call of a program ended.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::report::{Doing, HarnessError, Violation};

/// What takes longer hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// How one call of a program ended, and what it said.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    /// Its exit code, unless a signal ended it.
    pub(super) exit: Option<i32>,
    pub(super) signal: Option<i32>,
    /// It did not end within [`DEADLINE`] and was killed.
    pub(super) hung: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ran {
    pub(super) fn is(&self, exit: i32) -> bool {
        self.exit == Some(exit)
    }

    /// The code and the words of the error that it printed, for people or as JSON.
    pub(super) fn error(&self) -> Option<(String, String)> {
        self.stderr.lines().find_map(|line| {
            let told = ["error[", "failed["]
                .iter()
                .find_map(|begin| line.strip_prefix(begin));
            if let Some((code, words)) = told.and_then(|told| told.split_once("]: ")) {
                return Some((code.to_owned(), words.to_owned()));
            }
            let value: Value = serde_json::from_str(line).ok()?;
            let text = |name| value.get(name).and_then(Value::as_str).map(str::to_owned);
            Some((text("code")?, text("message")?))
        })
    }

    /// The account of a run that a program is given at the end.
    pub(super) fn summary(&self) -> Option<Value> {
        let value: Value = serde_json::from_str(self.stdout.lines().last()?).ok()?;
        (value.get("type")?.as_str()? == "summary").then_some(value)
    }

    /// The end that every call has, whatever happened to it: one of its own, in words of its own.
    ///
    /// # Errors
    /// The promise that is broken.
    pub(super) fn ended_well(&self) -> Result<(), Violation> {
        let broken = |what: &str| Err(Violation::new(what, self.to_string()));
        if self.hung {
            return broken("I9 every call ends");
        }
        if self.stderr.contains("panicked at") || self.stdout.contains("panicked at") {
            return broken("no panic reaches a user");
        }
        match self.exit {
            None => broken("no call ends by a signal of its own"),
            Some(70 | 101 | 134) => broken("no contradiction inside is met"),
            Some(_) => Ok(()),
        }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            exit,
            signal,
            hung,
            stdout,
            stderr,
        } = self;
        let end = |text: &str| -> String {
            let skipped = text.chars().count().saturating_sub(600);
            text.chars().skip(skipped).collect()
        };
        write!(
            f,
            "exit {exit:?}, signal {signal:?}, hung {hung}, stdout {:?}, stderr {:?}",
            end(stdout),
            end(stderr),
        )
    }
}

/// Files that take what a program says: a pipe would be held open by whatever it leaves behind.
pub(super) struct Said<'a>(&'a Path);

impl<'a> Said<'a> {
    /// Has the program say it there.
    pub(super) fn of(command: &mut Command, place: &'a Path) -> Result<Self, HarnessError> {
        let create = |name| File::create(place.join(name)).doing("make a file for what is said");
        command
            .stdin(Stdio::null())
            .stdout(create("stdout")?)
            .stderr(create("stderr")?);
        Ok(Self(place))
    }

    /// What it said, when it has ended.
    pub(super) fn end(self, status: ExitStatus, hung: bool) -> Result<Ran, HarnessError> {
        let read = |name| {
            let bytes = fs::read(self.0.join(name)).doing("read what was said")?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Ran {
            exit: status.code(),
            signal: status.signal(),
            hung,
            stdout: read("stdout")?,
            stderr: read("stderr")?,
        })
    }
}

/// Starts a program and waits for its end.
pub(super) fn run_to_end(command: &mut Command, place: &Path) -> Result<Ran, HarnessError> {
    let said = Said::of(command, place)?;
    let mut child = command.spawn().doing("start the command")?;
    let (status, hung) = wait(&mut child)?;
    said.end(status, hung)
}

/// Waits for the end of a program; one that takes too long is killed.
pub(super) fn wait(child: &mut Child) -> Result<(ExitStatus, bool), HarnessError> {
    let deadline = Instant::now() + DEADLINE;
    let mut hung = false;
    loop {
        if let Some(status) = child.try_wait().doing("wait for a program")? {
            return Ok((status, hung));
        }
        if !hung && Instant::now() > deadline {
            hung = true;
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
