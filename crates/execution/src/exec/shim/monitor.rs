//! The monitor: one per command, between the Runtime and everything that the command starts.
//!
//! It executes nothing before *go*; it reports how the command ended; it lets nothing outlive the
//! command, a cancel or the Runtime; and it says *quiet* only when the kernel says that no descendant is
//! left. The end of the control socket is the death of the Runtime, in whatever way it died.
//!
//! It asks for no parent-death signal of its own: that one fires when the *thread* ends that forked, and
//! the Runtime's threads come and go.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, getpid, set_child_subreaper, setsid};
use worker_runtime_core::sabotage::{self, Sabotage};

use super::super::proc_table::ProcessStat;
use super::super::wire::{self, Exit, Order, PROTOCOL, Report, StartFailure, StartStep};
use super::family::Family;
use super::{CommandLine, PROCESS_NAME, REQUEST, ROLE_STARTER, THIS_PROGRAM, misuse};

/// The waits between two rounds of killing: short at first, since most things die at once; bounded,
/// since a process in an uninterruptible wait may take its time.
const KILL_ROUND_FIRST_MS: u64 = 1;
const KILL_ROUND_MAX_MS: u64 = 100;

/// Watches one command until nothing of it is left, or until the Runtime is gone and then the same.
pub(super) fn run(
    control: OwnedFd,
    leftover_grace_ms: u64,
    command: &CommandLine,
) -> io::Result<()> {
    // A session of its own: no terminal, and no signal that somebody types at one.
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    let children = watch_children()?;
    std::env::set_current_dir("/")?;
    wire::send(&control, &Report::Ready { protocol: PROTOCOL }, &[])?;
    let (order, given) = match wire::receive::<Order>(&control)? {
        Some((order @ Order::Go { .. }, given)) => (order, given),
        // Gone, or cancelled, before the command began: it never does.
        Some((Order::Cancel { .. }, _)) | None => return Ok(()),
    };
    match start(command, &order, given) {
        Ok((starter, start)) => Monitor {
            control: Some(control),
            children,
            start: Some(start),
            family: Family::new(starter),
            exit_reported: false,
            leftover_grace: Duration::from_millis(leftover_grace_ms),
            ending: Ending::NotYet,
        }
        .watch(),
        Err(error) => {
            let failure = StartFailure::new(StartStep::Prepare, &error);
            wire::send(&control, &Report::NotStarted(failure), &[])?;
            wire::send(&control, &Report::Quiet, &[])
        }
    }
}

/// A descriptor that is readable when a child has ended. With the signals that politely ask to end
/// blocked: a service manager sends those to everybody, and a monitor that obeyed would leave its tree
/// behind. The starter, which inherits that, undoes it.
fn watch_children() -> io::Result<SignalFd> {
    let mut child = SigSet::empty();
    child.add(NixSignal::SIGCHLD);
    let mut blocked = child;
    for signal in [
        NixSignal::SIGTERM,
        NixSignal::SIGINT,
        NixSignal::SIGHUP,
        NixSignal::SIGQUIT,
    ] {
        blocked.add(signal);
    }
    blocked.thread_block()?;
    Ok(SignalFd::with_flags(
        &child,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Starts the starter and hands it the streams, of which no copy stays here: when the tree is gone,
/// their other ends see the end.
fn start(command: &CommandLine, order: &Order, given: Vec<OwnedFd>) -> io::Result<(Pid, OwnedFd)> {
    let (near, far) = wire::pair()?;
    let child = Command::new(THIS_PROGRAM)
        .arg0(PROCESS_NAME)
        .arg(REQUEST)
        .arg(ROLE_STARTER)
        .arg(getpid().as_raw_pid().to_string())
        .arg(&command.directory)
        .arg(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::from(far))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let given: Vec<_> = given.iter().map(AsFd::as_fd).collect();
    // A starter that died already is found as an ended child.
    match wire::send(&near, order, &given) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(error),
    }
    Ok((Pid::from_child(&child), near))
}

enum Ending {
    NotYet,
    Asked { kill_at: Instant },
    Killing { round_ms: u64 },
}

struct Monitor {
    /// `None` when the Runtime is gone.
    control: Option<OwnedFd>,
    children: SignalFd,
    /// The starter's socket: a failure comes through it, its end means that the command executes.
    start: Option<OwnedFd>,
    family: Family,
    exit_reported: bool,
    leftover_grace: Duration,
    ending: Ending,
}

impl Monitor {
    /// Returns when nothing is left, and never before: an error (no descriptors, no memory) costs the
    /// command its life, not the monitor its watch.
    fn watch(mut self) -> io::Result<()> {
        loop {
            match self.step() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(_) => {
                    self.kill_from_now_on();
                    std::thread::sleep(Duration::from_millis(KILL_ROUND_MAX_MS));
                }
            }
        }
    }

    /// One round; true when nothing is left.
    fn step(&mut self) -> io::Result<bool> {
        self.press_on()?;
        // The start is told before the end, also of a command that has ended long since.
        if let Some(exit) = self.family.exit()? {
            self.read_start()?;
            self.report_exit(exit)?;
            if sabotage::is(Sabotage::LeaveChild) {
                self.report(&Report::Quiet);
                return Ok(true);
            }
        }
        if self.family.reap()? {
            self.report(&Report::Quiet);
            return Ok(true);
        }
        self.sleep()?;
        Ok(false)
    }

    fn report(&mut self, report: &Report) {
        if let Some(control) = &self.control
            && wire::send(control, report, &[]).is_err()
        {
            self.runtime_is_gone();
        }
    }

    fn runtime_is_gone(&mut self) {
        self.control = None;
        self.kill_from_now_on();
    }

    fn kill_from_now_on(&mut self) {
        if !matches!(self.ending, Ending::Killing { .. }) {
            self.ending = Ending::Killing {
                round_ms: KILL_ROUND_FIRST_MS,
            };
        }
    }

    /// Asks everything to end, and kills what is left after the grace; never later than was said before.
    fn end_within(&mut self, grace: Duration) -> io::Result<()> {
        let kill_at = Instant::now() + grace;
        match &mut self.ending {
            _ if grace.is_zero() => self.kill_from_now_on(),
            Ending::NotYet => {
                self.ending = Ending::Asked { kill_at };
                self.family.terminate()?;
            }
            Ending::Asked { kill_at: earlier } => *earlier = kill_at.min(*earlier),
            Ending::Killing { .. } => {}
        }
        Ok(())
    }

    fn report_exit(&mut self, exit: Exit) -> io::Result<()> {
        if self.exit_reported {
            return Ok(());
        }
        self.exit_reported = true;
        self.report(&Report::Exited { exit });
        self.end_within(self.leftover_grace)
    }

    fn press_on(&mut self) -> io::Result<()> {
        if let Ending::Asked { kill_at } = self.ending
            && kill_at <= Instant::now()
        {
            self.kill_from_now_on();
        }
        if let Ending::Killing { .. } = self.ending {
            self.family.kill()?;
        }
        Ok(())
    }

    /// Until something happens, or is due.
    fn sleep(&mut self) -> io::Result<()> {
        let timeout = match &mut self.ending {
            Ending::NotYet => None,
            Ending::Asked { kill_at } => Some(kill_at.saturating_duration_since(Instant::now())),
            Ending::Killing { round_ms } => {
                let wait = Duration::from_millis(*round_ms);
                *round_ms = (*round_ms * 2).min(KILL_ROUND_MAX_MS);
                Some(wait)
            }
        };
        let [control, start] = self.wait_readable(timeout)?;
        while self.children.read_signal()?.is_some() {}
        if start {
            self.read_start()?;
        }
        if control {
            self.read_control()?;
        }
        Ok(())
    }

    /// Which of control and start socket became readable; the children's descriptor only wakes.
    fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<[bool; 2]> {
        let timeout = timeout
            .map(Timespec::try_from)
            .transpose()
            .map_err(|_| misuse("a grace is longer than the clock"))?;
        let sockets = [self.control.as_ref(), self.start.as_ref()];
        let mut waited = vec![PollFd::new(&self.children, PollFlags::IN)];
        waited.extend(
            sockets
                .into_iter()
                .flatten()
                .map(|socket| PollFd::new(socket, PollFlags::IN)),
        );
        match poll(&mut waited, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut woken = waited.iter().skip(1).map(|fd| !fd.revents().is_empty());
        Ok(sockets.map(|socket| socket.is_some() && woken.next().unwrap_or(false)))
    }

    fn read_control(&mut self) -> io::Result<()> {
        let Some(control) = &self.control else {
            return Ok(());
        };
        match wire::receive(control) {
            Ok(Some((Order::Cancel { term_grace_ms }, _))) => {
                self.end_within(Duration::from_millis(term_grace_ms))
            }
            // A second *go* is nothing that this side of the protocol knows: as good as gone.
            Ok(Some((Order::Go { .. }, _)) | None) | Err(_) => {
                self.runtime_is_gone();
                Ok(())
            }
        }
    }

    /// Waits for the starter's word, which comes at once or with its death.
    fn read_start(&mut self) -> io::Result<()> {
        let Some(start) = self.start.take() else {
            return Ok(());
        };
        match wire::receive(&start)? {
            Some((enclosed @ Report::Enclosed { .. }, _)) => {
                self.report(&enclosed);
                self.start = Some(start);
                return self.read_start();
            }
            Some((Report::NotStarted(failure), _)) => {
                // Its exit code is the starter's, not one of the command.
                self.exit_reported = true;
                self.report(&Report::NotStarted(failure));
            }
            _ => self.report_started()?,
        }
        Ok(())
    }

    fn report_started(&mut self) -> io::Result<()> {
        if let Some(command) = self.family.command()
            && let Some(stat) = ProcessStat::read(command)?
        {
            self.report(&Report::Started {
                pid: command.as_raw_pid(),
                start_time_ticks: stat.start_time_ticks,
            });
        }
        Ok(())
    }
}
