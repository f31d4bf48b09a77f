//! The starter: the short life between the monitor's fork and the command.
//!
//! Everything that has to hold when the command begins is set here: it dies with its monitor, has the
//! working directory and the streams that were meant, and no descriptor more, and writes only where it
//! may. What fails is told to the
//! monitor with its step and reason, so that it is never taken for an exit code of the command.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::sys::signal::SigSet;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::super::enclosure::Enclosure;
use super::super::wire::{self, Order, Report, StartFailure, StartStep};
use super::{CommandLine, landlock, misuse};

/// Becomes the command; returns only if that failed.
pub(super) fn run(socket: &OwnedFd, monitor: u64, command: &CommandLine) -> io::Result<()> {
    let (step, error) = become_command(socket, monitor, command);
    let failure = Report::NotStarted(StartFailure::new(step, &error));
    wire::send(socket, &failure, &[])?;
    Err(error)
}

/// The step that failed, and why.
fn become_command(socket: &OwnedFd, monitor: u64, command: &CommandLine) -> (StartStep, io::Error) {
    let (streams, enclosure) = match prepare(socket, monitor) {
        Ok(given) => given,
        Err(error) => return (StartStep::Prepare, error),
    };
    if let Err(error) = std::env::set_current_dir(&command.directory) {
        return (StartStep::WorkingDirectory, error);
    }
    if let Some(enclosure) = &enclosure {
        let told = landlock::enclose(enclosure).and_then(|landlock_version| {
            wire::send(socket, &Report::Enclosed { landlock_version }, &[])
        });
        if let Err(error) = told {
            return (StartStep::Enclose, error);
        }
    }
    (StartStep::Execute, execute(command, streams))
}

fn prepare(socket: &OwnedFd, monitor: u64) -> io::Result<([OwnedFd; 3], Option<Enclosure>)> {
    // The monitor has one thread, so the death of the thread that forked is the death of the monitor.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the line above; then nobody would ever be told.
    let parent = getppid().map(|pid| pid.as_raw_pid());
    if parent.is_none_or(|parent| u64::try_from(parent) != Ok(monitor)) {
        return Err(misuse("its monitor is gone"));
    }
    // The monitor's blocked signals are inherited; the command must be able to hear TERM.
    SigSet::empty().thread_set_mask()?;
    match wire::receive::<Order>(socket)? {
        Some((Order::Go { enclosed }, mut given)) => {
            // Told and given must agree: what is to be enclosed never runs because a descriptor was lost.
            let memory = if enclosed { given.pop() } else { None };
            let streams = given.try_into();
            let streams = streams.map_err(|_| misuse("it was not given three streams"))?;
            Ok((streams, memory.map(Enclosure::from_memory).transpose()?))
        }
        _ => Err(misuse("it was given no streams")),
    }
}

/// Standard streams are put in place and SIGPIPE is restored by the standard library; the program is
/// looked up in the command's own `PATH`. As with every `execvp`, a file of unknown form is given to
/// `/bin/sh`.
fn execute(command: &CommandLine, [input, output, errors]: [OwnedFd; 3]) -> io::Error {
    Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(errors))
        .exec()
}
