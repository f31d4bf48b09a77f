//! Who of a test's commands is alive: asked of `/proc` by a variable that their environment has,
//! which shares nothing with how the Runtime finds them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::{
    order::{ROUND_VARIABLE, TAG_VARIABLE},
    place::wait_until,
};

/// A living process of a test.
#[derive(Debug)]
pub(crate) struct Tagged {
    pub(crate) pid: i32,
    /// The life of the host that started it.
    pub(crate) round: u64,
    /// Not a command: what the execution backend puts above one.
    pub(crate) is_shim: bool,
    #[allow(dead_code, reason = "shown when a test fails")]
    pub(crate) command: String,
}

/// All living processes with this tag.
pub(crate) fn tagged(tag: &str) -> Vec<Tagged> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| look_at(pid, tag)).collect()
}

fn look_at(pid: i32, tag: &str) -> Option<Tagged> {
    // The dead have none.
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variable = |name: &str| {
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    };
    if variable(TAG_VARIABLE)? != tag {
        return None;
    }
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    Some(Tagged {
        pid,
        round: variable(ROUND_VARIABLE)?.parse().ok()?,
        is_shim: command.starts_with(worker_runtime_execution::exec::shim::PROCESS_NAME),
        command,
    })
}

/// Nothing that was started before this life of the host is alive. A command that is fails at once;
/// a monitor whose command never began may be on its way out.
pub(crate) fn nothing_left_of(tag: &str, round: u64) {
    wait_until("monitors without a command to end", || {
        let mut left = tagged(tag);
        left.retain(|process| process.round < round);
        let commands: Vec<&Tagged> = left.iter().filter(|process| !process.is_shim).collect();
        assert!(
            commands.is_empty(),
            "left by an earlier life: {commands:#?}"
        );
        left.is_empty()
    });
}

/// Nothing at all is alive.
pub(crate) fn nothing_left(tag: &str) {
    nothing_left_of(tag, u64::MAX);
}

/// SIGKILL to those of the tag that are chosen.
pub(crate) fn kill_tagged(tag: &str, chosen: impl Fn(&Tagged) -> bool) {
    signal_tagged(tag, Signal::KILL, chosen);
}

/// Stops the monitors: when their host dies they can't end their commands any more.
pub(crate) fn stop_monitors(tag: &str) {
    signal_tagged(tag, Signal::STOP, |process| process.is_shim);
}

fn signal_tagged(tag: &str, signal: Signal, chosen: impl Fn(&Tagged) -> bool) {
    for process in tagged(tag).into_iter().filter(chosen) {
        let pid = Pid::from_raw(process.pid).unwrap();
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}
