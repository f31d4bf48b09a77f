//! The second life of the embedding binary: as the monitor above a command, and as its starter.
//!
//! The embedding binary calls [`run_if_requested`] first in `main`, before any thread exists:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     if let Some(code) = worker_runtime_execution::exec::shim::run_if_requested() {
//!         return code;
//!     }
//!     // The program's own work.
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! One binary in two parts means that no second file can be missing or of another version, and that
//! what has to be done between *fork* and *exec* (parent-death signal, process group, directory) is
//! ordinary safe code in a process of its own.
//!
//! - `monitor`: a subreaper that waits for *go*, watches the tree and ends it
//! - `starter`: becomes the command
//! - `landlock`: keeps it to where it may write
//!
//! Neither uses tokio or a thread. A monitor is found by its name, [`PROCESS_NAME`], in `ps`.

mod family;
mod landlock;
mod monitor;
mod starter;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use super::open_files;

/// The first argument that turns the embedding binary into the shim.
pub(super) const REQUEST: &str = "__worker-runtime-exec-shim";
pub(super) const ROLE_MONITOR: &str = "monitor";
const ROLE_STARTER: &str = "starter";

/// What monitor and starter call themselves in `argv[0]`.
pub const PROCESS_NAME: &str = "worker-runtime-shim";

/// The exit code of a shim that could not do its work; never the one of a command.
const EXIT_SHIM_FAILED: u8 = 125;

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Becomes the shim if this process was started as one; otherwise notes that the shim is there.
///
/// Returns the code to exit with, or `None` when the program should go on with its own work. To be
/// called before any thread is started: the shim takes its standard input for the control socket and
/// must be alone in its process.
pub fn run_if_requested() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != REQUEST) {
        INSTALLED.store(true, Ordering::Relaxed);
        return None;
    }
    Some(match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Only a shim that was called by hand has somebody who reads this.
            let _ = writeln!(io::stderr(), "{PROCESS_NAME}: {error}");
            ExitCode::from(EXIT_SHIM_FAILED)
        }
    })
}

/// Whether [`run_if_requested`] was called in this process, so that executing it again gives the shim.
pub fn is_installed() -> bool {
    INSTALLED.load(Ordering::Relaxed)
}

/// The program of this process, also when its file was replaced or removed meanwhile.
pub(super) const THIS_PROGRAM: &str = "/proc/self/exe";

fn run(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let role = arguments.next().unwrap_or_default();
    let number = arguments
        .next()
        .and_then(|number| number.to_str()?.parse().ok());
    let is_monitor = role == ROLE_MONITOR;
    let open_files: Option<u64> = match is_monitor {
        true => arguments
            .next()
            .and_then(|limit| limit.to_str()?.parse().ok()),
        false => None,
    };
    let (Some(number), Some(directory), Some(program)) =
        (number, arguments.next(), arguments.next())
    else {
        return Err(misuse("it was started without its arguments"));
    };
    let command = CommandLine {
        directory,
        program,
        arguments: arguments.collect(),
    };
    let socket = inherited_socket()?;
    match is_monitor {
        true => {
            // Of this process, and with it of the command.
            open_files.map_or(Ok(()), open_files::set)?;
            monitor::run(socket, number, &command)
        }
        false if role == ROLE_STARTER => starter::run(&socket, number, &command),
        false => Err(misuse("it was started in an unknown role")),
    }
}

/// What to execute, as it stands in the shim's own arguments.
struct CommandLine {
    directory: OsString,
    program: OsString,
    arguments: Vec<OsString>,
}

/// The control socket is passed as standard input: the one descriptor with a safe name. The copy is
/// closed on execution, and the original is replaced by the command's standard input.
fn inherited_socket() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::sockopt::socket_type(&socket)
        .map_err(|_| misuse("it is a part of the program and not to be started by hand"))?;
    Ok(socket)
}

fn misuse(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
