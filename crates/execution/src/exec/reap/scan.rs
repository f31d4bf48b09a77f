//! One look at all processes of the machine, with the question which of them belong to a run.
//!
//! A listing of `/proc` is no snapshot: processes come and go under it. But ids are handed out upwards
//! and the kernel lists upwards, so what is born while a listing runs is met later in it; therefore every
//! listing holds at least one process of a run that is alive when the listing ends, also of one that only
//! forks and ends, over and over. What remains is that such a process vanishes between being listed and
//! being read: then it is listed again, and only what is new is read, until nothing vanished. Where the
//! ids wrapped around, or time is up, the scan says that it may have missed some
//! ([`Scan::may_have_missed_some`]).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use rustix::process::{Pid, Signal, getpid, getuid};
use worker_runtime_core::patience::Patience;

use super::super::proc_table::{
    ProcessStat, close_over_descendants, environment_bytes, is_gone, list, threads,
};
use super::super::process::{Containment, ProcessIdentity, ProcessReference, RUN_MARKER_VARIABLE};
use super::super::signal::{Delivery, send_verified};

/// How often the environment of a process is read that is executing one program after the other.
const ENVIRONMENT_READS_MAX: u32 = 1000;

/// How often in a row an environment has to be empty: at one point of executing it looks so too.
const EMPTY_READS_NEEDED: u32 = 3;

/// What a scan looks for.
pub(super) struct Search<'a> {
    identity: &'a ProcessIdentity,
    leader: Option<ProcessReference>,
    /// The marker, as it stands in an environment.
    entry: String,
}

impl<'a> Search<'a> {
    /// Without the leader if its id means nothing in this namespace.
    pub(super) fn new(identity: &'a ProcessIdentity, same_namespace: bool) -> Self {
        Self {
            identity,
            leader: identity.leader.filter(|_| same_namespace),
            entry: format!("{RUN_MARKER_VARIABLE}={}", identity.run_marker),
        }
    }

    /// Whether whoever asks was started by the run: then ending the run would end the asker.
    pub(super) fn is_asked_from_within(&self) -> io::Result<bool> {
        let mut next = Some(getpid());
        while let Some(pid) = next {
            let Some(stat) = ProcessStat::read(pid)? else {
                break;
            };
            let young = stat.start_time_ticks >= self.identity.earliest_start_ticks;
            if self.leader == Some(ProcessReference::of(&stat))
                || (young && self.environment_holds(&stat)? == Holds::Yes)
            {
                return Ok(true);
            }
            next = Pid::from_raw(stat.parent);
        }
        Ok(false)
    }
}

/// What one look found.
pub(super) struct Scan {
    processes: HashMap<i32, ProcessStat>,
    /// The living of the run, the leader included.
    members: HashSet<i32>,
    /// The monitor, if it lives: it goes last, because it keeps its orphans in sight.
    monitor: Option<i32>,
    /// Own processes whose environment can't be read.
    unreadable: Vec<ProcessStat>,
    hidden: Option<Pid>,
    missed: bool,
}

impl Scan {
    /// Looks, and kills what has the marker the moment it is seen: the next generation of what forks
    /// without end is already on its way.
    pub(super) fn take(search: &Search<'_>, patience: &mut Patience) -> io::Result<Self> {
        let last_before = last_process_id()?;
        let mut scan = Self {
            processes: HashMap::new(),
            members: HashSet::new(),
            monitor: None,
            unreadable: Vec::new(),
            hidden: None,
            missed: true,
        };
        loop {
            let complete = scan.read_what_is_new(search)?;
            if complete || patience.left().is_zero() {
                scan.missed = !complete || last_process_id()? < last_before;
                break;
            }
        }
        close_over_descendants(&scan.processes, &mut scan.members);
        scan.hidden = scan.suspect(search.identity);
        Ok(scan)
    }

    /// Lists, and reads what was not read before, the youngest first; false if one of those vanished.
    fn read_what_is_new(&mut self, search: &Search<'_>) -> io::Result<bool> {
        let mut complete = true;
        for pid in list()?.into_iter().rev() {
            if !self.processes.contains_key(&pid.as_raw_pid()) {
                complete &= self.read_process(pid, search)?;
            }
        }
        Ok(complete)
    }

    /// False if it vanished.
    fn read_process(&mut self, pid: Pid, search: &Search<'_>) -> io::Result<bool> {
        let Some(stat) = ProcessStat::read(pid)? else {
            return Ok(false);
        };
        let living = !stat.is_dead() && !stat.is_kernel_thread();
        if living && search.leader == Some(ProcessReference::of(&stat)) {
            self.add_leader(&stat, search.identity.containment);
        } else if living && stat.start_time_ticks >= search.identity.earliest_start_ticks {
            match search.environment_holds(&stat)? {
                Holds::Yes => self.add_marked(&stat)?,
                Holds::No => {}
                Holds::Vanished => return Ok(false),
                Holds::Hidden => self.unreadable.push(stat),
            }
        }
        self.processes.insert(pid.as_raw_pid(), stat);
        Ok(true)
    }

    fn add_leader(&mut self, stat: &ProcessStat, containment: Containment) {
        let pid = stat.pid.as_raw_pid();
        self.members.insert(pid);
        if containment == Containment::Enforced {
            self.monitor = Some(pid);
        }
    }

    fn add_marked(&mut self, stat: &ProcessStat) -> io::Result<()> {
        self.members.insert(stat.pid.as_raw_pid());
        // What may not be signalled is signalled again, and told, when the scan is assessed.
        let _: Delivery = send_verified(stat.pid, stat.start_time_ticks, Signal::KILL)?;
        Ok(())
    }

    /// One that hides its environment, is not known as a member, and may be an orphan of the run.
    fn suspect(&self, identity: &ProcessIdentity) -> Option<Pid> {
        let inherits_orphans = |pid: i32| {
            pid == 1
                || self.processes.get(&pid).is_some_and(|parent| {
                    identity.ancestors.contains(&ProcessReference::of(parent))
                })
        };
        self.unreadable
            .iter()
            .find(|stat| {
                !self.members.contains(&stat.pid.as_raw_pid()) && inherits_orphans(stat.parent)
            })
            .map(|stat| stat.pid)
    }

    /// What to end now: everything but the monitor, and the monitor when it is the last.
    pub(super) fn next_victims(&self) -> Vec<ProcessStat> {
        let living = |pid: &i32| self.processes.get(pid).filter(|stat| !stat.is_dead());
        let below: Vec<ProcessStat> = self
            .members
            .iter()
            .filter(|pid| Some(**pid) != self.monitor)
            .filter_map(living)
            .copied()
            .collect();
        if below.is_empty() {
            self.monitor.iter().filter_map(living).copied().collect()
        } else {
            below
        }
    }

    pub(super) fn hidden(&self) -> Option<Pid> {
        self.hidden
    }

    pub(super) fn may_have_missed_some(&self) -> bool {
        self.missed
    }
}

/// The id that was handed out last, from the end of `/proc/loadavg`.
fn last_process_id() -> io::Result<u64> {
    let line = fs::read_to_string("/proc/loadavg")?;
    let last = line.split_ascii_whitespace().last();
    last.and_then(|last| last.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/loadavg"))
}

#[derive(Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Vanished,
    /// One of our own user, or readable by us, that nevertheless can't be read.
    Hidden,
}

impl Search<'_> {
    /// Reads until what was read is whole: under a process that executes a new program the environment
    /// ends early, or is not there.
    fn environment_holds(&self, stat: &ProcessStat) -> io::Result<Holds> {
        let pid = stat.pid;
        let mut empty_in_a_row = 0;
        for _ in 0..ENVIRONMENT_READS_MAX {
            let environment = match fs::read(format!("/proc/{}/environ", pid.as_raw_pid())) {
                Ok(environment) => environment,
                Err(error) if is_gone(&error) => return Ok(Holds::Vanished),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Ok(hidden_from_us(pid));
                }
                Err(error) => return Err(error),
            };
            if self.is_in(&environment) {
                return Ok(Holds::Yes);
            }
            let whole = environment_bytes(pid)? == u64::try_from(environment.len()).ok();
            match ProcessStat::read(pid)? {
                None => return Ok(Holds::Vanished),
                Some(now) if now.is_dead() => return Ok(Holds::Vanished),
                Some(now) if now.is_zombie() => return self.any_thread_holds(pid),
                Some(_) if whole && !environment.is_empty() => return Ok(Holds::No),
                Some(_) if whole => empty_in_a_row += 1,
                Some(_) => empty_in_a_row = 0,
            }
            if empty_in_a_row >= EMPTY_READS_NEEDED {
                return Ok(Holds::No);
            }
            std::thread::yield_now();
        }
        // It took its own environment out of its memory.
        Ok(Holds::Hidden)
    }

    fn any_thread_holds(&self, pid: Pid) -> io::Result<Holds> {
        for thread in threads(pid)? {
            let path = format!(
                "/proc/{}/task/{}/environ",
                pid.as_raw_pid(),
                thread.as_raw_pid()
            );
            if fs::read(path).is_ok_and(|environment| self.is_in(&environment)) {
                return Ok(Holds::Yes);
            }
        }
        Ok(Holds::No)
    }

    fn is_in(&self, environment: &[u8]) -> bool {
        has_entry(environment, self.entry.as_bytes())
    }
}

/// `/proc/<pid>` of a process that is not dumpable belongs to root, but its `status` tells the user.
fn hidden_from_us(pid: Pid) -> Holds {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid()));
    let ours = getuid().as_raw();
    match status {
        Ok(status) if real_user(&status) == Some(ours) => Holds::Hidden,
        Ok(_) => Holds::No,
        Err(_) => Holds::Vanished,
    }
}

fn real_user(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn has_entry(environment: &[u8], entry: &[u8]) -> bool {
    environment
        .split(|byte| *byte == 0)
        .any(|candidate| candidate == entry)
}

#[cfg(test)]
mod tests;
