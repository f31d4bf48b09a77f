//! `errors explain CODE`: the page of a code, which is compiled in.

use clap::Args;
use serde_json::json;
use worker_runtime_core::Code;

use crate::{
    error::{CliError, Failure},
    exit::Exit,
    output::Printer,
};

/// How many codes are offered when none is meant.
const OFFERED_MAX: usize = 5;

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The code, such as WR-STATE-MISSING
    #[arg(value_name = "CODE")]
    code: String,
}

pub(crate) fn run(args: &ExplainArgs, printer: &mut Printer) -> Result<Exit, Failure> {
    let code = find(&args.code)?;
    if printer.format().is_json() {
        let exit_code = Exit::of(code).number();
        printer.json(&json!({ "code": code, "exit_code": exit_code, "page": code.page() }))?;
    } else {
        printer.raw(code.page())?;
    }
    Ok(Exit::Done)
}

/// The code that is meant, in capitals or not, with `WR-` or without.
fn find(text: &str) -> Result<Code, CliError> {
    let wanted = text.trim().to_ascii_uppercase();
    let wanted = wanted.strip_prefix("WR-").unwrap_or(&wanted);
    let named = |code: &&Code| code.as_str().strip_prefix("WR-") == Some(wanted);
    if let Some(code) = Code::ALL.iter().find(named) {
        return Ok(*code);
    }
    // Those that share a word, such as STATE.
    let shares = |code: &&&Code| {
        let mut words = code.as_str().split('-').skip(1);
        words.any(|word| wanted.split('-').any(|other| other == word))
    };
    let near: Vec<&str> = Code::ALL
        .iter()
        .collect::<Vec<_>>()
        .iter()
        .filter(shares)
        .take(OFFERED_MAX)
        .map(|code| code.as_str())
        .collect();
    let near = match near.is_empty() {
        true => String::new(),
        false => format!("; there are {}", near.join(", ")),
    };
    Err(CliError::usage(
        format!("there is no code {text:?}{near}"),
        &["errors", "explain"],
    ))
}
