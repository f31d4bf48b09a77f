//! `state check`: looks at all that a stopped store holds and changes no byte of it (I12).
//!
//! - `told`: findings as they are made, and the account at the end
//! - `pages`: the file's structure, looked at by a process of its own
//! - `progress`: how far it is, for who waits at a terminal

mod pages;
mod progress;
mod told;

use std::time::Instant;

use clap::{Args, ValueEnum};
use worker_runtime_core::Code;
use worker_runtime_persist::{CheckDepth, OpenError, Structure, check};

use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    output::Printer,
    target,
};
use told::{Account, Telling};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// How much to look at
    #[arg(long, value_enum, value_name = "DEPTH", default_value = "full")]
    depth: Depth,
    /// Look at the file's structure alone, and answer the process that asks
    #[arg(long, hide = true)]
    pages_only: bool,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Depth {
    /// What an opening would verify: records, scopes that are held, the newest events, the witness
    Quick,
    /// Also every row, and every event with its links and its data
    Full,
    /// Also every page of the file
    Deep,
}

impl Depth {
    const fn words(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Deep => "deep",
        }
    }

    const fn of_rows(self) -> CheckDepth {
        match self {
            Self::Quick => CheckDepth::Quick,
            Self::Full | Self::Deep => CheckDepth::Full,
        }
    }
}

pub(crate) fn run(
    args: &CheckArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    if target::is_server_named(global) {
        let message = "state check looks at the files of a state directory, which no server shows; stop the server, and check on its machine with --state DIR";
        return Err(CliError::usage(message, &["state", "check"]).into());
    }
    let path = target::path(global)?;
    if args.pages_only {
        return pages::answer(&path, printer);
    }
    let started = Instant::now();
    let mut telling = Telling::new(printer);
    let checked = target::waiting(global, || check(&path, args.depth.of_rows(), &mut telling));
    let checked = checked.map_err(not_checked)?;
    let structure = match args.depth {
        Depth::Deep => Some(pages::look(&path)?),
        Depth::Quick | Depth::Full => None,
    };
    if let Some(structure) = &structure {
        telling.structure(structure);
    }
    let account = Account {
        path: &path,
        depth: args.depth.words(),
        checked,
        structure: structure.as_ref().map(words_of),
        elapsed: started.elapsed(),
    };
    telling.end(&account)
}

const fn words_of(structure: &Structure) -> &'static str {
    match structure {
        Structure::Whole => "whole",
        Structure::Damaged(_) => "damaged",
        Structure::Unread(_) => "unread",
    }
}

/// Why nothing was checked, with what to do about it.
fn not_checked(error: OpenError) -> CliError {
    let mut told = CliError::from(error);
    if told.code == Code::StateLocked {
        told.message = format!(
            "{}; a store is checked while nobody runs it: end that process first",
            told.message
        );
    }
    told
}
