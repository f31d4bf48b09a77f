//! Reads `/proc`: what runs, since when, and below whom.
//!
//! The only place that knows the format of `/proc/<pid>/stat`. Called by the monitor (which asks for
//! the descendants of itself) and by [`super::reap`] (which asks for everything).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use rustix::process::Pid;

/// `PF_KTHREAD`: a thread of the kernel, which has neither environment nor parent of ours.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What `/proc/<pid>/stat` says of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub(super) pid: Pid,
    /// Zero for what the kernel started, or what runs outside of our process namespace.
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) start_time_ticks: u64,
    state: u8,
    threads: u64,
    flags: u64,
}

impl ProcessStat {
    /// `None` if there is no such process (any more).
    pub(super) fn read(pid: Pid) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{}/stat", pid.as_raw_pid())) {
            Ok(line) => Self::parse(&line).map(Some).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("/proc/{}/stat has an unknown form", pid.as_raw_pid()),
                )
            }),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line.split(|byte| *byte == b'(').next()?)
            .ok()
            .zip(line.rsplit(|byte| *byte == b')').next())?;
        // The name between the parentheses is any bytes, parentheses and blanks included: the
        // numbers start after the last one.
        let (pid, rest) = (line.0.trim(), std::str::from_utf8(line.1).ok()?);
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let signed = |index: usize| fields.get(index)?.parse::<i32>().ok();
        Some(Self {
            pid: Pid::from_raw(pid.parse().ok()?)?,
            state: *fields.first()?.as_bytes().first()?,
            parent: signed(1)?,
            group: signed(2)?,
            flags: number(6)?,
            threads: number(17)?,
            start_time_ticks: number(19)?,
        })
    }

    /// Whether nothing of it executes any more.
    ///
    /// A leader that ended before its other threads shows as a zombie as well, but its process goes
    /// on: a dead process has one thread left, or none.
    pub(super) fn is_dead(&self) -> bool {
        match self.state {
            b'X' | b'x' => true,
            b'Z' => self.threads <= 1,
            _ => false,
        }
    }

    /// Whether its first thread ended, alone or with all others.
    pub(super) fn is_zombie(&self) -> bool {
        self.state == b'Z'
    }

    pub(super) fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }
}

/// How many bytes the environment of a process has, as the kernel laid it out. `None` if it is gone, or
/// has none yet because it is just executing a new program.
pub(super) fn environment_bytes(pid: Pid) -> io::Result<Option<u64>> {
    /// `env_start`, counted from the field after the name; `env_end` comes next.
    const ENVIRONMENT_START: usize = 47;
    let line = match fs::read(format!("/proc/{}/stat", pid.as_raw_pid())) {
        Ok(line) => line,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let fields = line.rsplit(|byte| *byte == b')').next().unwrap_or_default();
    let mut bounds = fields
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
        .skip(ENVIRONMENT_START)
        .map(|field| std::str::from_utf8(field).ok()?.parse::<u64>().ok());
    let (start, end) = (bounds.next().flatten(), bounds.next().flatten());
    Ok(start
        .zip(end.filter(|end| *end != 0))
        .and_then(|(start, end)| end.checked_sub(start)))
}

/// Whether an error of `/proc` means that the process ended meanwhile.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        rustix::io::Errno::from_io_error(error),
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH)
    )
}

/// The process ids that `/proc` lists now, in the order of the listing.
pub(super) fn list() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        pids.extend(pid.and_then(Pid::from_raw));
    }
    Ok(pids)
}

/// The threads of a process; empty if it is gone.
pub(super) fn threads(pid: Pid) -> io::Result<Vec<Pid>> {
    let entries = match fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut threads = Vec::new();
    for entry in entries {
        let name = match entry {
            Ok(entry) => entry.file_name(),
            Err(error) if is_gone(&error) => break,
            Err(error) => return Err(error),
        };
        let thread = name.to_str().and_then(|name| name.parse().ok());
        threads.extend(thread.and_then(Pid::from_raw));
    }
    Ok(threads)
}

/// The direct children of a process, zombies included.
///
/// A listing may miss a child while another one ends; who needs certainty asks `wait` for it, as the
/// monitor does. Kernels without the `children` files are served by a walk over all of `/proc`.
pub(super) fn children(pid: Pid) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in threads(pid)? {
        let path = format!(
            "/proc/{}/task/{}/children",
            pid.as_raw_pid(),
            thread.as_raw_pid()
        );
        match fs::read_to_string(path) {
            Ok(line) => children.extend(
                line.split_ascii_whitespace()
                    .filter_map(|pid| pid.parse().ok())
                    .filter_map(Pid::from_raw),
            ),
            Err(error) if is_gone(&error) && ProcessStat::read(thread)?.is_some() => {
                return children_by_scan(pid);
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

fn children_by_scan(pid: Pid) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for candidate in list()? {
        if let Some(stat) = ProcessStat::read(candidate)?
            && stat.parent == pid.as_raw_pid()
        {
            children.push(candidate);
        }
    }
    Ok(children)
}

/// Everything below a process that still lives, nearest first; the process itself is not in it.
pub(super) fn living_descendants(root: Pid) -> io::Result<Vec<ProcessStat>> {
    let mut seen = HashSet::from([root]);
    let mut queue = children(root)?;
    let mut living = Vec::new();
    let mut next = 0;
    while let Some(pid) = queue.get(next).copied() {
        next += 1;
        if !seen.insert(pid) {
            continue;
        }
        let Some(stat) = ProcessStat::read(pid)? else {
            continue;
        };
        if !stat.is_dead() {
            living.push(stat);
        }
        queue.extend(children(pid)?);
    }
    Ok(living)
}

/// Adds to `members` everything that descends from one of them, given what is known of all.
pub(super) fn close_over_descendants(
    processes: &HashMap<i32, ProcessStat>,
    members: &mut HashSet<i32>,
) {
    let mut below: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, stat) in processes {
        below.entry(stat.parent).or_default().push(*pid);
    }
    let mut queue: Vec<i32> = members.iter().copied().collect();
    while let Some(pid) = queue.pop() {
        for child in below.get(&pid).into_iter().flatten() {
            if members.insert(*child) {
                queue.push(*child);
            }
        }
    }
}

#[cfg(test)]
mod tests;
