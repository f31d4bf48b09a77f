//! A command without a monitor: its process group, and no more.
//!
//! For an embedder whose binary has no shim, told as [`Containment::NotEnforced`]: what leaves the group
//! (`setsid`) is not seen, the death of the Runtime ends nothing, and the command is recorded with its
//! marker alone before it executes.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    test_kill_process_group, waitid,
};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::{ProcessError, SpawnError};
use super::proc_table::ProcessStat;
use super::process::{ProcessIdentity, ProcessReference, RUN_MARKER_VARIABLE};
use super::spawn::SpawnOptions;
use super::wire::Exit;

/// Between two looks at whether a killed group is gone; there is nothing to be woken by.
const GROUP_POLL_MS: u64 = 5;

/// The command as a child of the Runtime.
#[derive(Debug)]
pub(super) struct Direct {
    child: Child,
    /// Also the id of its group, which is its own until the child is reaped.
    command: ProcessReference,
    group: Pid,
    ended: Ended,
    exit: Option<Exit>,
    reaped: bool,
    /// When to kill; set by the cancellers, acted on by whoever waits.
    cancel: watch::Sender<Option<Instant>>,
    asked: bool,
}

/// A process descriptor, readable from when its process has ended. (tokio's wrapper for any descriptor
/// takes `unsafe`; the one for a pipe, of which nothing is read, does not.)
#[derive(Debug)]
struct Ended(Receiver);

impl Ended {
    fn watch(pidfd: OwnedFd) -> io::Result<Self> {
        Receiver::from_owned_fd_unchecked(pidfd).map(Self)
    }

    async fn told(&self) -> io::Result<()> {
        self.0.readable().await
    }
}

/// Sets the time of the kill.
#[derive(Debug, Clone)]
pub(super) struct DirectCanceller(watch::Sender<Option<Instant>>);

impl DirectCanceller {
    pub(super) fn cancel(&self, term_grace: Duration) {
        let now = Instant::now();
        let kill_at = now.checked_add(term_grace).unwrap_or(now);
        self.0.send_modify(|earlier| {
            *earlier = Some(earlier.map_or(kill_at, |earlier| earlier.min(kill_at)));
        });
    }
}

impl Direct {
    pub(super) fn spawn(
        options: &SpawnOptions,
        [input, output, errors]: [OwnedFd; 3],
    ) -> Result<Self, SpawnError> {
        // Asked first, since the error of the spawn does not tell directory from program.
        if let Err(source) = std::fs::read_dir(&options.directory)
            && source.kind() != io::ErrorKind::PermissionDenied
        {
            return Err(options.directory_failed(source));
        }
        let child = Command::new(&options.program)
            .args(&options.arguments)
            .env_clear()
            .envs(
                options
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .env(RUN_MARKER_VARIABLE, options.run_marker.as_str())
            .current_dir(&options.directory)
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(errors))
            .process_group(0)
            .spawn()
            .map_err(|source| options.execute_failed(source))?;
        Self::of(child).map_err(|source| options.prepare_failed(source))
    }

    fn of(mut child: Child) -> io::Result<Self> {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let group = pid.and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let watched = || -> io::Result<_> {
            let stat = ProcessStat::read(group)?.ok_or(Errno::SRCH)?;
            let ended = Ended::watch(pidfd_open(group, PidfdFlags::NONBLOCK)?)?;
            Ok((ProcessReference::of(&stat), ended))
        };
        let (command, ended) = watched().inspect_err(|_| {
            // It must not go on unwatched; the error is told instead of it.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = child.start_kill();
        })?;
        Ok(Self {
            child,
            command,
            group,
            ended,
            exit: None,
            reaped: false,
            cancel: watch::Sender::new(None),
            asked: false,
        })
    }

    pub(super) fn command(&self) -> ProcessReference {
        self.command
    }

    pub(super) fn identity(&self, pending: ProcessIdentity) -> ProcessIdentity {
        ProcessIdentity {
            leader: Some(self.command),
            earliest_start_ticks: self.command.start_time_ticks,
            ..pending
        }
    }

    pub(super) fn canceller(&self) -> DirectCanceller {
        DirectCanceller(self.cancel.clone())
    }

    pub(super) async fn exited(&mut self) -> Result<Exit, ProcessError> {
        let mut cancel = self.cancel.subscribe();
        loop {
            if let Some(exit) = self.exit {
                return Ok(exit);
            }
            let kill_at = *cancel.borrow_and_update();
            if kill_at.is_some() && !self.asked {
                self.asked = true;
                self.signal_group(Signal::TERM)?;
            }
            tokio::select! {
                told = self.ended.told() => {
                    told?;
                    self.exit = self.read_exit()?;
                }
                changed = cancel.changed() => {
                    // The sender is a field of this very struct.
                    let _ = changed;
                }
                () = until(kill_at) => {
                    self.signal_group(Signal::KILL)?;
                    self.ended.told().await?;
                }
            }
        }
    }

    pub(super) async fn quiet(&mut self) -> Result<Exit, ProcessError> {
        let exit = self.exited().await?;
        if !self.reaped {
            self.signal_group(Signal::KILL)?;
            self.child.wait().await?;
            self.reaped = true;
        }
        while !matches!(test_kill_process_group(self.group), Err(Errno::SRCH)) {
            tokio::time::sleep(Duration::from_millis(GROUP_POLL_MS)).await;
        }
        Ok(exit)
    }

    /// Leaves the child unreaped, so that its group can't become somebody else's.
    fn read_exit(&self) -> io::Result<Option<Exit>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.group), options) {
            Ok(status) => Ok(status.as_ref().map(Exit::of)),
            Err(Errno::CHILD) => Ok(Some(Exit::Unknown)),
            Err(error) => Err(error.into()),
        }
    }

    fn signal_group(&self, signal: Signal) -> Result<(), ProcessError> {
        match kill_process_group(self.group, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(ProcessError::Signal {
                group: self.group.as_raw_pid(),
                source: error.into(),
            }),
        }
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
