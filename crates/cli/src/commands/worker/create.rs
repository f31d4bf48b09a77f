//! `worker create [-- COMMAND...]`.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{Code, Dispatch, view::CreateReceipt, worker::CreateWorker};

use super::{backend::InputWay, spec::SpecArgs};
use crate::{
    args::{Format, Global},
    error::{CliError, Failure},
    exit::Exit,
    here::Here,
    output::Printer,
    rehearsal,
    suggest::Suggestion,
    target::{self, About, Server, Writing},
};

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// The command that runs its input; without one the Worker takes no input
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(
    args: &CreateArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let server = target::server(global, printer)?;
    let here = target::here(global, server.as_ref())?;
    let request = args.spec.request(&args.command, InputWay::Stdin, &here)?;
    if let Some(server) = server {
        if args.spec.dry_run {
            return try_out(&server, &request, printer);
        }
        let takes_input = request.backend.is_some();
        let about = About::creation(&request);
        let call = async || server.remote.client.create_worker(&request).await;
        let created = server.insist(about, call);
        let mut receipt = created
            .map_err(|error| args.spec.in_doubt(error, &request))
            .map_err(in_another_place)?
            .answer;
        receipt.repeated &= args.spec.has_worker_id();
        return print(&receipt, takes_input, printer);
    }
    if let Some(exit) = rehearse(args.spec.dry_run, global, &here, &request, printer)? {
        return Ok(exit);
    }
    let takes_input = request.backend.is_some();
    let writing = Writing::new(global, Dispatch::None, here)?;
    let receipt = target::change(global, true, writing, printer, async |runtime| {
        Ok(runtime.catalog().create(request).await?)
    })?;
    print(&receipt, takes_input, printer)
}

/// Asks a server what it would make.
///
/// # Errors
/// As the creation itself would be refused.
pub(crate) fn try_out(
    server: &Server,
    request: &CreateWorker,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let about = About::creation(request);
    let call = server.remote.client.would_create_worker(request);
    let changes = server.ask(about, call).map_err(in_another_place)?;
    would(changes, request, printer)
}

/// A server knows the directories that it was told of, by their names.
pub(crate) fn in_another_place(mut error: CliError) -> CliError {
    if error.code == Code::ScopeInvalid {
        error.message.push_str(
            "; a server knows the directory it was started in, those that Workers were made in before, and those of its configuration, which --workspace MOUNT:PATH names",
        );
    }
    error
}

/// Tries the request where that is asked for, and where it would make the store; then a mistake
/// makes none. Gives what a dry run ends with.
pub(crate) fn rehearse(
    dry_run: bool,
    global: &Global,
    here: &Here,
    request: &CreateWorker,
    printer: &mut Printer,
) -> Result<Option<Exit>, Failure> {
    if !dry_run && target::has_store(&target::path(global)?) {
        return Ok(None);
    }
    let receipt = rehearsal::create(global, here, request.clone())?;
    if !dry_run {
        return Ok(None);
    }
    would(!receipt.repeated, request, printer).map(Some)
}

/// Says what a dry run found.
fn would(changes: bool, request: &CreateWorker, printer: &mut Printer) -> Result<Exit, Failure> {
    let worker_id = request.worker_id;
    if printer.format().is_json() {
        printer.json(&json!({ "dry_run": true, "would_be": "created", "changes": changes, "worker_id": worker_id }))?;
    } else if changes {
        printer.words("a Worker would be made");
    } else {
        printer.words("nothing would change: the Worker exists, and was asked for in the same way");
    }
    Ok(if changes {
        Exit::WouldChange
    } else {
        Exit::Done
    })
}

fn print(
    receipt: &CreateReceipt,
    takes_input: bool,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    match printer.format() {
        Format::Json | Format::Jsonl => printer.json(receipt)?,
        Format::Table | Format::Wide | Format::Name => {
            printer.line(receipt.worker_id)?;
            printer.flush()?;
            if receipt.repeated {
                printer.words("it existed already, and was asked for in the same way");
            }
            printer.hint(&match takes_input {
                true => Suggestion::worker_send(receipt.worker_id),
                false => Suggestion::worker_show(receipt.worker_id),
            });
        }
    }
    Ok(Exit::Done)
}
