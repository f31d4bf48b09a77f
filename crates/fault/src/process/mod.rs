//! The real programs: `worker-runtime` and a library's host, as processes of their own on real files,
//! met by real signals, failing system calls, full disks and stops (I1, I2, I4, I5, I9, I11).
//!
//! What was acknowledged is known from what the programs printed, from journals of clients, and from
//! notes that the executed commands write themselves; the audit reads the stopped store through the
//! command's own output.
//!
//! # Layout
//! - `place`: a directory for one case, the command in it, and who of its processes is alive
//! - `ran`: how one call of the command ended
//! - `calls`, `trace`: count the system calls of a process on the state directory, and strike at one
//! - `entries`: what of the directory is not on the disk yet when something is acknowledged
//! - `log`: what `event ls` tells, audited
//! - `script`: calls of the command, one after the other, and what each must lead to
//! - `shares`: which thread strikes at which call of it
//! - `documented`: which exit code an error's page names
//! - `syncs`, `syscalls`: a scripted run struck at every sync, and at every call that writes
//! - `host`: a library's host with journaling clients and observers
//! - `soak`, `stopped`: that host killed again and again; stopped for longer than every deadline
//! - `disk_full`: that host on a small disk, filled and freed

mod calls;
pub mod disk_full;
mod documented;
mod entries;
mod host;
#[path = "../../../../tests/bin/host/journal.rs"]
mod journal;
mod journals;
mod log;
#[path = "../../../../tests/bin/host/order.rs"]
mod order;
mod place;
mod ran;
mod script;
mod shares;
pub mod soak;
pub mod stopped;
pub mod syncs;
pub mod syscalls;
mod trace;
