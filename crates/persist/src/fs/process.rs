//! Which process a pid means. A pid alone is used again by the system, so it goes together with the
//! process's start time and the boot it ran in. Used by the lock record.

use std::fs;

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// A process, told apart from later ones with the same pid. What the system does not tell (there is
/// no `/proc` everywhere) is absent, and then nothing is claimed about the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: u32,
    /// Clock ticks since boot, as `/proc/<pid>/stat` has it.
    pub(crate) start_time_ticks: Option<u64>,
    pub(crate) boot_id: Option<String>,
}

/// What is known of a process now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    Alive,
    Dead,
    Unknown,
}

impl ProcessIdentity {
    pub(crate) fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            start_time_ticks: read_stat(pid).map(|stat| stat.start_time_ticks),
            boot_id: read_boot_id(),
        }
    }

    /// Whether this very process still runs. A process that has ended and is only waiting to be
    /// collected is dead: it holds no file any more.
    pub(crate) fn liveness(&self) -> Liveness {
        let (Some(started), Some(boot), Some(boot_now)) =
            (self.start_time_ticks, &self.boot_id, read_boot_id())
        else {
            return Liveness::Unknown;
        };
        if *boot != boot_now {
            return Liveness::Dead;
        }
        match read_stat(self.pid) {
            Some(stat) if stat.start_time_ticks == started && !stat.ended => Liveness::Alive,
            _ => Liveness::Dead,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ended: bool,
    start_time_ticks: u64,
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the command in parentheses and may itself hold blanks and parentheses, so
/// the fields are counted from the last closing one: state is the first, start time the twentieth.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Stat {
        ended: matches!(state, "Z" | "X" | "x"),
        start_time_ticks: fields.nth(18)?.parse().ok()?,
    })
}

fn read_boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}
