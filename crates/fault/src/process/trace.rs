//! Counts the system calls of one process on the files of a directory, and strikes at one of them:
//! ends the process there, or has the call fail.
//!
//! `strace -e inject=…:when=N` counts for each thread by itself. Opening a store and writing to it
//! are two threads of the command, so it never reaches the writer's first calls, in which inputs are
//! accepted. Here all threads share one count. What the process starts is not traced: it is what is
//! to be left alone by its end.

use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    calls::{
        Kind, Kinds, SYNCS, WRITES, effect_of, file_of, has_succeeded, number_of, refuse, skip,
    },
    entries::{Effect, Entries},
    place::Place,
    ran::{DEADLINE, Ran, Said},
    script::Step,
};
use crate::report::{Doing, HarnessError};

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// SIGKILL to the process, before the call does anything.
    Kill,
    /// The call does nothing and fails.
    Fail(Errno),
}

/// Which call is struck, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Which calls are counted.
    pub(super) kinds: Kinds,
    /// The number of the call, from 1; 0 strikes at none.
    pub(super) nth: u64,
    /// For how long every later one is struck, too.
    pub(super) lasts: Duration,
    pub(super) strike: Strike,
}

impl Plan {
    /// Counts, and strikes at none.
    pub(super) const fn count(kinds: Kinds) -> Self {
        Self {
            kinds,
            nth: 0,
            lasts: Duration::ZERO,
            strike: Strike::Kill,
        }
    }
}

/// How a traced call of the command ended.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) ran: Ran,
    /// The calls that were counted.
    pub(super) calls: u64,
    /// Those of them that are syncs.
    pub(super) syncs: u64,
    /// How often it printed: each time all that it stands on had to be on the disk.
    pub(super) prints: u64,
    /// What was struck first, as `fdatasync of runtime.redb`.
    pub(super) struck: Option<String>,
    /// What of the state directory is not on the disk at its end.
    pub(super) entries: Entries,
}

/// Runs the command to its end, and strikes as planned at a call on the files of its place; what is not
/// on the disk of these when it begins is followed on.
pub(super) fn run_traced(
    place: &Place,
    step: &Step,
    plan: Plan,
    entries: Entries,
) -> Result<Traced, HarnessError> {
    let said = place.said();
    let mut stopped = stopped_at_first(&place.command(&step.arguments));
    let said_there = Said::of(&mut stopped, &said)?;
    let child = stopped.spawn().doing("start the command")?;
    let main = Pid::from_raw(i32::try_from(child.id()).doing("name a process")?);
    let mut tracer = Tracer {
        main,
        below: place.top(),
        printed: said.join("stdout"),
        plan,
        calls: 0,
        syncs: 0,
        prints: 0,
        struck: None,
        struck_at: None,
        inside: BTreeMap::new(),
        entries,
    };
    let (traced, hung) = watched(main, || tracer.seize().and_then(|()| tracer.follow()));
    if traced.is_err() {
        let _ = kill(main, Signal::SIGKILL);
    }
    let ran = said_there.end(traced?, hung)?;
    // An input that was kept or has failed is acknowledged too.
    let did_it = ran.exit.is_some_and(|exit| step.does_it(exit));
    match tracer.struck {
        None if did_it => tracer.entries.ended_well(),
        _ if did_it => tracer.entries.acknowledged(),
        _ => {}
    }
    Ok(Traced {
        ran,
        calls: tracer.calls,
        syncs: tracer.syncs,
        prints: tracer.prints,
        struck: tracer.struck,
        entries: tracer.entries,
    })
}

/// Kills the process if this takes too long, and says whether it did.
fn watched<T>(main: Pid, follow: impl FnOnce() -> T) -> (T, bool) {
    let (done, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let hangs = ended.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout);
            if hangs {
                let _ = kill(main, Signal::SIGKILL);
            }
            hangs
        });
        let followed = follow();
        drop(done);
        (followed, watch.join().unwrap_or(false))
    })
}

/// The same program, which waits for its tracer before its first instruction.
fn stopped_at_first(command: &Command) -> Command {
    let mut stopped = Command::new("sh");
    stopped
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        stopped.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => stopped.env(name, value),
            None => stopped.env_remove(name),
        };
    }
    stopped
}

/// A thread within a call: what is to be done with its result.
#[derive(Debug)]
enum Inside {
    Untouched,
    /// If it ends well, this is what it did.
    Does(Effect),
    Fails(Errno),
}

/// A call that begins.
struct Begun {
    kind: &'static Kind,
    file: PathBuf,
}

struct Tracer {
    main: Pid,
    /// The directory whose files are counted.
    below: PathBuf,
    /// Where the command prints: what is there is acknowledged.
    printed: PathBuf,
    plan: Plan,
    calls: u64,
    syncs: u64,
    prints: u64,
    struck: Option<String>,
    struck_at: Option<Instant>,
    inside: BTreeMap<Pid, Inside>,
    entries: Entries,
}

impl Tracer {
    fn seize(&self) -> Result<(), HarnessError> {
        match waitpid(self.main, Some(WaitPidFlag::WUNTRACED)).doing("wait for the command")? {
            WaitStatus::Stopped(..) => {}
            other => return Err(HarnessError::new("stop the command", format!("{other:?}"))),
        }
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(self.main, options)
            .doing("trace the command (in a container, permit ptrace)")?;
        kill(self.main, Signal::SIGCONT).doing("let the command go on")
    }

    /// Follows all threads to the end of the process.
    fn follow(&mut self) -> Result<ExitStatus, HarnessError> {
        // Other threads of the harness wait for children of their own.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.main => {
                    return Ok(ExitStatus::from_raw((code & 0xff) << 8));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.main => {
                    return Ok(ExitStatus::from_raw(signal as i32));
                }
                Ok(status) => self.step(status)?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(HarnessError::new("wait for the command", error)),
            }
        }
    }

    /// One thread has stopped: lets it go on, struck or not.
    fn step(&mut self, status: WaitStatus) -> Result<(), HarnessError> {
        let (pid, signal) = match status {
            WaitStatus::PtraceSyscall(pid) => {
                self.at_call(pid)?;
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            WaitStatus::PtraceEvent(pid, ..) => (pid, None),
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                self.inside.remove(&pid);
                return Ok(());
            }
            _ => return Ok(()),
        };
        match ptrace::syscall(pid, signal) {
            // It was killed meanwhile.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(HarnessError::new("let a thread go on", error)),
        }
    }

    /// A thread stopped at the beginning or the end of a call.
    fn at_call(&mut self, pid: Pid) -> Result<(), HarnessError> {
        let looked = match self.inside.remove(&pid) {
            Some(Inside::Untouched) => Ok(()),
            Some(Inside::Fails(errno)) => refuse(pid, errno),
            Some(Inside::Does(effect)) => self.ends(pid, effect),
            None => self.begins(pid),
        };
        killed_is_fine(looked)
    }

    fn ends(&mut self, pid: Pid, effect: Effect) -> Result<(), Errno> {
        if has_succeeded(pid)? {
            self.entries.note(effect);
        }
        Ok(())
    }

    fn begins(&mut self, pid: Pid) -> Result<(), Errno> {
        let inside = match self.begun(pid)? {
            None => Inside::Untouched,
            Some(begun) if self.strikes(&begun) => match self.plan.strike {
                Strike::Kill => {
                    kill(self.main, Signal::SIGKILL)?;
                    Inside::Untouched
                }
                Strike::Fail(errno) => {
                    let effect = effect_of(pid, begun.kind, &begun.file)?;
                    if let Some(failed) = effect.and_then(Effect::failed) {
                        self.entries.note(failed);
                    }
                    skip(pid)?;
                    Inside::Fails(errno)
                }
            },
            Some(begun) => match effect_of(pid, begun.kind, &begun.file)? {
                Some(effect) => Inside::Does(effect),
                None => Inside::Untouched,
            },
        };
        self.inside.insert(pid, inside);
        Ok(())
    }

    /// The call that begins, if it changes what is in the place, or makes it durable.
    fn begun(&mut self, pid: Pid) -> Result<Option<Begun>, Errno> {
        let Some(kind) = WRITES.find(number_of(pid)?) else {
            return Ok(None);
        };
        let Some(file) = file_of(pid, kind)? else {
            return Ok(None);
        };
        if file == self.printed {
            self.prints += 1;
            self.entries.acknowledged();
        }
        // The directory above it is synced when it was made.
        let is_here = file.starts_with(&self.below) || self.below.parent() == Some(&file);
        Ok(is_here.then_some(Begun { kind, file }))
    }

    /// Counts a call that begins, if it is one of those; whether it is struck.
    fn strikes(&mut self, begun: &Begun) -> bool {
        if !self.plan.kinds.has(begun.kind) {
            return false;
        }
        self.calls += 1;
        self.syncs += u64::from(SYNCS.has(begun.kind));
        let goes_on = self
            .struck_at
            .is_some_and(|at| at.elapsed() < self.plan.lasts);
        let strikes = self.calls == self.plan.nth || goes_on;
        if strikes && self.struck.is_none() {
            let name = begun.file.strip_prefix(&self.below);
            let name = name.map_or("..".into(), |name| name.display().to_string());
            self.struck = Some(format!("{} of {name}", begun.kind.name));
            self.struck_at = Some(Instant::now());
        }
        strikes
    }
}

fn killed_is_fine(result: Result<(), Errno>) -> Result<(), HarnessError> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(HarnessError::new("look or strike at a call", error)),
    }
}
