//! What can be typed: the globals and the tree of commands. Each command's own arguments are in its
//! own file under `commands`.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use worker_runtime_core::Code;

use crate::{commands, exit::Exit, logging::LogFormat, output, suggest::Suggestion, timeout};

/// Run, watch and manage durable agent Workers.
#[derive(Debug, Parser)]
#[command(
    name = "worker-runtime",
    // Or usage would tell the path by which the program was started, which nobody needs to type.
    bin_name = "worker-runtime",
    version,
    after_help = Exit::HELP,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The state directory; without it, the platform's own
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "WORKER_RUNTIME_STATE",
        hide_env_values = true
    )]
    pub(crate) state: Option<PathBuf>,
    /// A server to ask instead, such as http://127.0.0.1:7621; its access token comes from
    /// --token-file or WORKER_RUNTIME_TOKEN
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "WORKER_RUNTIME_SERVER",
        hide_env_values = true
    )]
    pub(crate) server: Option<String>,
    /// The file that holds the access token for a server
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The configuration file; without it, the platform's own, if it is there
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "WORKER_RUNTIME_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// How to print what is found
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub(crate) output: Format,
    /// How long to wait for a store that another process holds, such as 30s; without it, not at all
    #[arg(long, global = true, value_name = "TIME", value_parser = timeout::parse_ms)]
    pub(crate) wait: Option<u64>,
    /// How to print times in tables; relative at a terminal, else iso
    #[arg(long, global = true, value_name = "STYLE")]
    pub(crate) time: Option<TimeStyle>,
    /// Which diagnostics of the program itself to print, such as info or debug; without it, warnings
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "WORKER_RUNTIME_LOG",
        hide_env_values = true
    )]
    pub(crate) log: Option<String>,
}

impl Global {
    /// Whether the state directory was typed; the environment's own is there for the next command too.
    pub(crate) fn is_typed_state(&self) -> bool {
        let from_environment = std::env::var_os("WORKER_RUNTIME_STATE").map(PathBuf::from);
        self.state.is_some() && self.state != from_environment
    }

    /// Whether the server was typed.
    pub(crate) fn is_typed_server(&self) -> bool {
        let from_environment = std::env::var("WORKER_RUNTIME_SERVER").ok();
        self.server.is_some() && self.server != from_environment
    }

    /// What of this must be typed again for the next command to mean the same place.
    pub(crate) fn same_place(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut put = |option: &str, value: String| words.extend([option.to_owned(), value]);
        if self.is_typed_state() {
            let state = self.state.iter();
            state.for_each(|state| put("--state", state.display().to_string()));
        } else if self.is_typed_server() {
            let server = self.server.iter();
            server.for_each(|server| put("--server", server.clone()));
        }
        let file = self.token_file.iter();
        file.for_each(|file| put("--token-file", file.display().to_string()));
        words
    }
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// More columns
    Wide,
    /// One JSON document
    Json,
    /// One JSON object per line
    Jsonl,
    /// Only ids, one per line
    Name,
}

impl Format {
    /// Whether a program reads it.
    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// How a time is printed in a table. JSON always has RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeStyle {
    /// How long ago
    Relative,
    /// RFC 3339 in UTC
    Iso,
    /// Milliseconds since the Unix epoch
    Ms,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a Worker of a command, send it an input, and follow it to its outcome
    Run(Box<commands::run::RunArgs>),
    /// Serve the Runtime of the state directory over HTTP until it is asked to end
    Serve(commands::serve::ServeArgs),
    /// Workers: list, make, send input, end
    #[command(subcommand)]
    Worker(commands::worker::WorkerCommand),
    /// What Workers hold: who may write where, given back and taken back
    #[command(subcommand)]
    Lock(commands::lock::LockCommand),
    /// Who changed what, when and why
    #[command(subcommand)]
    Op(commands::op::OpCommand),
    /// What was said
    #[command(subcommand)]
    Transcript(TranscriptCommand),
    /// What happened
    #[command(subcommand)]
    Event(EventCommand),
    /// Places in what happened
    #[command(subcommand)]
    Cursor(CursorCommand),
    /// The state directory
    #[command(subcommand)]
    State(StateCommand),
    /// Access tokens of the server
    #[command(subcommand)]
    Token(commands::token::TokenCommand),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// One screen: what there is, what needs attention, what to type next
    Status,
    /// The codes of errors
    #[command(subcommand)]
    Errors(ErrorsCommand),
    /// Print the script by which a shell completes commands
    Completions(commands::completions::CompletionsArgs),
    /// Print the manual page, as roff
    Man,
    /// The program's version
    Version,
}

impl Command {
    /// How the program's diagnostics are printed.
    pub(crate) const fn log_format(&self) -> LogFormat {
        match self {
            Self::Serve(args) => args.log_format,
            _ => LogFormat::Human,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TranscriptCommand {
    /// Print a Worker's transcript
    Show(commands::transcript_show::ShowArgs),
    /// Print what was said last, and what is said next as it comes
    Tail(commands::transcript_tail::TailArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// Print events, oldest first
    Ls(commands::event_ls::EventLsArgs),
    /// Print events as they come, oldest first
    Tail(commands::event_tail::EventTailArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CursorCommand {
    /// Print what a cursor says, and whether one can go on from it
    Show(commands::cursor_show::ShowArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Print what the state directory holds
    Info,
    /// Look for damage in a store that nobody runs
    Check(commands::state_check::CheckArgs),
    /// Go on with a state that is older than what was acknowledged
    AcceptOlder(commands::accept_older::AcceptOlderArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print what is in effect, and where each value came from
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ErrorsCommand {
    /// Print what an error's code means and what to do
    Explain(commands::errors_explain::ExplainArgs),
}

/// Prints what clap says of a command line that is not a command, help and version included.
/// `typed` is that line: what could not be understood may still say how errors are to be printed.
pub(crate) fn report(error: &clap::Error, typed: impl Iterator<Item = OsString>) -> Exit {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return output::write_data(&text);
    }
    let code = Code::Usage;
    let Some(rest) = text.strip_prefix("error: ") else {
        output::write_words(&text);
        return Exit::Usage;
    };
    if asks_for_json(typed) {
        // What clap says first; usage and tips are for people.
        let message = rest.split("\n\n").next().unwrap_or(rest).trim();
        let hint = Suggestion::help(&[]).line(&[]);
        let object = serde_json::json!({ "code": code, "message": message, "hint": hint });
        output::write_words(&format!("{object}\n"));
    } else {
        output::write_words(&format!("error[{code}]: {rest}"));
    }
    Exit::Usage
}

/// Whether the output was to be JSON, as far as that can be told.
fn asks_for_json(typed: impl Iterator<Item = OsString>) -> bool {
    let ours = typed.take_while(|word| word != "--");
    let words: Vec<String> = ours
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let is_json = |word: &str| word == "json" || word == "jsonl";
    let joined = words.iter().any(|word| {
        let value = word.strip_prefix("--output=").or(word.strip_prefix("-o"));
        value.is_some_and(|value| is_json(value.trim_start_matches('=')))
    });
    let apart = words.windows(2).any(|pair| match pair {
        [option, value] => (option == "-o" || option == "--output") && is_json(value),
        _ => false,
    });
    joined || apart
}

#[cfg(test)]
mod tests;
