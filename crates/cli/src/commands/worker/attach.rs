//! `worker attach WORKER`: what a Worker's run says, as it says it, until it ends. Looking away ends
//! nothing.

use clap::Args;
use worker_runtime_core::{Code, TranscriptFrom, view::WorkerView};

use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    foreground::{Account, Afterwards, Followed, Host, to_outcome},
    output::Printer,
    suggest::Suggestion,
    target::{self, Server, Target},
    worker_name,
};

/// How much of what was said before is printed, in items.
const ITEMS_BEFORE: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
}

pub(crate) fn run(
    args: &AttachArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let worker_id = worker_name::find_id(&target, &args.worker)?;
    let page = target.transcript(worker_id, TranscriptFrom::End, ITEMS_BEFORE)?;
    // After the page, so that what the page has not comes as news.
    let worker = target.worker(worker_id)?;
    let Target::Server(server) = &target else {
        return Err(not_run(&worker).into());
    };
    let Some(input_id) = worker.activity.input_id.clone() else {
        printer.words(format_args!("nothing runs or waits for Worker {worker_id}"));
        printer.hint(&Suggestion::transcript_show(worker_id));
        return Ok(Exit::Done);
    };
    let run_id = worker.activity.run_id;
    if !printer.format().is_json() {
        let said = page
            .items
            .iter()
            .filter(|item| item.run_id.is_some() && item.run_id == run_id && item.kind == "text");
        for item in said {
            printer.raw(&item.text)?;
        }
        printer.flush()?;
    }
    let followed = Followed {
        run_id,
        only_looks_on: true,
        ..Followed::new(worker_id, input_id, page.cursor)
    };
    follow(server, &worker, followed, printer)
}

fn follow(
    server: &Server,
    worker: &WorkerView,
    followed: Followed,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    server.block_on(async {
        let mut signals = target::signals()?;
        let host = Host::server(server.remote.clone()).await?;
        let after = Afterwards::Stays;
        let seen = to_outcome(&host, followed.clone(), printer, &mut signals, after).await?;
        let account = Account {
            followed: &followed,
            seen: &seen,
            name: worker.display_name.as_deref(),
            repeated: false,
            served: true,
            holds_scope: false,
            one_of_many: false,
        };
        account.print(printer)?;
        Ok(seen.exit())
    })
}

/// Nobody runs a stopped store, so there is nothing to look at.
pub(super) fn not_run(worker: &WorkerView) -> CliError {
    let worker_id = worker.worker_id;
    let message = format!("nobody runs the store, and so nothing of Worker {worker_id}");
    let told = CliError::new(Code::RuntimeClosed, message);
    match worker.activity.phase {
        Some(_) => told.hint(Suggestion::worker_run(worker_id)),
        None => told.hint(Suggestion::transcript_show(worker_id)),
    }
}
