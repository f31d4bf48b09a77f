//! `op show NUMBER`.

use clap::Args;
use worker_runtime_core::{OperationId, view::OperationView};

use super::by_whole_text;
use crate::{
    args::{Format, Global},
    error::Failure,
    exit::Exit,
    output::{Printer, one_line},
    suggest::Suggestion,
    target,
};

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The operation's number, as `op log` prints it
    #[arg(value_name = "NUMBER")]
    operation: u64,
}

pub(crate) fn run(
    args: &ShowArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let operation = target.operation(OperationId(args.operation))?;
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(&target.sourced(&operation))?,
        Format::Name => printer.line(operation.operation_id)?,
        Format::Table | Format::Wide => {
            print(&operation, printer)?;
            printer.flush()?;
            printer.hint(&Suggestion::op_log(operation.worker_id));
        }
    }
    Ok(Exit::Done)
}

fn print(operation: &OperationView, printer: &mut Printer) -> Result<(), Failure> {
    let text = |id: Option<String>| id.unwrap_or_default();
    let lines = [
        ("number", operation.operation_id.to_string()),
        ("when", printer.time().text(operation.at)),
        ("by", by_whole_text(&operation.by)),
        ("what", operation.kind.as_str().to_owned()),
        ("worker", text(operation.worker_id.map(|id| id.to_string()))),
        ("run", text(operation.run_id.map(|id| id.to_string()))),
        ("lease", text(operation.lease_id.map(|id| id.to_string()))),
        ("reason", operation.reason.clone().unwrap_or_default()),
        ("before", operation.before.clone().unwrap_or_default()),
        ("after", operation.after.clone().unwrap_or_default()),
        ("position", operation.position.to_string()),
        ("cursor", operation.cursor.to_string()),
    ];
    for (name, value) in lines {
        if !value.is_empty() {
            printer.line(format_args!("{name:<9}  {}", one_line(&value, usize::MAX)))?;
        }
    }
    Ok(())
}
