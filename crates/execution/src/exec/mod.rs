//! Command-line programs as Workers: their processes, from birth to proven death.
//!
//! What a Runtime has to be able to say of a command is *when* it began and that it is *over*: not
//! only the process that was started, but everything that this one left behind. I4 (one outcome per
//! input) and I6 (no two writers in one scope) rest on it. So a command runs below a small monitor,
//! which is the embedding binary itself, executed once more (the [`shim`]):
//!
//! ```text
//! Runtime ── control socket ── monitor (own session, subreaper) ── command (own process group)
//!                                                                    └─ whatever it starts
//! ```
//!
//! # Layout
//!
//! - [`spawn`](spawn::spawn): starts a command, held until [`Held::go`]
//! - [`Running`], [`Process`], [`Canceller`]: the Runtime's side of a started command
//! - [`shim`]: what the embedding binary calls first in `main`; monitor and starter
//! - [`ProcessIdentity`]: what is recorded of a command before it executes
//! - [`reap`]: proves after a crash that nothing of a recorded command is left
//! - [`Enclosure`]: where the kernel lets a command write
//! - `wire`, `channel`: the messages between Runtime and monitor, and how they travel
//! - [`open_files`]: how many files this program and its commands may have open
//! - `proc_table`, `signal`: the only readers of `/proc`, the only sender of signals by process id
//!
//! - [`ExecFactory`]: the execution backend that is made of all this
//!
//! Nothing but the backend's own errors is safe to show to a client as it is: the others name programs
//! and paths (I11).

mod backend;
mod channel;
mod direct;
mod enclosure;
mod error;
mod proc_table;
mod process;
mod running;
mod signal;
mod wire;

pub mod open_files;
pub mod reap;
pub mod shim;
pub mod spawn;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use backend::fuzzing;
pub use backend::{
    Confine, EnvironmentValue, ExecConfig, ExecFactory, ExecOptions, HostEnvironment, InputWay,
    Mode,
};
pub use enclosure::{Enclosure, LANDLOCK_VERSION};
pub use error::{ProcessError, SpawnError};
pub use process::{
    Containment, InvalidRunMarker, ProcessIdentity, ProcessReference, RUN_MARKER_VARIABLE,
    RunMarker, identity_of,
};
pub use reap::{Proof, UnprovenReason, prove_dead};
pub use running::{Canceller, Held, Process, Running};
pub use spawn::{Shim, SpawnOptions};
pub use wire::Exit;
