//! The `exec` execution backend: any command-line program as a durable Worker.
//!
//! In *simple* mode each input is one process: the input on its standard input or as its last
//! argument, its standard output as blocks of text, its exit status as the outcome. In *lines* mode
//! one long-lived process talks JSON lines (`docs/exec-protocol.md`).
//!
//! # Layout
//!
//! - [`ExecFactory`], [`ExecOptions`]: what an embedder registers with its Runtime
//! - `config`: a Worker's own configuration, checked before it is kept
//! - `launch`: held, recorded, let go: the one way in which a command starts
//! - `environment`: what it finds when it does; `temporary`: a directory of its own
//! - `confinement`, `outline`: what the kernel keeps it to, and how much of a scope that is
//! - `life`: the one place that decides that a command is quiet
//! - `slot`: one run at a time, and who waits for its end
//! - `output`, `text`, `stderr`: from a command's streams to blocks of text
//! - `simple`, `lines`: the two modes
//!
//! # Invariants
//!
//! - A process is durable in the Worker's record before its command executes, and a run is finished
//!   only when nothing of its command lives (I4, I6). When that can't be shown, the run stays.
//! - Every buffer is bounded, and a command that writes faster than the store waits (I9).
//! - A command that is to be confined is, or does not execute (I6).
//! - No message names an absolute path or a secret's value (I11); the whole error goes to the log.

mod config;
mod confinement;
mod environment;
mod factory;
mod launch;
mod life;
mod lines;
mod options;
mod outline;
mod output;
mod simple;
mod slot;
mod stderr;
mod temporary;
mod text;

pub use config::{Confine, EnvironmentValue, ExecConfig, InputWay, Mode};
pub use factory::ExecFactory;
#[cfg(fuzzing)]
pub use lines::fuzzing;
pub use options::{ExecOptions, HostEnvironment};
