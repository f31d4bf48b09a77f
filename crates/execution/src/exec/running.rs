//! The Runtime's side of a command: held, running, cancelled, over.
//!
//! The stages are types. A [`Held`] command has not executed, and never does if it is dropped. A
//! [`Running`] one is over for the Runtime when [`Process::quiet`] says so: then nothing of it is left
//! that could still write. Dropping a [`Process`] kills everything below it, as the death of the
//! Runtime does.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::process::Child;

use super::channel::Channel;
use super::direct::{Direct, DirectCanceller};
use super::error::{ProcessError, SpawnError};
use super::process::{Containment, ProcessIdentity, ProcessReference};
use super::spawn::{Monitor, SpawnOptions, Streams};
use super::wire::{Exit, Order, Report, StartFailure, StartStep};

/// A command that is ready and has not executed.
#[derive(Debug)]
pub struct Held {
    identity: ProcessIdentity,
    options: SpawnOptions,
    streams: Streams,
    /// `None` without a shim.
    monitor: Option<Monitor>,
}

impl Held {
    pub(super) fn without_shim(
        identity: ProcessIdentity,
        options: SpawnOptions,
        streams: Streams,
    ) -> Self {
        Self {
            identity,
            options,
            streams,
            monitor: None,
        }
    }

    pub(super) fn below_monitor(
        identity: ProcessIdentity,
        options: SpawnOptions,
        streams: Streams,
        monitor: Monitor,
    ) -> Self {
        Self {
            identity,
            options,
            streams,
            monitor: Some(monitor),
        }
    }

    /// What has to be durable before [`Self::go`].
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Executes the command; when this returns `Ok`, it has begun.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]: it did not execute, and nothing of it is left. A monitor that is killed
    /// meanwhile is no such case, since the command may have begun: that is told by
    /// [`Process::quiet`].
    pub async fn go(self) -> Result<Running, SpawnError> {
        let Self {
            identity,
            options,
            streams,
            monitor,
        } = self;
        let Streams {
            stdin,
            stdout,
            stderr,
            of_command,
        } = streams;
        let mut landlock_version = None;
        let process = match monitor {
            None => {
                let direct = Direct::spawn(&options, of_command)?;
                Process {
                    identity: direct.identity(identity),
                    command: Some(direct.command()),
                    kind: Kind::Direct(direct),
                }
            }
            Some(monitor) => {
                monitor
                    .go(of_command, options.enclosure.as_ref())
                    .await
                    .map_err(|source| options.prepare_failed(source))?;
                let (command, monitored) = Monitored::started(monitor, &options).await?;
                landlock_version = monitored.landlock_version;
                Process {
                    identity,
                    command,
                    kind: Kind::Monitored(monitored),
                }
            }
        };
        Ok(Running {
            stdin,
            stdout,
            stderr,
            landlock_version,
            process,
        })
    }
}

/// A command that executes, in parts that different tasks can own.
///
/// Who waits for the command must also read `stdout` and `stderr`: it stands still when a pipe is full,
/// and whoever writes to one that was dropped is ended by SIGPIPE. Both end when the process is quiet,
/// whoever inherited them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Running {
    /// Dropping it is the end of the command's input.
    pub stdin: Sender,
    /// The command's output.
    pub stdout: Receiver,
    /// The command's errors.
    pub stderr: Receiver,
    /// Which version of Landlock keeps it to where it may write, if it is enclosed.
    pub landlock_version: Option<u32>,
    /// Its life.
    pub process: Process,
}

/// The life of a command. Dropping it kills everything that the command started.
#[derive(Debug)]
pub struct Process {
    identity: ProcessIdentity,
    command: Option<ProcessReference>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Monitored(Monitored),
    Direct(Direct),
}

impl Process {
    /// As [`Held::identity`]; without a shim it now has a leader too.
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// The command's own process, for diagnostics; `None` if the monitor died before it told.
    pub fn command(&self) -> Option<ProcessReference> {
        self.command
    }

    /// What an operator is told: enforced or not.
    pub fn containment(&self) -> Containment {
        self.identity.containment
    }

    /// A handle that cancels from another task; it does not keep the command alive.
    pub fn canceller(&self) -> Canceller {
        Canceller(match &self.kind {
            Kind::Monitored(monitored) => CancellerKind::Monitored(monitored.canceller()),
            Kind::Direct(direct) => CancellerKind::Direct(direct.canceller()),
        })
    }

    /// Waits until the command itself has ended; what it started may still run and hold its streams.
    ///
    /// Nothing is lost if the future is dropped; later calls answer the same.
    ///
    /// # Errors
    ///
    /// [`ProcessError::MonitorLost`] if the end can't be known any more.
    pub async fn exited(&mut self) -> Result<Exit, ProcessError> {
        match &mut self.kind {
            Kind::Monitored(monitored) => monitored.exited().await,
            Kind::Direct(direct) => direct.exited().await,
        }
    }

    /// Waits until nothing is left of the command and all that it started (without a shim: of its
    /// process group), and only then tells how it ended.
    ///
    /// It waits as long as that takes: a process that the system itself can't end, or of another user,
    /// is waited for. Nothing is lost if the future is dropped; later calls answer the same.
    ///
    /// # Errors
    ///
    /// [`ProcessError::MonitorLost`]: the monitor was killed; use [`super::prove_dead`].
    pub async fn quiet(&mut self) -> Result<Exit, ProcessError> {
        match &mut self.kind {
            Kind::Monitored(monitored) => monitored.quiet().await,
            Kind::Direct(direct) => direct.quiet().await,
        }
    }
}

/// Cancels a command from wherever it is held.
#[derive(Debug, Clone)]
pub struct Canceller(CancellerKind);

#[derive(Debug, Clone)]
enum CancellerKind {
    Monitored(Weak<Channel>),
    Direct(DirectCanceller),
}

impl Canceller {
    /// Sends TERM to everything, and KILL to what is left after `term_grace`; a later call can only
    /// shorten the grace. Returns when that is under way: [`Process::quiet`] tells when it is done (and
    /// without a shim has to be waited for meanwhile). Does nothing to a command that is over.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Control`] if the monitor can't be told.
    pub async fn cancel(&self, term_grace: Duration) -> Result<(), ProcessError> {
        match &self.0 {
            CancellerKind::Direct(direct) => {
                direct.cancel(term_grace);
            }
            CancellerKind::Monitored(channel) => {
                let Some(channel) = channel.upgrade() else {
                    return Ok(());
                };
                let term_grace_ms = u64::try_from(term_grace.as_millis()).unwrap_or(u64::MAX);
                match channel.send(&Order::Cancel { term_grace_ms }, &[]).await {
                    Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// A command below a monitor.
#[derive(Debug)]
struct Monitored {
    channel: Arc<Channel>,
    monitor: Child,
    landlock_version: Option<u32>,
    exit: Option<Exit>,
    quiet: bool,
    lost: bool,
}

impl Monitored {
    async fn started(
        monitor: Monitor,
        options: &SpawnOptions,
    ) -> Result<(Option<ProcessReference>, Self), SpawnError> {
        let mut monitored = Self {
            channel: Arc::new(monitor.channel),
            monitor: monitor.child,
            landlock_version: None,
            exit: None,
            quiet: false,
            lost: false,
        };
        let mut first = monitored.channel.receive().await;
        if let Ok(Some(Report::Enclosed { landlock_version })) = first {
            monitored.landlock_version = Some(landlock_version);
            first = monitored.channel.receive().await;
        }
        let command = match first {
            Ok(Some(Report::Started {
                pid,
                start_time_ticks,
            })) => Some(ProcessReference {
                pid,
                start_time_ticks,
            }),
            Ok(Some(Report::NotStarted(failure))) => {
                // Its starter is reaped when the monitor is gone.
                let _ = monitored.monitor.wait().await;
                return Err(start_error(options, failure));
            }
            Ok(Some(other)) => {
                monitored.take(Some(other));
                None
            }
            Ok(None) | Err(_) => {
                monitored.lost = true;
                None
            }
        };
        Ok((command, monitored))
    }

    fn canceller(&self) -> Weak<Channel> {
        Arc::downgrade(&self.channel)
    }

    fn take(&mut self, report: Option<Report>) {
        match report {
            Some(Report::Exited { exit }) => self.exit = Some(exit),
            Some(Report::Quiet) => self.quiet = true,
            Some(
                Report::Ready { .. }
                | Report::Enclosed { .. }
                | Report::Started { .. }
                | Report::NotStarted(_),
            ) => {}
            None => self.lost = true,
        }
    }

    async fn exited(&mut self) -> Result<Exit, ProcessError> {
        loop {
            match self.exit {
                Some(exit) => return Ok(exit),
                None if self.lost || self.quiet => {
                    return Err(ProcessError::MonitorLost { exit: None });
                }
                None => {
                    let report = self.channel.receive().await?;
                    self.take(report);
                }
            }
        }
    }

    async fn quiet(&mut self) -> Result<Exit, ProcessError> {
        while !self.quiet && !self.lost {
            let report = self.channel.receive().await?;
            self.take(report);
        }
        match (self.quiet, self.exit) {
            (true, Some(exit)) => {
                self.monitor.wait().await?;
                Ok(exit)
            }
            (_, exit) => Err(ProcessError::MonitorLost { exit }),
        }
    }
}

fn start_error(options: &SpawnOptions, failure: StartFailure) -> SpawnError {
    match failure.step {
        StartStep::Prepare => options.prepare_failed(failure.source()),
        StartStep::WorkingDirectory => options.directory_failed(failure.source()),
        StartStep::Enclose => options.enclose_failed(failure.source()),
        StartStep::Execute => options.execute_failed(failure.source()),
    }
}
