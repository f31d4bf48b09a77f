//! `worker send WORKER TEXT`: follows the input to its outcome; on a stopped store it runs in the
//! foreground, as nobody else runs it. The same `--id` again does nothing twice: it follows the run that there was.

use clap::Args;
use worker_runtime_core::{
    Clock, Dispatch, InputId, RunId, SystemClock, SystemEntropy,
    error::SubmitError,
    input::{InputKind, SubmitInput},
    view::{Phase, WorkerView},
};

use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    foreground::{Account, Afterwards, Followed, Host, Signals, to_outcome},
    here::Here,
    input_text,
    output::Printer,
    suggest::Suggestion,
    target::{self, Writing, is_unknown},
    timeout, worker_name,
};

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The Worker: its id, the first digits of it, or its name
    worker: String,
    /// What to say; - reads it from standard input
    #[arg(allow_hyphen_values = true)]
    text: String,
    /// A key of your own: the same one again does nothing twice; without it, each call is a new input
    #[arg(long, value_name = "INPUT_ID")]
    id: Option<String>,
    /// Behind other inputs that wait, run those first
    #[arg(long)]
    queue: bool,
    /// The longest that the run may take, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = timeout::parse_ms)]
    timeout: Option<u64>,
}

pub(crate) fn run(
    args: &SendArgs,
    global: &Global,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let input = input(args)?;
    let (worker, server) = {
        let target = target::open(global, printer)?;
        let worker = worker_name::find(&target, &args.worker)?;
        // A store is closed before it is opened for writing, which waits for readers.
        (worker, target.into_server())
    };
    if let Some(server) = server {
        return server.block_on(async {
            let signals = target::signals()?;
            let host = Host::server(server.remote.clone()).await?;
            follow(&host, &worker, input, printer, signals).await
        });
    }
    refuse(&worker, &input, args.queue)?;
    let worker_id = worker.worker_id;
    let writing = Writing::new(global, Dispatch::Only([worker_id].into()), Here::current()?)?;
    let store = target::open_files(global, false)?;
    target::block_on::<_, Failure>(async {
        // Before anything runs: no signal may end the process in between.
        let signals = target::signals()?;
        let host = Host::Here(target::open_write(store, writing, printer).await?);
        follow(&host, &worker, input, printer, signals).await
    })
}

/// Sends the input and follows it to its outcome.
async fn follow(
    host: &Host,
    worker: &WorkerView,
    input: SubmitInput,
    printer: &mut Printer,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let worker_id = worker.worker_id;
    let (input, is_minted) = with_id(input)?;
    let input_id = input.input_id.clone();
    let receipt = match host.send_input(worker_id, input).await {
        Ok(receipt) => receipt,
        Err(mut error) => {
            if let (true, Some(input_id)) = (is_unknown(&error), input_id) {
                let again = Suggestion::worker_send_again(worker_id, &input_id);
                error.hints.insert(0, again);
            }
            return Err(host.closed_after(error).await);
        }
    };
    if receipt.content_differs {
        printer.warn("the input with this id had other content, and that one counts");
    }
    let followed = Followed::new(worker_id, receipt.input_id, receipt.cursor);
    let after = Afterwards::Stays;
    let seen = to_outcome(host, followed.clone(), printer, &mut signals, after).await?;
    let account = Account {
        followed: &followed,
        seen: &seen,
        name: worker.display_name.as_deref(),
        repeated: receipt.repeated && !is_minted,
        served: host.is_server(),
        holds_scope: false,
        one_of_many: false,
    };
    account.print(printer)?;
    Ok(seen.exit())
}

fn input(args: &SendArgs) -> Result<SubmitInput, CliError> {
    let mut input = SubmitInput::text(input_text::read(&args.text)?);
    input.kind = InputKind::User;
    input.input_id = args.id.as_ref().map(InputId::new).transpose()?;
    input.budget.time_ms = args.timeout;
    Ok(if args.queue { input.queued() } else { input })
}

/// The input with an id, and whether it is a new one: so that it can be sent again when its answer is
/// lost, and is taken once.
fn with_id(mut input: SubmitInput) -> Result<(SubmitInput, bool), CliError> {
    let is_minted = input.input_id.is_none();
    if is_minted {
        let minted = RunId::mint(SystemClock::default().now(), &mut SystemEntropy);
        input.input_id = Some(InputId::new(minted.to_string())?);
    }
    Ok((input, is_minted))
}

/// Refuses what the Runtime would refuse, before the store is opened for writing: opening it would
/// begin to run what waits, and then end it again.
fn refuse(worker: &WorkerView, input: &SubmitInput, queue: bool) -> Result<(), SubmitError> {
    let activity = &worker.activity;
    let waiting = activity.input_id.clone().zip(activity.since);
    match (activity.phase, waiting) {
        (Some(phase @ Phase::Queued), Some((input_id, since)))
            if !queue && input.input_id.as_ref() != Some(&input_id) =>
        {
            Err(SubmitError::Busy {
                worker_id: worker.worker_id,
                input_id,
                since,
                phase,
            })
        }
        _ => Ok(()),
    }
}
