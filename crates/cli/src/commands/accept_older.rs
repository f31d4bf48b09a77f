//! `state accept-older`: a user says that the older state is the one to go on with. Nothing comes back
//! by that; only the warning ends.

use clap::Args;
use serde_json::json;
use worker_runtime_core::Dispatch;

use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    here::Here,
    output::Printer,
    suggest::Suggestion,
    target::{self, Writing},
};

#[derive(Debug, Args)]
pub(crate) struct AcceptOlderArgs {
    /// Say that what is gone may stay gone
    #[arg(short, long)]
    yes: bool,
    /// Why, for the record of the operation
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say whether anything would change; exit 23 if so
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(
    args: &AcceptOlderArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let (path, went_back) = {
        let target = target::open_read(global)?;
        (target.path, target.observation.runtime().went_back)
    };
    let Some(went) = went_back else {
        printer.words("nothing would change: no acknowledged state is gone");
        return Ok(Exit::Done);
    };
    let lost = format!(
        "position {} was acknowledged, {} is the newest that was found",
        went.witnessed, went.found
    );
    if args.dry_run {
        if printer.format().is_json() {
            printer.json(&json!({ "dry_run": true, "would_be": "accepted", "changes": true, "went_back": went }))?;
        }
        printer.words(format_args!("it would be accepted that {lost}"));
        return Ok(Exit::WouldChange);
    }
    if !args.yes {
        let message = format!("{lost}; keep a copy, and give --yes if what is gone may stay gone");
        return Err(CliError::usage(message, &["state", "accept-older"])
            .hint(Suggestion::copy(&path, "went-back"))
            .into());
    }
    let writing = Writing::new(global, Dispatch::None, Here::current()?)?;
    let writing = writing.because(args.reason.clone());
    let position = target::change(global, false, writing, printer, async |runtime| {
        Ok(runtime.management().acknowledge_went_back().await?)
    })?;
    if printer.format().is_json() {
        printer.json(&json!({ "went_back": went, "position": position }))?;
    } else {
        printer.good("accepted:", format_args!("{lost}"));
        printer.hint(&Suggestion::status());
    }
    Ok(Exit::Done)
}
