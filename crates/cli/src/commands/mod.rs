//! The commands, one per file.

pub(crate) mod errors_explain;
pub(crate) mod event_ls;
pub(crate) mod run;
pub(crate) mod state_info;
pub(crate) mod status;
pub(crate) mod transcript_show;
pub(crate) mod version;
pub(crate) mod worker;

use crate::{
    args::{Command, ErrorsCommand, EventCommand, Global, StateCommand, TranscriptCommand},
    error::Failure,
    exit::Exit,
    output::Printer,
};

/// Carries out a command.
///
/// # Errors
/// Whatever the user must be told.
pub(crate) fn run(
    command: Command,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(*args, global, printer),
        Command::Worker(command) => worker::run(command, global, printer),
        Command::Transcript(TranscriptCommand::Show(args)) => {
            transcript_show::run(&args, global, printer)
        }
        Command::Event(EventCommand::Ls(args)) => event_ls::run(&args, global, printer),
        Command::State(StateCommand::Info) => state_info::run(global, printer),
        Command::Status => status::run(global, printer),
        Command::Errors(ErrorsCommand::Explain(args)) => errors_explain::run(&args, printer),
        Command::Version => version::run(printer),
    }
}
