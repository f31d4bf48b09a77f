//! `completions SHELL`: what a shell needs to complete our command lines.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{args::Cli, error::Failure, exit::Exit, output::Printer};

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, printer: &mut Printer) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut Cli::command(),
        "worker-runtime",
        &mut script,
    );
    printer.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
