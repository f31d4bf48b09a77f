//! Processes that never outlive us: each has a group of its own, and the group is killed when nobody
//! waits for it any more, be it for a time limit, a Ctrl-C or an error elsewhere.

use std::{process::ExitStatus, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{Doing, TaskError};

/// How a process ended.
pub(crate) enum Ended {
    With(ExitStatus),
    /// It took too long and was killed, with its whole group.
    TooLate,
}

/// Runs a process to its end; `line` is told each line of its stderr.
pub(crate) async fn run(
    command: &mut Command,
    within: Option<Duration>,
    mut line: impl FnMut(&str),
) -> Result<Ended, TaskError> {
    let doing = format!("run {:?}", command.as_std().get_program());
    let child = command
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .process_group(0)
        .spawn()
        .doing(&doing)?;
    let mut group = Group(child);
    let stderr = group.0.stderr.take();
    let to_end = async {
        let reading = async {
            let mut lines = BufReader::new(stderr?).split(b'\n');
            while let Ok(Some(bytes)) = lines.next_segment().await {
                line(&String::from_utf8_lossy(&bytes));
            }
            None::<()>
        };
        // What it leaves behind may keep stderr open: its own end counts.
        tokio::select! {
            biased;
            _ = async { reading.await; std::future::pending::<()>().await } => None,
            status = group.0.wait() => Some(status),
        }
    };
    let ended = match within {
        Some(within) => tokio::time::timeout(within, to_end).await,
        None => Ok(to_end.await),
    };
    match ended {
        Ok(Some(status)) => Ok(Ended::With(status.doing(doing)?)),
        Ok(None) | Err(_) => Ok(Ended::TooLate),
    }
}

/// A process and everything of its group.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Reaped, it has no id any more, and the number may be somebody else's.
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests;
