//! The tree below the monitor: counted, signalled, reaped.
//!
//! The monitor is a subreaper: what loses its parent becomes its child, so whatever lives of the tree
//! hangs below one of its children, living or dead. From that follow two things. *Quiet* is exactly the
//! moment when the kernel says that there is no child left; no listing has to be believed. And a child's
//! id can't be given to somebody else before it is reaped here, so the command is reaped last: until
//! then its process group can be signalled as a whole, which not even a process that forks without end
//! escapes.

use std::io;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group,
    waitid, waitpid,
};

use super::super::proc_table::{children, living_descendants};
use super::super::signal::send_verified;
use super::super::wire::Exit;

/// Everything below the monitor, with the command in its midst.
pub(super) struct Family {
    monitor: Pid,
    /// The command, until it is reaped.
    command: Option<Pid>,
    exit: Option<Exit>,
}

impl Family {
    pub(super) fn new(command: Pid) -> Self {
        Self {
            monitor: getpid(),
            command: Some(command),
            exit: None,
        }
    }

    /// The command, as long as its id can't be anybody else's.
    pub(super) fn command(&self) -> Option<Pid> {
        self.command
    }

    /// How the command ended, from the first call on at which it had.
    pub(super) fn exit(&mut self) -> io::Result<Option<Exit>> {
        if let (None, Some(command)) = (self.exit, self.command) {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            self.exit = match waitid(WaitId::Pid(command), options) {
                Ok(status) => status.as_ref().map(Exit::of),
                Err(Errno::CHILD) => {
                    self.command = None;
                    Some(Exit::Unknown)
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.exit)
    }

    /// Reaps what has ended; true when nothing is left, the command included, whose end [`Self::exit`]
    /// has told before.
    pub(super) fn reap(&mut self) -> io::Result<bool> {
        let mut others = false;
        for child in children(self.monitor)? {
            if Some(child) == self.command {
                continue;
            }
            match waitpid(Some(child), WaitOptions::NOHANG) {
                Ok(None) => others = true,
                Ok(Some(_)) | Err(Errno::CHILD) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Only an end that was told before: the caller reports it first.
        if others || self.exit.is_none() {
            return Ok(false);
        }
        if let Some(command) = self.command.take() {
            waitpid(Some(command), WaitOptions::NOHANG)?;
        }
        // The listing may have missed one; the kernel's own answer can't.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::All, options) {
            Err(Errno::CHILD) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks everything to end, each process once.
    pub(super) fn terminate(&self) -> io::Result<()> {
        let group = self.signal_group(Signal::TERM)?;
        for process in living_descendants(self.monitor)? {
            if Some(process.group) != group {
                send_verified(process.pid, process.start_time_ticks, Signal::TERM)?;
            }
        }
        Ok(())
    }

    /// Ends what is there now. What was being born meanwhile needs another call.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.signal_group(Signal::KILL)?;
        // Children first, and at once: the shorter the way from listing to signal, the fewer
        // generations a process that forks and ends, over and over, can put between them.
        for child in children(self.monitor)? {
            match kill_process(child, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for process in living_descendants(self.monitor)? {
            send_verified(process.pid, process.start_time_ticks, Signal::KILL)?;
        }
        Ok(())
    }

    /// Signals the command's group; which one that was.
    fn signal_group(&self, signal: Signal) -> io::Result<Option<i32>> {
        let Some(command) = self.command else {
            return Ok(None);
        };
        match kill_process_group(command, signal) {
            Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(Some(command.as_raw_pid())),
            Err(error) => Err(error.into()),
        }
    }
}
