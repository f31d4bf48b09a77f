//! The commands, one per file.

pub(crate) mod accept_older;
pub(crate) mod completions;
pub(crate) mod config_show;
pub(crate) mod cursor_show;
pub(crate) mod errors_explain;
mod event_filter;
pub(crate) mod event_ls;
pub(crate) mod event_tail;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod op;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod state_check;
pub(crate) mod state_info;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod transcript_show;
pub(crate) mod transcript_tail;
pub(crate) mod version;
pub(crate) mod worker;

use crate::{
    args::{
        Command, ConfigCommand, CursorCommand, ErrorsCommand, EventCommand, Format, Global,
        StateCommand, TranscriptCommand,
    },
    error::{CliError, Failure},
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
    if printer.format() == Format::Name && !has_names(&command) {
        let message = "-o name is for commands that print ids: worker ls, worker show, worker create and the commands that change one, the lock commands, op log and op show, event ls and event tail, token ls and token revoke";
        return Err(CliError::usage(message, &[]).into());
    }
    match command {
        Command::Run(args) => run::run(*args, global, printer),
        Command::Serve(args) => serve::run(args, global, printer),
        Command::Worker(command) => worker::run(command, global, printer),
        Command::Lock(command) => lock::run(command, global, printer),
        Command::Op(command) => op::run(command, global, printer),
        Command::Transcript(TranscriptCommand::Show(args)) => {
            transcript_show::run(&args, global, printer)
        }
        Command::Transcript(TranscriptCommand::Tail(args)) => {
            transcript_tail::run(&args, global, printer)
        }
        Command::Cursor(CursorCommand::Show(args)) => cursor_show::run(&args, global, printer),
        Command::Event(EventCommand::Tail(args)) => event_tail::run(&args, global, printer),
        Command::Event(EventCommand::Ls(args)) => event_ls::run(&args, global, printer),
        Command::State(StateCommand::Info) => state_info::run(global, printer),
        Command::State(StateCommand::Check(args)) => state_check::run(&args, global, printer),
        Command::State(StateCommand::AcceptOlder(args)) => {
            accept_older::run(&args, global, printer)
        }
        Command::Token(command) => token::run(&command, global, printer),
        Command::Config(ConfigCommand::Show) => config_show::run(global, printer),
        Command::Status => status::run(global, printer),
        Command::Errors(ErrorsCommand::Explain(args)) => errors_explain::run(&args, printer),
        Command::Completions(args) => completions::run(&args, printer),
        Command::Man => man::run(printer),
        Command::Version => version::run(printer),
    }
}

/// Whether the command prints ids or cursors, one per line.
const fn has_names(command: &Command) -> bool {
    use worker::WorkerCommand;
    match command {
        Command::Event(EventCommand::Ls(_) | EventCommand::Tail(_)) => true,
        Command::Lock(_) | Command::Op(_) => true,
        Command::Worker(command) => !matches!(
            command,
            WorkerCommand::Send(_) | WorkerCommand::Run(_) | WorkerCommand::Attach(_)
        ),
        Command::Token(command) => !matches!(command, token::TokenCommand::Create(_)),
        Command::Run(_)
        | Command::Serve(_)
        | Command::Config(_)
        | Command::Transcript(_)
        | Command::Cursor(_)
        | Command::State(_)
        | Command::Status
        | Command::Errors(_)
        | Command::Completions(_)
        | Command::Man
        | Command::Version => false,
    }
}
