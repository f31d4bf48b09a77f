//! `worker rm WORKER`: asks, or wants `--yes`; what is deleted does not come back.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use worker_runtime_core::view::WorkerView;

use super::lifecycle::{LifecycleArgs, Verb, run_confirmed};
use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    output::{Printer, write_words},
};

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    #[command(flatten)]
    common: LifecycleArgs,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Its events go at once, not when the log passes them
    #[arg(long)]
    purge: bool,
}

pub(crate) fn run(args: &RmArgs, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let verb = Verb::Delete { purge: args.purge };
    let is_sure = args.yes;
    run_confirmed(verb, &args.common, global, printer, |worker| {
        if is_sure { Ok(()) } else { confirm(worker) }
    })
}

/// Has the user type the Worker's name, if somebody is there to be asked.
fn confirm(worker: &WorkerView) -> Result<(), Failure> {
    let command = &["worker", "rm"];
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let message = format!(
            "Worker {} would be deleted, and nobody can be asked here; give --yes if you are sure",
            worker.worker_id
        );
        return Err(CliError::usage(message, command).into());
    }
    let id = worker.worker_id.to_string();
    let name = worker.display_name.as_deref().unwrap_or(&id);
    write_words(&format!(
        "Worker {id} will be deleted for good. Type {name:?} to go on: "
    ));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim_end_matches(['\r', '\n']) == name {
        return Ok(());
    }
    Err(CliError::usage("nothing was deleted: the name was not typed", command).into())
}
