//! Who a process is, beyond its id: what a run record keeps of a command before it executes.
//!
//! Written by the backend before [`super::Held::go`], read back by [`super::prove_dead`] at the next
//! opening.

use std::fmt;
use std::fs;
use std::io;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::proc_table::ProcessStat;

/// The environment variable that every process of a run inherits.
///
/// It is what finds a process again whose parents are all gone.
pub const RUN_MARKER_VARIABLE: &str = "WORKER_RUNTIME_RUN_ID";

/// The value of [`RUN_MARKER_VARIABLE`]: unique to one start of one command, on this machine and for
/// ever (a run id, or the id of a long-lived process that serves many runs).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunMarker(String);

impl RunMarker {
    /// The longest marker, in bytes.
    pub const BYTES_MAX: usize = 128;
    /// The shortest: what is shorter could be somebody else's by chance, and would get them killed.
    pub const BYTES_MIN: usize = 16;

    /// Takes ASCII letters, digits, `-` and `_`.
    ///
    /// # Errors
    ///
    /// [`InvalidRunMarker`] if it is too short, too long, or has another character.
    pub fn new(marker: impl Into<String>) -> Result<Self, InvalidRunMarker> {
        let marker = marker.into();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (Self::BYTES_MIN..=Self::BYTES_MAX).contains(&marker.len()) && marker.bytes().all(plain)
        {
            Ok(Self(marker))
        } else {
            Err(InvalidRunMarker { marker })
        }
    }

    /// The marker as it stands in the environment.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunMarker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for RunMarker {
    type Error = InvalidRunMarker;

    fn try_from(marker: String) -> Result<Self, InvalidRunMarker> {
        Self::new(marker)
    }
}

impl From<RunMarker> for String {
    fn from(marker: RunMarker) -> Self {
        marker.0
    }
}

/// A run marker that could not be told from other text in an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run marker {marker:?} is not 16 to 128 letters, digits, `-` or `_`")]
pub struct InvalidRunMarker {
    marker: String,
}

/// A process id together with the tick at which that process began, so that a later process with the
/// same id is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessReference {
    /// The process id, in the namespace of the Runtime.
    pub pid: i32,
    /// When it began, in clock ticks since the machine booted.
    pub start_time_ticks: u64,
}

impl ProcessReference {
    pub(super) fn of(stat: &ProcessStat) -> Self {
        Self {
            pid: stat.pid.as_raw_pid(),
            start_time_ticks: stat.start_time_ticks,
        }
    }
}

/// Whether everything that a command starts can be found and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Containment {
    /// A monitor sits above the command: nothing leaves its tree, nothing outlives the Runtime.
    Enforced,
    /// There is no shim: a descendant that leaves the command's process group is lost from sight.
    NotEnforced,
}

/// What is recorded of a command before it executes, and suffices to prove it dead later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The monitor; or, without one, the command, and then `None` until it executes.
    pub leader: Option<ProcessReference>,
    /// The boot of the machine in which it ran: at another one everything of it is dead.
    pub boot_id: String,
    /// The process namespace in which the ids mean something, as in `/proc/self/ns/pid`.
    pub pid_namespace: String,
    /// Nothing of the run began before this tick.
    pub earliest_start_ticks: u64,
    /// The processes above the leader, which inherit what it orphans.
    pub ancestors: Vec<ProcessReference>,
    /// What every process of the run has in its environment.
    pub run_marker: RunMarker,
    /// Whether the leader holds the whole tree.
    pub containment: Containment,
}

/// The identity of a living process: `pid` is the monitor, or the command where there is none.
///
/// # Errors
///
/// `NotFound` if there is no such process; what `/proc` answers otherwise.
pub fn identity_of(
    pid: i32,
    run_marker: RunMarker,
    containment: Containment,
) -> io::Result<ProcessIdentity> {
    let stat = read_living(pid)?;
    Ok(ProcessIdentity {
        leader: Some(ProcessReference::of(&stat)),
        earliest_start_ticks: stat.start_time_ticks,
        ancestors: ancestors_of(&stat)?,
        ..identity_of_pending(run_marker, containment)?
    })
}

/// The identity of a command of this process that has no process yet.
pub(super) fn identity_of_pending(
    run_marker: RunMarker,
    containment: Containment,
) -> io::Result<ProcessIdentity> {
    let own = read_living(rustix::process::getpid().as_raw_pid())?;
    let mut ancestors = vec![ProcessReference::of(&own)];
    ancestors.extend(ancestors_of(&own)?);
    Ok(ProcessIdentity {
        leader: None,
        boot_id: boot_id()?,
        pid_namespace: pid_namespace()?,
        earliest_start_ticks: own.start_time_ticks,
        ancestors,
        run_marker,
        containment,
    })
}

pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

pub(super) fn pid_namespace() -> io::Result<String> {
    Ok(fs::read_link("/proc/self/ns/pid")?
        .to_string_lossy()
        .into_owned())
}

fn read_living(pid: i32) -> io::Result<ProcessStat> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no process {pid}"));
    let pid = Pid::from_raw(pid).ok_or_else(missing)?;
    ProcessStat::read(pid)?.ok_or_else(missing)
}

fn ancestors_of(stat: &ProcessStat) -> io::Result<Vec<ProcessReference>> {
    let mut ancestors = Vec::new();
    let mut parent = stat.parent;
    while let Some(pid) = Pid::from_raw(parent) {
        let Some(stat) = ProcessStat::read(pid)? else {
            break;
        };
        ancestors.push(ProcessReference::of(&stat));
        parent = stat.parent;
    }
    Ok(ancestors)
}

#[cfg(test)]
mod tests;
