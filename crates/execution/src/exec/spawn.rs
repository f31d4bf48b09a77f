//! Starts a command, and holds it until its identity is recorded.
//!
//! Called by the backend, in this order: [`spawn`], make [`Held::identity`] durable, [`Held::go`]. So
//! there is no instant at which a command runs that the next opening would not find (I4, I6).
//!
//! Needs a tokio runtime with I/O and time.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::process::{Child, Command};
use worker_runtime_core::{patience::within, sabotage};

use super::channel::Channel;
use super::enclosure::Enclosure;
use super::error::SpawnError;
use super::open_files;
use super::process::{
    Containment, ProcessIdentity, RUN_MARKER_VARIABLE, RunMarker, identity_of, identity_of_pending,
};
use super::running::Held;
use super::shim::{PROCESS_NAME, REQUEST, ROLE_MONITOR, THIS_PROGRAM, is_installed};
use super::wire::{self, PROTOCOL, Report};

/// Where the shim is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shim {
    /// This program, if it called [`run_if_requested`](super::shim::run_if_requested); none otherwise.
    Detect,
    /// Another program that calls it. An absolute path.
    Program(PathBuf),
    /// None: [`Containment::NotEnforced`].
    Without,
}

impl Shim {
    fn program(&self) -> Option<&Path> {
        match self {
            Self::Detect => is_installed().then(|| Path::new(THIS_PROGRAM)),
            Self::Program(path) => Some(path),
            Self::Without => None,
        }
    }
}

/// What to execute, and how.
#[derive(Debug, Clone)]
pub struct SpawnOptions {
    /// A path, or a name that is looked up in the `PATH` of [`Self::environment`].
    pub program: OsString,
    /// Without the program itself. Other users of the machine can read them.
    pub arguments: Vec<OsString>,
    /// The whole environment: the command gets this, the run marker, and nothing else.
    pub environment: Vec<(OsString, OsString)>,
    /// An absolute path.
    pub directory: PathBuf,
    /// See [`RunMarker`].
    pub run_marker: RunMarker,
    /// What it is enclosed in; takes a shim.
    pub enclosure: Option<Enclosure>,
    /// Where the shim is.
    pub shim: Shim,
    /// How long what the command left behind may take to end after TERM, when the command itself has
    /// ended, before it is killed. Costs nothing where nothing is left behind.
    pub leftover_grace: Duration,
    /// How long the shim may take to answer.
    pub ready_within: Duration,
}

impl SpawnOptions {
    /// A command without arguments and environment, with the shim if there is one.
    pub fn new(
        program: impl Into<OsString>,
        directory: impl Into<PathBuf>,
        run_marker: RunMarker,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: directory.into(),
            run_marker,
            enclosure: None,
            shim: Shim::Detect,
            leftover_grace: Duration::from_secs(1),
            ready_within: Duration::from_secs(10),
        }
    }

    /// The program's name, for an error.
    pub(super) fn program_name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    pub(super) fn prepare_failed(&self, source: io::Error) -> SpawnError {
        SpawnError::Prepare {
            program: self.program_name(),
            source,
        }
    }

    pub(super) fn directory_failed(&self, source: io::Error) -> SpawnError {
        SpawnError::WorkingDirectory {
            path: self.directory.clone(),
            source,
        }
    }

    pub(super) fn enclose_failed(&self, source: io::Error) -> SpawnError {
        SpawnError::Enclose {
            program: self.program_name(),
            source,
        }
    }

    pub(super) fn execute_failed(&self, source: io::Error) -> SpawnError {
        SpawnError::Execute {
            program: self.program_name(),
            source,
        }
    }
}

/// Both ends of the command's three streams.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) stdin: Sender,
    pub(super) stdout: Receiver,
    pub(super) stderr: Receiver,
    /// Standard input, output, error.
    pub(super) of_command: [OwnedFd; 3],
}

impl Streams {
    fn new() -> io::Result<Self> {
        let (input, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stdout, output) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, errors) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self {
            stdin: Sender::from_owned_fd(stdin)?,
            stdout: Receiver::from_owned_fd(stdout)?,
            stderr: Receiver::from_owned_fd(stderr)?,
            of_command: [input, output, errors],
        })
    }
}

/// The monitor, as the Runtime holds it.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) channel: Channel,
    pub(super) child: Child,
}

/// Prepares everything and executes nothing: the command waits for [`Held::go`].
///
/// Dropping the future or the [`Held`] leaves nothing behind.
///
/// # Errors
///
/// [`SpawnError`], where the program itself is looked for only by [`Held::go`].
pub async fn spawn(options: SpawnOptions) -> Result<Held, SpawnError> {
    if !options.directory.is_absolute() {
        return Err(options.directory_failed(io::ErrorKind::InvalidInput.into()));
    }
    let streams = Streams::new().map_err(|source| options.prepare_failed(source))?;
    let Some(program) = options.shim.program().map(Path::to_owned) else {
        if options.enclosure.is_some() {
            let reason = "there is no shim, which would do it";
            return Err(options.enclose_failed(io::Error::other(reason)));
        }
        let identity = identity_of_pending(options.run_marker.clone(), Containment::NotEnforced)
            .map_err(|source| options.prepare_failed(source))?;
        return Ok(Held::without_shim(identity, options, streams));
    };
    let monitor = start_monitor(&options, &program)?;
    await_ready(&options, &program, &monitor).await?;
    let identity =
        monitor_identity(&options, &monitor).map_err(|source| options.prepare_failed(source))?;
    Ok(Held::below_monitor(identity, options, streams, monitor))
}

fn start_monitor(options: &SpawnOptions, program: &Path) -> Result<Monitor, SpawnError> {
    let (near, far) = wire::pair().map_err(|source| options.prepare_failed(source))?;
    let channel = Channel::new(near).map_err(|source| options.prepare_failed(source))?;
    let child = Command::new(program)
        .arg0(PROCESS_NAME)
        .arg(REQUEST)
        .arg(ROLE_MONITOR)
        .arg(options.leftover_grace.as_millis().to_string())
        .arg(open_files::of_commands().map_or_else(String::new, |limit| limit.to_string()))
        .arg(&options.directory)
        .arg(&options.program)
        .args(&options.arguments)
        .env_clear()
        .envs(
            options
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .env(RUN_MARKER_VARIABLE, options.run_marker.as_str())
        .envs(sabotage::inherited())
        .stdin(Stdio::from(far))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| SpawnError::Shim {
            path: program.to_owned(),
            source,
        })?;
    Ok(Monitor { channel, child })
}

async fn await_ready(
    options: &SpawnOptions,
    program: &Path,
    monitor: &Monitor,
) -> Result<(), SpawnError> {
    let answer = match within(options.ready_within, monitor.channel.receive()).await {
        Some(Ok(Some(Report::Ready { protocol: PROTOCOL }))) => return Ok(()),
        Some(Ok(Some(other))) => format!("{other:?} instead of ready, protocol {PROTOCOL}"),
        Some(Ok(None)) => "it ended".to_owned(),
        Some(Err(error)) => error.to_string(),
        None => format!("nothing within {} ms", options.ready_within.as_millis()),
    };
    // Not a shim, so it does not end by itself when its socket closes.
    if let Some(pid) = monitor.pid() {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    Err(SpawnError::NotAShim {
        path: program.to_owned(),
        answer,
    })
}

fn monitor_identity(options: &SpawnOptions, monitor: &Monitor) -> io::Result<ProcessIdentity> {
    let pid = monitor
        .pid()
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    identity_of(
        pid.as_raw_pid(),
        options.run_marker.clone(),
        Containment::Enforced,
    )
}

impl Monitor {
    /// `None` once it was reaped; until then the id is its own.
    fn pid(&self) -> Option<rustix::process::Pid> {
        let pid = i32::try_from(self.child.id()?).ok()?;
        rustix::process::Pid::from_raw(pid)
    }

    /// Gives the command its streams and lets it execute; no copy of theirs stays here.
    pub(super) async fn go(
        &self,
        of_command: [OwnedFd; 3],
        enclosure: Option<&Enclosure>,
    ) -> io::Result<()> {
        let memory = enclosure.map(Enclosure::to_memory).transpose()?;
        let given: Vec<_> = of_command.iter().chain(&memory).map(AsFd::as_fd).collect();
        let enclosed = memory.is_some();
        self.channel
            .send(&wire::Order::Go { enclosed }, &given)
            .await
    }
}
