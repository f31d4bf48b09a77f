//! Sends signals to processes that are not children: to the one that was meant, or to none.
//!
//! A process id can be given to somebody else between looking and signalling. So the process is held
//! by a pidfd first, then its start time is read again, and only then the signal is sent through the
//! pidfd. Called by the monitor and by [`super::reap`].

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::proc_table::ProcessStat;

/// What came of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Sent,
    /// The process is gone, or its id is somebody else's now.
    Gone,
    /// It belongs to a user whom we may not signal (a set-user-id program).
    NotPermitted,
}

/// Signals the process that has this id *and* began at this tick.
pub(super) fn send_verified(
    pid: Pid,
    start_time_ticks: u64,
    signal: Signal,
) -> io::Result<Delivery> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(Delivery::Gone),
        Err(error) => return Err(error.into()),
    };
    match ProcessStat::read(pid)? {
        Some(stat) if stat.start_time_ticks == start_time_ticks => {}
        _ => return Ok(Delivery::Gone),
    }
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) => Ok(Delivery::Sent),
        Err(Errno::SRCH) => Ok(Delivery::Gone),
        Err(Errno::PERM) => Ok(Delivery::NotPermitted),
        Err(error) => Err(error.into()),
    }
}
