//! What can go wrong with a command: before it runs ([`SpawnError`]), and while it does
//! ([`ProcessError`]).
//!
//! The messages name programs and paths: for the operator's log, not for a client (I11).

use std::io;
use std::path::PathBuf;

use super::wire::Exit;

/// A command did not execute. Nothing of it ran, so no outcome of a run may be claimed from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The program is missing, may not be executed, or is no program.
    #[error("cannot execute {program:?}: {source}")]
    Execute {
        /// The program as it was configured.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The command's working directory can't be entered.
    #[error("cannot enter working directory {}: {source}", path.display())]
    WorkingDirectory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The kernel can't keep the command to where it may write.
    #[error("cannot confine {program:?}: {source}")]
    Enclose {
        /// The program as it was configured.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The shim's own program can't be started.
    #[error("cannot start the shim {}: {source}", path.display())]
    Shim {
        /// The program that should be the shim.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A program was started as the shim and did not answer as one.
    ///
    /// Its `main` does not call [`run_if_requested`](super::shim::run_if_requested) first, or it is of
    /// another version.
    #[error("{} does not answer as a shim: {answer}", path.display())]
    NotAShim {
        /// The program that should be the shim.
        path: PathBuf,
        /// What came instead.
        answer: String,
    },
    /// The system refused what every command needs: pipes, processes, `/proc`.
    #[error("cannot prepare to execute {program:?}: {source}")]
    Prepare {
        /// The program as it was configured.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
}

/// A command executes, or did, and its end can't be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The monitor was killed. What the command left behind has to be found with
    /// [`prove_dead`](super::prove_dead).
    #[error("the monitor of the command ended without accounting for it (command: {exit:?})")]
    MonitorLost {
        /// How the command itself ended, if that was told before.
        exit: Option<Exit>,
    },
    /// The processes left can't be signalled: they belong to another user.
    #[error("cannot signal process group {group}: {source}")]
    Signal {
        /// The group of the command.
        group: i32,
        /// The system's reason.
        source: io::Error,
    },
    /// The socket to the monitor failed.
    #[error("cannot reach the monitor of the command: {source}")]
    Control {
        /// The system's reason.
        #[from]
        source: io::Error,
    },
}
