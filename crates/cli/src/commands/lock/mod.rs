//! `lock`: who holds what, and what is given back or taken back. Workers are made with what they hold
//! (`worker create --scope`) and lose it with their end; who is no Worker takes a lease.

mod acquire;
mod change;
mod conflicts;
mod lease;
mod ls;
mod release;
mod renew;
mod show;
mod take;
mod verify;
mod who;

use clap::Subcommand;
use worker_runtime_core::view::AllocationView;

use crate::{args::Global, error::Failure, exit::Exit, output::Printer};

#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// List what is held, by Workers and by others
    Ls(ls::LsArgs),
    /// Print what one Worker holds, or a lease
    Show(show::ShowArgs),
    /// Print who may write at a path, or below it
    ///
    /// Also who may hand it on, and who may look there, which is in nobody's way. The exit code is 4 when
    /// nobody may write there, nor below it.
    Who(who::WhoArgs),
    /// Print whom a scope would meet
    ///
    /// Nothing is asked for. The exit code is 1 when it meets somebody.
    Conflicts(conflicts::ConflictsArgs),
    /// Say by the exit code whether a run may still write, or the holder of a lease
    ///
    /// When it may, that is 0, and nothing is printed. Whatever else it ends with, nobody has said that
    /// it may: write nothing.
    Verify(verify::VerifyArgs),
    /// Hold a scope for a time, for somebody who is no Worker
    ///
    /// Nobody else is granted what lies in it, until it is released or its time is over. Prints the lease's id
    /// and its fence, which `lock verify` takes before each write.
    Acquire(acquire::AcquireArgs),
    /// Hold a lease for its whole time from now on
    ///
    /// After a restart of the server its fence is void: this takes the old one, and prints the next.
    Renew(renew::RenewArgs),
    /// Have a Worker hold another scope, or hand on another one
    ///
    /// What is not said stays. It can have more at any time, less only while nothing runs with it.
    Change(change::ChangeArgs),
    /// Have a Worker give up what it holds, or give back a lease
    ///
    /// Where a Worker works it may look on. What those below it hold lies below its parent then. A lease is
    /// free at once.
    Release(release::ReleaseArgs),
    /// Take back what the Workers directly below one hold
    ///
    /// All of it or nothing. What lies below those lies directly below it then.
    Reclaim(take::TakeArgs),
}

pub(crate) fn run(
    command: LockCommand,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    match command {
        LockCommand::Ls(args) => ls::run(&args, global, printer),
        LockCommand::Show(args) => show::run(&args, global, printer),
        LockCommand::Who(args) => who::run(&args, global, printer),
        LockCommand::Conflicts(args) => conflicts::run(&args, global, printer),
        LockCommand::Verify(args) => verify::run(&args, global, printer),
        LockCommand::Change(args) => change::run(&args, global, printer),
        LockCommand::Acquire(args) => acquire::run(&args, global, printer),
        LockCommand::Renew(args) => renew::run(&args, global, printer),
        LockCommand::Release(args) => release::run(&args, global, printer),
        LockCommand::Reclaim(args) => take::reclaim(&args, global, printer),
    }
}

/// What becomes of what is held, or what goes on with it, in a word or two.
fn use_text(held: &AllocationView) -> String {
    let run = held.run_id.map(|run_id| format!("run {run_id}"));
    let waits = held.has_process && held.run_id.is_none() && !held.unproven;
    let process = waits.then(|| "a process between runs".to_owned());
    let unproven = held.unproven.then(|| "not shown to be dead".to_owned());
    let releasing = held.releasing.as_ref();
    let releasing = releasing.map(|_| "being released".to_owned());
    let parts: Vec<String> = [run, process, unproven, releasing]
        .into_iter()
        .flatten()
        .collect();
    match parts.is_empty() {
        true => "idle".to_owned(),
        false => parts.join(", "),
    }
}
