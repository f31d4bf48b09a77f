//! `op`: the operation log, who changed what, when and why.

mod log;
mod show;

use clap::Subcommand;
use worker_runtime_core::{
    operation::Operator,
    view::{Holder, OperationView},
};

use crate::{args::Global, error::Failure, exit::Exit, output::Printer};

#[derive(Debug, Subcommand)]
pub(crate) enum OpCommand {
    /// Print who changed what, when and why, newest first
    Log(log::LogArgs),
    /// Print one operation
    Show(show::ShowArgs),
}

pub(crate) fn run(
    command: OpCommand,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    match command {
        OpCommand::Log(args) => log::run(&args, global, printer),
        OpCommand::Show(args) => show::run(&args, global, printer),
    }
}

/// Who asked for it; as far as a table has room.
fn by_text(by: &Operator) -> String {
    match by {
        Operator::Token { name, .. } => format!("token {name}"),
        Operator::User { name, .. } => format!("user {name}"),
        Operator::Program { name } => format!("program {name}"),
    }
}

/// Who asked for it, with all that is known.
fn by_whole_text(by: &Operator) -> String {
    match by {
        Operator::Token { scope, .. } => format!("{} (scope {scope})", by_text(by)),
        Operator::User { pid, .. } => format!("{} (pid {pid})", by_text(by)),
        Operator::Program { .. } => by_text(by),
    }
}

/// How it was and how it was right after.
fn change_text(operation: &OperationView) -> String {
    match (&operation.before, &operation.after) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (None, Some(after)) => after.clone(),
        (Some(before), None) => format!("{before} -> gone"),
        (None, None) => String::new(),
    }
}

/// What it was about, if that was a Worker or a lease.
fn target_of(operation: &OperationView) -> Option<Holder> {
    let worker = operation.worker_id.map(Holder::Worker);
    worker.or(operation.lease_id.map(Holder::Lease))
}
