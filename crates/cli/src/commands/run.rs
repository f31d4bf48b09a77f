//! `run -- COMMAND...`: makes a Worker of a command, sends it an input, prints what it says as it
//! says it, and tells at the end what became of it and where to look further.

use clap::Args;
use worker_runtime_core::{
    Code, Dispatch, InputId, input::SubmitInput, view::CreateReceipt, worker::CreateWorker,
};

use super::worker::{
    backend::InputWay,
    create,
    spec::{SpecArgs, command_line},
};
use crate::{
    args::Global,
    error::{CliError, Failure},
    exit::Exit,
    foreground::{Account, Afterwards, Followed, Host, Signals, to_outcome},
    input_text,
    output::Printer,
    target::{self, Writing},
    timeout,
};

#[derive(Debug, Args)]
#[command(override_usage = "worker-runtime run [OPTIONS] -- COMMAND...")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// What to give the command as input; - reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    input: Option<String>,
    /// A key of your own for the input; with --worker-id, the same call again does nothing twice
    #[arg(long, value_name = "INPUT_ID", default_value = "run")]
    id: String,
    /// The longest that the run may take, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = timeout::parse_ms)]
    timeout: Option<u64>,
    /// Stop the Worker after its run, which frees its scope
    #[arg(long)]
    once: bool,
    /// The command and its arguments
    #[arg(
        last = true,
        required_unless_present_any = ["backend", "backend_config"],
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

/// A run that was begun.
struct Begun {
    followed: Followed,
    repeated: bool,
}

pub(crate) fn run(args: RunArgs, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    check_input(&args)?;
    let server = target::server(global, printer)?;
    let here = target::here(global, server.as_ref())?;
    let way = match args.input {
        Some(_) => InputWay::Stdin,
        None => InputWay::None,
    };
    let mut request = args.spec.request(&args.command, way, &here)?;
    request.initial_input = Some(input(&args)?);
    if let Some(server) = server {
        if args.spec.dry_run {
            return create::try_out(&server, &request, printer);
        }
        return server.block_on(async {
            let signals = target::signals()?;
            let host = Host::server(server.remote.clone()).await?;
            follow(&host, request, &args, printer, signals).await
        });
    }
    if let Some(exit) = create::rehearse(args.spec.dry_run, global, &here, &request, printer)? {
        return Ok(exit);
    }
    let path = target::path(global)?;
    let is_new = !target::has_store(&path);
    let dispatch = Dispatch::Only(request.worker_id.into_iter().collect());
    let writing = Writing::new(global, dispatch, here)?;
    let store = target::open_files(global, true)?;
    target::block_on::<_, Failure>(async {
        // Before anything runs: no signal may end the process in between.
        let signals = target::signals()?;
        let host = Host::Here(target::open_write(store, writing, printer).await?);
        if is_new {
            printer.words(format_args!("made a store in {}", path.display()));
        }
        follow(&host, request, &args, printer, signals).await
    })
}

/// Makes the Worker with its input, and follows that to its outcome.
async fn follow(
    host: &Host,
    request: CreateWorker,
    args: &RunArgs,
    printer: &mut Printer,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let name = request.display_name.clone();
    let begun = match begin(host, request.clone()).await {
        Ok(begun) => begun,
        Err(error) => {
            let error = args.spec.in_doubt(error, &request);
            return Err(host.closed_after(error).await);
        }
    };
    let after = if args.once {
        Afterwards::Stops
    } else {
        Afterwards::Stays
    };
    let followed = begun.followed.clone();
    let seen = to_outcome(host, followed, printer, &mut signals, after).await?;
    let account = Account {
        followed: &begun.followed,
        seen: &seen,
        name: name.as_deref(),
        repeated: begun.repeated && args.spec.has_worker_id(),
        served: host.is_server(),
        holds_scope: args.spec.has_scope() && !args.once,
        one_of_many: false,
    };
    account.print(printer)?;
    Ok(seen.exit())
}

/// Refuses a call that says too little: an agent would be given its own command line.
fn check_input(args: &RunArgs) -> Result<(), CliError> {
    let message = match args.input.as_deref() {
        None if args.spec.backend.needs_input() => {
            "--input is missing: a command in lines mode, of --backend or of --backend-config, needs one"
        }
        Some("-") if args.spec.backend.reads_stdin() => {
            "--input - and --backend-config - can't both be read from standard input"
        }
        _ => return Ok(()),
    };
    Err(CliError::usage(message, &["run"]))
}

fn input(args: &RunArgs) -> Result<SubmitInput, CliError> {
    let text = match &args.input {
        Some(text) => input_text::read(text)?,
        // Not given to the command, but what a reader of the transcript wants to see.
        None => command_line(&args.command),
    };
    let mut input = SubmitInput::text(text);
    // A key within a Worker that is new: so the same --worker-id is enough to repeat a call.
    input.input_id = Some(InputId::new(&args.id)?);
    input.budget.time_ms = args.timeout;
    Ok(input)
}

/// A scope that is in the way is most often that of an earlier call.
fn told(error: CliError, host: &Host) -> CliError {
    let mut told = match host {
        Host::Here(_) => error,
        Host::Server(_) => create::in_another_place(error),
    };
    if told.code == Code::ScopeConflict {
        told.message.push_str(
            "; a Worker keeps its scope when its run is over, unless it was made with --once",
        );
    }
    told
}

async fn begin(host: &Host, request: CreateWorker) -> Result<Begun, CliError> {
    let created = host.create(request).await;
    let CreateReceipt {
        worker_id, input, ..
    } = created.map_err(|error| told(error, host))?;
    let input = input.ok_or_else(|| {
        let message = format!("a bug: Worker {worker_id} was made without its input");
        CliError::new(Code::Bug, message)
    })?;
    Ok(Begun {
        repeated: input.repeated,
        followed: Followed::new(worker_id, input.input_id, input.cursor),
    })
}
