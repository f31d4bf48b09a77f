//! `worker stop` and `worker cancel`.

use clap::Args;
use worker_runtime_core::EndOptions;

use super::lifecycle::{LifecycleArgs, Verb, run};
use crate::{args::Global, error::Failure, exit::Exit, output::Printer};

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    common: LifecycleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    stop: StopArgs,
    /// Take processes of an earlier run for dead although that can't be shown: its scope is freed
    #[arg(long)]
    assume_dead: bool,
}

pub(crate) fn stop(
    args: &StopArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let verb = Verb::Stop(EndOptions {
        reason: args.common.reason.clone(),
        assume_dead: false,
    });
    run(verb, &args.common, global, printer)
}

pub(crate) fn cancel(
    args: &CancelArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let verb = Verb::Cancel(EndOptions {
        reason: args.stop.common.reason.clone(),
        assume_dead: args.assume_dead,
    });
    run(verb, &args.stop.common, global, printer)
}
