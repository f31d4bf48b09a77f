//! Proves that nothing of a recorded command lives any more, ending what does.
//!
//! Called at every opening of a store, for each run without an outcome, before its scope is released
//! (I4, I6); and when a monitor was lost.
//!
//! # What is found
//!
//! The recorded leader (same id *and* same start), everything that descends from it, every process with
//! the run's marker in its environment, and what descends from those.
//!
//! # What is not
//!
//! As long as the monitor lives, everything below it is found. When it was killed too, what is left has
//! lost its parent and is known by its environment alone. So these escape, and are *not* told:
//! - a process that was started with another environment, or overwrote its own (some servers put their
//!   status there), *and* has lost every parent that has the marker;
//! - a set-user-id program, whose environment we may not read (the monitor alive, it is found, can't be
//!   signalled, and is told as [`UnprovenReason::NotPermitted`]).
//!
//! A process of our own user that hides its environment (`PR_SET_DUMPABLE`) is told, as
//! [`UnprovenReason::HiddenEnvironment`], if it could be of the run: it began later, and its parent is one
//! that inherits the run's orphans.

mod scan;

use std::io;
use std::time::Duration;

use rustix::process::Signal;
use worker_runtime_core::patience::Patience;

use super::process::{ProcessIdentity, boot_id, pid_namespace};
use super::signal::{Delivery, send_verified};
use scan::{Scan, Search};

/// Between two rounds; things that were killed need a moment, and nobody tells when.
const ROUND_FIRST: Duration = Duration::from_millis(1);
const ROUND_MAX: Duration = Duration::from_millis(50);

/// One empty scan is the proof; a second one is cheap, and does not rest on the same instant.
const EMPTY_SCANS_NEEDED: u32 = 2;

/// Whether a command and all that it started is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Proof {
    /// Nothing of it lives, within the limits that the [module](self) states.
    Dead,
    /// Something lives, or may.
    Unproven {
        /// Why that can't be excluded.
        reason: UnprovenReason,
    },
}

/// Why a command could not be proven dead: a diagnostic for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnprovenReason {
    /// It was signalled and did not go in time (an uninterruptible wait), or kept starting others.
    #[error("process {pid} did not end in time")]
    StillAlive {
        /// One of those that are left.
        pid: i32,
    },
    /// It belongs to another user.
    #[error("process {pid} of the run may not be signalled")]
    NotPermitted {
        /// One of those that are left.
        pid: i32,
    },
    /// It could be of the run, and does not show.
    #[error("process {pid} hides its environment and may belong to the run")]
    HiddenEnvironment {
        /// One of them.
        pid: i32,
    },
    /// The asking process was itself started by the run. Nothing was signalled.
    #[error("this process was itself started by the run")]
    AskedFromWithin,
    /// The command ran in another process namespace (a container) of the same boot, of which this
    /// process sees nothing, or not the same ids.
    #[error("the run was in process namespace {namespace}, which is not this one")]
    OtherNamespace {
        /// That namespace.
        namespace: String,
    },
    /// Processes came and went too fast to see them all at one time.
    #[error("the processes of the machine could not be seen all at one time")]
    Restless,
    /// `/proc` does not answer.
    #[error("cannot read the processes of the machine: {what}")]
    Unreadable {
        /// The system's reason.
        what: String,
    },
}

/// Ends everything that is left of a recorded command, and says whether that is proven.
///
/// Blocks until it is, or until the time is used up; it runs before there is anything to serve. A
/// process that is merely a zombie is dead: it can't write.
pub fn prove_dead(identity: &ProcessIdentity, within: Duration) -> Proof {
    match try_prove(identity, Patience::new(within)) {
        Ok(Ok(())) => Proof::Dead,
        Ok(Err(reason)) => Proof::Unproven { reason },
        Err(error) => Proof::Unproven {
            reason: UnprovenReason::Unreadable {
                what: error.to_string(),
            },
        },
    }
}

fn try_prove(
    identity: &ProcessIdentity,
    mut patience: Patience,
) -> io::Result<Result<(), UnprovenReason>> {
    if boot_id()? != identity.boot_id {
        return Ok(Ok(()));
    }
    let same_namespace = pid_namespace()? == identity.pid_namespace;
    let search = Search::new(identity, same_namespace);
    if search.is_asked_from_within()? {
        return Ok(Err(UnprovenReason::AskedFromWithin));
    }
    let mut empty_scans = 0;
    let mut round = ROUND_FIRST;
    loop {
        let scan = Scan::take(&search, &mut patience)?;
        let open = match assess(&scan)? {
            Assessment::Empty => {
                empty_scans += 1;
                None
            }
            Assessment::Open(reason) => {
                empty_scans = 0;
                Some(reason)
            }
        };
        if empty_scans >= EMPTY_SCANS_NEEDED {
            return Ok(if same_namespace {
                Ok(())
            } else {
                Err(UnprovenReason::OtherNamespace {
                    namespace: identity.pid_namespace.clone(),
                })
            });
        }
        if let Some(reason) = open {
            let left = patience.left();
            if left.is_zero() {
                return Ok(Err(reason));
            }
            std::thread::sleep(round.min(left));
            round = (round * 2).min(ROUND_MAX);
        }
    }
}

enum Assessment {
    /// Nothing of the run was there, and nothing can have been missed.
    Empty,
    /// Another scan may show another picture; what to say if there is no time for it.
    Open(UnprovenReason),
}

/// Signals what the scan found, and says what it proves.
fn assess(scan: &Scan) -> io::Result<Assessment> {
    let mut refused = None;
    let mut alive = None;
    for victim in scan.next_victims() {
        let (pid, start) = (victim.pid, victim.start_time_ticks);
        match send_verified(pid, start, Signal::KILL)? {
            Delivery::NotPermitted => refused = Some(pid.as_raw_pid()),
            Delivery::Sent | Delivery::Gone => alive = Some(pid.as_raw_pid()),
        }
    }
    Ok(match (refused, alive, scan.hidden()) {
        (Some(pid), _, _) => Assessment::Open(UnprovenReason::NotPermitted { pid }),
        (_, Some(pid), _) => Assessment::Open(UnprovenReason::StillAlive { pid }),
        (_, _, Some(pid)) => Assessment::Open(UnprovenReason::HiddenEnvironment {
            pid: pid.as_raw_pid(),
        }),
        _ if scan.may_have_missed_some() => Assessment::Open(UnprovenReason::Restless),
        _ => Assessment::Empty,
    })
}
